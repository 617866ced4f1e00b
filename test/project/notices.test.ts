/**
 * The licences of what is bundled: every package that left something in a bundle, and no other, with its whole text.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { bundledPackages, thirdPartyNotices } from '../../scripts/notices.ts';

/** Packages as npm lays them out: [path below node_modules, licence file, its text]. */
const PACKAGES = [
  ['used', 'LICENSE', 'licence of used'],
  ['@scope/used', 'licence.md', 'licence of @scope/used'],
  ['used/node_modules/nested', 'COPYING', 'licence of nested'],
  ['idle', 'LICENSE', 'licence of idle'],
  ['bare', 'README.md', 'no licence'],
] as const;

test('packages that left code in a bundle, with their licences', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'leasekeeper-notices-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const [path, file, text] of PACKAGES) {
    const at = join(directory, 'node_modules', path);
    const name = path.replace(/^.*node_modules\//, '');
    const manifest = { name, version: '1.2.3', license: 'MIT', type: 'module', main: 'index.js', sideEffects: false };
    await mkdir(at, { recursive: true });
    await writeFile(join(at, 'package.json'), JSON.stringify(manifest));
    await writeFile(join(at, file), text);
    const more = name === 'used' ? `export { value as nested } from 'nested';` : '';
    await writeFile(join(at, 'index.js'), `export const value = ${JSON.stringify(name)};${more}`);
  }
  await writeFile(join(directory, 'node_modules/used/NOTICE'), 'notice of used');
  const bundle = async (text: string): Promise<string[]> => {
    const stdin = { contents: text, resolveDir: directory };
    const { metafile } = await build({ stdin, bundle: true, write: false, metafile: true, absWorkingDir: directory });
    return bundledPackages(metafile, directory);
  };

  const used = await bundle(`
    import { value as a, nested } from 'used';
    import { value as b } from '@scope/used';
    import { value as c } from 'idle';
    console.log(a, b, nested);
  `);
  const text = await thirdPartyNotices(used);
  for (const what of ['used', '@scope/used', 'nested']) {
    assert.ok(text.includes(`\n${what} 1.2.3 (MIT)\n`), what);
    assert.ok(text.includes(`licence of ${what}\n`), what);
  }
  assert.ok(text.includes('notice of used'));
  assert.ok(!text.includes('idle'), 'what was dropped is not named');

  const bare = await bundle(`import { value } from 'bare'; console.log(value);`);
  await assert.rejects(thirdPartyNotices(bare), /without a licence text: bare 1\.2\.3/);
});
