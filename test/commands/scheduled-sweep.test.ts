/** A sweeper whose settings change while it runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cronTicks, scheduleProblem, sweepService } from '../../src/commands/scheduled-sweep.ts';
import type { SweepSettings } from '../../src/config/sweep-flags.ts';
import { settle } from '../../src/runtime/manual-clock.ts';
import { fillOptions } from '../../src/runtime/options.ts';
import { SWEEP_ROWS } from '../../src/sweep/sweep-options.ts';
import { HOUR, World } from '../sweep/world.ts';

const settings = (more: object = {}, schedule = '*/5 * * * *'): SweepSettings => ({
  schedule,
  options: fillOptions(SWEEP_ROWS, more),
});

function start(settings: SweepSettings | undefined) {
  const world = new World();
  world.put('live', { age: 1 });
  const schedules: string[] = [];
  let listeners = 0;
  const { store, clock, events } = world;
  const service = sweepService(
    { store, clock, random: () => 0, observe: (e) => void events.push(e) },
    settings,
    (schedule) => {
      schedules.push(schedule);
      return Promise.resolve(() => {
        listeners++;
        return () => void listeners--;
      });
    },
  );
  const stop = new AbortController();
  const done = service.run(stop.signal);
  return {
    world,
    service,
    schedules,
    get listeners() {
      return listeners;
    },
    async stop() {
      stop.abort();
      await done;
      assert.equal(listeners, 0, 'no subscription is left');
      assert.equal(clock.pending, 0);
    },
  };
}

test('without settings it rests; with the first ones it sweeps; without them again it rests', async () => {
  const s = start(undefined);
  await settle();
  assert.equal(s.world.store.count(), 0);
  s.service.set(settings());
  await settle();
  assert.equal(s.world.of('passFinished').length, 1);
  assert.equal(s.listeners, 1);
  s.service.set(undefined);
  await settle();
  assert.equal(s.listeners, 0);
  await s.stop();
});

test('settings that say the same disturb no pass; others end it and begin a new one', async () => {
  const s = start(settings());
  s.world.put('dead', { age: 2 * HOUR });
  await settle();
  await s.world.clock.advance(20_000);
  s.service.set(settings());
  await s.world.clock.advance(11_000);
  assert.deepEqual(s.world.deletions(), ['dead']);
  s.world.put('dead-too', { age: 2 * HOUR });
  s.service.set(settings({ confirmAfterMs: 60_000 }, '* * * * *'));
  await settle();
  assert.deepEqual(s.schedules, ['*/5 * * * *', '* * * * *']);
  await s.world.clock.advance(20_000);
  s.service.set(settings({ confirmAfterMs: 1_000 }, '* * * * *'));
  await s.world.clock.advance(2_000);
  assert.deepEqual(s.world.deletions(), ['dead', 'dead-too']);
  assert.deepEqual(
    s.world.of('passFinished').map(({ result }) => result.outcome),
    ['completed', 'aborted', 'completed'],
  );
  await s.stop();
});

test('switched off while deletions are under way: what is under way ends, nothing more is begun', async () => {
  const s = start(undefined);
  for (let i = 0; i < 10; i++) s.world.put(`dead-${i}`, { age: 2 * HOUR });
  s.world.store.faults = ({ verb }) => (verb === 'delete' ? { delayMs: 1_000 } : undefined);
  s.service.set(settings({ confirmAfterMs: 0, concurrency: 2 }));
  await s.world.clock.advance(2_500);
  const sent = s.world.store.count('delete');
  s.service.set(undefined);
  await s.world.clock.advance(60_000);
  assert.equal(s.world.store.count('delete'), sent);
  await s.stop();
});

test('schedules: what cron takes is taken, anything else says what is wrong', async () => {
  for (const good of ['*/5 * * * *', '*/10 * * * * *', '0 3 * * sun'])
    assert.equal(await scheduleProblem(good), undefined);
  assert.match((await scheduleProblem('61 * * * *')) ?? '', /^must be a cron expression such as .* \(minute: 61/);
  assert.match((await scheduleProblem('often')) ?? '', /expected 5 or 6 fields/);
  assert.match((await scheduleProblem('')) ?? '', /^must be a cron expression/);
  // Written out number by number, this would take all memory.
  assert.match((await scheduleProblem('0-999999999 * * * *')) ?? '', /without numbers of four digits/);
});

test('ticks come at their time and end with the subscription', async () => {
  const ticks = await cronTicks('* * * * * *');
  let count = 0;
  await new Promise<void>((resolve) => {
    const unsubscribe = ticks(() => {
      count++;
      unsubscribe();
      resolve();
    });
  });
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(count, 1);
});
