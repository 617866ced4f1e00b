/**
 * Checks what would be published: after a build, the package holds what it must and nothing else, its program starts, and a
 * project that depends on it loads each of its entries, by `import` and by `require`, and type-checks against them. With all
 * that npm installs for it, it is no larger than MAX_INSTALLED and no more than MAX_PACKAGES.
 * publint and are-the-types-wrong find nothing in the packed tarball, for users of ES modules. Needs no network.
 *
 * `node scripts/check-package.ts`, after `npm run build`. Prints what is wrong and ends with exit code 1.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { closure, onDisk, sizeOf } from './installed.ts';
import { NOTICES } from './notices.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Bytes on disk, and packages, that an empty folder holds after an install. */
const [MAX_INSTALLED, MAX_PACKAGES] = [16_000_000, 20];
const ALLOWED = [
  /^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/,
  /^dist\/cli\.js$/,
  /^dist\/THIRD-PARTY-NOTICES$/,
  /^dist\/cli\/[\w-]+\.c?js$/,
  /^dist\/(index|testing|adapters\/[\w-]+)\.js$/,
  /^dist\/lib\/[\w-]+\.js$/,
  /^dist\/([\w-]+\/)*[\w-]+\.d\.ts$/,
];

interface Packed {
  /** Of the tarball. */
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number; readonly mode: number }[];
}

/** Packs what npm would publish of the tree as it stands. */
function pack(directory: string): Packed {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', directory];
  const answer = execFileSync('npm', args, { cwd: root, encoding: 'utf8' });
  const [packed] = Object.values(JSON.parse(answer)) as Packed[];
  if (packed === undefined) throw new Error('npm pack names no package');
  return packed;
}

async function checkFiles(packed: Packed): Promise<string[]> {
  const problems: string[] = [];
  const modes = new Map(packed.files.map(({ path, mode }) => [path, mode]));
  for (const path of modes.keys()) {
    if (!ALLOWED.some((pattern) => pattern.test(path))) problems.push(`${path}: not meant to be published`);
  }
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const programs: string[] = Object.values(manifest.bin);
  const targets: string[] = Object.values<string | object>(manifest.exports).flatMap((target) =>
    Object.values([target].flat()[0] as object),
  );
  const entries = targets.filter((target) => target.startsWith('./')).map((target) => target.slice(2));
  for (const path of [
    ...programs,
    ...entries,
    'package.json',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    `dist/${NOTICES}`,
  ]) {
    if (!modes.has(path)) problems.push(`${path}: missing in the package`);
  }
  for (const path of programs) {
    if (((modes.get(path) ?? 0) & 0o111) === 0) problems.push(`${path}: not executable`);
    const text = await readFile(join(root, path), 'utf8').catch(() => '');
    if (!text.startsWith('#!/usr/bin/env node\n')) problems.push(`${path}: does not name its interpreter`);
  }
  return problems;
}

/** What npm installs for it, itself included. */
function installed(packed: Packed): { packages: number; bytes: number } {
  const others = closure(join(root, 'package.json'));
  const own = packed.files.reduce((sum, { size }) => sum + onDisk(size), 0);
  return { packages: others.size + 1, bytes: [...others].reduce((sum, directory) => sum + sizeOf(directory), own) };
}

function checkInstalled({ packages, bytes }: { packages: number; bytes: number }): string[] {
  const problems: string[] = [];
  if (packages > MAX_PACKAGES) problems.push(`${packages} packages are installed, more than ${MAX_PACKAGES}`);
  if (bytes > MAX_INSTALLED) problems.push(`${bytes} bytes are installed, more than ${MAX_INSTALLED}`);
  return problems;
}

/** Uses the package as a project would that has it installed. */
async function checkConsumer(): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'leasekeeper-consumer-'));
  try {
    await mkdir(join(directory, 'node_modules'));
    await symlink(root, join(directory, 'node_modules', 'leasekeeper'), 'dir');
    await writeFile(join(directory, 'package.json'), '{"type":"module"}');
    const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { exports: object };
    const entries = Object.keys(exports)
      .filter((entry) => entry !== './package.json')
      .map((entry) => `leasekeeper${entry.slice(1)}`);
    // An import that resolves to nothing known would be `any`, which may be assigned to never.
    const use = `
export const known: 0 extends 1 & ${entries.map((_, i) => `typeof e${i}`).join(' & ')} ? never : true = true;
for (const entry of [${entries.map((_, i) => `e${i}`).join(', ')}])
  if (Object.keys(entry).length === 0) throw new Error('exports nothing');
`;
    const imports = entries.map((entry, i) => `import * as e${i} from '${entry}';`).join('\n');
    const requires = entries.map((entry, i) => `import e${i} = require('${entry}');`).join('\n');
    const required = `for (const entry of ${JSON.stringify(entries)}) if (Object.keys(require(entry)).length === 0) throw entry;`;
    await writeFile(join(directory, 'use.ts'), `${imports}${use}`);
    await writeFile(join(directory, 'use.cts'), `${requires}${use}`);
    await writeFile(join(directory, 'required.cjs'), required);
    const run = (...args: string[]): string | undefined => {
      try {
        execFileSync(process.execPath, args, { cwd: directory, encoding: 'utf8', stdio: 'pipe' });
        return undefined;
      } catch (error) {
        const { stdout, stderr } = error as { stdout?: string; stderr?: string };
        // Faults in the declarations of other packages are not ours to report, and most projects skip them.
        const lines = `${stdout ?? ''}${stderr ?? String(error)}`.split('\n');
        const ours = lines.filter((line) => line !== '' && !/^(\S*node_modules\/(?!leasekeeper\/)\S*\(|\s)/.test(line));
        return ours.length === 0 ? undefined : `${args.join(' ')}:\n${ours.join('\n')}`;
      }
    };
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules', '@types')];
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--skipLibCheck', 'false', ...types];
    return [
      run('use.ts'),
      run('required.cjs'),
      run(tsc, '--module', 'node16', ...options, 'use.ts'),
      run(tsc, '--module', 'node20', ...options, 'use.ts', 'use.cts'),
      run(tsc, '--module', 'nodenext', ...options, 'use.ts', 'use.cts'),
      run(tsc, '--module', 'esnext', '--moduleResolution', 'bundler', ...options, 'use.ts'),
      run(join(root, 'dist', 'cli.js'), '--version'),
    ].filter((problem) => problem !== undefined);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What publint says of the tarball; suggestions too. */
async function checkByPublint(tarball: string): Promise<string[]> {
  const data = await readFile(tarball);
  const packed = { tarball: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer };
  const { messages, pkg } = await publint({ pack: packed, strict: true });
  return messages.map((message) => `publint: ${formatMessage(message, pkg ?? {}, { color: false })}`);
}

/** Whether the types resolve for users of ES modules, under Node and under bundlers. */
function checkTypesResolve(tarball: string): string[] {
  const attw = createRequire(import.meta.url).resolve('@arethetypeswrong/cli/package.json');
  const program = join(dirname(attw), JSON.parse(readFileSync(attw, 'utf8')).bin.attw as string);
  // @types packages would be asked of the registry.
  const args = [program, tarball, '--profile', 'esm-only', '--no-definitely-typed', '--format', 'ascii', '--no-color'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return status === 0 ? [] : [`are-the-types-wrong:\n${stdout}${stderr}`];
}

/** As docs/deploy.md says it without npm: unpacked, and nothing beside it. */
function checkUnpacked(tarball: string, directory: string): string[] {
  try {
    execFileSync('tar', ['-xzf', tarball, '-C', directory]);
    const program = join(directory, 'package/dist/cli.js');
    const says = execFileSync(process.execPath, [program, '--version'], { cwd: directory, encoding: 'utf8' });
    const { version } = JSON.parse(readFileSync(join(directory, 'package/package.json'), 'utf8')) as {
      version: string;
    };
    return says === `${version}\n` ? [] : [`unpacked, it says that it is ${says}`];
  } catch (error) {
    return [`unpacked, it does not run: ${String(error)}`];
  }
}

const directory = await mkdtemp(join(tmpdir(), 'leasekeeper-packed-'));
try {
  const packed = pack(directory);
  const tarball = join(directory, packed.filename);
  const all = installed(packed);
  const problems = [
    ...(await checkFiles(packed)),
    ...checkInstalled(all),
    ...checkUnpacked(tarball, directory),
    ...(await checkConsumer()),
    ...(await checkByPublint(tarball)),
    ...checkTypesResolve(tarball),
  ];
  for (const problem of problems) console.error(`package: ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
  else {
    const [own, whole] = [packed.unpackedSize, all.bytes].map((bytes) => (bytes / 1e6).toFixed(1));
    console.log(
      `package: ${packed.files.length} files, ${own} MB; installed ${all.packages} packages, ${whole} MB; in order`,
    );
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
