/**
 * One measured writer process: renews `workers` own leases as fast as they go, and prints what `go-peer write` prints.
 *
 *   node test/bench/writer.ts ours|client-node KUBECONFIG SECONDS WORKERS
 *
 * CPU is counted from the first renewal on, so that loading a program is not mixed with running it.
 */
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';

const [, , kind = 'ours', kubeconfig = '', seconds = '8', workers = '16'] = process.argv;
const namespace = 'kube-system';
const clock = createSystemClock();
const name = (i: number): string => `bench-${kind}-${String(i).padStart(4, '0')}`;
const now = (): MicroTime => MicroTime.fromEpochMicros(clock.wallMicros());

/** Makes the leases, and gives back what renews one of them once. */
async function ours(): Promise<{ renew: (i: number) => Promise<void>; end: () => Promise<void> }> {
  const { connect } = await import('../../src/kube/connection.ts');
  const { newLease, withChanges } = await import('../../src/lease/lease.ts');
  const { store, close } = await connect({ kubeconfig, clock, random: Math.random });
  const current: Lease[] = [];
  for (let i = 0; i < Number(workers); i++) {
    const spec = { holderIdentity: name(i), leaseDurationSeconds: 3600, renewTime: now() };
    current.push(await store.create(newLease({ name: name(i), namespace, labels: { bench: kind } }, spec)));
  }
  return {
    renew: async (i) => {
      current[i] = await store.update(withChanges(current[i] as Lease, { spec: { renewTime: now() } }));
    },
    end: close,
  };
}

/** As a user of the stock client would write it. */
async function stock(): Promise<{ renew: (i: number) => Promise<void>; end: () => Promise<void> }> {
  const { CoordinationV1Api, KubeConfig, V1MicroTime } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const api = config.makeApiClient(CoordinationV1Api);
  const current: Awaited<ReturnType<typeof api.createNamespacedLease>>[] = [];
  for (let i = 0; i < Number(workers); i++) {
    const metadata = { name: name(i), labels: { bench: kind } };
    const spec = { holderIdentity: name(i), leaseDurationSeconds: 3600, renewTime: new V1MicroTime() };
    current.push(await api.createNamespacedLease({ namespace, body: { metadata, spec } }));
  }
  return {
    renew: async (i) => {
      const lease = current[i];
      if (!lease?.spec) throw new Error('the answer has no spec');
      lease.spec.renewTime = new V1MicroTime();
      current[i] = await api.replaceNamespacedLease({ namespace, name: name(i), body: lease });
    },
    end: () => Promise.resolve(),
  };
}

const { renew, end } = await (kind === 'ours' ? ours() : stock());
const began = clock.monotonic();
const cpu = process.cpuUsage();
const until = began + Number(seconds) * 1000;
let renewals = 0;
await Promise.all(
  Array.from({ length: Number(workers) }, async (_, i) => {
    while (clock.monotonic() < until) {
      await renew(i);
      renewals++;
    }
  }),
);
const used = process.cpuUsage(cpu);
console.log(
  JSON.stringify({
    command: kind,
    renewals,
    seconds: (clock.monotonic() - began) / 1000,
    cpuMilliseconds: (used.user + used.system) / 1000,
    maxResidentMegabytes: process.resourceUsage().maxRSS / 1024,
  }),
);
await end();
