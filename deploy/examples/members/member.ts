/**
 * A member of the set that chat.yaml describes: publishes its lease, says how many members there are whenever that
 * changes, and sweeps what is left of members that died. `node member.ts NAME`, until SIGTERM.
 */
import { openLeases } from 'leasekeeper';

const [, , name = ''] = process.argv;
const namespace = 'default';
const labelSelector = 'app=chat';
const leases = await openLeases();

let last = '';
function tell(): void {
  const { known, ...seen } = census.snapshot();
  const text = known && 'answer' in seen ? `${seen.answer.counts.live} live` : 'unknown how many';
  if (text !== last) console.log(`${name}: ${text}`);
  last = text;
}
const census = leases.census(
  { namespace, labelSelector },
  {
    freshForMs: 3_000,
    maxAgeMs: 10_000,
    // Events come one by one; the numbers are right once all that came together did.
    observe: () => queueMicrotask(tell),
  },
);

// Any number of members may sweep at once: what expired is deleted once, and nothing else ever.
const sweeper = leases.sweeper({
  namespace,
  labelSelector,
  confirmAfterMs: 3_000,
  observe: (event) => {
    if (event.type === 'deleted') console.log(`${name}: swept ${event.lease.hostname}`);
  },
  ticks: (onTick) => {
    const timer = setInterval(onTick, 5_000);
    return () => clearInterval(timer);
  },
});

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
process.once('SIGINT', () => stop.abort());
const publishing = leases.publish(
  {
    hostname: name,
    namespace,
    labelKey: 'app',
    labelValue: 'chat',
    namePrefix: 'chat',
    leaseDurationSeconds: 6,
    renewIntervalMs: 1_000,
    shutdownPolicy: 'delete',
    observe: (event) => {
      if (event.type === 'superseded') console.log(`${name}: another process has this name`);
    },
  },
  { signal: stop.signal },
);
await Promise.all([census.run(stop.signal), sweeper.run(stop.signal), publishing]);
await leases.close();
console.log(`${name}: left`);
