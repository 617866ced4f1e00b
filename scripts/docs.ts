/**
 * Writes the references in docs/, and the table of alerts in docs/deploy.md, from what they describe: the options' schema, the
 * metrics' registries, the rules of the alerts, the docstrings.
 *
 * `node scripts/docs.ts` writes them; `node scripts/docs.ts --check` writes nothing and ends with exit code 1 when one is
 * not what it would be now.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { alertsPage, alertsTable } from './docs/alerts.ts';
import { apiPages } from './docs/api.ts';
import { configurationPage } from './docs/configuration.ts';
import { metricsPage } from './docs/metrics.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const BEGIN = '<!-- alerts: made by `npm run docs` -->';
const END = '<!-- end of alerts -->';

const DEPLOY = 'docs/deploy.md';

/** docs/deploy.md, with its table of alerts as it is to be. */
async function deployPage(): Promise<string> {
  const text = await readFile(join(root, DEPLOY), 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${DEPLOY}: ${BEGIN} and ${END} are missing`);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${alertsTable()}\n\n${text.slice(end)}`;
}

/** Every generated page by its path in the project, as it is to stand there. */
async function pages(): Promise<Map<string, string>> {
  const made = new Map([
    ['docs/configuration.md', configurationPage()],
    ['docs/metrics.md', metricsPage()],
    ['docs/alerts.md', alertsPage()],
    [DEPLOY, await deployPage()],
    ...apiPages(),
  ]);
  for (const [path, text] of made) {
    const config = await resolveConfig(join(root, path));
    const wrap = path === DEPLOY ? {} : { proseWrap: 'always' as const };
    made.set(path, await format(text, { ...config, ...wrap, filepath: path }));
  }
  return made;
}

/** The pages that are not what they would be if they were written now. */
export async function stalePages(): Promise<string[]> {
  const stale: string[] = [];
  for (const [path, text] of await pages()) {
    const now = await readFile(join(root, path), 'utf8').catch(() => undefined);
    if (now !== text) stale.push(path);
  }
  return stale;
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const stale = await stalePages();
    for (const path of stale) console.error(`${path}: not as it would be made now: npm run docs`);
    if (stale.length > 0) process.exitCode = 1;
  } else {
    for (const [path, text] of await pages()) {
      await mkdir(join(root, dirname(path)), { recursive: true });
      await writeFile(join(root, path), text);
      console.log(`wrote ${path}`);
    }
  }
}
