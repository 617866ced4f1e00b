/** A configuration file that changes while a service runs: in all the ways that files change. */
import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { COMMANDS, allOptions } from '../../src/commands/commands.ts';
import { publishRules } from '../../src/commands/publish-command.ts';
import type { PublishValues } from '../../src/config/publish-flags.ts';
import { PUBLISH_TABLE } from '../../src/config/publish-flags.ts';
import { readFileText } from '../../src/config/config-file.ts';
import { Reloader } from '../../src/config/reload.ts';
import type { ReloadEvent } from '../../src/config/reload.ts';
import { sources } from '../../src/config/sources.ts';
import { problemText, readOptions } from '../../src/config/option-spec.ts';
import { POLL_MS } from '../../src/config/file-watch.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

const HEAD = 'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\n';
const text = (seconds: number, more = ''): string => `${HEAD}renewInterval: ${seconds}s\n${more}`;

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-reload-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A reloader of publish's options over a file that is there. */
async function start(t: TestContext, path: string, flags: object = {}, clock: Clock = createSystemClock()) {
  const from = sources({
    table: PUBLISH_TABLE,
    all: () => allOptions(COMMANDS),
    flags: { config: path, ...flags },
    env: {},
  });
  const file = await readFileText(path);
  const { values, problems } = readOptions(PUBLISH_TABLE, await from.given(file));
  assert.deepEqual(problems, []);
  const events: ReloadEvent[] = [];
  const applied: PublishValues[] = [];
  const reloader = new Reloader({
    sources: from,
    table: PUBLISH_TABLE,
    values,
    file,
    clock,
    rules: publishRules,
    apply: (next) => void applied.push(next),
    observe: (event) => events.push(event),
  });
  const stop = new AbortController();
  const done = reloader.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await done;
  });
  return { reloader, events, applied, stop, done };
}

type World = Awaited<ReturnType<typeof start>>;

/** Waits for this many events. */
async function until({ events }: World, count: number, timeoutMs = 60_000): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; events.length < count;) {
    if (performance.now() > deadline) assert.fail(`${events.length} of ${count} events: ${JSON.stringify(events)}`);
    await wait(20);
  }
}

const renewals = ({ applied }: World): number[] => applied.map(({ renewInterval }) => renewInterval / 1000);

describe('a watched configuration file', { concurrency: 4 }, () => {
  it('written in place is taken, and named with what changed', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path);
    await wait(50);
    await writeFile(path, text(5, 'logLevel: debug\n'));
    await until(w, 1);
    assert.deepEqual(w.events, [
      {
        type: 'applied',
        changes: [
          { key: 'renewInterval', from: '10s', to: '5s' },
          { key: 'logLevel', from: 'info', to: 'debug' },
        ],
      },
    ]);
    assert.deepEqual(renewals(w), [5]);
  });

  it("a mounted ConfigMap's ..data swap is taken", async (t) => {
    const dir = await directory(t);
    const mount = async (version: string, content: string): Promise<void> => {
      await mkdir(join(dir, `..${version}`));
      await writeFile(join(dir, `..${version}`, 'lk.yaml'), content);
      await symlink(`..${version}`, join(dir, '..data_tmp'));
      await rename(join(dir, '..data_tmp'), join(dir, '..data'));
    };
    await mount('2026_01', text(10));
    await symlink('..data/lk.yaml', join(dir, 'lk.yaml'));
    const w = await start(t, join(dir, 'lk.yaml'));
    await wait(50);
    await mount('2026_02', text(4));
    await rm(join(dir, '..2026_01'), { recursive: true });
    await until(w, 1);
    await mount('2026_03', text(3));
    await until(w, 2);
    assert.deepEqual(renewals(w), [4, 3]);
  });

  it("an editor's rename over it is taken, more than once", async (t) => {
    const dir = await directory(t);
    const path = join(dir, 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path);
    for (const [i, seconds] of [8, 7].entries()) {
      await wait(50);
      await rename(path, `${path}~`);
      await writeFile(`${path}.new`, text(seconds));
      await rename(`${path}.new`, path);
      await until(w, i + 1);
    }
    assert.deepEqual(renewals(w), [8, 7]);
  });

  it('a truncated and a half-written file in between are not seen', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10, 'featureGates: {APIServerIdentity: false}\n'));
    // The file changes in real time, its quiet is measured by a clock that this test moves.
    const clock = new ManualClock();
    const w = await start(t, path, {}, clock);
    const pass = async (ms: number): Promise<void> => {
      await wait(50);
      await clock.advance(ms);
      await wait(50);
    };
    await pass(1_000);
    await truncate(path);
    await pass(200);
    // What is there now would be a good file by itself, and would switch the gate on.
    await appendFile(path, HEAD);
    await pass(200);
    await appendFile(path, 'renewInterval: 6s\nfeatureGates: {APIServerIdentity: false}\n');
    await pass(200);
    assert.deepEqual(w.events, []);
    for (let i = 0; i < 50 && w.applied.length === 0; i++) await pass(100);
    assert.deepEqual(renewals(w), [6]);
    assert.equal(w.applied[0]?.featureGates.enabled('APIServerIdentity'), false);
  });

  it('written slowly, for as long as it takes, it is taken only when it is whole', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10, 'featureGates: {APIServerIdentity: false}\n'));
    const clock = new ManualClock();
    const w = await start(t, path, {}, clock);
    const pass = async (ms: number): Promise<void> => {
      await wait(20);
      await clock.advance(ms);
      await wait(20);
    };
    await pass(1_000);
    // Every piece leaves a good file, without the gate that its last line switches off.
    await writeFile(path, text(6));
    for (let i = 0; i < 40; i++) {
      await pass(200);
      await appendFile(path, `# line ${i}\n`);
    }
    assert.deepEqual(w.events, []);
    await appendFile(path, 'featureGates: {APIServerIdentity: false}\n');
    for (let i = 0; i < 50 && w.applied.length === 0; i++) await pass(100);
    assert.equal(w.events.length, 1);
    assert.deepEqual(renewals(w), [6]);
    assert.equal(w.applied[0]?.featureGates.enabled('APIServerIdentity'), false);
  });

  it('rewritten with the same text it is not taken until that has stood for a moment', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10));
    const clock = new ManualClock();
    const w = await start(t, path, {}, clock);
    await wait(20);
    await clock.advance(1_000);
    // Whenever it is read it says the same, but somebody is still at it.
    for (let i = 0; i < 20; i++) {
      await writeFile(path, text(6));
      await utimes(path, 1_000 + i, 1_000 + i);
      await wait(20);
      await clock.advance(200);
      await wait(20);
    }
    assert.deepEqual(w.events, []);
    for (let i = 0; i < 50 && w.applied.length === 0; i++) {
      await clock.advance(100);
      await wait(20);
    }
    assert.deepEqual(renewals(w), [6]);
  });

  it('a directory that was replaced is watched again', async (t) => {
    const dir = join(await directory(t), 'conf');
    const path = join(dir, 'lk.yaml');
    await mkdir(dir);
    await writeFile(path, text(10));
    const clock = new ManualClock();
    const w = await start(t, path, {}, clock);
    await wait(50);
    await rename(dir, `${dir}.old`);
    await mkdir(dir);
    await writeFile(path, text(8));
    // The clock moves on while the files are read, until it is noticed.
    const advance = async (events: number, steps: number, stepMs: number): Promise<void> => {
      for (let i = 0; i < steps && w.events.length < events; i++) {
        await clock.advance(stepMs);
        await wait(10);
      }
    };
    await advance(1, 500, 250);
    assert.equal(w.events.length, 1);
    // Now by a watch, without half a minute's wait.
    await writeFile(path, text(6));
    await advance(2, (POLL_MS - 5_000) / 50, 50);
    assert.deepEqual(renewals(w), [8, 6]);
  });

  it('deleted it is reported once; made again it is taken', async (t) => {
    const dir = await directory(t);
    const path = join(dir, 'conf', 'lk.yaml');
    await mkdir(join(dir, 'conf'));
    await writeFile(path, text(10));
    const w = await start(t, path);
    await wait(50);
    await rm(path);
    await until(w, 1);
    assert.ok(w.events[0]?.type === 'broken');
    assert.deepEqual(w.events[0].problems.map(problemText), [`--config "${path}": does not exist`]);
    await writeFile(path, text(9));
    await until(w, 2);
    assert.deepEqual(renewals(w), [9]);
  });

  it('a broken one is reported once, the old one stays in force; mended it is taken', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path);
    await wait(50);
    await writeFile(path, `${HEAD}renewInterval: 2h\nleaseDuratoin: 1s\nshutdownPolicy: 1\n`);
    await until(w, 1);
    assert.ok(w.events[0]?.type === 'broken');
    assert.deepEqual(w.events[0].problems.map(problemText), [
      `${path}: leaseDuratoin: unknown key; did you mean leaseDuration?`,
      `${path}: shutdownPolicy 1: must be text: put it in quotes`,
      `${path}: renewInterval "2h": plus its jitter of 4 % must be shorter than the lease duration`,
    ]);
    // The same faults, written again.
    await writeFile(path, `# once more\n${HEAD}renewInterval: 2h\nleaseDuratoin: 1s\nshutdownPolicy: 1\n`);
    await wait(600);
    assert.equal(w.events.length, 1);
    assert.deepEqual(w.applied, []);
    await writeFile(path, text(3));
    await until(w, 2);
    assert.deepEqual(renewals(w), [3]);
  });

  it('mended to what is in force: that is reported, and nothing applied', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path);
    await wait(50);
    await writeFile(path, 'nonsense');
    await until(w, 1);
    await writeFile(path, text(10));
    await until(w, 2);
    assert.deepEqual(
      w.events.map(({ type }) => type),
      ['broken', 'unchanged'],
    );
    assert.deepEqual(w.applied, []);
  });

  it('what needs a restart is named, once, and keeps its value; the rest is applied', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path);
    await wait(50);
    await writeFile(path, text(5, 'namespace: other\n'));
    await until(w, 2);
    assert.deepEqual(w.events[1], {
      type: 'restartNeeded',
      changes: [{ key: 'namespace', from: 'kube-system', to: 'other' }],
    });
    assert.equal(w.applied[0]?.namespace, 'kube-system');
    await writeFile(path, text(4, 'namespace: other\n'));
    await until(w, 3);
    await wait(50);
    assert.deepEqual(
      w.events.map(({ type }) => type),
      ['applied', 'restartNeeded', 'applied'],
    );
    assert.equal(w.applied[1]?.namespace, 'kube-system');
  });

  it('a flag stays the stronger', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path, { renewInterval: '20s' });
    await wait(50);
    await writeFile(path, text(5, 'leaseDuration: 2m\n'));
    await until(w, 1);
    assert.equal(w.applied[0]?.renewInterval, 20_000);
    assert.equal(w.applied[0]?.leaseDuration, 120_000);
  });

  it('asked to (SIGHUP) it is read and reported, changed or not', async (t) => {
    const path = join(await directory(t), 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path);
    await wait(50);
    w.reloader.refresh();
    await until(w, 1);
    assert.deepEqual(w.events, [{ type: 'unchanged' }]);
    await writeFile(path, 'nonsense');
    await until(w, 2);
    w.reloader.refresh();
    await until(w, 3);
    assert.equal(w.events[2]?.type, 'broken');
  });

  it('where the system tells nothing, a look every half minute finds it', async (t) => {
    const dir = await directory(t);
    await mkdir(join(dir, 'elsewhere'));
    const target = join(dir, 'elsewhere', 'real.yaml');
    await writeFile(target, text(10));
    await symlink(target, join(dir, 'lk.yaml'));
    const clock = new ManualClock();
    const w = await start(t, join(dir, 'lk.yaml'), {}, clock);
    const pass = async (ms: number): Promise<void> => {
      for (let at = 0; at < ms; at += 250) {
        await clock.advance(250);
        await wait(1);
      }
    };
    await pass(1_000);
    await writeFile(target, text(7));
    await pass(5_000);
    assert.deepEqual(w.events, []);
    await pass(POLL_MS);
    await until(w, 1);
    assert.deepEqual(renewals(w), [7]);
    w.stop.abort();
    await w.done;
    assert.equal(clock.pending, 0);
  });

  it('files beside it mean nothing', async (t) => {
    const dir = await directory(t);
    const path = join(dir, 'lk.yaml');
    await writeFile(path, text(10));
    const w = await start(t, path);
    for (let i = 0; i < 50; i++) await writeFile(join(dir, `other-${i}`), 'x');
    await wait(500);
    assert.deepEqual(w.events, []);
  });
});
