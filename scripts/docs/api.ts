/**
 * docs/api/: what the library exports, as the declarations that a program sees, with their docstrings.
 *
 * Guarantees: every export is there, under a heading of its own; everything that an entry exports has a docstring, its
 * methods and accessors too: else this throws, with all that lack one.
 */
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import manifest from '../../package.json' with { type: 'json' };

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The entries of package.json's `exports`: how they are imported, their sources, and their pages. */
const ENTRIES = Object.entries(manifest.exports).flatMap(([entry, target]) => {
  if (typeof target === 'string') return [];
  const name = entry.replace('.', manifest.name);
  const source = target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts');
  return [[name, source, `docs/api/${name.split('/').at(-1)}.md`] as const];
});

/** Folders of src/ by what they are to users of the library, in the order of the pages. */
const PARTS: Readonly<Record<string, string>> = {
  'leases.ts': 'The door',
  adapters: 'Observers',
  observe: 'Observers',
  identity: 'Publisher',
  election: 'Leader election',
  recipes: 'Recipes',
  census: 'Census',
  sweep: 'Sweeper',
  heartbeat: 'Node heartbeats',
  availability: 'Availability of Nodes',
  lease: 'Leases',
  kube: 'A Kubernetes API',
  embedded: 'Embedded API server',
  features: 'Feature gates',
  runtime: 'Time and options',
  'version.ts': 'Version',
};

interface Exported {
  readonly name: string;
  readonly part: string;
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
    const slug = heading.toLowerCase().replaceAll(' ', '-');
    const n = seen.get(slug) ?? 0;
    seen.set(slug, n + 1);
    return n === 0 ? slug : `${slug}-${n}`;
  });
}

function page(name: string, introduction: string, exported: readonly Exported[]): string {
  const parts = [...new Set(Object.values(PARTS))]
    .map((heading) => ({ heading, own: exported.filter(({ part }) => part === heading) }))
    .filter(({ own }) => own.length > 0);
  const title = `API of ${name}`;
  const headings = [title, ...parts.flatMap(({ heading, own }) => [heading, ...own.map((one) => one.name)])];
  const links = headings.map((heading, i) => `[${heading}](#${anchors(headings)[i]})`).slice(1);
  const contents: string[] = [];
  const text: string[] = [];
  for (const { heading, own } of parts) {
    const [first = '', ...others] = links.splice(0, own.length + 1);
    contents.push(`**${first}**: ${others.join(', ')}`);
    text.push(`## ${heading}`);
    for (const one of own) text.push(`### ${one.name}`, `\`\`\`ts\n${one.declaration}\n\`\`\``);
  }
  return ['<!-- Made by `npm run docs`; do not edit. -->', `# ${title}`, introduction, ...contents, ...text].join(
    '\n\n',
  );
}

/** Each page's path and text. @throws Error that names every export without a docstring */
export function apiPages(): [path: string, text: string][] {
  const { program, declarations } = emitted();
  const checker = program.getTypeChecker();
  const missing: string[] = [];
  const pages: [string, string][] = [];
  for (const [name, entry, path] of ENTRIES) {
    const source = program.getSourceFile(join(root, entry));
    const module = source && checker.getSymbolAtLocation(source);
    if (source === undefined || module === undefined) throw new Error(`${entry}: not in the program`);
    const exported = checker.getExportsOfModule(module).map((symbol): Exported => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      missing.push(...undocumented(target, checker).map((what) => `${name}: ${what}`));
      const at = target.declarations?.[0]?.getSourceFile().fileName ?? '';
      const file = declarations.get(resolve(at));
      const folder = relative(join(root, 'src'), at).split('/')[0] ?? '';
      const part = PARTS[folder];
      if (file === undefined || part === undefined) throw new Error(`${symbol.name}: PARTS has no ${folder}`);
      const declaration = declarationOf(file, target.name);
      const renamed = symbol.name === target.name ? '' : `// Exported as ${symbol.name}.\n`;
      return { name: symbol.name, part, declaration: `${renamed}${declaration}` };
    });
    const [header = ''] = /\/\*\*.*?\*\//s.exec(source.text) ?? [];
    const introduction = header.replace(/^\s*\/?\*+[ /]?/gm, '').trim();
    pages.push([path, page(name, introduction, exported)]);
  }
  if (missing.length > 0) throw new Error(`without a docstring:\n${missing.join('\n')}`);
  return pages;
}
