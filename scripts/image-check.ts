/**
 * `npm run image-check`: builds deploy/Containerfile by buildah (chroot isolation, which needs no container runtime), and
 * runs what the image holds as its user, with its entry, on a read-only root: publish, serve, sweep, elect.
 *
 * The base images are stand-ins of this machine's own files (Node.js, npm, a shell), so that no registry of images is
 * needed; with `--pull` they are the real ones. It says why it cannot where it is not root on Linux or buildah is not there,
 * and ends with exit code 0 then; with `--must` with 1.
 */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startEmbeddedServer } from '../src/embedded/embedded-server.ts';
import { version } from '../src/version.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const USER = '65532:65532';
const WAIT_MS = 60_000;
const pull = process.argv.includes('--pull');

const lookup = (name: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((dir) => join(dir, name))
    .find(existsSync);

function must(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? (stdout + stderr).slice(-3_000)}`);
  return stdout.trim();
}

function cannot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  for (const name of ['buildah', 'chroot', 'mount', 'ldd', 'npm'])
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
  const runtime = join(dir, 'runtime');
  fileSystem(runtime, { '/nodejs/bin/node': process.execPath });
  return {
    BUILD_IMAGE: image('leasekeeper-check-build', build),
    RUNTIME_IMAGE: image('leasekeeper-check-runtime', runtime),
  };
}

const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

const say = (what: string): void => console.log(`ok: ${what}`);

/** Runs the image's entry until it writes what is looked for, and ends it. @returns all that it wrote */
async function until(argv: readonly string[], what: RegExp | (() => Promise<boolean>)): Promise<string> {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env: {} });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const end = performance.now() + WAIT_MS;
  const seen = async (): Promise<boolean> =>
    what instanceof RegExp ? what.test(output) : await what().catch(() => false);
  while (!(await seen())) {
    if (performance.now() > end || child.exitCode !== null) {
      child.kill('SIGKILL');
      throw new Error(`${argv.join(' ')} did not show ${String(what)}:\n${output}`);
    }
    await setTimeout(100);
  }
  child.kill('SIGTERM');
  const code = await ended;
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}:\n${output}`);
  return output;
}

async function check(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-image-'));
  const mounted: string[] = [];
  const buildah = (...args: string[]): string =>
    must('buildah', [
      '--storage-driver',
      'vfs',
      '--root',
      join(dir, 'storage'),
      '--runroot',
      join(dir, 'run'),
      ...args,
    ]);
  const mount = (...args: string[]): void => {
    must('mount', args);
    if (!mounted.includes(args.at(-1)!)) mounted.push(args.at(-1)!);
  };
  try {
    const bases = pull ? {} : standIns(dir, buildah);
    const buildArgs = Object.entries(bases).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
    const tag = `localhost/leasekeeper:${version}`;
    buildah(
      'build',
      '--isolation',
      'chroot',
      ...(pull ? [] : ['--pull-never']),
      ...buildArgs,
      '-f',
      'deploy/Containerfile',
      '-t',
      tag,
      '.',
    );
    say(`deploy/Containerfile builds${pull ? '' : ', with stand-ins for its base images'}`);

    const { OCIv1 } = JSON.parse(buildah('inspect', '--type', 'image', tag)) as {
      OCIv1: { config: { User: string; Entrypoint: string[]; Labels: Record<string, string> } };
    };
    const { User: user, Entrypoint: entry, Labels: labels } = OCIv1.config;
    if (user !== USER || labels['org.opencontainers.image.version'] !== version)
      throw new Error(JSON.stringify(OCIv1.config));
    say(`user ${user}, version ${version} in its labels`);

    const container = buildah('from', '--pull-never', tag);
    const image = buildah('mount', container);
    const size = (path: string): number => Number(must('du', ['-sk', path]).split('\t')[0]);
    say(
      `leasekeeper is ${(size(join(image, 'leasekeeper')) / 1024).toFixed(1)} MiB of ${(size(image) / 1024).toFixed(0)}: the rest is Node.js and its libraries`,
    );

    const root = join(dir, 'root');
    mkdirSync(root);
    const server = await startEmbeddedServer();
    try {
      // The kubeconfig where a pod would mount it; /proc as any runtime gives it.
      mkdirSync(join(image, 'config'));
      writeFileSync(join(image, 'config/kubeconfig'), server.kubeconfig(), { mode: 0o444 });
      mkdirSync(join(image, 'proc'), { recursive: true });
      mkdirSync(join(image, 'shared'));
      mount('--bind', image, root);
      mount('-o', 'remount,bind,ro', root);
      mount('-t', 'proc', '-o', 'ro', 'proc', join(root, 'proc'));
      mount('-t', 'tmpfs', '-o', 'mode=0777', 'tmpfs', join(root, 'shared'));
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
      const port = 20_000 + (process.pid % 20_000);
      await until(run('serve', `--http-address=127.0.0.1:${port}`), async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/v1/count`);
        return answer.status === 200 && /"instances":\s*1\b/.test(await answer.text());
      });
      say('serve counts');
      await until(run('sweep', '--confirm-after=1s'), /pass done|pass /i);
      say('sweep passes');
      const command = ['--', entry[0]!, '-e', 'process.exit(0)'];
      await until([...run('elect', '--lease=default/check'), ...command], /exit code 0[^]*released the lease/);
      say('elect runs a command');
      await until(run('elect', '--lease=default/check', `--http=127.0.0.1:${port}`), async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/leader`);
        return answer.status === 200;
      });
      say('elect without a command leads, and says so at /leader');

      // As docs/deploy.md brings it into a pod of somebody's own: an init container copies it.
      const copy = "require('node:fs').cpSync('/leasekeeper', '/shared', { recursive: true })";
      must(chroot, [`--userspec=${user}`, root, entry[0]!, '-e', copy]);
      const copied = must(chroot, [`--userspec=${user}`, root, entry[0]!, '/shared/dist/cli.js', '--version']);
      if (copied !== version) throw new Error(`the copy says ${copied}`);
      say('copied into a shared folder, it runs there');
    } finally {
      await server.close();
    }
  } finally {
    for (const path of mounted.reverse()) spawnSync('umount', [path]);
    spawnSync('buildah', [
      '--storage-driver',
      'vfs',
      '--root',
      join(dir, 'storage'),
      '--runroot',
      join(dir, 'run'),
      'umount',
      '--all',
    ]);
    rmSync(dir, { recursive: true, force: true });
  }
}

const reason = cannot();
if (reason !== undefined) {
  console.log(`skipped: the image: ${reason}`);
  if (process.argv.includes('--must')) process.exitCode = 1;
} else await check();
