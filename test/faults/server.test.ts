/**
 * What goes wrong with the API server and its etcd themselves: for everybody at once.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { alive, assertApart, elect, now, spans } from '../e2e/elect-support.ts';
import { claimed, lines, publish, renewedAfter, seenReal, terminate, until } from '../e2e/support.ts';
import { etcdAt } from '../support/etcd.ts';
import { runProgram } from '../support/process.ts';
import { record } from '../support/proof.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { survive } from './survive.ts';
import type { FaultCase } from './world.ts';
import { SLACK_MS } from './world.ts';

/** Enough for all that is written here, and soon filled. */
const QUOTA_BYTES = 16 * 1024 * 1024;
const LEASES = '/apis/coordination.k8s.io/v1/leases';

describe('faults of the API server and etcd', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let kubeconfig: string;
  before(async () => {
    api = await startRealApi({ etcdArgs: [`--quota-backend-bytes=${QUOTA_BYTES}`] });
    kubeconfig = await api.kubeconfig();
  });
  after(() => api?.stop());

  const fault = (name: string, begin: FaultCase['begin'], more: Partial<FaultCase> = {}): void => {
    it(name, (t) => survive(t, api, { name, through: kubeconfig, beside: kubeconfig, local: false, begin, ...more }));
  };

  fault('etcd killed and restarted', async () => {
    await api.etcd.kill();
    return async () => {
      api.etcd.start();
      await api.ready();
    };
  });

  fault('etcd stopped and continued', () => {
    api.etcd.pause();
    return async () => {
      api.etcd.continue();
      await api.ready();
    };
  });

  fault('API server killed and restarted', async () => {
    await api.apiServer.kill();
    return async () => {
      api.apiServer.start();
      await api.ready();
    };
  });

  fault('API server stopped and continued', () => {
    api.apiServer.pause();
    return async () => {
      api.apiServer.continue();
      await api.ready();
    };
  });

  fault('etcd compacted: watches get 410', async () => {
    const { metadata } = await api.json<{ metadata: { resourceVersion: string } }>('GET', `${LEASES}?limit=1`);
    await api.apiServer.kill();
    return async () => {
      const etcd = etcdAt(api.etcdUrl);
      // The server's own cache begins anew after these, and the history before them is gone.
      for (let i = 0; i < 10; i++) await etcd.put('elsewhere');
      await etcd.compact(await etcd.put('elsewhere'));
      api.apiServer.start();
      await api.ready();
      const watch = `${LEASES}?watch=true&timeoutSeconds=1&resourceVersion=${metadata.resourceVersion}`;
      const { text } = await api.request('GET', watch);
      assert.match(text, /"code":410/, 'the version that was watched is not known any more');
    };
  });

  fault(
    'etcd out of space: reads and deletions pass, writes do not',
    async () => {
      const etcd = etcdAt(api.etcdUrl);
      await etcd.fill();
      return () => etcd.makeRoom();
    },
    // Long enough for a pass that begins once the leases of a second have expired.
    { deaf: false, readOnly: true, holdMs: 5_500 },
  );

  it('the program as processes: etcd killed and restarted', async (t) => {
    const tried = { kind: 'fault', fault: 'etcd killed and restarted', capability: 'program' } as const;
    try {
      record({ ...tried, survived: true, backAfterMs: await programs(t, api, kubeconfig) });
    } catch (error) {
      record({ ...tried, survived: false });
      throw error;
    }
  });
});

/** `publish --sweep --http-address`, two of `elect`, and `count`, while etcd is away. Milliseconds until all was well. */
async function programs(t: TestContext, api: RealApi, kubeconfig: string): Promise<number> {
  const at = seenReal(api);
  const file = join(api.dir, 'leaders');
  const times = ['--renew-interval=600ms', '--request-timeout=500ms', '--lease-duration=1s'];
  const sweeps = ['--sweep', '--sweep-schedule=* * * * * *', '--sweep-confirm-after=2s'];
  const program = publish(
    t,
    kubeconfig,
    'host',
    ...times,
    ...sweeps,
    '--http-address=127.0.0.1:0',
    '--census-max-age=1s',
  );
  for (const id of ['a', 'b']) elect(t, { kubeconfig, lease: 'etcd', id, file });
  const before = await claimed(program, at, 'host');
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(await program.waitForLine(/http:\/\/127\.0\.0\.1:\d+/))?.[0];
  const count = async (): Promise<readonly [number, unknown]> => {
    const answer = await fetch(`${url}/v1/count`);
    return [answer.status, ((await answer.json()) as { instances: unknown }).instances];
  };
  await until('the census', async () => String(await count()) === '200,1');
  const first = await until('a leader', () => spans(file)[0]);
  await api.etcd.kill();
  const killedAt = now();
  await until('the census to say that it does not know', async () => String(await count()) === '503,');
  const counted = await runProgram(['count', '--kubeconfig', kubeconfig, '--request-timeout=1s']);
  assert.deepEqual([counted.code, counted.stdout], [1, '']);
  await until('the command to end', () => !alive(first.pid));
  await until('the lease to expire', () => now() - killedAt > 3_000);
  api.etcd.start();
  await api.ready();
  const atHeal = (await at.lease('host'))!;
  const since = performance.now();
  const after = await renewedAfter(at, 'host', atHeal);
  await until('the census to be right again', async () => String(await count()) === '200,1', 5_000 + SLACK_MS);
  await until('a leader again', () => spans(file).find(({ from }) => from > killedAt));
  assertApart(spans(file));
  assert.deepEqual(
    [after.metadata.uid, after.spec.holderIdentity, after.spec.leaseTransitions],
    [before.metadata.uid, before.spec.holderIdentity, before.spec.leaseTransitions],
  );
  const backAfterMs = Math.round(performance.now() - since);
  await terminate(program);
  assert.deepEqual(lines(program, /superseded|created it again/), []);
  return backAfterMs;
}
