/**
 * Bundled, a lazily imported package gives the same names as from source, whichever module system it uses.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { bundleOptions } from '../../scripts/build.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('lazy imports of CommonJS and ES packages have their names', async (t) => {
  const outdir = await mkdtemp(join(tmpdir(), 'leasekeeper-build-'));
  t.after(() => rm(outdir, { recursive: true, force: true }));
  const contents = `
    export const yaml = async () => (await import('yaml')).parse('a: 1');
    export const pino = async () => Object.keys(await import('pino')).includes('pino') && (await import('pino')).default;
    export const client = async () => new (await import('@kubernetes/client-node/dist/config.js')).KubeConfig();
    export const node = async () => (await import('node:os')).EOL;
  `;
  await build({ ...bundleOptions, stdin: { contents, resolveDir: root, sourcefile: 'lazy.js' }, outdir });
  const built = (await import(pathToFileURL(join(outdir, 'stdin.js')).href)) as Record<string, () => Promise<unknown>>;
  assert.deepEqual(await built['yaml']?.(), { a: 1 });
  assert.equal(typeof (await built['pino']?.()), 'function');
  assert.equal((await built['client']?.())?.constructor.name, 'KubeConfig');
  assert.equal(await built['node']?.(), '\n');
});
