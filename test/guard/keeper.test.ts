import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../src/guard/decide.ts';
import type { Watched } from '../../src/guard/decide.ts';
import { later, msUntil } from '../../src/guard/instant.ts';
import type { Instant } from '../../src/guard/instant.ts';
import { Keeper } from '../../src/guard/keeper.ts';
import type { Order, Report } from '../../src/guard/protocol.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

const at = (ms: number): Instant => ({ running: ms, sinceBoot: 1_000 + ms });

test('an instant has come when either clock says so, but for what their steps differ', () => {
  assert.equal(msUntil(at(500), at(100)), 400);
  assert.equal(msUntil(at(500), { running: 100, sinceBoot: 1_150 }), 400);
  // Suspended for a minute.
  assert.equal(msUntil(at(500), { running: 100, sinceBoot: 61_100 }), -59_600);
  // One that counts less than the other puts nothing off.
  assert.equal(msUntil(at(500), { running: 600, sinceBoot: 1_000 }), -100);
  assert.deepEqual(later(at(5), 10), at(15));
});

test('what the watchdog does, by table', () => {
  const running: Watched = {
    endAt: at(1_000),
    killAt: at(1_400),
    asked: false,
    stopBy: undefined,
    doomed: false,
    exited: false,
    gone: false,
  };
  const table: [name: string, change: Partial<Watched>, now: number, action: object][] = [
    ['early: looks every 100 ms', {}, 0, { do: 'wait', ms: 100 }],
    ['close to the end of leadership', {}, 950, { do: 'wait', ms: 50 }],
    ['leadership is over', {}, 1_000, { do: 'ask' }],
    ['asked already', { asked: true }, 1_000, { do: 'wait', ms: 100 }],
    ['asked, and close to the kill', { asked: true }, 1_390, { do: 'wait', ms: 10 }],
    ['others may lead soon', { asked: true }, 1_400, { do: 'kill' }],
    ['nobody asked it before', {}, 1_400, { do: 'kill' }],
    ['its grace is over', { asked: true, stopBy: at(300) }, 300, { do: 'kill' }],
    ['a grace that is longer than leadership', { asked: true, stopBy: at(9_000) }, 1_400, { do: 'kill' }],
    ['doomed', { doomed: true }, 0, { do: 'kill' }],
    ['ended by itself and left nothing', { exited: true, gone: true }, 0, { do: 'ended' }],
    ['ended in the last moment', { exited: true, gone: true }, 5_000, { do: 'ended' }],
    ['ended by itself and left others', { exited: true }, 0, { do: 'ask' }],
    ['these were asked', { exited: true, asked: true }, 0, { do: 'wait', ms: 20 }],
    ['these are killed as well', { exited: true, asked: true }, 1_400, { do: 'kill' }],
  ];
  for (const [name, change, now, action] of table)
    assert.deepEqual(decide({ ...running, ...change }, at(now)), action, name);
});

/** A keeper over a command that is only pretended, and signals that are noted with their time. */
function world({ dies = ['SIGKILL'] as readonly string[] } = {}) {
  const clock = new ManualClock();
  let suspended = 0;
  const reports: Report[] = [];
  const signals: [signal: string, ms: number][] = [];
  let exit: ((code: number | null, signal: NodeJS.Signals | null) => void) | undefined;
  let others = false;
  let starts = 0;
  const keeper = new Keeper({
    now: () => ({ running: clock.monotonic(), sinceBoot: 1_000 + clock.monotonic() + suspended }),
    schedule: (ms, callback) => clock.schedule(ms, callback),
    start(_, done) {
      starts++;
      done({ pid: 42, bound: true, onExit: (callback) => (exit = callback) });
    },
    signalGroup(pgid, signal) {
      assert.equal(pgid, 42);
      signals.push([signal, clock.monotonic()]);
      if (!dies.includes(signal)) return;
      // Dead at once; the word of it comes later.
      others = false;
      const callback = exit;
      exit = undefined;
      clock.schedule(0, () => callback?.(null, signal));
    },
    signalOne: (pid, signal) => void signals.push([`${signal} to ${pid}`, clock.monotonic()]),
    groupGone: () => !others && exit === undefined,
    report: (report) => void reports.push(report),
  });
  const start = (endAt: number, killAt: number, graceMs = 60_000): void =>
    keeper.take({ do: 'start', command: 'c', args: [], env: {}, graceMs, endAt: at(endAt), killAt: at(killAt) });
  return {
    clock,
    keeper,
    reports,
    signals,
    start,
    get starts() {
      return starts;
    },
    extend: (n: number, endAt: number, killAt: number): void =>
      keeper.take({ do: 'extend', n, endAt: at(endAt), killAt: at(killAt) } satisfies Order),
    exits(code: number, { leaves = false } = {}) {
      others = leaves;
      const callback = exit;
      exit = undefined;
      callback?.(code, null);
    },
    suspend: (ms: number) => void (suspended += ms),
  };
}

test('silence: the command is asked to end with leadership, and killed before others may lead', async () => {
  const w = world();
  w.start(1_000, 1_400);
  await w.clock.advance(5_000);
  assert.deepEqual(w.signals, [
    ['SIGTERM', 1_000],
    ['SIGCONT', 1_000],
    ['SIGKILL', 1_400],
  ]);
  assert.deepEqual(w.reports, [
    { report: 'started', pid: 42, bound: true },
    { report: 'ended', code: null, signal: 'SIGKILL', asked: true },
  ]);
  assert.equal(w.clock.pending, 0);
});

test('each renewal moves both on, and is confirmed', async () => {
  const w = world();
  w.start(1_000, 1_400);
  await w.clock.advance(900);
  w.extend(1, 1_900, 2_300);
  await w.clock.advance(900);
  assert.deepEqual(w.signals, []);
  w.exits(3);
  assert.deepEqual(w.reports, [
    { report: 'started', pid: 42, bound: true },
    { report: 'heard', n: 1 },
    { report: 'ended', code: 3, signal: null, asked: false },
  ]);
  await w.clock.advance(5_000);
  assert.deepEqual(w.signals, []);
});

test('asked to end: the grace counts from then, and renewals do not put it off', async () => {
  const w = world();
  w.start(1_000, 1_400, 500);
  await w.clock.advance(100);
  w.keeper.take({ do: 'end', signal: 'SIGINT' });
  w.keeper.take({ do: 'end', signal: 'SIGTERM' });
  for (let n = 1; n <= 10; n++) {
    await w.clock.advance(50);
    w.extend(n, 10_000, 11_000);
  }
  assert.deepEqual(w.signals, [
    ['SIGINT', 100],
    ['SIGCONT', 100],
    ['SIGKILL', 600],
  ]);
});

test('leasekeeper is gone, or leadership is: killed at once', async () => {
  for (const happens of ['orphaned', 'kill'] as const) {
    const w = world();
    w.start(1_000, 1_400);
    await w.clock.advance(10);
    if (happens === 'kill') w.keeper.take({ do: 'kill' });
    else w.keeper.orphaned();
    await w.clock.advance(1);
    assert.deepEqual(w.signals, [['SIGKILL', 10]]);
    assert.deepEqual(w.reports.at(-1), { report: 'ended', code: null, signal: 'SIGKILL', asked: true });
  }
});

test('killed again and again while something is left', async () => {
  const w = world({ dies: [] });
  w.start(1_000, 1_400);
  await w.clock.advance(1_450);
  assert.deepEqual(w.signals.slice(2), [
    ['SIGKILL', 1_400],
    ['SIGKILL', 1_420],
    ['SIGKILL', 1_440],
  ]);
});

test('what a command leaves behind in its group ends before the end is reported', async () => {
  const w = world();
  w.start(10_000, 11_000, 200);
  w.exits(0, { leaves: true });
  assert.deepEqual(w.signals[0], ['SIGTERM', 0]);
  assert.equal(w.reports.length, 1);
  await w.clock.advance(300);
  assert.deepEqual(w.signals.at(-1), ['SIGKILL', 200]);
  // It ended by itself, although others had to be asked.
  assert.deepEqual(w.reports.at(-1), { report: 'ended', code: 0, signal: null, asked: false });
});

test('a suspend counts, although timers stand still in it', async () => {
  const w = world();
  w.start(10_000, 14_000);
  await w.clock.advance(50);
  w.suspend(60_000);
  await w.clock.advance(50);
  await w.clock.advance(1);
  assert.deepEqual(w.signals, [['SIGKILL', 100]]);
});

test('a command whose time is over is not started', () => {
  const w = world();
  w.suspend(60_000);
  w.start(10_000, 14_000);
  assert.equal(w.starts, 0);
  assert.deepEqual(w.reports, [{ report: 'ended', code: null, signal: null, asked: true }]);
});

test('other signals go to the command alone, and after its end to nobody', async () => {
  const w = world();
  w.start(10_000, 14_000);
  w.keeper.take({ do: 'signal', signal: 'SIGHUP' });
  w.exits(0);
  w.keeper.take({ do: 'signal', signal: 'SIGHUP' });
  assert.deepEqual(w.signals, [['SIGHUP to 42', 0]]);
});
