/**
 * Part of `npm run lint`: words that are gone from every text that a user can meet, which are the documents and the strings of
 * src/ (help, errors, logs, probes, Events, metrics), and from docstrings, comments and names of src/, test/, scripts/ and deploy/.
 * Each with what stands in its place.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The word, and names that have it as a part: `told`, `toldOnce`, `isTold`, `TOLD_MS`. */
const part = (word: string): RegExp => {
  const capital = word.replace(/^./, (first) => first.toUpperCase());
  return new RegExp(`\\b${word}(?![a-z])|${capital}(?![a-z])|(?<![A-Z])${word.toUpperCase()}(?![A-Z])`);
};

const GONE: readonly (readonly [word: RegExp, instead: string])[] = [
  [part('told'), 'reported'],
  [part('wish'), 'desired'],
  [part('wishes'), 'desired'],
  [part('sight'), 'observation'],
  [/\bsight(ings?|ed|s)\b/i, 'observation'],
  [part('reign'), 'term'],
  [part('tenure'), 'term'],
  [part('anew'), 'again; recreated'],
  [/\bwhoever\b/i, 'anyone who'],
  [/\blonger than nothing\b/i, 'greater than 0'],
  [/\brather\b.{0,60}\bthan that\b/i, 'a positive sentence'],
  [/\b(is|are) no choice\b/i, 'cannot be used'],
  [/\bhas no place beside\b/i, 'cannot be used with'],
  [/\bin vain\b/i, 'without success'],
  [/\bin whatever (?!order\b)/i, 'in any'],
  // One word for one thing.
  [/\bcertificates? (has |have )?(ends?|ended)\b/i, 'expires'],
  [/\b(is|are|be|was|were|kept: \d+) not expired\b/i, 'unexpired'],
];

/** In documents alone, of which those that are generated hold the help of options and metrics. */
const GONE_FROM_DOCUMENTS: typeof GONE = [
  [/\bheed(s|ed)?\b/i, 'obey; follow'],
  [/\bcease[sd]?\b/i, 'stop'],
  [/\bof late\b/i, 'lately'],
  [/\ba mere\b|\bmerely\b/i, 'only'],
  [/\bshall\b/i, 'must; will'],
  [/\b(befalls?|befell|whence|thereof|lest)\b/i, 'a plain word'],
  [/\bmade new\b/i, 'recreated'],
];

interface Text {
  readonly where: string;
  readonly text: string;
}

/** Generated from docstrings, which are read in src/. */
const NOT_READ = /^docs\/api\//;

const linesOf = (file: string): Text[] =>
  readFileSync(join(ROOT, file), 'utf8')
    .split('\n')
    .map((text, i) => ({ where: `${file}:${i + 1}`, text }));

function documents(): Text[] {
  const files = globSync('**/*.md', { cwd: ROOT, exclude: (name) => /(^|\/)(node_modules|dist|coverage)$/.test(name) });
  return files.filter((file) => !NOT_READ.test(file)).flatMap(linesOf);
}

/** These hold the words themselves. */
const LISTS = new Set(['scripts/check-words.ts', 'test/docs/words.test.ts']);

/** Strings, docstrings, comments and names. */
function sources(): Text[] {
  return globSync('{src,test,scripts,deploy}/**/*.{ts,yaml,sh}', {
    cwd: ROOT,
    exclude: (name) => name.endsWith('node_modules'),
  })
    .filter((file) => !LISTS.has(file))
    .flatMap(linesOf);
}

/** One line for each word that is gone and stands there. */
export function goneWords(texts: readonly Text[], gone = GONE): string[] {
  return texts.flatMap(({ where, text }) =>
    gone.flatMap(([word, instead]) => {
      const [found] = word.exec(text) ?? [];
      return found === undefined ? [] : [`${where}: "${found}": ${instead}`];
    }),
  );
}

if (import.meta.main) {
  const found = [...goneWords([...documents(), ...sources()]), ...goneWords(documents(), GONE_FROM_DOCUMENTS)];
  for (const line of found) console.error(line);
  if (found.length > 0) process.exitCode = 1;
}
