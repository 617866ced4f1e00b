/** What recipes show of themselves: on a registry, in a log, as Events. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { leaseMetrics } from '../../src/adapters/prom-client.ts';
import { leaseLog } from '../../src/adapters/pino.ts';
import { LeaseEvents } from '../../src/observe/lease-events.ts';
import type { EventBody } from '../../src/observe/lease-events.ts';
import { Cron } from '../../src/recipes/cron.ts';
import { Lock } from '../../src/recipes/lock.ts';
import { Shards } from '../../src/recipes/shards.ts';
import { observers } from '../../src/runtime/observer.ts';
import { settle } from '../../src/runtime/manual-clock.ts';
import { Cluster, REF, deferred } from '../recipes/support.ts';
import { samples } from './samples.ts';

test('a lock: held while it is, how it ended, what failed; the log says holding, never leading', async () => {
  const cluster = new Cluster();
  const registry = new Registry();
  const said: string[] = [];
  const line = (...words: unknown[]): void => void said.push(String(words.at(-1)));
  const logger = { debug: line, info: line, warn: line, error: line };
  const posted: EventBody[] = [];
  const { clock } = cluster;
  const post = async (event: EventBody) => void posted.push(event);
  const events = new LeaseEvents({ post, clock, instance: 'a', log: logger, enabled: () => true });
  const observe = observers(
    leaseMetrics(registry).recipe('lock', REF),
    leaseLog(logger).recipe('lock', REF),
    events.recipe,
  );
  const lock = new Lock({ ...cluster.process('a'), observe });
  const done = deferred();
  const using = lock.use(() => done.promise);
  await settle();
  const labels = 'recipe="lock",lease_namespace="default",name="job"';
  let now = await samples(registry);
  assert.equal(now[`leasekeeper_recipe_held{${labels}}`], 1);
  assert.equal(now[`leasekeeper_recipe_terms_total{${labels}}`], 1);
  done.resolve();
  await cluster.until(using);
  const other = new Lock({ ...cluster.process('b') });
  const hold = deferred();
  const theirs = other.use(() => hold.promise);
  await settle();
  assert.equal(await cluster.until(lock.use(async () => 1, { waitMs: 0 })), null);
  hold.resolve();
  await cluster.until(theirs);
  now = await samples(registry);
  assert.equal(now[`leasekeeper_recipe_held{${labels}}`], 0);
  assert.equal(now[`leasekeeper_recipe_terms_ended_total{${labels},reason="workEnded"}`], 1);
  assert.ok(said.includes('holding the lease') && said.includes('somebody else holds the lease'), said.join('\n'));
  assert.ok(!said.some((text) => /lead/.test(text)), said.join('\n'));
  const stop = new AbortController();
  const posting = events.service.run(stop.signal);
  await settle();
  stop.abort();
  await posting;
  assert.deepEqual(
    posted.map(({ reason, type, regarding }) => [reason, type, (regarding as { name: string }).name]),
    [
      ['LeaseHeld', 'Normal', 'job'],
      ['LeaseGivenUp', 'Normal', 'job'],
    ],
  );
});

test('a cron and a ring: fires by what became of them, keys held, none of the member itself', async () => {
  const cluster = new Cluster();
  const registry = new Registry();
  const metrics = leaseMetrics(registry);
  const crons = ['a', 'b'].map((id) => {
    return new Cron({ ...cluster.process(id), observe: id === 'a' ? metrics.recipe('cron', REF) : undefined });
  });
  const at = new Date(cluster.clock.wallMicros() / 1000);
  await cluster.until(crons[0]!.claimFire('one', at));
  await cluster.until(crons[1]!.claimFire('two', at));
  await cluster.until(crons[0]!.claimFire('two', at));
  const ring = { namespace: 'default', name: 'ring' };
  const { newId, ...parts } = cluster.process('a');
  const observe = metrics.recipe('shards', ring);
  const stop = new AbortController();
  const wait = (term: { signal: AbortSignal }) =>
    new Promise<void>((end) => term.signal.addEventListener('abort', () => end(), { once: true }));
  const shards = new Shards({ ...parts, ring, uuid: newId(), keys: 5, work: wait, observe });
  const running = shards.run(stop.signal);
  await cluster.clock.advance(20_000);
  const fires = 'leasekeeper_cron_fires_total{lease_namespace="default",name="job",outcome=';
  const keys = 'recipe="shards",lease_namespace="default",name="ring"';
  let now = await samples(registry);
  assert.deepEqual([now[`${fires}"ours"}`], now[`${fires}"claimed"}`], now[`${fires}"lost"}`]], [1, 1, 0]);
  assert.equal(now[`leasekeeper_recipe_held{${keys}}`], 5);
  stop.abort();
  await cluster.until(running);
  now = await samples(registry);
  assert.equal(now[`leasekeeper_recipe_held{${keys}}`], 0);
  assert.equal(now[`leasekeeper_recipe_terms_ended_total{${keys},reason="released"}`], 5);
});
