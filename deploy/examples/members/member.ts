/**
 * A member of the set that chat.yaml describes: publishes its lease, says how many members there are whenever that
 * changes, and sweeps what is left of members that died. `node member.ts NAME`, until SIGTERM.
 */
import { LiveCensus, Publisher, Sweeper, connect, createSystemClock, holderIdentity, leaseName } from 'leasekeeper';

const [, , name = ''] = process.argv;
const namespace = 'default';
const labelSelector = 'app=chat';

const clock = createSystemClock();
const random = Math.random;
const api = await connect({ clock, random });
const { store } = api;

const holder = holderIdentity(leaseName(name, 'sha256', 'chat'), crypto.randomUUID());
const publisher = new Publisher({
  store,
  clock,
  random,
  holder,
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
});

let last = '';
function tell(): void {
  const { known, ...seen } = census.snapshot();
  const text = known && 'answer' in seen ? `${seen.answer.counts.live} live` : 'unknown how many';
  if (text !== last) console.log(`${name}: ${text}`);
  last = text;
}
const census = new LiveCensus({
  store,
  query: { namespace, labelSelector },
  clock,
  random,
  freshForMs: 3_000,
  maxAgeMs: 10_000,
  // Events are told one by one; the numbers are right once all that came together were.
  observe: () => queueMicrotask(tell),
});

// Any number of members may sweep at once: what expired is deleted once, and nothing else ever.
const sweeper = new Sweeper({
  store,
  clock,
  random,
  namespace,
  labelSelector,
  confirmAfterMs: 3_000,
  own: { namespace, name: publisher.status.lease, holderIdentity: holder },
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
await Promise.all([census.run(stop.signal), sweeper.run(stop.signal), publisher.run(stop.signal)]);
await api.close();
console.log(`${name}: left`);
