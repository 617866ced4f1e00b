/**
 * Loads the sources with exact texts replaced, without touching a file: `node --import ./mutate.ts …` with the replacements
 * in LEASEKEEPER_MUTANT, as JSON.
 *
 * A text that is not found exactly once stops the program: a change of the sources must not make a mutant harmless
 * unnoticed.
 */
import { registerHooks } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { mutated } from './mutation.ts';
import type { Replacement } from './mutation.ts';

const root = resolve(import.meta.dirname, '../..');
const replacements = JSON.parse(process.env['LEASEKEEPER_MUTANT'] ?? '[]') as readonly Replacement[];
const byUrl = Map.groupBy(replacements, ({ file }) => pathToFileURL(resolve(root, file)).href);

registerHooks({
  load(url, context, nextLoad) {
    const changes = byUrl.get(url);
    const loaded = nextLoad(url, context);
    if (!changes) return loaded;
    const source = Buffer.from(loaded.source as Uint8Array).toString('utf8');
    return { ...loaded, source: mutated(fileURLToPath(url), source, changes) };
  },
});
