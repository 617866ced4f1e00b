/** What recipes write and read never waits for requests of others on the same connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cron } from '../../src/recipes/cron.ts';
import { Once } from '../../src/recipes/once.ts';
import { Semaphore } from '../../src/recipes/semaphore.ts';
import { Shards } from '../../src/recipes/shards.ts';
import { Cluster, REF } from './support.ts';

test('all of their requests but the watches', async () => {
  const cluster = new Cluster();
  const parts = cluster.process('a');
  const at = (name: string) => ({ ...parts, lease: { ...REF, name } });
  await cluster.until(new Once(at('once')).run('key', async () => {}));
  await cluster.until(new Semaphore({ ...at('slots'), count: 2 }).use(async () => {}));
  await cluster.until(new Semaphore({ ...at('slots'), count: 3 }).use(async () => {}));
  const cron = new Cron({ ...at('cron'), overlap: 'skip' });
  const fireTime = new Date(cluster.clock.wallMicros() / 1000);
  assert.ok(await cluster.until(cron.claimFire('job', fireTime)));
  cron.complete('job', fireTime);
  await cluster.until(cron.close());
  const stop = new AbortController();
  const shards = new Shards({
    ...parts,
    uuid: 'uuid',
    ring: { ...REF, name: 'ring' },
    keys: 2,
    work: ({ signal }) =>
      new Promise((resolve) => void signal.addEventListener('abort', () => resolve(), { once: true })),
  });
  const running = shards.run(stop.signal);
  await cluster.clock.advance(40_000);
  assert.equal(shards.held.length, 2);
  stop.abort();
  await cluster.until(running);
  const sent = parts.store.journal.filter(({ verb }) => verb !== 'watch');
  assert.ok(sent.length > 20, String(sent.length));
  assert.deepEqual(
    sent.filter(({ urgent }) => !urgent),
    [],
  );
});
