/**
 * Every fenced block of README and of the other documents is tried as it is printed, against the embedded API server:
 *
 * - `console`: those of one section are one session: each line after `$ ` is typed into a shell; what follows is what it
 *   prints;
 * - `sh`, or no language: each command runs; a service is asked to stop once it has spoken to the API server, and must
 *   end with 0;
 * - `ts`: type-checked, strictly, and run; one that handles SIGTERM is asked to stop once it has written a lease;
 * - `yaml`: configuration files are read by our own loader;
 * - `json` parses;
 * - `promql` is tried by test/deploy/monitoring.test.ts, `dockerfile` by `npm run image-check`.
 *
 * Kubernetes objects are taken by a real API server in objects.slow.test.ts; `text` is what `leasekeeper demo` prints:
 * test/e2e/demo.slow.test.ts.
 *
 * Nothing is left out silently: what is not run stands in NOT_RUN with its reason, and must be there to be left out. Of
 * what is not run, too, every option must exist.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import { describe, it, test } from 'node:test';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { COMMANDS } from '../../src/commands/commands.ts';
import { LOG_OPTIONS } from '../../src/config/shared-flags.ts';
import type { EmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { embedded, scratch, until } from '../e2e/support.ts';
import { consoleSteps, runConsole } from '../support/console.ts';
import { CLI, runProgram, startProgram } from '../support/process.ts';
import { blocks, markdownFiles, read, root } from './markdown.ts';
import type { Block } from './markdown.ts';

/** Declarations, made from what the compiler emits, each page below an example that runs where it is taken from. */
const isReference = (file: string): boolean => file.startsWith('docs/api/');

/** The first line of each block, or the command, that is not run here, and why. */
const NOT_RUN = new Map([
  ['npm ci && npm start', 'CI runs both, from a clean checkout'],
  ['npm ci && npm test', 'CI runs both, from a clean checkout; and it would run itself'],
  ['npm ci', 'CI begins with it'],
  ['go install sigs.k8s.io/controller-runtime/tools/setup-envtest@latest', 'needs Go'],
  ['export KUBEBUILDER_ASSETS=$(setup-envtest use -p path)', 'needs setup-envtest'],
  ['npm start', 'CI runs it'],
  ['npm test', 'CI runs it; and it would run itself'],
  ['npm ci && npm pack', 'scripts/stranger.ts installs the packed tarball'],
  ['podman build -f deploy/Containerfile -t REGISTRY/leasekeeper:0.2.0 .', 'needs a builder; see test/deploy'],
  ['podman push REGISTRY/leasekeeper:0.2.0', 'needs a registry'],
  ['kubectl apply -k deploy/overlays/sidecar', 'needs more than Leases; test/deploy applies it to a real API server'],
  ['kubectl apply -k deploy/base', 'needs more than Leases; test/deploy applies it to a real API server'],
  ['kubectl apply -k deploy/overlays/sweeper', 'needs more than Leases; test/deploy applies it to a real API server'],
  [
    'leasekeeper rbac sweep --service-account ops/sweeper --name ops-sweeper | kubectl apply -f -',
    'needs RBAC; a real API server takes what rbac prints in test/e2e',
  ],
  ['sh deploy/overlays/sidecar/kubeconfig.sh', 'needs root; test/deploy runs the script'],
  [
    'DIRECTORY=/etc/leasekeeper OWNER=0:0 sh deploy/overlays/sidecar/kubeconfig.sh',
    'needs root; test/deploy runs the script',
  ],
  ['install -m 644 deploy/leasekeeper.service /etc/systemd/system/', 'needs root; npm run systemd-check does the same'],
  ['systemctl enable --now leasekeeper', 'needs a systemd; npm run systemd-check starts the unit'],
  [
    'podman build -f deploy/Containerfile --build-arg RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13@sha256:DIGEST -t REGISTRY/leasekeeper:0.2.0 .',
    'needs base images; npm run image-check builds with others',
  ],
  ['ln -s /opt/package/dist/cli.js /usr/local/bin/leasekeeper', 'needs root'],
  ['tar -xzf leasekeeper-0.2.0.tgz -C /opt', 'needs root; scripts/check-package.ts runs what the tarball holds'],
  ['install -m 644 deploy/overlays/sidecar/kubeconfig.sh /etc/kubernetes/leasekeeper.sh', 'needs root'],
  ["echo '17 3 * * 1 root sh /etc/kubernetes/leasekeeper.sh' > /etc/cron.d/leasekeeper", 'needs root'],
  ['leasekeeper release master-3', 'observes for longer than a test should; test/e2e runs it'],
  ['kubectl delete -k deploy/overlays/sweeper', 'needs more than Leases'],
  [
    'kubectl --as system:apiserver --as-group system:masters -n kube-system delete lease NAME',
    'needs a lease to delete; test/deploy tries the policy',
  ],
  [
    'install -D -m 644 -t /etc/kubernetes/patches deploy/overlays/sidecar/patches/kube-apiserver+strategic.yaml',
    'needs root',
  ],
  [
    "kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml",
    'needs a cluster that kubeadm made',
  ],
  [
    'kubeadm init phase control-plane apiserver --config kubeadm.yaml',
    'needs kubeadm; test/deploy merges the patch as it does',
  ],
  [
    'npm install --global ./leasekeeper-0.2.0.tgz',
    'installs for all users; scripts/stranger.ts installs it in a folder',
  ],
]);

/** What may be run on whatever machine tests run on: it touches its own folder and the embedded server alone. */
const HARMLESS = /^(leasekeeper|export|echo|curl|kubectl|ls) /;

/** Sessions, by file or by file and section, that another test runs with what they need, and that test. */
const CONSOLES_ELSEWHERE = new Map([
  ['docs/guides/identity.md ## Leases of your own product', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/controller/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/members/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/chat/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/operator/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/queues/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/semaphore/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/lock/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/cron/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/once/README.md', 'test/deploy/examples.slow.test.ts'],
  ['deploy/examples/virtual-node/README.md', 'test/deploy/examples.slow.test.ts'],
]);

/** What stands for what a reader has, where the examples name it. */
const STAND_INS: readonly (readonly [printed: string | RegExp, here: (world: World) => string])[] = [
  ['/etc/kubernetes/leasekeeper.conf', ({ kubeconfig }) => kubeconfig],
  [/(?<=--kubeconfig )FILE\b/, ({ kubeconfig }) => kubeconfig],
  ['https://127.0.0.1:6443/livez', ({ server }) => `${server.url}/livez`],
  // Ports that another test, or another program, may have.
  [/(?<=--http-address[ =]):\d+/, () => '127.0.0.1:0'],
];

/** For services whose port is given nowhere, and for waits that nothing here needs. */
const ENVIRONMENT = { LEASEKEEPER_HTTP_ADDRESS: '127.0.0.1:0', LEASEKEEPER_NODE_GRACE: '2s' };

interface World {
  readonly server: EmbeddedServer;
  readonly kubeconfig: string;
  readonly cwd: string;
}

async function world(t: Parameters<typeof embedded>[0]): Promise<World> {
  const { server, kubeconfig } = await embedded(t);
  // What its status says is known at once; silence has to be waited for.
  const status = { conditions: [{ type: 'Ready', status: 'False', reason: 'KubeletNotReady' }] };
  const metadata = { name: 'virtual-1', labels: { type: 'virtual-kubelet' } };
  const node = { apiVersion: 'v1', kind: 'Node', metadata, status };
  const headers = { 'content-type': 'application/json' };
  const made = server.handle({ method: 'POST', url: '/api/v1/nodes', headers, body: JSON.stringify(node) });
  assert.equal(made.status, 201, made.body);
  const cwd = await scratch(t);
  await writeFile(join(cwd, 'my-job'), '#!/bin/sh\necho working\n', { mode: 0o755 });
  return { server, kubeconfig, cwd };
}

const all: Block[] = markdownFiles()
  .filter((file) => !isReference(file))
  .flatMap((file) => blocks(file).blocks);
const where = ({ file, line }: Block): string => `${file}:${line}`;
const used = new Set<string>();

/** True for what is listed; remembers that it was asked for. */
function isNotRun(text: string): boolean {
  const line = text.trim().split('\n')[0] ?? '';
  // Long runs; that there is such a script is looked at below.
  if (/^npm run [\w-]+( |$)/.test(line)) return true;
  if (!NOT_RUN.has(line)) return false;
  used.add(line);
  return true;
}

const language = ({ language: named, text }: Block): string =>
  named !== '' ? named : /^\$ /m.test(text) ? 'console' : 'sh';
const of = (...languages: string[]): Block[] => all.filter((block) => languages.includes(language(block)));

/** The commands of a block, with lines that go on put together and comments taken off. */
function commands({ text }: Block): string[] {
  return text
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#\s.*$/, '').trim())
    .filter((line) => line !== '');
}

const standIn = (text: string, w: World): string =>
  STAND_INS.reduce((before, [printed, here]) => before.replaceAll(asGlobal(printed), () => here(w)), text);
const asGlobal = (printed: string | RegExp): string | RegExp =>
  typeof printed === 'string' ? printed : new RegExp(printed, 'g');

/** Arguments as a shell makes them of a line. */
function argumentsOf(line: string): string[] {
  const { stdout } = spawnSync('bash', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' });
  return stdout.split('\0').slice(0, -1);
}

/** Options of a command line of ours that the command does not have. */
function unknownOptions(line: string): string[] {
  const [, rest = ''] = /\bleasekeeper\s+([^|&;>]*)/.exec(line) ?? [];
  const [name = '', ...args] = rest.trim().split(/\s+/);
  if (name === '' || name.startsWith('-')) return [];
  const command = COMMANDS.find((one) => one.name === name);
  if (command === undefined) return /^[a-z]/.test(name) ? [`${line}: no command ${name}`] : [];
  const below = command.commands?.find((one) => one.name === args[0]);
  const specs = Object.values({ ...command.options, ...below?.options, ...LOG_OPTIONS }) as {
    flag: string;
    short?: string;
  }[];
  const known = new Set(['--help', '-h', ...specs.flatMap(({ flag, short }) => [flag, short])]);
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  return own
    .filter((arg) => /^--?[a-z]/.test(arg))
    .map((arg) => arg.replace(/=.*/, ''))
    .filter((arg) => !known.has(arg))
    .map((arg) => `${line}: ${name} has no ${arg}`);
}

test('every block has a language that is tried here', () => {
  const known = ['console', 'sh', 'ts', 'yaml', 'json', 'text', 'promql', 'dockerfile'];
  assert.ok(all.length > 10);
  assert.deepEqual(all.filter((block) => !known.includes(language(block))).map(where), []);
});

test('commands and options that the documents name exist', () => {
  const lines = of('sh', 'console').flatMap((block) => commands(block).map((line) => `${line}`));
  const inline = markdownFiles()
    .flatMap((file) => blocks(file).prose)
    .flatMap((line) => [...line.matchAll(/`((?:kubectl )?leasekeeper [^`]*)`/g)].map(([, text = '']) => text));
  assert.ok(lines.length > 10 && inline.length > 10);
  assert.deepEqual([...lines, ...inline].flatMap(unknownOptions), []);
  assert.deepEqual(unknownOptions('leasekeeper count --lvie'), ['leasekeeper count --lvie: count has no --lvie']);
});

test('npm scripts that the documents name exist', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = markdownFiles().flatMap((file) =>
    [...read(file).matchAll(/`npm run ([\w-]+)/g)].map(([, name = '']) => name),
  );
  assert.ok(named.length > 5);
  assert.deepEqual(
    named.filter((name) => !(name in scripts)),
    [],
  );
});

describe('console', { concurrency: 2 }, () => {
  const sessions = new Map(of('console').map(({ file, heading }) => [`${file} ${heading}`, { file, heading }]));
  for (const [name, { file, heading }] of sessions) {
    const test = CONSOLES_ELSEWHERE.get(file) ?? CONSOLES_ELSEWHERE.get(name);
    if (test !== undefined) {
      it(`${name}: in ${test}`, () => {
        // It names what it runs: a folder, or the section of a guide.
        const named = heading !== '' && file === 'docs/guides/identity.md' ? heading : `'${basename(dirname(file))}'`;
        assert.ok(read(test).includes(named), named);
      });
      continue;
    }
    it(name, { timeout: 600_000 }, async (t) => {
      const { kubeconfig, cwd } = await world(t);
      const steps = await consoleSteps(join(root, file), heading === '' ? undefined : heading);
      await runConsole(steps, { t, cwd, scratch: cwd, kubeconfig });
    });
  }
});

const SERVICES = new Set(['publish', 'serve', 'heartbeat', 'dev']);
const isService = (args: readonly string[]): boolean =>
  SERVICES.has(args[0] ?? '') ||
  (args[0] === 'sweep' && !args.includes('--once')) ||
  args.some((arg) => /^(-w|--watch|--http-address(=.*)?)$/.test(arg));

describe('commands', { concurrency: 2 }, () => {
  for (const block of of('sh')) {
    for (const line of commands(block)) {
      if (isNotRun(line) || !HARMLESS.test(line)) continue;
      it(`${where(block)}: ${line}`, { timeout: 600_000 }, async (t) => {
        const w = await world(t);
        // In the background of a shell, or in its foreground: a service is a service.
        const printed = standIn(line, w).replace(/\s*&$/, '');
        if (!printed.startsWith('leasekeeper ') || /[|;]|&&/.test(printed)) {
          const bin = join(w.cwd, 'bin');
          await mkdir(bin);
          const ours = `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`;
          await writeFile(join(bin, 'leasekeeper'), ours, { mode: 0o755 });
          const PATH = `${bin}${delimiter}${process.env['PATH']}`;
          const env = { PATH, HOME: w.cwd, ...ENVIRONMENT, KUBECONFIG: w.kubeconfig };
          await promisify(execFile)('bash', ['-o', 'pipefail', '-c', printed], { cwd: w.cwd, env, timeout: 120_000 });
          return;
        }
        const args = argumentsOf(printed.slice('leasekeeper '.length));
        const before = w.server.requests.total;
        const env = { ...ENVIRONMENT, KUBECONFIG: w.kubeconfig };
        const program = startProgram(args, { t, cwd: w.cwd, env });
        if (isService(args)) {
          const heard = (): boolean => w.server.requests.total > before || program.stdout.length > 0;
          await until('a request, or words', () => heard() || !program.running, 120_000);
          assert.ok(program.running, program.output());
          program.signal('SIGTERM');
        }
        const { code } = await program.exitWithin(90_000);
        // Three servers is more than an example has.
        const expected = args.includes('--expect') ? [0, 3] : [0];
        assert.ok(expected.includes(code ?? -1), program.output());
        assert.doesNotMatch(program.stderr.join('\n'), /\bERROR\b|^\s+at /m);
      });
    }
  }
});

/** Examples that write nothing to the server that they are given. */
const READS_ONLY = /\.(takeCensus|sweepOnce)\(|\bOptionsError\b|\bstartEmbeddedServer\b/;

describe('TypeScript', () => {
  const examples = of('ts');

  /** A folder with every example. */
  async function project(t: Parameters<typeof scratch>[0]): Promise<string> {
    const cwd = await scratch(t);
    await writeFile(join(cwd, 'package.json'), JSON.stringify({ type: 'module' }));
    // What an install brings along: node-cron.
    await symlink(join(root, 'node_modules'), join(cwd, 'node_modules'));
    for (const [i, block] of examples.entries()) await writeFile(join(cwd, `example-${i}.ts`), block.text);
    return cwd;
  }

  it('every example type-checks, strictly', { timeout: 600_000 }, async (t) => {
    const cwd = await project(t);
    const extended = {
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { typeRoots: [join(root, 'node_modules/@types')] },
      include: ['*.ts', join(root, 'src/**/*.d.ts')],
    };
    await writeFile(join(cwd, 'tsconfig.json'), JSON.stringify(extended));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', cwd], { cwd, encoding: 'utf8' });
    assert.equal(stdout, '', examples.map(where).join(', '));
  });

  for (const [i, block] of examples.entries()) {
    it(`${where(block)} runs`, { timeout: 600_000 }, async (t) => {
      const w = await world(t);
      const cwd = await project(t);
      const script = join(cwd, `example-${i}.ts`);
      const nodeArgs = [`--import=${new URL('../support/from-source.ts', import.meta.url).href}`];
      const program = startProgram([], { t, script, cwd, nodeArgs, env: { KUBECONFIG: w.kubeconfig } });
      const written = (): boolean => w.server.requests.matching({ verb: /^(create|update)$/ }).length > 0;
      await until('a lease, or its end', () => written() || !program.running, 120_000);
      // One that leads says so.
      const says = block.text.includes('console.log');
      await until('its words, or its end', () => !says || program.stdout.length > 0 || !program.running, 120_000);
      // One that goes on says what ends it; any other ends by itself.
      if (block.text.includes('SIGTERM')) program.signal('SIGTERM');
      assert.equal((await program.exitWithin(120_000)).code, 0, program.output());
      assert.ok(written() || READS_ONLY.test(block.text), program.output());
    });
  }
});

describe('YAML', () => {
  const documents = of('yaml').flatMap((block) =>
    parseAllDocuments(block.text).map((document) => {
      assert.deepEqual(document.errors, [], where(block));
      return { block, text: document.toString(), object: document.toJS() as { apiVersion: string; kind: string } };
    }),
  );
  const OURS = 'leasekeeper.dev/v1alpha1';

  for (const { block, text } of documents.filter(({ object }) => object.apiVersion === OURS)) {
    it(`${where(block)} is a configuration that leasekeeper takes`, async (t) => {
      const file = join(await scratch(t), 'leasekeeper.yaml');
      await writeFile(file, text);
      const { code, stderr } = await runProgram(['config', '--config', file]);
      assert.deepEqual([code, stderr], [0, '']);
    });
  }
});

describe('JSON', () => {
  for (const block of of('json')) it(where(block), () => void JSON.parse(block.text));
});

test('every command is run, or listed with its reason', () => {
  const others = of('sh').flatMap((block) =>
    commands(block)
      .filter((line) => !HARMLESS.test(line) && !isNotRun(line))
      .map((line) => `${where(block)}: ${line}`),
  );
  assert.deepEqual(others, [], 'neither run nor listed in NOT_RUN');
});

test('nothing is listed that is not there', () => {
  assert.deepEqual(
    [...NOT_RUN.keys()].filter((line) => !used.has(line)),
    [],
  );
});
