/**
 * The program and the library as they are installed, for what of the bench measures them.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { closure, sizeOf } from '../../scripts/installed.ts';
import { figure } from './figures.ts';

const root = resolve(import.meta.dirname, '../..');

export interface Built {
  readonly dist: string;
  readonly cli: string;
  end(): Promise<void>;
}

export async function buildAll(): Promise<Built> {
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-built-'));
  const dist = join(dir, 'dist');
  // As in an installed package: Node asks it what kind of module a file is.
  await writeFile(join(dir, 'package.json'), '{"type":"module"}');
  execFileSync(process.execPath, [join(root, 'scripts/build.ts'), dist], { stdio: 'inherit' });
  return { dist, cli: join(dist, 'cli.js'), end: () => rm(dir, { recursive: true, force: true }) };
}

/** What an install of it takes: as check-package counts it, but for the few pages beside dist. */
export function installedSize({ dist }: Built): string {
  const others = closure(join(root, 'package.json'));
  const megabytes = [dist, ...others].reduce((sum, directory) => sum + sizeOf(directory), 0) / 1e6;
  figure('installed', { values: [megabytes], beside: `${others.size + 1} packages` });
  return `Installed: ${megabytes.toFixed(1)} MB.`;
}
