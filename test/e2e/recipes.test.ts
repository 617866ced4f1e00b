/** `lock`, `once`, `shard`, `members`, `shards` as processes: exit codes, who runs what, who has what, and their ends. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProgram, startProgram } from '../support/process.ts';
import { embedded, scratch, terminate, until } from './support.ts';

const TIMES = ['--lease-duration=6s', '--renew-deadline=5s', '--retry-period=500ms'];
const node = (code: string): string[] => ['--', process.execPath, '-e', code];
const append = (file: string, text: string): string =>
  `require('fs').appendFileSync(${JSON.stringify(file)}, ${text} + '\\n')`;
const linesOf = async (file: string): Promise<string[]> =>
  (await readFile(file, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');

describe('recipes as commands', { concurrency: true }, () => {
  it('lock: the exit code is the command’s; 75 when it was not had in time; the next runs after the one before', async (t) => {
    const { kubeconfig } = await embedded(t);
    const file = join(await scratch(t), 'steps');
    const env = { KUBECONFIG: kubeconfig };
    const lock = (args: string[], code: string) =>
      runProgram(['lock', '--lease=default/job', ...args, ...TIMES, ...node(code)], { env, timeoutMs: 60_000 });
    assert.equal((await lock([], 'process.exit(7)')).code, 7);
    // The first holds until it is let go.
    const go = `${file}-go`;
    const held = `const wait = () => require('fs').existsSync(${JSON.stringify(go)}) ? ${append(file, "'a ends'")} : setTimeout(wait, 20)`;
    startProgram(['lock', '--lease=default/job', ...TIMES, ...node(`${append(file, "'a begins'")}; ${held}; wait()`)], {
      env,
      t,
    });
    await until('the first works', async () => (await linesOf(file)).includes('a begins'));
    const next = lock([], append(file, "'b, token ' + process.env.LEASEKEEPER_FENCING_TOKEN"));
    const [refused, late] = await Promise.all([
      lock(['--no-wait'], 'process.exit(0)'),
      lock(['--wait=500ms'], 'process.exit(0)'),
    ]);
    await writeFile(go, '');
    assert.deepEqual([refused.code, late.code, (await next).code], [75, 75, 0]);
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
    const [a] = [start('a'), start('b')];
    /** Whose command began last, slot by slot. */
    const hands = async (): Promise<string> =>
      Object.values(Object.fromEntries((await linesOf(file)).map((line) => line.split(' ') as [string, string])))
        .toSorted()
        .join('');
    await until('two slots each', async () => (await hands()) === 'aabb');
    const look = await runProgram(['members', 'queues', '-o', 'json'], { env });
    assert.deepEqual(
      (JSON.parse(look.stdout) as { members: { name: string; live: boolean }[] }).members.map(({ name, live }) => [
        name,
        live,
      ]),
      [
        ['queues-m-a', true],
        ['queues-m-b', true],
      ],
    );
    await terminate(a);
    await until('the other has them', async () => (await hands()) === 'bbbb');
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
