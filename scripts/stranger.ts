/**
 * A stranger's path: from an empty folder, with the packed tarball alone, on each Node that is supported.
 *
 * `node scripts/stranger.ts [version …]`, after `npm run build`; by default the oldest Node that is supported, 22, 24 and
 * 26. For each: the package is installed by npm with its dependencies, no more and no larger than promised; README's two
 * programs type-check against it (strict, its declarations too), as ES modules and as CommonJS, and run, with a token and
 * with one of an exec plugin; KubeConfig objects of client-node are taken, and its list, watch and informer work with the
 * embedded server, with tokens and without; replicas of the five smallest programs of the recipes (node-cron,
 * @nestjs/schedule, a migration, a lock, a semaphore) keep what they promise. So does the command line work: version, help,
 * configuration, `dev` with `publish`, `get` and `count` against it, and a wrong option. A Node that is too old gets one line. Everything happens in folders
 * that are removed at the end. Needs npm's registry, for the package's dependencies and for Node itself (npm's package
 * `node`). Exit code 1 when something is not as it should be.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { blocks } from '../test/docs/markdown.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const SUPPORTED = ['22.19.0', '22', '24', '26'];
const TOO_OLD = '20';
/** Milliseconds that one step may take. */
const STEP_MS = 120_000;

/** The two programs of README, as they stand there: an identity that is renewed, and a leader. */
const [IDENTITY = '', LEADER = ''] = blocks('README.md').blocks.flatMap(({ heading, language, text }) =>
  heading === '## In five lines of TypeScript' && language === 'ts' ? [text] : [],
);

/** A program as CommonJS: what awaits stands in a function. */
function asCommonJs(program: string): string {
  const [, imports = '', rest = ''] = /^(import [^\n]*\n)(.*)$/s.exec(program) ?? [];
  return `${imports}async function main() {${rest}}\nvoid main();\n`;
}

/** An API server that wants a token, with a kubeconfig that has one and one that asks a plugin for it. */
const SERVER = `
import { writeFileSync } from 'node:fs';
import { startEmbeddedServer } from 'leasekeeper/testing';
import { parse, stringify } from 'yaml';
const server = await startEmbeddedServer({ tokens: { secret: { user: 'me' } } });
const config = parse(server.kubeconfig());
const answer = { kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1', status: { token: 'secret' } };
const args = ['-e', 'console.log(process.argv[1])', JSON.stringify(answer)];
const exec = { apiVersion: answer.apiVersion, command: process.execPath, args, interactiveMode: 'Never' };
writeFileSync('exec.kubeconfig', stringify({ ...config, users: config.users.map(({ name }) => ({ name, user: { exec } })) }));
writeFileSync('kubeconfig', stringify(config));
process.once('SIGTERM', () => server.close());
`;

/** Takes the cluster and the user of a KubeConfig that was made in code. */
const KUBE_CONFIG = `
import { CoordinationV1Api, KubeConfig, Watch, makeInformer } from '@kubernetes/client-node';
import type { V1Lease } from '@kubernetes/client-node';
import { openLeases } from 'leasekeeper';
import { startEmbeddedServer } from 'leasekeeper/testing';
const file = new KubeConfig();
file.loadFromFile('kubeconfig');
const kubeConfig = new KubeConfig();
kubeConfig.loadFromClusterAndUser(file.getCurrentCluster()!, file.getCurrentUser()!);
const leases = await openLeases({ kubeConfig });
console.log((await leases.takeCensus()).counts?.instances);
await leases.close();

// An embedded server as client-node sees it: list, watch, informer.
for (const tokens of [undefined, { secret: { user: 'me' } }]) {
  const server = await startEmbeddedServer(tokens ? { tokens } : {});
  const config = new KubeConfig();
  config.loadFromString(server.kubeconfig());
  const api = config.makeApiClient(CoordinationV1Api);
  const at = { namespace: 'kube-system', name: 'a' };
  const path = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
  const seen: string[] = [];
  const note = (what: string, { metadata }: V1Lease) => void seen.push(what + ' ' + metadata?.name);
  const watch = await new Watch(config).watch(path, {}, (type: string, lease: V1Lease) => note(type, lease), () => {});
  const informer = makeInformer<V1Lease>(config, path, () => api.listNamespacedLease(at));
  for (const verb of ['add', 'update', 'delete'] as const) informer.on(verb, (lease) => note(verb, lease));
  await informer.start();
  const made = await api.createNamespacedLease({ ...at, body: { metadata: { name: 'a' }, spec: { holderIdentity: 'h' } } });
  const { items } = await api.listNamespacedLease(at);
  await api.replaceNamespacedLease({ ...at, body: { ...made, spec: { ...made.spec, leaseTransitions: 1 } } });
  await api.deleteNamespacedLease(at);
  while (seen.length < 6) await new Promise((resolve) => setTimeout(resolve, 20));
  await informer.stop();
  watch.abort();
  console.log(items.length, seen.sort().join(', '));
  await server.close();
}
`;
const CLIENT_SAID = '1 ADDED a, DELETED a, MODIFIED a, add a, delete a, update a\n';
/** The oldest and the newest that is taken. */
const CLIENT_NODES = ['1.4', '2'];

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
  const lock = JSON.parse(await readFile(join(directory, 'node_modules', '.package-lock.json'), 'utf8'));
  const packages = Object.keys(lock.packages as object).length;
  const bytes =
    1024 * Number(/^\d+/.exec(execFileSync('du', ['-sk', 'node_modules'], { cwd: directory, encoding: 'utf8' })));
  assert.ok(packages <= 20 && bytes <= 16_000_000, `${packages} packages, ${bytes} bytes are installed`);
  const env = environment(bin);
  const run = (program: string, ...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(program, args, { cwd: directory, env, encoding: 'utf8', timeout: STEP_MS });
  return { directory, version: run('node', '-p', 'process.versions.node').stdout.trim(), run };
}

const PROGRAM_PATH = join('node_modules', '.bin', 'leasekeeper');

async function tryLibrary(stranger: Stranger, development: string, env: NodeJS.ProcessEnv): Promise<void> {
  const { directory, run } = stranger;
  const files = {
    'five.ts': IDENTITY,
    'eight.ts': LEADER,
    'five.cts': asCommonJs(IDENTITY),
    'eight.cts': asCommonJs(LEADER),
  };
  for (const [file, text] of Object.entries(files)) await writeFile(join(directory, file), text);
  const modules = Object.keys(files).filter((file) => file.endsWith('.ts'));
  for (const module of ['bundler', 'node16', 'node20', 'nodenext']) {
    const common = /node20|nodenext/.test(module);
    typeCheck(stranger, development, module, common ? Object.keys(files) : modules, common);
  }
  await writeFile(join(directory, 'server.mjs'), SERVER);
  const children = [spawn('node', ['server.mjs'], { cwd: directory, env, stdio: 'ignore' })];
  try {
    const get = (): SpawnSyncReturns<string> =>
      run(PROGRAM_PATH, 'get', '-o', 'json', '--kubeconfig', 'exec.kubeconfig');
    const holder = (): string | undefined => /"holderIdentity": "(.*?)"/.exec(get().stdout)?.[1];
    await until('the API server', () => get().status === 0);
    for (const kubeconfig of ['kubeconfig', 'exec.kubeconfig']) {
      for (const file of ['five.js', 'eight.js', 'five.cjs', 'eight.cjs']) {
        const own = { ...env, KUBECONFIG: kubeconfig };
        const before = holder();
        const child = spawn('node', [file], { cwd: directory, env: own, stdio: ['ignore', 'pipe', 'pipe'] });
        children.push(child);
        let said = '';
        let errors = '';
        child.stdout.on('data', (text: Buffer) => (said += text.toString()));
        child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
        const exited = new Promise((resolve) => child.once('exit', resolve));
        const works = file.startsWith('five') ? () => holder() !== before : () => said.startsWith('leading, ');
        await until(`${file} with ${kubeconfig}`, works);
        child.kill('SIGTERM');
        assert.deepEqual([await exited, errors], [0, ''], file);
      }
    }
    for (const version of CLIENT_NODES) {
      npm(directory, 'install', `@kubernetes/client-node@${version}`);
      await writeFile(join(directory, 'kube-config.ts'), KUBE_CONFIG);
      typeCheck(stranger, development, 'nodenext', ['kube-config.ts'], true);
      const { stdout, stderr } = run('node', 'kube-config.js');
      assert.deepEqual([stdout, stderr], [`1\n${CLIENT_SAID}${CLIENT_SAID}`, ''], `client-node ${version}`);
    }
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

/** The five smallest programs of the recipes, as deploy/examples has them; and what they import besides. */
const RECIPES = ['cron/cron.ts', 'cron/nest.ts', 'once/migrate.ts', 'lock/lock.ts', 'semaphore/semaphore.ts'];
const NEST = ['@nestjs/common@11', '@nestjs/core@11', '@nestjs/schedule@6', 'reflect-metadata@0.2', 'rxjs@7'];

/** A program, and the lines that it has said so far. */
class Said {
  readonly lines: string[] = [];
  readonly exited: Promise<number | null>;
  readonly kill: (signal: NodeJS.Signals) => void;

  constructor(directory: string, env: NodeJS.ProcessEnv, ...args: string[]) {
    const child = spawn('node', args, { cwd: directory, env, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (more: Buffer) => {
      text += more.toString();
      const whole = text.split('\n');
      text = whole.pop() ?? '';
      this.lines.push(...whole);
    });
    this.exited = new Promise((resolve) => child.once('close', (code) => resolve(code)));
    this.kill = (signal) => void child.kill(signal);
  }
}

/** Replicas of each, against one API server. What they promise is looked at from outside: by what they print. */
async function tryRecipes(stranger: Stranger, development: string, env: NodeJS.ProcessEnv): Promise<void> {
  const { directory } = stranger;
  npm(directory, 'install', ...NEST);
  for (const file of RECIPES) await cp(join(root, 'deploy/examples', file), join(directory, file.split('/')[1] ?? ''));
  const files = RECIPES.map((file) => file.split('/')[1] ?? '');
  typeCheck(stranger, development, 'nodenext', files, true);
  const server = spawn('node', ['server.mjs'], { cwd: directory, env, stdio: 'ignore' });
  const programs: Said[] = [];
  const start = (...args: string[]): Said => {
    const program = new Said(directory, { ...env, KUBECONFIG: 'kubeconfig' }, ...args);
    programs.push(program);
    return program;
  };
  const replicas = (n: number, ...args: string[]): Said[] => Array.from({ length: n }, () => start(...args));
  const all = (of: readonly Said[]): string[] => of.flatMap(({ lines }) => lines);
  try {
    await until('the API server', () => stranger.run(PROGRAM_PATH, 'get', '--kubeconfig', 'kubeconfig').status === 0);

    // In three processes a cron: each fire in one of them.
    for (const file of ['cron.js', 'nest.js']) {
      const three = replicas(3, file);
      await until(`fires of ${file}`, () => all(three).length >= 5);
      for (const each of three) each.kill('SIGKILL');
      await Promise.all(three.map(({ exited }) => exited));
      const fires = all(three);
      assert.deepEqual(fires.toSorted(), [...new Set(fires)].toSorted(), `${file}: a fire ran twice`);
    }

    // Five replicas migrate at their start; the first is killed in the middle.
    const five = replicas(5, 'migrate.js', 'v1');
    const first = await until('a migration', () => five.find(({ lines }) => lines.length > 0));
    first.kill('SIGKILL');
    const others = five.filter((each) => each !== first);
    assert.deepEqual(await Promise.all(others.map(({ exited }) => exited)), [0, 0, 0, 0]);
    const said = all(others).toSorted();
    assert.deepEqual(said, ['migrated to v1', 'migrating to v1', ...Array<string>(3).fill('v1 is there already')]);

    const one = start('lock.js', 'one');
    await until('the lock', () => one.lines.includes('one: has the lock'));
    const two = start('lock.js', 'two');
    await two.exited;
    assert.deepEqual(two.lines, ['two: somebody else has it']);
    one.kill('SIGTERM');
    assert.equal(await one.exited, 0);
    assert.match(one.lines[1] ?? '', /^one: done, fencing token \d+$/);

    const eight = replicas(8, 'semaphore.js', 'p');
    assert.deepEqual(new Set(await Promise.all(eight.map(({ exited }) => exited))), new Set([0]));
    let [now, most] = [0, 0];
    for (const line of all(eight).toSorted((a, b) => parseInt(a) - parseInt(b) || (a.includes('end') ? -1 : 1))) {
      now += line.includes('begin') ? 1 : -1;
      most = Math.max(most, now);
    }
    assert.ok(most <= 3 && all(eight).length === 16, all(eight).join('\n'));
  } finally {
    for (const program of programs) program.kill('SIGKILL');
    server.kill('SIGKILL');
  }
}

/** Strictly, the declarations of the package too; writes JavaScript where it is to be run. */
function typeCheck(
  { run }: Stranger,
  development: string,
  module: string,
  files: readonly string[],
  emit: boolean,
): void {
  const tsc = join(development, 'node_modules', 'typescript', 'bin', 'tsc');
  const how = module === 'bundler' ? ['--module', 'esnext', '--moduleResolution', module] : ['--module', module];
  const types = ['--types', 'node', '--typeRoots', join(development, 'node_modules', '@types')];
  const options = [
    '--strict',
    '--target',
    'es2022',
    '--skipLibCheck',
    'false',
    '--experimentalDecorators',
    '--emitDecoratorMetadata',
    ...types,
    ...(emit ? [] : ['--noEmit']),
  ];
  const { stdout } = run('node', tsc, ...how, ...options, ...files);
  // Faults in the declarations of other packages are not ours to report.
  const ours = stdout.split('\n').filter((line) => /^([\w-]+\.c?ts|node_modules\/leasekeeper\/)/.test(line));
  assert.deepEqual(ours, [], `${module}: ${stdout}`);
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
    assert.match(run(PROGRAM_PATH, 'get', ...at).stdout, /^NAME .*\nkube-apiserver-6a0eceb[\w…]+ +master-1 +Live /);
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

async function until<T>(what: string, look: () => T): Promise<NonNullable<T>> {
  const deadline = performance.now() + STEP_MS / 2;
  for (;;) {
    const seen = look();
    if (seen) return seen;
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
      await tryLibrary(stranger, development, environment(bin));
      await tryCommandLine(stranger, environment(bin));
      await tryRecipes(stranger, development, environment(bin));
      tell('library, types, command line and recipes work');
    } catch (error) {
      failed = true;
      tell(`FAILED: ${(error as Error).message}`);
    }
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
if (failed) process.exitCode = 1;
