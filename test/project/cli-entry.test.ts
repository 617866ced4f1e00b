/**
 * The built entry, dist/cli.js: what an old Node gets, and how a command's end becomes the process's.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildEntry } from '../../scripts/build.ts';

let directory: string;
let entry: string;

/** Stands in for the built commands; the entry knows nothing of them but `main` and `finish`. */
const MAIN = `
export async function finish(words = '') {
  process.stderr.write(words);
  if (process.argv[2] === 'goes on') await new Promise((resolve) => setTimeout(resolve, 900));
  await new Promise((resolve) => process.stdout.write('', resolve));
  return process.argv[2] !== 'stuck';
}
export async function main(argv) {
  if (argv[0] === 'code' || argv[0] === 'stuck') return Number(argv[1]);
  if (argv[0] === 'boom') throw new Error('the first line\\nand another');
  if (argv[0] === 'evil') throw new Error('red \\x1b[31m and \\u202eback\\r\\nover');
  if (argv[0] === 'late') { setTimeout(() => { throw new Error('too late'); }, 1); await new Promise(() => setInterval(() => {}, 1e6)); }
  if (argv[0] === 'open') { setInterval(() => {}, 1e6); return 0; }
  if (argv[0] === 'service') {
    const stopped = new Promise((resolve) => process.once('SIGTERM', () => resolve(7)));
    setInterval(() => console.log('x'.repeat(1000)), 1);
    return stopped;
  }
  if (argv[0] === 'line') console.log('line');
  if (argv[0] === 'goes on') {
    console.log('line');
    // Its output has failed by now, and the end of that waits in finish.
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  if (argv[0] === 'print') {
    for (let i = 0; i < Number(argv[1]); i++) { console.log('line', i); if (i % 100 === 0) await new Promise(setImmediate); }
  }
  return 0;
}
`;

/** Stands in for the short commands: a script whose value is a function. */
const SHORT = `/*0123456789abcdef*/(function (module, importFile) {
const main = async ([, code]) => {
  if (code === 'main') return Number((await importFile('./cli/main.js')).main.length);
  console.log(code);
  return Number(code);
};
module.exports = { main, finish: async () => true };
})`;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'leasekeeper-entry-'));
  await buildEntry(directory);
  entry = join(directory, 'cli.js');
  await mkdir(join(directory, 'cli'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  await writeFile(join(directory, 'cli', 'main.js'), MAIN);
  await writeFile(join(directory, 'cli', 'short-commands.cjs'), SHORT);
});

after(() => rm(directory, { recursive: true, force: true }));

function start(args: string[], { node = process.execPath, nodeArgs = [] as string[], env = {} } = {}) {
  const { status, stdout, stderr } = spawnSync(node, [...nodeArgs, entry, ...args], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, NODE_OPTIONS: '', NODE_DISABLE_COMPILE_CACHE: '1', ...env },
  });
  return { status, stdout, stderr };
}

/** A Node older than the floor, if this machine has one on its PATH. */
function oldNode(): { path: string; version: string } | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'node');
    if (!existsSync(path)) continue;
    const version = spawnSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout.trim();
    if (/^\d+\./.test(version) && Number(version.split('.')[0]) < 22) return { path, version };
  }
  return undefined;
}

test('an old Node gets one line, and exit code 2', (t) => {
  const old = oldNode();
  if (old === undefined) return t.skip('no Node older than 22 on PATH');
  assert.deepEqual(start(['code', '0'], { node: old.path }), {
    status: 2,
    stdout: '',
    stderr: `leasekeeper: needs Node.js 22.19 or later, this is ${old.version}\n`,
  });
});

for (const [version, supported] of [
  ['12.20.0', false],
  ['22.18.9', false],
  ['22.19.0', true],
  ['22.20.0', true],
  ['23.0.0', true],
  ['100.0.0', true],
] as const) {
  test(`Node ${version} is ${supported ? 'new enough' : 'too old'}`, async () => {
    const preload = join(directory, `node-${version}.cjs`);
    await writeFile(
      preload,
      `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });`,
    );
    const { status, stderr } = start(['code', '5'], { nodeArgs: ['--require', preload] });
    assert.equal(status, supported ? 5 : 2);
    assert.equal(stderr, supported ? '' : `leasekeeper: needs Node.js 22.19 or later, this is ${version}\n`);
  });
}

test('the entry says the same as `engines`, and imports nothing statically', async () => {
  const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.equal(manifest.engines.node, '>=22.19');
  assert.doesNotMatch(await readFile(entry, 'utf8'), /^import[\s{*"']/m);
});

test("the compiled program is kept with the user's own files only, never where others could put one", async () => {
  const home = await mkdtemp(join(directory, 'home-'));
  const shared = await mkdtemp(join(directory, 'tmp-'));
  const env = { NODE_DISABLE_COMPILE_CACHE: undefined, NODE_COMPILE_CACHE: undefined, TMPDIR: shared };
  const none = { HOME: undefined, XDG_CACHE_HOME: undefined };
  for (const where of [
    {},
    { HOME: home },
    { XDG_CACHE_HOME: 'relative', HOME: 'relative' },
    { XDG_CACHE_HOME: join(home, 'xdg') },
  ])
    assert.equal(start(['code', '4'], { env: { ...env, ...none, ...where } }).status, 4);
  assert.deepEqual(await readdir(shared), []);
  assert.deepEqual((await readdir(home)).sort(), ['.cache', 'xdg']);
  for (const caches of ['.cache', 'xdg']) assert.deepEqual(await readdir(join(home, caches)), ['leasekeeper']);
});

test('a home that does not exist is not made, and one in which nothing can be made keeps nobody waiting', () => {
  const missing = join(directory, 'no-home');
  const env = { NODE_DISABLE_COMPILE_CACHE: undefined, NODE_COMPILE_CACHE: undefined, XDG_CACHE_HOME: undefined };
  for (const HOME of [missing, '/proc']) assert.equal(start(['code', '4'], { env: { ...env, HOME } }).status, 4);
  assert.ok(!existsSync(missing));
});

const noFull = !existsSync('/dev/full') && 'no /dev/full';

test('what cannot be written to stdout is an error, whatever the command itself ends with', { skip: noFull }, (t) => {
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  for (const command of ['line', 'goes on']) {
    const { status, stderr } = spawnSync(process.execPath, [entry, command], {
      encoding: 'utf8',
      stdio: ['ignore', full, 'pipe'],
    });
    assert.equal(stderr, 'leasekeeper: ENOSPC: no space left on device, write\n');
    assert.equal(status, 1, command);
  }
});

test('the script of the short commands is kept compiled, by command, once one has succeeded; what is no code of it is made again', async () => {
  const cache = await mkdtemp(join(directory, 'cache-'));
  const env = { NODE_DISABLE_COMPILE_CACHE: undefined, NODE_COMPILE_CACHE: undefined, XDG_CACHE_HOME: cache };
  const kept = async (): Promise<string[]> =>
    (await readdir(join(cache, 'leasekeeper'))).filter((name) => /^(count|get|leases)/.test(name)).toSorted();
  assert.deepEqual(start(['count', '3'], { env }), { status: 3, stdout: '3\n', stderr: '' });
  assert.equal(start(['count', 'main'], { env }).status, 1, 'it imports by the entry');
  assert.equal(start(['get', '--help'], { env }).status, 0);
  assert.deepEqual(await kept(), []);
  for (const name of ['count', 'get']) assert.equal(start([name, '0'], { env }).status, 0);
  const names = ['count', 'get'].map((name) => `${name}-${process.version}-${process.arch}-0123456789abcdef`);
  assert.deepEqual(await kept(), names);
  const file = join(cache, 'leasekeeper', names[0]!);
  const code = await readFile(file);
  // V8 takes code whose head is right, and crashes on what follows.
  const damaged = Buffer.from(code).fill(0xff, 64, code.length / 2);
  const torn = Buffer.from(code).fill(0, code.length / 4);
  for (const spoiled of [code.subarray(0, -8), Buffer.alloc(code.length), Buffer.alloc(0), damaged, torn]) {
    await writeFile(file, spoiled);
    assert.deepEqual(start(['count', '3'], { env }), { status: 3, stdout: '3\n', stderr: '' });
    assert.deepEqual(start(['count', '0'], { env }), { status: 0, stdout: '0\n', stderr: '' });
    assert.equal((await readFile(file)).length, code.length);
  }
  assert.deepEqual(await kept(), names, 'nothing is left beside it');
  await rm(join(cache, 'leasekeeper'), { recursive: true });
  assert.equal(start(['count', '0'], { env: { ...env, NODE_DISABLE_COMPILE_CACHE: '1' } }).status, 0);
  await writeFile(join(cache, 'leasekeeper'), '');
  assert.deepEqual(start(['count', '0'], { env }), { status: 0, stdout: '0\n', stderr: '' });
});

test('code is neither kept nor run where another user could have written it', async () => {
  const cache = await mkdtemp(join(directory, 'cache-'));
  const mine = join(cache, 'leasekeeper');
  const env = { NODE_DISABLE_COMPILE_CACHE: undefined, NODE_COMPILE_CACHE: undefined, XDG_CACHE_HOME: cache };
  for (const mode of [0o777, 0o770, 0o702]) {
    await mkdir(mine);
    await chmod(mine, mode);
    assert.equal(start(['count', '0'], { env }).status, 0);
    assert.deepEqual(await readdir(mine), []);
    await rm(mine, { recursive: true });
  }
});

const noRoot = process.geteuid?.() !== 0 && 'only root can give a directory away';

test("root takes no code out of a user's home, and leaves nothing there", { skip: noRoot }, async (t) => {
  const home = await mkdtemp(join(directory, 'home-'));
  const env = { NODE_DISABLE_COMPILE_CACHE: undefined, NODE_COMPILE_CACHE: undefined, XDG_CACHE_HOME: undefined };
  const given = await chown(home, 12345, 12345).then(
    () => true,
    () => false,
  );
  if (!given) return t.skip('a root of one user alone');
  assert.equal(start(['count', '0'], { env: { ...env, HOME: home } }).status, 0);
  assert.deepEqual(await readdir(home), []);
  const theirs = join(home, '.cache', 'leasekeeper');
  await mkdir(theirs, { recursive: true });
  await chown(theirs, 12345, 12345);
  assert.equal(start(['count', '0'], { env: { ...env, XDG_CACHE_HOME: join(home, '.cache') } }).status, 0);
  assert.deepEqual(await readdir(theirs), []);
});

const noLimit = process.platform === 'win32' && 'no limit of file sizes';

test(
  'where the compiled code cannot be written whole none of it stays, and the exit code is 0',
  { skip: noLimit },
  async () => {
    const cache = await mkdtemp(join(directory, 'cache-'));
    const { status, stdout, stderr } = spawnSync(
      'sh',
      ['-c', 'ulimit -f 1; exec "$0" "$@"', process.execPath, entry, 'count', '0'],
      {
        encoding: 'utf8',
        env: { ...process.env, NODE_OPTIONS: '', NODE_DISABLE_COMPILE_CACHE: undefined, XDG_CACHE_HOME: cache },
      },
    );
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '0\n', stderr: '' });
    assert.deepEqual(
      (await readdir(join(cache, 'leasekeeper'))).filter((name) => name.startsWith('count')),
      [],
    );
  },
);

test("a command's result is the exit code, at once, whatever it left open", () => {
  assert.equal(start(['code', '3']).status, 3);
  assert.equal(start(['open']).status, 0);
});

test('a thread that is stuck in a write does not keep the process, nor change its exit code', () => {
  assert.deepEqual(start(['stuck', '7']), { status: 7, stdout: '', stderr: '' });
});

test('words of others cannot steer the terminal, not in a message and not in a stack', () => {
  assert.equal(start(['evil']).stderr, 'leasekeeper: red \\x1b[31m and \\u{202e}back over\n');
  const { stderr } = start(['evil', '--log-level=debug']);
  assert.match(stderr, /^leasekeeper: Error: red \\x1b\[31m and \\u\{202e\}back\\x0d\nover\n {4}at \S*main /);
});

test('an unexpected error is one line, with the stack only for debug', () => {
  const line = 'leasekeeper: the first line and another\n';
  assert.deepEqual(start(['boom']), { status: 1, stdout: '', stderr: line });
  assert.deepEqual(start(['boom', '--', '--log-level=debug']), { status: 1, stdout: '', stderr: line });
  for (const [args, env] of [
    [['boom', '--log-level=debug'], {}],
    [['boom', '--log-level', 'debug'], {}],
    [['boom'], { LEASEKEEPER_LOG_LEVEL: 'debug' }],
  ] as [string[], Record<string, string>][]) {
    const { status, stderr } = start(args, { env });
    assert.equal(status, 1);
    assert.match(stderr, /^leasekeeper: Error: the first line\nand another\n {4}at \S*main /);
  }
});

test('an error outside of any promise ends the process the same way', () => {
  assert.deepEqual(start(['late']), { status: 1, stdout: '', stderr: 'leasekeeper: too late\n' });
});

test('all output is written before the end', () => {
  const { status, stdout } = start(['print', '20000']);
  assert.equal(status, 0);
  assert.ok(stdout.endsWith('line 19999\n'));
});

/** Starts a command and closes the reading end of its stdout after the first bytes, as `| head` does. */
async function startWithoutReader(args: string[]): Promise<{ status: number | null; stderr: string }> {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdout.once('data', () => child.stdout.destroy());
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, stderr };
}

test('a reader that goes away is no error', async () => {
  assert.deepEqual(await startWithoutReader(['print', '1000000']), { status: 0, stderr: '' });
});

test('a service whose reader goes away is stopped in order', async () => {
  assert.deepEqual(await startWithoutReader(['service']), { status: 7, stderr: '' });
});
