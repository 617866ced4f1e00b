/**
 * /v1/nodes: which nodes are Ready, NotReady and Unknown, as JSON from memory.
 *
 * Guarantees: 200 only for what is known now; else 503 with counts and nodes null, why, and what was known last with its
 * age, in the same shape. Making the list never takes more than a twentieth of the time, however often it is asked for: of thousands of nodes
 * it may be some tenths of a second older than the counts, and says so.
 */
import type { AvailabilitySnapshot, AvailabilityStatus, NodesUnknownReason } from '../availability/node-monitor.ts';
import type { NodeAvailability } from '../availability/node-register.ts';
import type { Clock } from '../runtime/clock.ts';
import { reuse } from './answer.ts';
import type { HttpAnswer } from './answer.ts';
import type { Check } from './health-endpoint.ts';

interface NodesSource {
  readonly status: AvailabilityStatus;
  snapshot(): Pick<AvailabilitySnapshot, 'nodes' | 'freshnessMs'>;
}

const REASONS: Readonly<Record<NodesUnknownReason, string>> = {
  NotSynced: 'the Nodes and their leases were not read yet',
  TooOld: 'nothing was heard of the Nodes or their leases for too long',
};

const seconds = (ms: number): number => Math.round(ms) / 1000;

/** @param describe one node as it is to be shown, for JSON */
export function nodesEndpoint(
  source: NodesSource,
  clock: Clock,
  describe: (node: NodeAvailability) => unknown,
): () => HttpAnswer {
  const made = reuse(clock, () => {
    const began = clock.monotonic();
    const { nodes, freshnessMs = 0 } = source.snapshot();
    return { text: JSON.stringify(nodes.map(describe)), of: began - freshnessMs };
  });
  /** `nodesAgeSeconds` is the age of the states and times in the list. */
  const all = ({ freshnessMs = 0, counts }: AvailabilityStatus): string => {
    const { text, of } = made();
    const { Ready: ready, NotReady: notReady, Unknown: unknown, Pending: pending } = counts;
    const numbers = JSON.stringify({ ready, notReady, unknown, pending });
    const listAge = seconds(clock.monotonic() - of);
    return `"counts":${numbers},"ageSeconds":${seconds(freshnessMs)},"nodes":${text},"nodesAgeSeconds":${listAge}`;
  };
  return () => {
    const { status } = source;
    const { known, reason, synced, error, graceMs, startupGraceMs, freshnessMs } = status;
    const head = JSON.stringify({
      known,
      clock: 'observed',
      graceSeconds: seconds(graceMs),
      startupGraceSeconds: seconds(startupGraceMs),
      synced,
      error: error ? { code: error.code, message: error.message } : null,
      reason: reason ?? null,
      message: reason ? REASONS[reason] : null,
    }).slice(0, -1);
    const last = freshnessMs === undefined ? 'null' : `{${all(status)}}`;
    const body = known
      ? `${all(status)},"last":null`
      : `"counts":null,"ageSeconds":null,"nodes":null,"nodesAgeSeconds":null,"last":${last}`;
    const type = 'application/json; charset=utf-8';
    return { status: known ? 200 : 503, type, body: `${head},${body}}\n` };
  };
}

/** Ready as long as it is known who is. */
export function availabilityCheck({ known, reason, error, freshnessMs, counts }: AvailabilityStatus): Check {
  const age = freshnessMs === undefined ? '' : `, last known ${(freshnessMs / 1000).toFixed(1)} s ago`;
  const why = error ? `; ${error.message}` : '';
  const { Ready, NotReady, Unknown, Pending } = counts;
  const note = known
    ? `${Ready} Ready, ${NotReady} NotReady, ${Unknown} Unknown, ${Pending} Pending`
    : `unknown (${reason})`;
  return { name: 'nodes', ok: known, note: `${note}${age}${why}` };
}
