/**
 * Counting konnectivity servers, as apiserver-network-proxy asserts it: by `leasekeeper count`, `serve`, `sweep` and `publish`
 * over its leases. Where its counter falls back to the last good number, ours says that it does not know, and what it knew last.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { realApiSkip } from '../support/real-api.ts';
import { runProgram, startProgram } from '../support/process.ts';
import { publish, until } from '../e2e/support.ts';
import { ago, leaseAt, makeLease, plantLease, startServer, throughProxy, urlIn } from './support.ts';
import type { LeaseJson } from '../e2e/support.ts';
import type { Server, Sketch } from './support.ts';

const COUNTER = 'apiserver-network-proxy/pkg/agent/lease_counter_test.go';
const VALID = 'apiserver-network-proxy/pkg/util/leases_test.go TestIsLeaseValid';
const COLLECTOR = 'apiserver-network-proxy/pkg/server/leases/gc_controller_test.go TestGarbageCollectionController';
const E2E = 'apiserver-network-proxy/e2e/lease_count_test.go';

/** Seconds since; a duration in seconds. */
interface Times {
  readonly acquired?: number;
  readonly renewed?: number;
  readonly duration: number;
}
const spec = ({ acquired, renewed, duration }: Times): LeaseJson['spec'] => ({
  holderIdentity: 'somebody',
  leaseDurationSeconds: duration,
  ...(acquired !== undefined && { acquireTime: ago(acquired) }),
  ...(renewed !== undefined && { renewTime: ago(renewed) }),
});

describe('konnectivity', { skip: realApiSkip(), concurrency: 4 }, () => {
  let server: Server;
  before(async () => void (server = await startServer()));
  after(() => server?.api.stop());

  let made = 0;
  const make = (label: string, value: string, times: Times): Promise<unknown> =>
    makeLease(server, { name: `lease-${++made}`, labels: { [label]: value }, spec: spec(times) });
  const which = (label: string, value = 'value'): string[] => [
    `--identity-label=${label}`,
    `--identity-label-value=${value}`,
  ];
  const count = async (
    label: string,
    kubeconfig = server.kubeconfig,
  ): Promise<{ code: number | null; stdout: string }> =>
    runProgram(['count', '--kubeconfig', kubeconfig, ...which(label)]);
  const counts = async (label: string, number: number): Promise<void> => {
    const { code, stdout } = await count(label);
    assert.deepEqual([code, stdout], [0, `${number}\n`]);
  };
  const valid = { acquired: 1, duration: 1_000 };

  test(`${COUNTER} TestServerLeaseCounter: 0 where there are no leases`, () => counts('none', 0));

  test(`${COUNTER} TestServerLeaseCounter: 0 where none has both the label and its value`, async () => {
    await make('unmatched', 'another', valid);
    await make('unmatched-too', 'value', valid);
    await counts('unmatched', 0);
  });

  test(`${COUNTER} TestServerLeaseCounter: 0 where all that match have expired`, async () => {
    await make('late', 'value', { acquired: 10_000, duration: 1_000 });
    await make('not-late', 'value', valid);
    await counts('late', 0);
  });

  test(`${COUNTER} TestServerLeaseCounter: exactly those that match and are valid`, async () => {
    for (const value of ['value', 'value', 'another']) await make('some', value, valid);
    await counts('some', 2);
  });

  test(`${COUNTER} TestServerLeaseCounter: where leases cannot be listed there is no number (0 there)`, async (t) => {
    const { proxy, kubeconfig } = await throughProxy(t, server);
    proxy.rule({ fault: { answer: { status: 500, body: 'no' } } });
    const { code, stdout } = await count('some', kubeconfig);
    assert.deepEqual([code, stdout], [1, '']);
  });

  test(`${COUNTER} TestServerLeaseCounter_FallbackCount: no number before the first list, then 3, and 3 as the last known once lists fail`, async (t) => {
    for (let i = 0; i < 3; i++) await make('fallback', 'value', valid);
    await make('fallback', 'value', { acquired: 10_000, duration: 1_000 });
    const { proxy, kubeconfig } = await throughProxy(t, server);
    const broken = { fault: { answer: { status: 500, body: 'no' } } };
    const mend = proxy.rule(broken);
    const args = ['serve', '--kubeconfig', kubeconfig, ...which('fallback'), '--http-address=0', '--census-max-age=3s'];
    const program = startProgram(args, { t });
    const url = urlIn(await program.waitForLine(/http:\/\/127\.0\.0\.1:\d+/, { from: 'stderr' }));
    interface Count {
      readonly instances: number | null;
      readonly last: { readonly instances: number } | null;
    }
    const asked = async (): Promise<Count> => (await (await fetch(`${url}/v1/count`)).json()) as Count;
    const first = await asked();
    assert.deepEqual([first.instances, first.last], [null, null]);
    mend();
    await until('the count', async () => (await asked()).instances === 3);
    proxy.rule(broken);
    proxy.cut();
    const last = await until('the count to be unknown', async () => {
      const now = await asked();
      return now.instances === null && now;
    });
    assert.equal(last.last?.instances, 3);
  });

  for (const [what, label, times, number] of [
    ['one acquired a moment ago is valid', 'acquired', valid, 1],
    ['one renewed a moment ago is valid', 'renewed', { acquired: 10_000, renewed: 1, duration: 1_000 }, 1],
    ['one acquired too long ago, and never renewed, is not', 'acquired-late', { acquired: 10_000, duration: 1_000 }, 0],
    ['one renewed too long ago is not', 'renewed-late', { acquired: 10_000, renewed: 9_000, duration: 1_000 }, 0],
  ] as const) {
    test(`${VALID}: ${what}`, async () => {
      await make(label, 'value', times);
      await counts(label, number);
    });
  }

  test(`${VALID}: one that states no time is not (here once it is an hour old)`, async () => {
    const labels = { timeless: 'value' };
    await plantLease(server, { name: 'timeless', labels, spec: spec({ duration: 1_000 }) }, 7_200);
    await counts('timeless', 0);
  });

  test(`${COLLECTOR}: an expired lease that matches goes; valid ones, acquired or renewed, and what does not match stay`, async () => {
    const some = { some: 'label' };
    const cases: Record<string, Sketch> = {
      acquired: { name: 'gc-acquired', labels: some, spec: spec({ acquired: 120, duration: 1_000 }) },
      renewed: { name: 'gc-renewed', labels: some, spec: spec({ acquired: 600, renewed: 60, duration: 120 }) },
      unmatched: {
        name: 'gc-unmatched',
        labels: { another: 'label' },
        spec: spec({ acquired: 120, renewed: 60, duration: 10 }),
      },
      expired: { name: 'gc-expired', labels: some, spec: spec({ acquired: 240, renewed: 180, duration: 1 }) },
    };
    for (const sketch of Object.values(cases)) await makeLease(server, sketch);
    const args = ['sweep', '--once', '--confirm-after=0', '--selector=some=label', '--kubeconfig', server.kubeconfig];
    const { code, stderr } = await runProgram(args);
    assert.equal(code, 0, stderr);
    const there: string[] = [];
    for (const [what, { name }] of Object.entries(cases)) {
      if (await leaseAt(server, 'kube-system', name)) there.push(what);
    }
    assert.deepEqual(there, ['acquired', 'renewed', 'unmatched']);
  });

  test(`${E2E} TestSingleServer_SingleAgent_LeaseCount, TestMultiServer_MultiAgent_LeaseCount: 1 of one server, 4 of four`, async (t) => {
    const product = which('k8s-app', 'konnectivity-server');
    const server1 = (host: string): unknown =>
      publish(
        t,
        server.kubeconfig,
        host,
        ...product,
        '--lease-name-prefix=konnectivity-proxy-server',
        '--lease-duration=30s',
      );
    const number = (n: number): Promise<unknown> =>
      until(`${n} to be counted`, async () => {
        const { stdout } = await runProgram(['count', '--kubeconfig', server.kubeconfig, ...product]);
        return stdout === `${n}\n`;
      });
    server1('konnectivity-0');
    await number(1);
    for (const host of ['konnectivity-1', 'konnectivity-2', 'konnectivity-3']) server1(host);
    await number(4);
  });
});
