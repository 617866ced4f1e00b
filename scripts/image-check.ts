/**
 * `npm run image-check`: builds deploy/Containerfile by buildah (chroot isolation, which needs no container runtime), and
 * runs what the image holds as its user, with its entry, on a read-only root: publish, serve, sweep, elect.
 *
 * The base images are stand-ins of this machine's own files (Node.js, npm, a shell), so that no registry of images is
 * needed; with `--pull` they are the real ones. The Dockerfile of docs/deploy.md is built upon the result, and run as process 1.
 *
 * First it tries what it needs of the machine (buildah, mounts, the npm registry from within a build) with something
 * trivial. What the machine lacks is said in one line, `skipped: …`, with exit code 0; with `--must` with 1. After that,
 * what goes wrong is a fault, unless the machine ran out of disk, memory or time. Each command has its bound.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startEmbeddedServer } from '../src/embedded/embedded-server.ts';
import { version } from '../src/version.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const USER = '65532:65532';
const WAIT_MS = 60_000;
/** Seconds for one command; a build installs all that the project needs. */
const [COMMAND_S, BUILD_S] = [120, 420];
/** Monotonic milliseconds after which nothing more is begun: a machine that is too slow lacks time. */
const END = performance.now() + 900_000;
const pull = process.argv.includes('--pull');

const lookup = (name: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((dir) => join(dir, name))
    .find(existsSync);

/** This machine has not what is needed: no fault of the image. */
class Lacking extends Error {}

/** Disk, memory, and a registry that is away: what may give out at any time. */
const GIVEN_OUT =
  /no space left on device|disk quota exceeded|cannot allocate memory|npm (?:error|ERR!) code (?:E(?:AI_AGAIN|CONN\w+|NETUNREACH|HOSTUNREACH|NOTFOUND|TIMEDOUT|SOCKETTIMEDOUT|NOSPC|NOMEM|401|403|429|5\d\d)|ERR_SOCKET_TIMEOUT)\b/i;

/** @throws Lacking when the machine has given out, or is too slow */
function must(command: string, args: readonly string[], bound = COMMAND_S): string {
  const seconds = Math.max(1, Math.round(Math.min(bound, (END - performance.now()) / 1000)));
  // timeout ends what the command has started, too.
  const { status, signal, stdout, stderr, error } = spawnSync('timeout', ['-k', '10', `${seconds}`, command, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status === 0) return stdout.trim();
  const said = `${command} ${args.join(' ')}: ${error?.message ?? signal ?? (stdout + stderr).slice(-3_000)}`;
  if (status === 124 || status === 137) throw new Lacking(`not done within ${seconds} s: ${said}`);
  const [given] = GIVEN_OUT.exec(stdout + stderr) ?? [];
  throw given === undefined ? new Error(said) : new Lacking(`${given}: ${said}`);
}

function cannot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  for (const name of ['buildah', 'chroot', 'du', 'ldd', 'mount', 'npm', 'timeout', 'umount'])
    if (lookup(name) === undefined) return `${name} is not installed`;
  return undefined;
}

/** A root file system with these programs, and the libraries that they need. */
function fileSystem(root: string, programs: Readonly<Record<string, string>>): void {
  const put = (from: string, to: string): void => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
  };
  for (const [to, from] of Object.entries(programs)) {
    put(from, to);
    for (const [, library = ''] of must('ldd', [from]).matchAll(/(\/\S+) \(0x/g)) put(library, library);
  }
  for (const dir of ['tmp', 'root', 'proc', 'dev', 'etc/ssl/certs']) mkdirSync(join(root, dir), { recursive: true });
}

/** Where tini is, which need not be installed; undefined: nowhere. */
function tiniProgram(dir: string): string | undefined {
  const installed = lookup('tini');
  if (installed !== undefined) return installed;
  const to = join(dir, 'tini');
  mkdirSync(to);
  const script = 'apt-get -qq download tini && dpkg-deb -x tini_*.deb .';
  spawnSync('timeout', ['-k', '5', '60', 'sh', '-c', script], { cwd: to, stdio: 'ignore' });
  const unpacked = join(to, 'usr/bin/tini');
  return existsSync(unpacked) ? unpacked : undefined;
}

/** Images with as much of the real ones as a build and a run need. */
function standIns(dir: string, buildah: (...args: string[]) => string): Readonly<Record<string, string>> {
  const image = (name: string, root: string): string => {
    const container = buildah('from', 'scratch');
    buildah('copy', container, root, '/');
    buildah(
      'config',
      '--env',
      'PATH=/usr/local/bin:/usr/bin:/bin',
      '--env',
      `NODE_EXTRA_CA_CERTS=${CERTIFICATES}`,
      container,
    );
    buildah('commit', '--rm', container, `localhost/${name}`);
    return `localhost/${name}`;
  };
  const build = join(dir, 'build');
  const tools = ['sh', 'cp', 'rm', 'mkdir', 'find', 'env'].map((name) => [
    `/bin/${name}`,
    lookup(name) ?? '/bin/false',
  ]);
  fileSystem(build, {
    ...Object.fromEntries(tools),
    '/usr/bin/env': lookup('env')!,
    '/usr/local/bin/node': process.execPath,
  });
  const npm = dirname(dirname(realpathSync(lookup('npm')!)));
  if (!existsSync(join(npm, 'bin/npm-cli.js'))) throw new Error('npm is not laid out as it comes with Node.js');
  cpSync(npm, join(build, 'usr/lib/node_modules/npm'), { recursive: true, dereference: true });
  if (existsSync(CERTIFICATES)) cpSync(CERTIFICATES, join(build, CERTIFICATES), { dereference: true });
  writeFileSync(
    join(build, 'usr/local/bin/npm'),
    '#!/bin/sh\nexec node /usr/lib/node_modules/npm/bin/npm-cli.js "$@"\n',
    { mode: 0o755 },
  );
  // Packages come from where this machine has them from.
  writeFileSync(
    join(build, 'usr/lib/node_modules/npm/npmrc'),
    `registry=${must('npm', ['config', 'get', 'registry'])}\n`,
  );
  // What docs/deploy.md installs by it is tini.
  writeFileSync(join(build, 'usr/bin/apt-get'), '#!/bin/sh\n[ "$1" = update ] || cp /stand-in/tini /usr/bin/tini\n', {
    mode: 0o755,
  });
  mkdirSync(join(build, 'var/lib/apt/lists'), { recursive: true });
  const tini = tiniProgram(dir);
  if (tini !== undefined) fileSystem(build, { '/stand-in/tini': tini });
  const runtime = join(dir, 'runtime');
  fileSystem(runtime, { '/nodejs/bin/node': process.execPath });
  return {
    BUILD_IMAGE: image('leasekeeper-check-build', build),
    RUNTIME_IMAGE: image('leasekeeper-check-runtime', runtime),
  };
}

type Buildah = (args: readonly string[], seconds?: number) => string;

const BUILD = ['build', '--isolation', 'chroot'];

/** What the checks need of the machine, and nothing of the project. @throws Error when it lacks something */
function probe(dir: string, buildah: Buildah, base: string): void {
  const context = join(dir, 'probe');
  mkdirSync(context);
  writeFileSync(
    join(context, 'Containerfile'),
    `ARG BASE=none
FROM \${BASE} AS build
COPY Containerfile /
RUN --mount=type=cache,target=/var/cache/npm npm view --cache=/var/cache/npm semver version
FROM \${BASE}
COPY --from=build /Containerfile /probe/
USER ${USER}
`,
  );
  const pulling = pull ? [] : ['--pull-never'];
  const tag = 'localhost/leasekeeper-check-probe';
  const file = join(context, 'Containerfile');
  buildah([...BUILD, ...pulling, '--build-arg', `BASE=${base}`, '-f', file, '-t', tag, context], 180);
  buildah(['inspect', '--type', 'image', tag]);
  using mounts = new Mounts();
  const image = buildah(['mount', buildah(['from', '--pull-never', tag])]);
  mounts.readOnly(image, join(dir, 'probe-root'));
  must('chroot', [`--userspec=${USER}`, join(dir, 'probe-root'), '/bin/sh', '-c', ': < /probe/Containerfile']);
}

class Mounts implements Disposable {
  readonly #mounted: string[] = [];

  mount(...args: string[]): void {
    must('mount', args);
    this.#mounted.push(args.at(-1)!);
  }

  /** An image's files as its root, with what any runtime gives it. */
  readOnly(image: string, root: string): void {
    for (const to of [root, join(image, 'proc'), join(image, 'shared')]) mkdirSync(to, { recursive: true });
    this.mount('--bind', image, root);
    must('mount', ['-o', 'remount,bind,ro', root]);
    this.mount('-t', 'proc', '-o', 'ro', 'proc', join(root, 'proc'));
    this.mount('-t', 'tmpfs', '-o', 'mode=0777', 'tmpfs', join(root, 'shared'));
  }

  [Symbol.dispose](): void {
    // One that is busy goes when it can: nothing may be removed through it.
    for (const path of this.#mounted.reverse())
      if (spawnSync('umount', [path]).status !== 0) spawnSync('umount', ['-l', path]);
  }
}

/** The Dockerfile of docs/deploy.md, upon what was built. */
function ownImage(dir: string, buildah: Buildah, tag: string, base: string): string {
  const [, dockerfile = ''] =
    /```dockerfile\n([^]*?)```/.exec(readFileSync(join(ROOT, 'docs/deploy.md'), 'utf8')) ?? [];
  const written = dockerfile
    .replace('docker.io/library/node:24-trixie-slim', base)
    .replace(`REGISTRY/leasekeeper:${version}`, tag);
  const context = join(dir, 'own');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), written);
  writeFileSync(join(context, 'my-job.js'), ORPHAN);
  const own = 'localhost/leasekeeper-check-own';
  buildah(
    [...BUILD, ...(pull ? [] : ['--pull-never']), '-f', join(context, 'Dockerfile'), '-t', own, context],
    BUILD_S,
  );
  return own;
}

/** A job that leaves a process behind, whose parent has ended. */
const ORPHAN = `
const { execFileSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const pid = execFileSync('/bin/sh', ['-c', 'node -e 0 > /shared/log & echo $!'], { encoding: 'utf8' }).trim();
const end = performance.now() + 30_000;
const look = () => {
  if (!existsSync('/proc/' + pid)) return console.log('the orphan ' + pid + ' was reaped');
  if (performance.now() > end) throw new Error('nobody reaped the orphan ' + pid);
  setTimeout(look, 100);
};
look();
`;

const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

const NODE_IMAGE = 'docker.io/library/node:24-trixie-slim';

/** Those that deploy/Containerfile names. */
const baseImages = (): string[] =>
  [...readFileSync(join(ROOT, 'deploy/Containerfile'), 'utf8').matchAll(/^ARG \w+_IMAGE=(\S+)/gm)].map(
    ([, name]) => name!,
  );

interface Inspected {
  readonly OCIv1: {
    readonly config: {
      readonly User: string;
      readonly Entrypoint: string[];
      readonly Labels: Record<string, string>;
      readonly Env: string[];
    };
  };
}

/** Of its endpoints, as its log says. @throws Error before it does */
function urlIn(output: string): string {
  const [, url] = /\burl=(http:\S+)/.exec(output) ?? [];
  if (url === undefined) throw new Error('it does not listen yet');
  return url;
}

/** Why a process 1 of its own cannot be tried here. */
function reaping(dir: string): string | undefined {
  if (!pull && !existsSync(join(dir, 'build/stand-in/tini'))) return 'there is no tini, and apt-get has none';
  const { status } = spawnSync('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', 'true']);
  return status === 0 ? undefined : 'unshare can make no process 1';
}

const say = (what: string): void => console.log(`ok: ${what}`);

/** Runs it until it writes what is looked for, and ends it, or waits for its end. @returns all that it wrote */
async function until(
  argv: readonly string[],
  what: RegExp | ((output: string) => Promise<boolean>),
  end = true,
): Promise<string> {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env: {} });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  let closed = false;
  const ended = new Promise<number | null>((resolve) =>
    child.once('close', (code) => {
      closed = true;
      resolve(code);
    }),
  );
  const bound = performance.now() + WAIT_MS;
  const seen = async (): Promise<boolean> =>
    what instanceof RegExp ? what.test(output) : await what(output).catch(() => false);
  while (!(await seen())) {
    if (performance.now() > bound || closed) {
      child.kill('SIGKILL');
      throw new Error(`${argv.join(' ')} did not show ${String(what)}:\n${output}`);
    }
    await setTimeout(100);
  }
  if (end) child.kill('SIGTERM');
  AbortSignal.timeout(WAIT_MS).addEventListener('abort', () => child.kill('SIGKILL'));
  const code = await ended;
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}:\n${output}`);
  return output;
}

async function check(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-image-'));
  const storage = ['--storage-driver', 'vfs', '--root', join(dir, 'storage'), '--runroot', join(dir, 'run')];
  const buildah: Buildah = (args, seconds) => must('buildah', [...storage, ...args], seconds);
  try {
    let bases: Readonly<Record<string, string>> = {};
    try {
      if (pull) for (const name of baseImages()) buildah(['pull', name], BUILD_S);
      else bases = standIns(dir, (...args) => buildah(args));
      probe(dir, buildah, bases['BUILD_IMAGE'] ?? NODE_IMAGE);
    } catch (error) {
      throw new Lacking((error as Error).message);
    }
    const buildArgs = Object.entries(bases).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
    const tag = `localhost/leasekeeper:${version}`;
    const pulling = pull ? [] : ['--pull-never'];
    buildah([...BUILD, ...pulling, ...buildArgs, '-f', 'deploy/Containerfile', '-t', tag, '.'], BUILD_S);
    say(`deploy/Containerfile builds${pull ? '' : ', with stand-ins for its base images'}`);

    const { OCIv1 } = JSON.parse(buildah(['inspect', '--type', 'image', tag])) as Inspected;
    const { User: user, Entrypoint: entry, Labels: labels } = OCIv1.config;
    if (user !== USER || labels['org.opencontainers.image.version'] !== version)
      throw new Error(JSON.stringify(OCIv1.config));
    say(`user ${user}, version ${version} in its labels`);

    const container = buildah(['from', '--pull-never', tag]);
    const image = buildah(['mount', container]);
    const size = (path: string): number => Number(must('du', ['-sk', path]).split('\t')[0]);
    say(
      `leasekeeper is ${(size(join(image, 'leasekeeper')) / 1024).toFixed(1)} MiB of ${(size(image) / 1024).toFixed(0)}: the rest is Node.js and its libraries`,
    );

    const root = join(dir, 'root');
    const server = await startEmbeddedServer();
    using mounts = new Mounts();
    try {
      // The kubeconfig where a pod would mount it.
      mkdirSync(join(image, 'config'));
      writeFileSync(join(image, 'config/kubeconfig'), server.kubeconfig(), { mode: 0o444 });
      mounts.readOnly(image, root);
      const chroot = lookup('chroot')!;
      const run = (...args: string[]): string[] => [
        chroot,
        `--userspec=${user}`,
        root,
        ...entry,
        ...args,
        '--kubeconfig=/config/kubeconfig',
      ];

      const written = spawnSync(
        'chroot',
        [`--userspec=${user}`, root, entry[0]!, '-e', "require('node:fs').writeFileSync('/leasekeeper/x', '')"],
        { encoding: 'utf8' },
      );
      if (!/EROFS/.test(written.stderr)) throw new Error(`its root is not read-only: ${written.stderr}`);
      await until(run('publish', '--hostname-override=a'), /created the lease/);
      say(`publish runs as ${user} on a read-only root`);
      await until(run('serve', '--http-address=127.0.0.1:0'), async (output) => {
        const answer = await fetch(`${urlIn(output)}/v1/count`);
        return answer.status === 200 && /"instances":\s*1\b/.test(await answer.text());
      });
      say('serve counts');
      await until(run('sweep', '--confirm-after=1s'), /pass done|pass /i);
      say('sweep passes');
      const command = ['--', entry[0]!, '-e', 'process.exit(0)'];
      await until([...run('elect', '--lease=default/check'), ...command], /exit code 0[^]*released the lease/, false);
      say('elect runs a command');
      await until(run('elect', '--lease=default/check', '--http=127.0.0.1:0'), async (output) => {
        const answer = await fetch(`${urlIn(output)}/leader`);
        return answer.status === 200;
      });
      say('elect without a command leads, and says so at /leader');

      // As docs/deploy.md brings it into a pod of somebody's own: an init container copies it.
      const copy = "require('node:fs').cpSync('/leasekeeper', '/shared', { recursive: true })";
      must(chroot, [`--userspec=${user}`, root, entry[0]!, '-e', copy]);
      const copied = must(chroot, [`--userspec=${user}`, root, entry[0]!, '/shared/dist/cli.js', '--version']);
      if (copied !== version) throw new Error(`the copy says ${copied}`);
      say('copied into a shared folder, it runs there');

      const lacking = reaping(dir);
      if (lacking !== undefined) {
        console.log(`skipped: the Dockerfile of docs/deploy.md: ${lacking}`);
        return;
      }
      const base = bases['BUILD_IMAGE'] ?? NODE_IMAGE;
      const ownTag = ownImage(dir, buildah, tag, base);
      say('the Dockerfile of docs/deploy.md builds');
      const ownFiles = buildah(['mount', buildah(['from', '--pull-never', ownTag])]);
      const { OCIv1: ownImageOf } = JSON.parse(buildah(['inspect', '--type', 'image', ownTag])) as Inspected;
      mkdirSync(join(ownFiles, 'config'));
      writeFileSync(join(ownFiles, 'config/kubeconfig'), server.kubeconfig(), { mode: 0o444 });
      const ownRoot = join(dir, 'own-root');
      mounts.readOnly(ownFiles, ownRoot);
      const { User: ownUser, Entrypoint: ownEntry, Env: env } = ownImageOf.config;
      const first = [lookup('unshare')!, '--pid', '--fork', '--kill-child', `--mount-proc=${join(ownRoot, 'proc')}`];
      const asUser = [chroot, `--userspec=${ownUser}:${ownUser}`, ownRoot];
      const own = ['/usr/bin/env', '-i', ...env, 'KUBECONFIG=/config/kubeconfig', ...ownEntry];
      // It ends by itself, and unshare takes no SIGTERM.
      await until([...first, ...asUser, ...own], /the orphan \d+ was reaped/, false);
      say('as process 1 it runs its job, and reaps what the job left behind');
    } finally {
      await server.close();
    }
  } finally {
    spawnSync('buildah', [...storage, 'umount', '--all']);
    try {
      rmSync(dir, { recursive: true, force: true });
    } catch (error) {
      console.log(`${dir} stays: ${(error as Error).message}`);
    }
  }
}

let lacking = cannot();
try {
  if (lacking === undefined) await check();
} catch (error) {
  if (!(error instanceof Lacking)) throw error;
  lacking = error.message;
}
if (lacking !== undefined) {
  console.log(`skipped: the image: ${lacking}`);
  if (process.argv.includes('--must')) process.exitCode = 1;
}
