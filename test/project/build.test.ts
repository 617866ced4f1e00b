/**
 * What bundling must not change, and what the file of the short commands holds. Bundled, a lazily imported package gives the same names as from source, whichever module system it uses.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { buildCommands, bundleOptions } from '../../scripts/build.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('lazy imports of CommonJS and ES packages have their names', async (t) => {
  const outdir = await mkdtemp(join(tmpdir(), 'leasekeeper-build-'));
  t.after(() => rm(outdir, { recursive: true, force: true }));
  const contents = `
    export const yaml = async () => (await import('yaml')).parse('a: 1');
    export const pino = async () => Object.keys(await import('pino')).includes('pino') && (await import('pino')).default;
    export const node = async () => (await import('node:os')).EOL;
  `;
  await build({ ...bundleOptions, stdin: { contents, resolveDir: root, sourcefile: 'lazy.js' }, outdir });
  const built = (await import(pathToFileURL(join(outdir, 'stdin.js')).href)) as Record<string, () => Promise<unknown>>;
  assert.deepEqual(await built['yaml']?.(), { a: 1 });
  assert.equal(typeof (await built['pino']?.()), 'function');
  assert.equal(await built['node']?.(), '\n');
});

test("Node's own modules are what they are from source, and the heavy ones are not loaded before they are used", async (t) => {
  const outdir = await mkdtemp(join(tmpdir(), 'leasekeeper-build-'));
  t.after(() => rm(outdir, { recursive: true, force: true }));
  const contents = `
    import process from 'node:process';
    import { EventEmitter } from 'node:events';
    import * as path from 'node:path';
    import net, { Socket } from 'node:net';
    import { sign, createHash } from 'node:crypto';
    import { performance } from 'node:perf_hooks';
    const loaded = () => process.moduleLoadList.includes('NativeModule crypto');
    const before = loaded();
    process.exitCode = 3;
    class Child extends EventEmitter {}
    console.log(JSON.stringify([before, createHash('sha256').update('a').digest('hex').slice(0, 4), loaded(), typeof sign,
      new net.Socket() instanceof Socket, new Child() instanceof EventEmitter, path.basename('a/b'), performance.now() > 0]));
  `;
  await build({ ...bundleOptions, stdin: { contents, resolveDir: root, sourcefile: 'own.js' }, outdir });
  await writeFile(join(outdir, 'package.json'), '{"type":"module"}');
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(outdir, 'stdin.js')], { encoding: 'utf8' });
  assert.equal(stderr, '');
  assert.deepEqual(JSON.parse(stdout), [false, 'ca97', true, 'function', true, true, 'b', true]);
  assert.equal(status, 3);
});

test('the short commands are one file without undici, YAML and plugins, and name only files that are there', async (t) => {
  const outdir = await mkdtemp(join(tmpdir(), 'leasekeeper-build-'));
  t.after(() => rm(outdir, { recursive: true, force: true }));
  await buildCommands(outdir);
  const text = await readFile(join(outdir, 'cli/short-commands.cjs'), 'utf8');
  assert.doesNotMatch(text, /llhttp|WebAssembly|\bimport\b/);
  const named = new Set([...text.matchAll(/importFile\("(.*?)"\)/g)].map(([, name]) => name ?? ''));
  assert.deepEqual([...named].toSorted(), [
    './cli/command_texts.js',
    './cli/exec_plugin.js',
    './cli/main.js',
    './cli/oidc.js',
    './cli/undici_client.js',
    './cli/yaml.js',
  ]);
  for (const name of named) assert.ok(existsSync(join(outdir, name)), name);
  assert.ok(text.length < 250_000, String(text.length));
});
