/**
 * docs/api/: what the library exports, one page a capability, as the declarations that a program sees, with their docstrings.
 * Each page begins with an example of README or of a guide, where it runs as a test.
 *
 * Guarantees: every export is there, under a heading of its own; everything that an entry exports has a docstring, its
 * methods and accessors too: else this throws, with all that lack one.
 */
import { readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import manifest from '../../package.json' with { type: 'json' };

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The entries of package.json's `exports`: how they are imported, and their sources. */
const ENTRIES = Object.entries(manifest.exports).flatMap(([entry, target]) => {
  if (typeof target === 'string') return [];
  const name = entry.replace('.', manifest.name);
  return [[name, target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts')] as const];
});

interface Page {
  readonly path: string;
  readonly title: string;
  /** The document with its example, and a text that is in that block alone. */
  readonly example: readonly [document: string, text: string];
}

const page = (name: string, title: string, document: string, text: string): Page => ({
  path: `docs/api/${name}.md`,
  title,
  example: [document, text],
});

const OBSERVING = ['docs/guides/library.md', 'leaseLog('] as const;
const OPENING = page('open', 'Open a cluster', 'docs/guides/library.md', 'store.create(');
const OBSERVERS = page('observers', 'Observers', ...OBSERVING);
const HEARTBEATS = page('heartbeats', 'Node heartbeats', 'docs/guides/heartbeats.md', 'leases.heartbeat(');

/** Folders of src/ by what they are to users of the library, in the order of the pages. */
const PARTS: Readonly<Record<string, Page>> = {
  'leases.ts': OPENING,
  kube: OPENING,
  'version.ts': OPENING,
  identity: page('identity', 'Publisher', 'README.md', 'leases.publish('),
  election: page('election', 'Leader election', 'docs/guides/election.md', 'leases.lead('),
  recipes: page('recipes', 'Recipes', 'docs/guides/recipes.md', 'leases.lock('),
  census: page('census', 'Census', 'docs/guides/census.md', 'leases.takeCensus('),
  sweep: page('sweep', 'Sweeper', 'docs/guides/sweep.md', 'leases.sweeper('),
  heartbeat: HEARTBEATS,
  availability: HEARTBEATS,
  lease: page('leases', 'Leases', 'docs/guides/library.md', 'store.create('),
  observe: OBSERVERS,
  runtime: page('options', 'Clocks, observers and options', 'docs/guides/library.md', 'instanceof OptionsError'),
  features: page('features', 'Feature gates', 'docs/guides/library.md', 'defaultFeatureGates.'),
};

/** Pages of the entries beside the library's own. */
const ENTRY_PAGES: Readonly<Record<string, Page>> = {
  'leasekeeper/pino': page('pino', 'leasekeeper/pino', ...OBSERVING),
  'leasekeeper/prom-client': page('prom-client', 'leasekeeper/prom-client', ...OBSERVING),
  'leasekeeper/node-cron': page(
    'node-cron',
    'leasekeeper/node-cron',
    'docs/guides/recipes.md',
    'cron.setRunCoordinator(',
  ),
  'leasekeeper/testing': page('testing', 'leasekeeper/testing', 'docs/guides/library.md', 'startEmbeddedServer('),
};

interface Exported {
  readonly name: string;
  /** TypeScript, without bodies. */
  readonly declaration: string;
}

/** The declarations that the build emits, by the path of their source. */
function emitted(): { program: ts.Program; declarations: Map<string, ts.SourceFile> } {
  const path = join(root, 'tsconfig.build.json');
  const read = ts.getParsedCommandLineOfConfigFile(path, {}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic() {} });
  if (read === undefined) throw new Error(`${path}: cannot be read`);
  const program = ts.createProgram(read.fileNames, read.options);
  const declarations = new Map<string, ts.SourceFile>();
  program.emit(undefined, (name, text, _mark, _error, sources) => {
    const source = sources?.[0]?.fileName;
    if (source === undefined) return;
    declarations.set(resolve(source), ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true));
  });
  return { program, declarations };
}

const nameOf = (statement: ts.Statement): string[] => {
  if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map((d) => d.name.getText());
  const { name } = statement as { name?: ts.Node };
  return name === undefined ? [] : [name.getText()];
};

/** All overloads of a name, as they stand in a declaration file, with their docstrings. */
function declarationOf(file: ts.SourceFile, name: string): string {
  return file.statements
    .filter((statement) => nameOf(statement).includes(name))
    .map((statement) => {
      // The last comment is its own; one before that would be the file's.
      const comment = ts.getLeadingCommentRanges(file.text, statement.getFullStart())?.at(-1);
      return (
        file.text
          .slice(comment?.pos ?? statement.getStart(), statement.getEnd())
          .replace(/^(export|declare)\s+(?=class|interface|type|const|function|declare)/gm, '')
          .replace(/^declare\s+/gm, '')
          // What is private is nobody's business, but that a constructor is.
          .replace(/^\s*#private;\n/gm, '')
      );
    })
    .join('\n');
}

/** What lacks a docstring: the symbol, or one of its methods and accessors. */
function undocumented(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  const documented = (s: ts.Symbol): boolean =>
    s.getDocumentationComment(checker).length > 0 || s.getJsDocTags().length > 0;
  const members = [...(symbol.members?.values() ?? [])].filter(
    (member) =>
      (member.flags & (ts.SymbolFlags.Method | ts.SymbolFlags.Accessor)) !== 0 && !member.name.startsWith('#'),
  );
  const bare = members.filter((member) => !documented(member)).map((member) => `${symbol.name}.${member.name}`);
  return documented(symbol) ? bare : [symbol.name, ...bare];
}

/** The anchor that GitHub gives each heading of a page, in their order. */
function anchors(headings: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return headings.map((heading) => {
    const slug = heading
      .toLowerCase()
      .replace(/[^a-z0-9_ -]/g, '')
      .replaceAll(' ', '-');
    const n = seen.get(slug) ?? 0;
    seen.set(slug, n + 1);
    return n === 0 ? slug : `${slug}-${n}`;
  });
}

/** @throws Error unless one block of TypeScript of the document contains the text */
function exampleOf({ title, example: [document, text] }: Page): string {
  const blocks = readFileSync(join(root, document), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms);
  const found = [...blocks].filter(([block]) => block.includes(text));
  if (found.length !== 1) throw new Error(`${title}: ${document} has ${found.length} blocks with ${text}`);
  return found[0]![0];
}

const MADE = '<!-- Made by `npm run docs`; do not edit. -->';

function pageText(own: Page, introduction: string, exported: readonly Exported[]): string {
  const names = exported.map(({ name }) => name);
  const [, ...slugs] = anchors([own.title, ...names]);
  const [document] = own.example;
  return [
    MADE,
    `# ${own.title}`,
    ...(introduction === '' ? [] : [introduction]),
    exampleOf(own),
    `From [${document}](../${document.startsWith('docs/') ? document.slice(5) : `../${document}`}), where it runs as a test.`,
    names.map((name, i) => `[${name}](#${slugs[i]})`).join(', '),
    ...exported.flatMap(({ name, declaration }) => [`## ${name}`, `\`\`\`ts\n${declaration}\n\`\`\``]),
  ].join('\n\n');
}

/** The page that says which page has what. */
function contents(introduction: string, pages: ReadonlyMap<Page, readonly Exported[]>): string {
  const rows = [...pages].map(([{ path, title }, exported]) => {
    const file = path.replace('docs/api/', '');
    const names = exported.map(({ name }) => name);
    const [, ...slugs] = anchors([title, ...names]);
    return `**[${title}](${file})**: ${names.map((name, i) => `[${name}](${file}#${slugs[i]})`).join(', ')}`;
  });
  return [MADE, '# API of leasekeeper', introduction, ...rows].join('\n\n');
}

/** Each page's path and text. @throws Error that names every export without a docstring */
export function apiPages(): [path: string, text: string][] {
  const { program, declarations } = emitted();
  const checker = program.getTypeChecker();
  const missing: string[] = [];
  const pages = new Map<Page, Exported[]>([...new Set(Object.values(PARTS))].map((one) => [one, []]));
  const introductions = new Map<Page, string>();
  let introduction = '';
  for (const [name, entry] of ENTRIES) {
    const source = program.getSourceFile(join(root, entry));
    const module = source && checker.getSymbolAtLocation(source);
    if (source === undefined || module === undefined) throw new Error(`${entry}: not in the program`);
    const entryPage = ENTRY_PAGES[name];
    const [header = ''] = /\/\*\*.*?\*\//s.exec(source.text) ?? [];
    const said = header.replace(/^\s*\/?\*+[ /]?/gm, '').trim();
    if (entryPage) introductions.set(entryPage, said);
    else introduction = said;
    for (const symbol of checker.getExportsOfModule(module)) {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      missing.push(...undocumented(target, checker).map((what) => `${name}: ${what}`));
      const at = target.declarations?.[0]?.getSourceFile().fileName ?? '';
      const file = declarations.get(resolve(at));
      const folder = relative(join(root, 'src'), at).split('/')[0] ?? '';
      const own = entryPage ?? PARTS[folder];
      if (file === undefined || own === undefined) throw new Error(`${symbol.name}: PARTS has no ${folder}`);
      const declaration = declarationOf(file, target.name);
      const renamed = symbol.name === target.name ? '' : `// Exported as ${symbol.name}.\n`;
      const exported = { name: symbol.name, declaration: `${renamed}${declaration}` };
      pages.set(own, [...(pages.get(own) ?? []), exported]);
    }
  }
  if (missing.length > 0) throw new Error(`without a docstring:\n${missing.join('\n')}`);
  return [
    ['docs/api/leasekeeper.md', contents(introduction, pages)],
    ...[...pages].map(([own, exported]): [string, string] => [
      own.path,
      pageText(own, introductions.get(own) ?? '', exported),
    ]),
  ];
}
