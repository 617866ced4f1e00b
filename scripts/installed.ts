/**
 * What an install takes on a disk.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The directories of a package's dependencies, of theirs, and so on, where they stand here. */
export function closure(manifest: string, found = new Set<string>()): Set<string> {
  const { dependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as { dependencies?: object };
  for (const name of Object.keys(dependencies)) {
    const own = findPackageJSON(name, pathToFileURL(manifest));
    if (own === undefined) throw new Error(`${manifest}: ${name} is not installed`);
    if (found.has(dirname(own))) continue;
    found.add(dirname(own));
    closure(own, found);
  }
  return found;
}

/** Bytes that a file takes on a disk, by blocks of 4096. */
export const onDisk = (bytes: number): number => Math.ceil(bytes / 4096) * 4096;

export function sizeOf(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + onDisk(statSync(join(parentPath, name)).size), 0);
}
