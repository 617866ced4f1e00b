/**
 * Builds dist/ from src/:
 *
 * - the library, the entries of package.json's `exports` with what they share in `lib/`, its names kept, its dependencies left to
 *   the package manager, with declarations (`*.d.ts`, laid out as src/ is);
 * - the command line, `cli.js` (a tiny entry that any Node can parse) and `cli/` (one chunk a command, dependencies
 *   included and minified: a cold start reads one small file instead of hundreds), and the licences of those dependencies.
 *
 * `node scripts/build.ts [directory]`; the directory, dist/ by default, is emptied first. Exit code 1 when anything fails.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire, findPackageJSON, isBuiltin } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import type { BuildOptions, Plugin } from 'esbuild';
import { NOTICES, bundledPackages, thirdPartyNotices } from './notices.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The floor of package.json's `engines`. */
const TARGET = 'node22.19';

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: TARGET,
  // V8 keeps a text of ASCII in half the memory, and reads it sooner.
  charset: 'ascii',
  logLevel: 'warning',
};

const LIBRARY = 'src/index.ts';

/**
 * What the entries of the library and what it loads later have in common would be split by who needs it, into a dozen files,
 * each of which takes half a millisecond to look for and load. Each of them imports the library: then it is one file.
 */
const sharedAsOne: Plugin = {
  name: 'the library is one file',
  setup(plugin) {
    plugin.onResolve({ filter: /^(\.|src\/)/ }, ({ path, kind, resolveDir }) =>
      (kind === 'entry-point' && path !== LIBRARY) || kind === 'dynamic-import'
        ? { path: resolve(resolveDir, path), namespace: 'with-library' }
        : undefined,
    );
    plugin.onLoad({ filter: /.*/, namespace: 'with-library' }, ({ path }) => ({
      contents: `import ${JSON.stringify(join(root, LIBRARY))};\nexport * from ${JSON.stringify(path)};`,
      resolveDir: root,
    }));
  },
};

/** The library: ES modules whose dependencies stay imports. */
export async function buildLibrary(outdir: string): Promise<void> {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { exports: object };
  const built = Object.values(exports).flatMap((entry: string | { default: string }) =>
    typeof entry === 'string' ? [] : [entry.default.replace(/^\.\/dist\/(.*)\.js$/, '$1')],
  );
  await build({
    ...common,
    entryPoints: Object.fromEntries(built.map((name) => [name, `src/${name}.ts`])),
    outdir,
    splitting: true,
    packages: 'external',
    chunkNames: 'lib/[name]-[hash]',
    // Indentation is a quarter of what V8 reads. Names stay, and lines short enough for a stack trace.
    minifyWhitespace: true,
    lineLimit: 120,
    // Of node:crypto alone an import takes as long as half of Node's start.
    plugins: [sharedAsOne, builtinsAsObjects, versionAlone],
  });
}

/** The library's declarations. */
export function buildDeclarations(outdir: string): void {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', outdir], {
    cwd: root,
    stdio: 'inherit',
  });
}

/** undici's Client without the rest of undici (fetch, caches, mocks), which costs 40 ms of CPU at each start. */
const undiciClientAlone: Plugin = {
  name: 'of undici its Client alone',
  setup(plugin) {
    plugin.onResolve({ filter: /^undici$/ }, () => ({ path: 'client', namespace: 'undici' }));
    plugin.onLoad({ filter: /.*/, namespace: 'undici' }, () => ({
      contents: `export { default as Client } from 'undici/lib/dispatcher/client.js';`,
      resolveDir: root,
    }));
  },
};

/**
 * What packages load at once and we hardly or never reach, which costs time and memory at each start: undici's HTTP/2 (and
 * through it node:http2, 4 MB) comes when a server speaks it; undici's experimental second parser and pino's worker
 * threads never.
 */
const LOADED_LESS: readonly [importer: RegExp, path: RegExp, contents: (path: string) => string][] = [
  [
    /[/\\]undici[/\\]lib[/\\]dispatcher[/\\]/,
    /^\.\/client-h2\.js$/,
    (path) => `module.exports = (...args) => require(${JSON.stringify(path)})(...args);`,
  ],
  [
    /[/\\]undici[/\\]lib[/\\]dispatcher[/\\]/,
    /^\.\/parser-h1\.js$/,
    () => 'module.exports = { getMiloEnabled: () => false };',
  ],
  [
    /[/\\]pino[/\\]lib[/\\]/,
    /^thread-stream$/,
    () => 'module.exports = class { constructor() { throw new Error("left out"); } };',
  ],
];

const loadLess: Plugin = {
  name: 'packages load less at once',
  setup(plugin) {
    plugin.onResolve(
      { filter: /^(\.\/(client-h2|parser-h1)\.js|thread-stream)$/ },
      ({ importer, path, resolveDir, kind }) => {
        const found = LOADED_LESS.find(([by, what]) => kind === 'require-call' && by.test(importer) && what.test(path));
        return found && { path: join(resolveDir, path), namespace: 'load-less', pluginData: found[2] };
      },
    );
    plugin.onLoad({ filter: /.*/, namespace: 'load-less' }, ({ path, pluginData }) => ({
      contents: (pluginData as (path: string) => string)(path),
      resolveDir: dirname(path),
    }));
  },
};

/**
 * A lazily imported CommonJS package gives the names bundled that it gives in Node. By itself esbuild gives only
 * `default`, and `(await import('yaml')).parse` would work from source and fail when built.
 */
const lazyCommonJs: Plugin = {
  name: 'lazy CommonJS packages have their names',
  setup(plugin) {
    plugin.onResolve({ filter: /^[^.]/ }, async (args) => {
      if (!/^(dynamic-import|entry-point)$/.test(args.kind) || isBuiltin(args.path)) return undefined;
      const { importer, resolveDir } = args;
      const found = await plugin.resolve(args.path, { importer, kind: 'import-statement', resolveDir });
      const manifest =
        found.errors.length === 0 && !found.external ? findPackageJSON(pathToFileURL(found.path)) : undefined;
      if (manifest === undefined || found.path.endsWith('.mjs')) return undefined;
      if (!found.path.endsWith('.cjs') && JSON.parse(await readFile(manifest, 'utf8')).type === 'module')
        return undefined;
      return { path: found.path, namespace: 'lazy-commonjs', pluginData: { resolveDir } };
    });
    plugin.onLoad({ filter: /.*/, namespace: 'lazy-commonjs' }, async ({ path, pluginData }) => {
      const module = (await import(pathToFileURL(path).href)) as object;
      const names = Object.keys(module).filter((name) => name !== 'default' && name !== 'module.exports');
      const from = JSON.stringify(path);
      return {
        contents: `import module from ${from};\nexport default module;\nexport const { ${names.join(', ')} } = module;\n`,
        resolveDir: (pluginData as { resolveDir: string }).resolveDir,
      };
    });
  },
};

/** Modules of Node that take milliseconds to load and that not every command uses: loaded when they are first used. */
const LAZY = new Set(['child_process', 'crypto', 'dns', 'fs/promises', 'http', 'https', 'net', 'os', 'tls', 'v8']);

/**
 * Node's own modules are taken as objects instead of imported. An import asks a module for every name it exports, and many
 * of those load more when they are asked: `node:process` its standard streams and crypto, `node:crypto` all of WebCrypto,
 * `node:util` worker threads. Names are looked up in a prototype, since esbuild asks the object itself for each of its own.
 */
const builtinsAsObjects: Plugin = {
  name: "Node's own modules are objects",
  setup(plugin) {
    plugin.onResolve({ filter: /^[a-z0-9_:/]+$/ }, ({ path, kind }) => {
      const name = path.replace(/^node:/, '');
      if (!isBuiltin(path)) return undefined;
      if (kind === 'dynamic-import') return { path: `node:${name}`, external: true };
      return { path: name, namespace: kind === 'require-call' ? 'builtin' : 'builtin-import' };
    });
    plugin.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('node:${path}');`,
    }));
    plugin.onLoad({ filter: /.*/, namespace: 'builtin-import' }, ({ path }) => {
      // Its properties are set as well as read: only the object itself will do.
      if (path === 'process') return { contents: 'export default process;' };
      const load = `process.getBuiltinModule('node:${path}')`;
      if (!LAZY.has(path)) {
        return {
          contents: `const module_ = ${load}; module.exports = typeof module_ === 'function' ? module_ : Object.create(module_);`,
        };
      }
      // esbuild asks each module whether it is an ES module that was converted.
      const get = `(_, name) => name === '__esModule' ? undefined : ${load}[name]`;
      return { contents: `module.exports = Object.create(new Proxy({}, { get: ${get} }));` };
    });
  },
};

/** Of package.json the program needs its version alone. */
const versionAlone: Plugin = {
  name: 'package.json is its version',
  setup(plugin) {
    plugin.onLoad({ filter: /package\.json$/ }, async ({ path }) => {
      if (path !== join(root, 'package.json')) return undefined;
      const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
      return { contents: JSON.stringify({ version }), loader: 'json' };
    });
  },
};

/** How the commands are bundled: with everything they need but Node itself. */
export const bundleOptions: BuildOptions = {
  ...common,
  splitting: true,
  minifyWhitespace: true,
  minifySyntax: true,
  // Names of classes appear in logs.
  keepNames: true,
  legalComments: 'none',
  plugins: [builtinsAsObjects, lazyCommonJs, undiciClientAlone, loadLess, versionAlone],
};

/** What all commands load only when they meet the need, under names that `short-commands.cjs` can tell. */
const SHARED: Readonly<Record<string, string>> = {
  yaml: 'yaml',
  command_texts: './src/commands/command-texts.ts',
  exec_plugin: './src/kube/auth/exec-plugin.ts',
  oidc: './src/kube/auth/oidc.ts',
  undici_client: './src/kube/wire/undici-client.ts',
};

/** `short-commands.ts` in one file: its commands inside, what is shared and every other command in files of their own. */
const shortOnly: Plugin = {
  name: 'only the short commands',
  setup(plugin) {
    plugin.onResolve({ filter: /.*/ }, ({ kind, path, importer }) => {
      if (kind !== 'dynamic-import') return undefined;
      const shared = Object.keys(SHARED).find((name) => basename(SHARED[name] ?? '') === basename(path));
      if (shared !== undefined) return { path: `./cli/${shared}.js`, external: true };
      // Its own it has imported; to the others the entry sends.
      return basename(importer) === 'commands.ts' ? { path: './cli/main.js', external: true } : undefined;
    });
  },
};

/**
 * The commands, in `cli/`, and the watchdog of `elect`, which is a process of its own and loads none of them; and the
 * licences of what they hold of others.
 */
export async function buildCommands(outdir: string): Promise<void> {
  const entryPoints = { main: 'src/commands/main.ts', ...SHARED };
  const built = [
    await build({ ...bundleOptions, entryPoints, outdir: join(outdir, 'cli'), metafile: true }),
    await build({
      ...bundleOptions,
      splitting: false,
      // They log nothing: nobody reads the name of a class or of a function.
      keepNames: false,
      minifyIdentifiers: true,
      // A script, whose value is a function: the entry keeps what V8 compiles of it, and imports for it.
      format: 'cjs',
      banner: { js: '(function (module, importFile) {' },
      footer: { js: '})' },
      entryPoints: { 'short-commands': 'src/commands/short-commands.ts' },
      outdir: join(outdir, 'cli'),
      outExtension: { '.js': '.cjs' },
      plugins: [shortOnly, ...(bundleOptions.plugins ?? [])],
      metafile: true,
    }),
    await build({
      ...bundleOptions,
      splitting: false,
      // Without Node's loader of ES modules it is 3 MB smaller.
      format: 'cjs',
      entryPoints: { watchdog: 'src/guard/watchdog.ts' },
      outdir: join(outdir, 'cli'),
      outExtension: { '.js': '.cjs' },
      metafile: true,
    }),
  ];
  const script = join(outdir, 'cli/short-commands.cjs');
  const text = (await readFile(script, 'utf8')).replaceAll('import(', 'importFile(');
  await writeFile(script, `/*${createHash('sha256').update(text).digest('hex').slice(0, 16)}*/${text}`);
  const packages = new Set(built.flatMap(({ metafile }) => bundledPackages(metafile, root)));
  await writeFile(join(outdir, NOTICES), await thirdPartyNotices([...packages].sort()));
}

/** The entry, `cli.js`: every Node since 12.20 parses it, to report there what is missing. Holds no other file of ours. */
export async function buildEntry(outdir: string): Promise<void> {
  await build({
    ...common,
    entryPoints: ['src/cli.ts'],
    outdir,
    target: 'node12.20',
    plugins: [
      {
        name: 'commands are built apart',
        setup(plugin) {
          plugin.onResolve({ filter: /^\.\/commands\/(main|short-commands)\.ts$/ }, ({ path }) => ({
            path: `./cli/${basename(path, '.ts')}.${path.includes('short') ? 'cjs' : 'js'}`,
            external: true,
          }));
        },
      },
    ],
  });
  await chmod(join(outdir, 'cli.js'), 0o755);
}

if (import.meta.main) {
  const outdir = resolve(root, process.argv[2] ?? 'dist');
  await rm(outdir, { recursive: true, force: true });
  await Promise.all([buildLibrary(outdir), buildCommands(outdir), buildEntry(outdir)]);
  buildDeclarations(outdir);
}
