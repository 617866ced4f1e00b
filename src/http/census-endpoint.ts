/**
 * /v1/count and /v1/instances: a kept census as JSON.
 *
 * Guarantees: 200 only for numbers that are known now; else 503 with every number null, why, and the last known answer with
 * its age, in the same shape. `count` costs the same however many leases there are. `instances` is made at most every half
 * second, and never takes more than a twentieth of the time.
 */
import type { Census, CensusLease, Instance } from '../census/census.ts';
import type { Answer, CensusSnapshot } from '../census/census-events.ts';
import type { Clock } from '../runtime/clock.ts';
import { json, reuse } from './answer.ts';
import type { HttpAnswer } from './answer.ts';

export interface CensusSource {
  snapshot(): CensusSnapshot;
  census(): Census | undefined;
}

/** Milliseconds for which one answer of `instances` is given again. */
const REUSE_MS = 500;

export const seconds = (ms: number): number => Math.round(ms) / 1000;

export const numbers = ({ counts, leaseCounts, estimated, asOf, ageMs }: Answer): Record<string, unknown> => ({
  instances: counts.instances,
  live: counts.live,
  stale: counts.stale,
  expired: counts.expired,
  released: counts.released,
  leases: leaseCounts,
  estimated,
  asOf: asOf.toString(),
  ageSeconds: seconds(ageMs),
});

const UNKNOWN = {
  instances: null,
  live: null,
  stale: null,
  expired: null,
  released: null,
  leases: null,
  estimated: null,
  asOf: null,
  ageSeconds: null,
};

export const REASONS = {
  NotSynced: 'the leases were not read yet',
  TooOld: 'nothing was heard of the leases for too long',
  NoServerDate:
    'which leases are alive is not known: the API server sent no time (no Date header) yet, or there are leases of shards, which nobody renews',
} as const;

/** How it is known, or why not. */
export function frame(snapshot: CensusSnapshot): Record<string, unknown> {
  const { known, synced, error, clock, freshForMs } = snapshot;
  return {
    clock,
    freshForSeconds: seconds(freshForMs),
    synced,
    error: error ? { code: error.code, message: error.message } : null,
    reason: known ? null : snapshot.reason,
    message: known ? null : REASONS[snapshot.reason],
  };
}

const statusOf = ({ known }: CensusSnapshot): number => (known ? 200 : 503);

export function countAnswer(source: CensusSource): HttpAnswer {
  const snapshot = source.snapshot();
  const { known } = snapshot;
  return json(statusOf(snapshot), {
    known,
    ...(known ? numbers(snapshot.answer) : UNKNOWN),
    ...frame(snapshot),
    last: !known && snapshot.last ? numbers(snapshot.last) : null,
  });
}

/** `instances` is null while they are not known; those that were known then stand in `last`. */
export function instancesEndpoint(source: CensusSource, clock: Clock): () => HttpAnswer {
  const made = reuse(
    clock,
    () => {
      const began = clock.monotonic();
      const census = source.census();
      const list = Buffer.from(JSON.stringify((census?.instances ?? []).map(instanceDocument)));
      return { list, of: census && began - census.freshnessMs };
    },
    REUSE_MS,
  );
  /** The age is that of the states and times in the list. */
  const all = (answer: Answer): (string | Buffer)[] => {
    const { list, of } = made();
    const age = of === undefined ? null : seconds(clock.monotonic() - of);
    return [`"counts":${JSON.stringify(numbers(answer))},"instances":`, list, `,"instancesAgeSeconds":${age}`];
  };
  return () => {
    const snapshot = source.snapshot();
    const { known } = snapshot;
    const begin = JSON.stringify({ known, ...frame(snapshot) }).slice(0, -1);
    let body: readonly (string | Buffer)[];
    if (known) body = [`${begin},`, ...all(snapshot.answer), ',"last":null}\n'];
    else {
      const last = snapshot.last ? ['{', ...all(snapshot.last), '}'] : ['null'];
      body = [`${begin},"counts":null,"instances":null,"instancesAgeSeconds":null,"last":`, ...last, '}\n'];
    }
    return { status: statusOf(snapshot), type: 'application/json; charset=utf-8', body };
  };
}

const instanceDocument = ({ name, hostname, state, leases }: Instance): Record<string, unknown> => ({
  name,
  hostname: hostname ?? null,
  state,
  leases: leases.map(leaseDocument),
});

/** One lease as JSON. */
export const leaseDocument = (lease: CensusLease): Record<string, unknown> => ({
  namespace: lease.namespace,
  name: lease.name,
  uid: lease.uid,
  state: lease.state,
  holder: lease.holder ?? null,
  renewTime: lease.renewTime?.toString() ?? null,
  renewedSecondsAgo: lease.renewedAgoMs === undefined ? null : seconds(lease.renewedAgoMs),
  renewTimeAheadSeconds: lease.aheadMs === undefined ? null : seconds(lease.aheadMs),
  leaseDurationSeconds: lease.leaseDurationSeconds ?? null,
  leaseTransitions: lease.leaseTransitions ?? null,
  terminating: lease.terminating,
  labels: lease.labels ?? {},
  payload: lease.payload ?? null,
});
