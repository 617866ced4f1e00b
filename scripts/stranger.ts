/**
 * A stranger's path: from an empty folder, with the packed tarball alone, on each Node that is supported.
 *
 * `node scripts/stranger.ts [version …]`, after `npm run build`; by default the oldest Node that is supported, 22, 24 and
 * 26. For each: the package is installed by npm with its dependencies, a program in TypeScript type-checks against it
 * (strict, its declarations too) and runs, and so does the command line: version, help, configuration, `dev` with `publish`,
 * `get` and `count` against it, and a wrong option. A Node that is too old gets one line. Everything happens in folders
 * that are removed at the end. Needs npm's registry, for the package's dependencies and for Node itself (npm's package
 * `node`). Exit code 1 when something is not as it should be.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const SUPPORTED = ['22.19.0', '22', '24', '26'];
const TOO_OLD = '20';
/** Milliseconds that one step may take. */
const STEP_MS = 120_000;

/** What a program in TypeScript that uses the library looks like: an API server of its own, a lease, a term, a count. */
const PROGRAM = `
import { LeaderElector, Publisher, connect, createSystemClock, holderIdentity, leaseName, takeCensus } from 'leasekeeper';
import type { Term } from 'leasekeeper';
import { startEmbeddedServer } from 'leasekeeper/testing';
import { writeFileSync } from 'node:fs';

const server = await startEmbeddedServer();
writeFileSync('kubeconfig', server.kubeconfig());
const clock = createSystemClock();
const { store, close } = await connect({ clock, random: Math.random, kubeconfig: 'kubeconfig' });

const hostname = 'master-1';
const stop = new AbortController();
const holder = holderIdentity(leaseName(hostname), crypto.randomUUID());
const claimed = Promise.withResolvers<void>();
const publisher = new Publisher({
  store, clock, random: Math.random, holder, hostname,
  observe: (event) => { if (event.type === 'claimed') claimed.resolve(); },
});
const running = publisher.run(stop.signal);
await claimed.promise;
const census = await takeCensus({ store, clock, query: { namespace: 'kube-system' } });
const instances: number | undefined = census.counts?.instances;
stop.abort();
await running;

const lease = { namespace: 'default', name: 'my-job' };
const over = new AbortController();
let token: number | undefined;
const work = async (term: Term) => {
  term.check();
  token = term.fencingToken;
  over.abort();
};
const who = { id: 'me', uuid: crypto.randomUUID() };
const elector = new LeaderElector({ store, clock, random: Math.random, lease, ...who, work });
await elector.run(over.signal);
await close();
await server.close();
console.log(JSON.stringify({ instances, token }));
`;

interface Stranger {
  readonly directory: string;
  /** The Node's own. */
  readonly version: string;
  /** Starts with this Node first on the PATH, and nothing of ours in the environment. */
  run(program: string, ...args: string[]): SpawnSyncReturns<string>;
}

function environment(bin: string): NodeJS.ProcessEnv {
  const own = /^(npm_|NODE_|LEASEKEEPER_|KUBECONFIG$|KUBERNETES_)/;
  const kept = Object.entries(process.env).filter(([name]) => !own.test(name));
  return { ...Object.fromEntries(kept), PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` };
}

/** A Node of this version, from npm's package of that name. @returns the folder that holds it */
async function nodeOf(version: string, directory: string): Promise<string> {
  await mkdir(directory);
  const manifest = { private: true, allowScripts: { node: true } };
  await writeFile(join(directory, 'package.json'), JSON.stringify(manifest));
  npm(directory, 'install', `node@${version}`);
  return join(directory, 'node_modules', 'node', 'bin');
}

function npm(cwd: string, ...args: string[]): void {
  execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd,
    timeout: STEP_MS,
    stdio: 'pipe',
  });
}

async function installed(tarball: string, directory: string, bin: string): Promise<Stranger> {
  await mkdir(directory);
  await writeFile(join(directory, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  npm(directory, 'install', tarball);
  const env = environment(bin);
  const run = (program: string, ...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(program, args, { cwd: directory, env, encoding: 'utf8', timeout: STEP_MS });
  return { directory, version: run('node', '-p', 'process.versions.node').stdout.trim(), run };
}

const PROGRAM_PATH = join('node_modules', '.bin', 'leasekeeper');

async function tryLibrary({ directory, run }: Stranger, development: string): Promise<void> {
  await writeFile(join(directory, 'use.ts'), PROGRAM);
  const options = { strict: true, module: 'nodenext', target: 'es2024', types: ['node'], skipLibCheck: false };
  const compilerOptions = { ...options, typeRoots: [join(development, 'node_modules', '@types')] };
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.ts'] }));
  const built = run('node', join(development, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.');
  // Faults in the declarations of other packages are not ours to report.
  const ours = built.stdout.split('\n').filter((line) => /^(use\.ts|node_modules\/leasekeeper\/)/.test(line));
  assert.deepEqual(ours, [], built.stdout);
  const used = run('node', 'use.js');
  assert.match(used.stdout, /^\{"instances":1,"token":\d+\}\n$/, used.stderr);
}

async function tryCommandLine({ directory, version, run }: Stranger, env: NodeJS.ProcessEnv): Promise<void> {
  const { version: ours } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal(run(PROGRAM_PATH, '--version').stdout, `${ours}\n`);
  const said = run(PROGRAM_PATH, 'version').stdout;
  assert.ok(said.includes(version), said);
  assert.match(run(PROGRAM_PATH, '--help').stdout, /^Usage: leasekeeper /);
  assert.match(run(PROGRAM_PATH, 'config').stdout, /renewInterval +10s +default/);
  const wrong = run(PROGRAM_PATH, 'count', '--request-timeout=soon');
  assert.deepEqual([wrong.status, wrong.stdout], [2, ''], wrong.stderr);
  assert.match(wrong.stderr, /^leasekeeper: --request-timeout "soon": must be a duration/);

  const start = (...args: string[]) => spawn(PROGRAM_PATH, args, { cwd: directory, env, stdio: 'ignore' });
  const dev = start('dev', '--write-kubeconfig', 'dev.kubeconfig');
  const children = [dev];
  try {
    const at = ['--kubeconfig', 'dev.kubeconfig'];
    await until('dev', () => run(PROGRAM_PATH, 'count', ...at).stdout === '0\n');
    const publish = start('publish', ...at, '--hostname-override', 'master-1', '--shutdown-policy', 'delete');
    children.push(publish);
    await until('publish', () => run(PROGRAM_PATH, 'count', ...at, '--live').stdout === '1\n');
    assert.match(run(PROGRAM_PATH, 'get', ...at).stdout, /^NAME .*\nkube-apiserver-6a0eceb\w+ +master-1 +Live /);
    const led = run(PROGRAM_PATH, 'elect', ...at, '--lease=default/job', '--', 'node', '-p', '40 + 2');
    assert.deepEqual([led.status, led.stdout], [0, '42\n'], led.stderr);
    for (const child of [publish, dev]) {
      child.kill('SIGTERM');
      assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 0);
    }
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

async function until(what: string, look: () => boolean): Promise<void> {
  const deadline = performance.now() + STEP_MS / 4;
  while (!look()) {
    if (performance.now() > deadline) throw new Error(`${what} does not come up`);
    await wait(100);
  }
}

const directory = await mkdtemp(join(tmpdir(), 'leasekeeper-stranger-'));
const asked = process.argv.slice(2);
let failed = false;
try {
  npm(root, 'pack', '--ignore-scripts', '--pack-destination', directory);
  const { name, version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<string, string>;
  const tarball = join(directory, `${name}-${version}.tgz`);
  const development = join(directory, 'development');
  await mkdir(development);
  await writeFile(join(development, 'package.json'), '{"private":true}');
  const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  npm(development, 'install', ...['typescript', '@types/node'].map((dep) => `${dep}@${devDependencies[dep]}`));
  for (const wanted of asked.length > 0 ? asked : [TOO_OLD, ...SUPPORTED]) {
    const started = performance.now();
    const bin = await nodeOf(wanted, join(directory, `node-${wanted}`));
    const stranger = await installed(tarball, join(directory, `project-${wanted}`), bin);
    const tell = (what: string): void =>
      console.log(`Node ${stranger.version}: ${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    try {
      if (Number(wanted.split('.')[0]) < 22) {
        const { status, stdout, stderr } = stranger.run(PROGRAM_PATH, 'count');
        const line = `leasekeeper: needs Node.js 22.19 or later, this is ${stranger.version}\n`;
        assert.deepEqual([status, stdout, stderr], [2, '', line]);
        tell(`refused in one line: ${stderr.trim()}`);
        continue;
      }
      await tryLibrary(stranger, development);
      await tryCommandLine(stranger, environment(bin));
      tell('library, types and command line work');
    } catch (error) {
      failed = true;
      tell(`FAILED: ${(error as Error).message}`);
    }
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
if (failed) process.exitCode = 1;
