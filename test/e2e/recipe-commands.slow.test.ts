/** `lock`, `once`, `shard`, `members`, `shards` as processes: exit codes, who runs what, who has what, and their ends. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProgram, startProgram } from '../support/process.ts';
import { embedded, scratch, terminate, until } from './support.ts';

/** A loaded machine keeps them too. */
const TIMES = ['--lease-duration=10s', '--renew-deadline=8s', '--retry-period=500ms'];
const node = (code: string): string[] => ['--', process.execPath, '-e', code];
const append = (file: string, text: string): string =>
  `require('fs').appendFileSync(${JSON.stringify(file)}, ${text} + '\\n')`;
const linesOf = async (file: string): Promise<string[]> =>
  (await readFile(file, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');

describe('recipes as commands', { concurrency: true }, () => {
  it('lock: the exit code is the command’s; 75 when it was not had in time; the next runs after the one before', async (t) => {
    const { kubeconfig } = await embedded(t);
    const dir = await scratch(t);
    const [file, go] = [join(dir, 'steps'), join(dir, 'go')];
    const env = { KUBECONFIG: kubeconfig };
    const lock = (args: string[], code: string) =>
      runProgram(['lock', '--lease=default/job', ...args, ...TIMES, ...node(code)], { env, timeoutMs: 60_000 });
    assert.equal((await lock([], 'process.exit(7)')).code, 7);
    const wait = `setInterval(() => require('fs').existsSync(${JSON.stringify(go)}) && (${append(file, "'a ends'")}, process.exit()), 50)`;
    startProgram(['lock', '--lease=default/job', ...TIMES, ...node(`${append(file, "'a begins'")}; ${wait}`)], {
      env,
      t,
    });
    await until('the first works', async () => (await linesOf(file)).includes('a begins'), 40_000);
    const [refused, late] = await Promise.all([
      lock(['--no-wait'], 'process.exit(0)'),
      lock(['--wait=500ms'], 'process.exit(0)'),
    ]);
    assert.deepEqual([refused.code, late.code], [75, 75]);
    const nowhere = await until(
      'a request has failed before the lock was given up',
      async () => {
        const tried = await runProgram(['lock', '--lease=nowhere/job', '--no-wait', ...node('')], {
          env,
          timeoutMs: 60_000,
        });
        // On a loaded machine no request may have been answered in the time of one try: then nothing is known.
        if (/the lock was not had in time/.test(tried.stderr)) return undefined;
        return tried;
      },
      120_000,
    );
    assert.equal(nowhere.code, 1, 'what cannot be had at all is not taken');
    assert.match(nowhere.stderr, /the lock was not had, and nobody is known to hold it: .*"nowhere" not found/);
    const next = lock([], append(file, "'b, token ' + process.env.LEASEKEEPER_FENCING_TOKEN"));
    await writeFile(go, '');
    assert.equal((await next).code, 0);
    assert.match((await linesOf(file)).join(', '), /^a begins, a ends, b, token \d+$/);
  });

  it('once: one of five replicas runs the command, all end with 0; a failure passes on its code, and the next tries', async (t) => {
    const { kubeconfig } = await embedded(t);
    const file = join(await scratch(t), 'runs');
    const env = { KUBECONFIG: kubeconfig };
    const once = (key: string, code: string) =>
      runProgram(['once', '--lease=schema', `--key=${key}`, ...TIMES, ...node(code)], { env, timeoutMs: 60_000 });
    const all = await Promise.all(Array.from({ length: 5 }, () => once('v1', append(file, "'v1'"))));
    assert.deepEqual(
      all.map(({ code }) => code),
      [0, 0, 0, 0, 0],
    );
    assert.deepEqual(await linesOf(file), ['v1']);
    assert.equal((await once('v2', 'process.exit(3)')).code, 3);
    assert.equal((await once('v2', append(file, "'v2'"))).code, 0);
    assert.equal((await once('v1', append(file, "'again'"))).code, 0);
    assert.deepEqual(await linesOf(file), ['v1', 'v2']);
    // What ends with 0 because it was asked to end has not succeeded.
    const polite = `process.on('SIGTERM', () => process.exit(0)); ${append(file, "'v3 begins'")}; setInterval(() => {}, 1000)`;
    const stopped = startProgram(['once', '--lease=schema', '--key=v3', ...TIMES, ...node(polite)], { env, t });
    await until('it has begun', async () => (await linesOf(file)).includes('v3 begins'));
    stopped.signal('SIGTERM');
    assert.equal((await stopped.exitWithin(120_000)).code, 143);
    assert.equal((await once('v3', append(file, "'v3'"))).code, 0);
    assert.deepEqual((await linesOf(file)).slice(2), ['v3 begins', 'v3']);
  });

  it('shard: every slot has one command; a member that leaves hands its slots over; members and shards show it', async (t) => {
    const { kubeconfig } = await embedded(t);
    const file = join(await scratch(t), 'slots');
    const env = { KUBECONFIG: kubeconfig };
    const code = `${append(file, "process.env.LEASEKEEPER_SLOT + ' ' + process.env.LEASEKEEPER_HOLDER.split('_')[0]")}; setInterval(() => {}, 1000)`;
    const start = (id: string) => {
      const program = startProgram(['shard', '--ring=queues', '--slots=4', `--id=${id}`, ...TIMES, ...node(code)], {
        env,
        t,
      });
      return program;
    };
    const [a, b] = [start('a'), start('b')];
    // Before there is a command to take it, too.
    await b.waitForLine(/sharing slots with the ring/, { timeoutMs: 40_000 });
    b.signal('SIGUSR1');
    b.signal('SIGHUP');
    /** Who began with each slot last. */
    const holders = async (): Promise<string> =>
      Object.values(Object.fromEntries((await linesOf(file)).map((line) => line.split(' '))))
        .toSorted()
        .join(' ');
    await until('all slots are shared', async () => (await holders()) === 'a a b b', 60_000);
    const listed = await runProgram(['members', 'queues', '-o', 'json'], { env });
    assert.deepEqual(
      (JSON.parse(listed.stdout) as { members: { name: string; live: boolean }[] }).members.map(({ name, live }) => [
        name,
        live,
      ]),
      [
        ['queues-m-a', true],
        ['queues-m-b', true],
      ],
    );
    await terminate(a);
    await until('the other has them', async () => (await holders()) === 'b b b b', 60_000);
    const shards = await runProgram(['shards', 'queues'], { env });
    const rows = shards.stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(/\s+/).slice(0, 2).join(' '));
    assert.deepEqual(rows, ['0 Held', '1 Held', '2 Held', '3 Held']);
  });

  it('bad input names thing, value and rule, all at once, and nothing is begun', async () => {
    const { code, stderr } = await runProgram([
      'once',
      '--lease',
      'a/b/c',
      '--lease-duration=1s',
      '--',
      'no-such-command',
    ]);
    assert.equal(code, 2);
    assert.match(stderr, /--lease "a\/b\/c": must be \[NAMESPACE\/\]NAME/);
    assert.match(stderr, /--key: is required/);
    assert.match(stderr, /COMMAND "no-such-command": not found in PATH/);
    const ring = await runProgram(['shards']);
    assert.equal(ring.code, 2);
  });
});
