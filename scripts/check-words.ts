/**
 * Part of `npm run lint`: words that are gone from every text that a user can meet, which are the documents and the strings of
 * src/ (help, errors, logs, probes, Events, metrics), and from its docstrings, comments and names. Each with what stands in
 * its place.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const GONE: readonly (readonly [word: RegExp, instead: string])[] = [
  [/\btold\b/i, 'reported'],
  [/\bwish(es)?\b/i, 'desired'],
  [/\bwhoever\b/i, 'anyone who'],
  [/\banew\b/i, 'again; recreated'],
  [/\blonger than nothing\b/i, 'greater than 0'],
  [/\brather\b.{0,60}\bthan that\b/i, 'a positive sentence'],
  [/\b(is|are) no choice\b/i, 'cannot be used'],
  [/\b(reign|tenure)s?\b/i, 'term'],
  [/\bsight(ing|ed)?s?\b/i, 'observation'],
  [/\bin vain\b/i, 'without success'],
];

interface Text {
  readonly where: string;
  readonly text: string;
}

/** Made from docstrings, or a record of what was. */
const NOT_READ = /^(CHANGELOG\.md|docs\/api\/)/;

function documents(): Text[] {
  const files = globSync('**/*.md', { cwd: ROOT, exclude: (name) => /(^|\/)(node_modules|dist|coverage)$/.test(name) });
  return files
    .filter((file) => !NOT_READ.test(file))
    .flatMap((file) =>
      readFileSync(join(ROOT, file), 'utf8')
        .split('\n')
        .map((text, i) => ({ where: `${file}:${i + 1}`, text })),
    );
}

/** Strings, docstrings, comments and names of src/. */
function sources(): Text[] {
  return globSync('src/**/*.ts', { cwd: ROOT }).flatMap((file) =>
    readFileSync(join(ROOT, file), 'utf8')
      .split('\n')
      .map((text, i) => ({ where: `${file}:${i + 1}`, text })),
  );
}

/** One line for each word that is gone and stands there. */
export function goneWords(texts: readonly Text[]): string[] {
  return texts.flatMap(({ where, text }) =>
    GONE.flatMap(([word, instead]) => {
      const [found] = word.exec(text) ?? [];
      return found === undefined ? [] : [`${where}: "${found}": ${instead}`];
    }),
  );
}

if (import.meta.main) {
  const found = goneWords([...documents(), ...sources()]);
  for (const line of found) console.error(line);
  if (found.length > 0) process.exitCode = 1;
}
