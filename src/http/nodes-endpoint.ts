/**
 * /v1/nodes: which nodes are Ready and which Unknown, as JSON from memory.
 *
 * Guarantees: 200 only for what is known now; else 503 with counts and nodes null, why, and what was known last with its
 * age. Making the list never takes more than a twentieth of the time, however often it is asked for: of thousands of nodes
 * it may be some tenths of a second older than the counts, and says so.
 */
import type { AvailabilitySnapshot, AvailabilityStatus, NodesUnknownReason } from '../availability/node-monitor.ts';
import type { NodeAvailability } from '../availability/node-register.ts';
import type { Clock } from '../runtime/clock.ts';
import { reuse } from './answer.ts';
import type { HttpAnswer } from './answer.ts';
import type { Check } from './health-endpoint.ts';

export interface NodesSource {
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
  return () => {
    const { known, reason, synced, error, graceMs, freshnessMs, counts } = source.status;
    const head = JSON.stringify({
      known,
      clock: 'observed',
      graceSeconds: seconds(graceMs),
      synced,
      ...(error && { error: { code: error.code, message: error.message } }),
      ...(reason && { reason, message: REASONS[reason] }),
    }).slice(0, -1);
    const numbers = JSON.stringify({ ready: counts.Ready, unknown: counts.Unknown, pending: counts.Pending });
    const age = freshnessMs === undefined ? 'null' : seconds(freshnessMs);
    const nothing = '"counts":null,"ageSeconds":null,"nodes":null';
    /** `nodesAgeSeconds` is the age of the states and times in the list. */
    const all = (): string => {
      const { text, of } = made();
      const listAge = seconds(clock.monotonic() - of);
      return `"counts":${numbers},"ageSeconds":${age},"nodes":${text},"nodesAgeSeconds":${listAge}`;
    };
    const body = known ? all() : `${nothing},"last":${freshnessMs === undefined ? 'null' : `{${all()}}`}`;
    const type = 'application/json; charset=utf-8';
    return { status: known ? 200 : 503, type, body: `${head},${body}}\n` };
  };
}

/** Ready as long as it is known who is. */
export function availabilityCheck({ known, reason, error, freshnessMs, counts }: AvailabilityStatus): Check {
  const age = freshnessMs === undefined ? '' : `, last known ${(freshnessMs / 1000).toFixed(1)} s ago`;
  const why = error ? `; ${error.message}` : '';
  const { Ready, Unknown, Pending } = counts;
  const note = known ? `${Ready} Ready, ${Unknown} Unknown, ${Pending} Pending` : `unknown (${reason})`;
  return { name: 'nodes', ok: known, note: `${note}${age}${why}` };
}
