/**
 * What many leases cost in one process, without a network: measured in processes of their own, whose memory is looked at
 * after a collection.
 *
 * - A hundred thousand heartbeats every 10 s, against a store that answers at once and keeps nothing: how late the latest was
 *   sent, CPU a renewal, bytes a Node.
 * - A kept census of ten thousand leases: bytes a lease, after all of them were renewed three times.
 *
 *   node test/bench/in-process.ts [heartbeats N SECONDS | census N]
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { LiveCensus } from '../../src/census/live-census.ts';
import { Heartbeat } from '../../src/heartbeat/heartbeats.ts';
import { parseLease, withChanges } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { hostnameLabel, leaseName } from '../../src/lease/names.ts';
import type { NodeSource } from '../../src/lease/node-source.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { LeaseEvent, LeaseStore } from '../../src/lease/store.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { figure } from './figures.ts';
import { runJson } from './measure.ts';

const clock = createSystemClock();

/** Bytes of the heap that something holds, after a collection. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

let version = 0;
/** As a server's answer: every text is one of its own. */
const answered = (lease: Lease): Lease =>
  withChanges(
    {
      ...lease,
      metadata: {
        ...lease.metadata,
        uid: lease.metadata.uid || `6f1c2f0e-3c39-4d5c-9d0c-${String(100_000_000_000 + version)}`,
        resourceVersion: String(1_000_000 + version++),
      },
    },
    {},
  );

interface Heartbeats {
  readonly held: number;
  readonly renewals: number;
  readonly latestMs: number;
  readonly cpuMilliseconds: number;
  readonly bytes: number;
}

async function heartbeats(count: number, seconds: number): Promise<Heartbeats> {
  const store: Pick<LeaseStore, 'get' | 'create' | 'update'> = {
    get: async () => {
      throw new LeaseStoreError('NotFound', { message: 'none' });
    },
    create: async (lease) => answered(lease),
    update: async (lease) => answered(lease),
  };
  const nodes: NodeSource = {
    async *watch(signal) {
      const named = (i: number) => ({ name: `node-${i}`, uid: `2b6f0c1e-3c39-4d5c-9d0c-${100_000_000_000 + i}` });
      yield { type: 'list', nodes: Array.from({ length: count }, (_, i) => named(i)) };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    },
  };
  const before = heldBytes();
  let [renewals, latestMs, measuring] = [0, 0, false];
  const heartbeat = new Heartbeat({
    store,
    nodes,
    clock,
    random: Math.random,
    observe: (event) => {
      if (event.type !== 'renewed' || !measuring) return;
      renewals++;
      latestMs = Math.max(latestMs, event.lateMs);
    },
  });
  const stop = new AbortController();
  const running = heartbeat.run(stop.signal);
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  await wait(15_000);
  measuring = true;
  const cpu = process.cpuUsage();
  await wait(seconds * 1000);
  measuring = false;
  const { user, system } = process.cpuUsage(cpu);
  const { held } = heartbeat.status;
  const bytes = (heldBytes() - before) / count;
  stop.abort();
  await running;
  return { held, renewals, latestMs, cpuMilliseconds: (user + system) / 1000, bytes };
}

/** A lease as a server sends it. */
function identity(i: number, renewal: number): Lease {
  const host = `host-${String(i).padStart(5, '0')}.example`;
  const name = leaseName(host);
  const time = (seconds: number): string => MicroTime.fromEpochMs(Date.now() + seconds * 1000).toString();
  const metadata = {
    name,
    namespace: 'kube-system',
    uid: `6f1c2f0e-3c39-4d5c-9d0c-${String(100_000_000_000 + i)}`,
    resourceVersion: String(1_000_000 + version++),
    creationTimestamp: '2026-01-01T00:00:00Z',
    labels: {
      'apiserver.kubernetes.io/identity': 'kube-apiserver',
      'kubernetes.io/hostname': hostnameLabel(host),
    },
    annotations: { 'leasekeeper.dev/hostname': host },
  };
  const spec = {
    holderIdentity: `${name}_2b6f0c1e-3c39-4d5c-9d0c-${String(100_000_000_000 + i)}`,
    leaseDurationSeconds: 3600,
    renewTime: time(renewal),
  };
  return parseLease(JSON.parse(JSON.stringify({ metadata, spec })));
}

/** A census that has seen all of them, and each renewed three times. */
async function keptCensus(count: number): Promise<{ readonly live: LiveCensus; readonly end: () => Promise<void> }> {
  const all = (renewal: number): Lease[] => Array.from({ length: count }, (_, i) => identity(i, renewal));
  const stop = new AbortController();
  let seen = (): void => {};
  const allSeen = new Promise<void>((resolve) => (seen = resolve));
  async function* watch(): AsyncGenerator<LeaseEvent> {
    yield { type: 'list', leases: all(-30), serverDate: MicroTime.fromEpochMs(Date.now()) };
    for (const renewal of [-20, -10, 0]) for (const lease of all(renewal)) yield { type: 'modified', lease };
    yield { type: 'fresh' };
    seen();
    await new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve(), { once: true }));
  }
  const live = new LiveCensus({ store: { watch }, query: { namespace: 'kube-system' }, clock, random: Math.random });
  const running = live.run(stop.signal);
  await allSeen;
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { live, end };
}

async function census(count: number): Promise<{ readonly instances: number | undefined; readonly bytes: number }> {
  // What a census takes however small it is.
  await (await keptCensus(10)).end();
  const before = heldBytes();
  const { live, end } = await keptCensus(count);
  const bytes = (heldBytes() - before) / count;
  const snapshot = live.snapshot();
  await end();
  return { instances: snapshot.known ? snapshot.answer.counts.instances : undefined, bytes };
}

export async function benchInProcess(nodes = 100_000, seconds = 30, leases = 10_000): Promise<string> {
  const run = <T>(...args: readonly (string | number)[]): Promise<T> =>
    runJson(process.execPath, [import.meta.filename, ...args.map(String)], (seconds + 90) * 1000);
  const kept = await run<Awaited<ReturnType<typeof census>>>('census', leases);
  const many = await run<Heartbeats>('heartbeats', nodes, seconds);
  if (kept.instances !== leases || many.held !== nodes)
    throw new Error(`${kept.instances} instances, ${many.held} leases held`);
  figure('census', { values: [kept.bytes / 1000] });
  figure('late', { values: [many.latestMs / 1000] });
  figure('beat', { values: [many.bytes / 1000] });
  return (
    `${nodes} heartbeats every 10 s in one process, for ${seconds} s, against a store in it: ${many.renewals} renewals, ` +
    `the latest ${many.latestMs.toFixed(0)} ms late, ${((many.cpuMilliseconds * 1000) / many.renewals).toFixed(1)} µs of CPU each, ` +
    `${many.bytes.toFixed(0)} bytes of heap a Node.\n` +
    `A kept census of ${leases} leases, each renewed three times: ${kept.bytes.toFixed(0)} bytes of heap a lease.`
  );
}

if (import.meta.main) {
  const [, , what, n, seconds] = process.argv;
  if (what === 'heartbeats') console.log(JSON.stringify(await heartbeats(Number(n), Number(seconds))));
  else if (what === 'census') console.log(JSON.stringify(await census(Number(n))));
  else console.log(await benchInProcess());
}
