/**
 * What goes wrong with the API server: for everybody at once; and the program as processes while etcd is away.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { alive, assertApart, elect, now, spans } from '../e2e/elect-support.ts';
import { claimed, lines, publish, renewedAfter, seenReal, terminate, until } from '../e2e/support.ts';
import { runProgram } from '../support/process.ts';
import { record } from '../support/proof.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { survive } from './survive.ts';
import type { FaultCase } from './world.ts';
import { SLACK_MS } from './world.ts';

describe('faults of the API server', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let kubeconfig: string;
  before(async () => {
    api = await startRealApi();
    kubeconfig = await api.kubeconfig();
  });
  after(() => api?.stop());

  const fault = (name: string, begin: FaultCase['begin'], more: Partial<FaultCase> = {}): void => {
    it(name, (t) => survive(t, api, { name, through: kubeconfig, beside: kubeconfig, local: false, begin, ...more }));
  };

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
