/**
 * The licences of what a bundle holds of others: dist/THIRD-PARTY-NOTICES.
 *
 * Guarantees: every package of which the bundle holds any code is there, by name, version and licence, with the whole text
 * of its licence and of its NOTICE where it has one; a package without a licence text makes this throw.
 */
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Metafile } from 'esbuild';

export const NOTICES = 'THIRD-PARTY-NOTICES';
const TEXT = /^(licen[cs]e|copying|notice)([-.].*)?$/i;

/** The directory of the package that a bundled file is of; `undefined` for our own. */
function packageOf(input: string): string | undefined {
  // A plugin's files have its name before the path.
  const path = input.replace(/^[\w-]+:/, '');
  const [, directory] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
  return directory;
}

/** The directories of the packages of which something is in the outputs. */
export function bundledPackages(metafile: Metafile, base: string): string[] {
  const found = new Set<string>();
  for (const { inputs } of Object.values(metafile.outputs))
    for (const [input, { bytesInOutput }] of Object.entries(inputs)) {
      const directory = bytesInOutput > 0 ? packageOf(input) : undefined;
      if (directory !== undefined) found.add(resolve(base, directory));
    }
  return [...found].sort();
}

/** The text of the file. @throws Error that names every package without a licence text */
export async function thirdPartyNotices(directories: readonly string[]): Promise<string> {
  const sections: string[] = [];
  const bare: string[] = [];
  for (const directory of directories) {
    const manifest = join(directory, 'package.json');
    if (!existsSync(manifest)) throw new Error(`${directory}: no package`);
    const { name, version, license } = JSON.parse(await readFile(manifest, 'utf8')) as Record<string, string>;
    const files = (await readdir(directory)).filter((file) => TEXT.test(file)).sort();
    if (!files.some((file) => !/^notice/i.test(file))) bare.push(`${name} ${version}`);
    const texts = await Promise.all(files.map(async (file) => (await readFile(join(directory, file), 'utf8')).trim()));
    sections.push([`${name} ${version} (${license})`, '', ...texts.flatMap((text) => [text, ''])].join('\n'));
  }
  if (bare.length > 0) throw new Error(`bundled, and without a licence text: ${bare.join(', ')}`);
  const rule = `\n${'='.repeat(80)}\n\n`;
  const intro =
    'The command line of leasekeeper (dist/cli) holds code of these packages, each under its own licence.\n';
  return [intro, ...sections].join(rule);
}
