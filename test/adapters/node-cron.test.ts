/** The coordinator of node-cron: three processes' worth of tasks over one API, each fire in one of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cron from 'node-cron';
import { leaseCoordinator } from '../../src/adapters/node-cron.ts';
import { embedded, until } from '../e2e/support.ts';

test('of three replicas one runs each fire, and each fire runs once', async (t) => {
  const { kubeconfig } = await embedded(t);
  const replicas = await Promise.all(Array.from({ length: 3 }, () => leaseCoordinator('default/tick', { kubeconfig })));
  const fires: string[] = [];
  const tasks = replicas.map((runCoordinator) =>
    cron.schedule('* * * * * *', (context) => void fires.push(context.date.toISOString()), {
      name: 'tick',
      distributed: true,
      runCoordinator,
      suppressMissedWarning: true,
      logger: { info() {}, warn() {}, error() {}, debug() {} },
    }),
  );
  t.after(async () => {
    for (const task of tasks) await task.destroy();
    for (const replica of replicas) await replica.close();
  });
  await until('three fires', () => fires.length >= 3, 20_000);
  assert.equal(new Set(fires).size, fires.length, fires.join(', '));
});
