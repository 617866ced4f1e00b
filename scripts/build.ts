/**
 * Builds dist/ from src/:
 *
 * - the library, `index.js` and `testing.js` with what they share in `lib/`, readable, its dependencies left to the
 *   package manager, with declarations (`*.d.ts`, laid out as src/ is);
 * - the command line, `cli.js` (a tiny entry that any Node can parse) and `cli/` (one chunk a command, dependencies
 *   included and minified: a cold start reads one small file instead of hundreds).
 *
 * `node scripts/build.ts [directory]`; the directory, dist/ by default, is emptied first. Exit code 1 when anything fails.
 */
import { execFileSync } from 'node:child_process';
import { chmod, readFile, rm } from 'node:fs/promises';
import { createRequire, findPackageJSON } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import type { BuildOptions, Plugin } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The floor of package.json's `engines`. */
const TARGET = 'node22.19';

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: TARGET,
  charset: 'utf8',
  logLevel: 'warning',
};

/** The library: ES modules whose dependencies stay imports. */
export async function buildLibrary(outdir: string): Promise<void> {
  await build({
    ...common,
    entryPoints: ['src/index.ts', 'src/testing.ts'],
    outdir,
    splitting: true,
    packages: 'external',
    chunkNames: 'lib/[name]-[hash]',
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

/**
 * client-node exports everything from one index and does not say that its modules may be dropped where nothing of them
 * is used; but for `polyfill.js` they may. It halves what a cold start loads: no exec, no port-forward, no API that
 * is not called.
 */
const clientNodeIsPure: Plugin = {
  name: 'client-node is pure',
  setup(plugin) {
    // Its modules name each other by file, so nothing needs to be looked for: there are thousands.
    plugin.onResolve({ filter: /^\.\.?\/.*\.js$/ }, ({ importer, path, resolveDir }) => {
      if (!/@kubernetes[/\\]client-node[/\\]/.test(importer)) return undefined;
      return { path: join(resolveDir, path), sideEffects: path.endsWith('polyfill.js') };
    });
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
      if (args.kind !== 'dynamic-import' || args.path.startsWith('node:')) return undefined;
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

/** How the commands are bundled: with everything they need but Node itself. */
export const bundleOptions: BuildOptions = {
  ...common,
  splitting: true,
  minifyWhitespace: true,
  minifySyntax: true,
  // Names of classes appear in logs.
  keepNames: true,
  legalComments: 'none',
  plugins: [lazyCommonJs, clientNodeIsPure],
  // CommonJS dependencies call require() for Node's own modules, which an ES module does not have.
  banner: {
    js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);",
  },
};

/** The commands, in `cli/`. */
export async function buildCommands(outdir: string): Promise<void> {
  await build({ ...bundleOptions, entryPoints: { main: 'src/commands/main.ts' }, outdir: join(outdir, 'cli') });
}

/** The entry, `cli.js`: every Node since 12.20 parses it, to be told there what it lacks. Holds no other file of ours. */
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
          plugin.onResolve({ filter: /^\.\/commands\/main\.ts$/ }, () => ({ path: './cli/main.js', external: true }));
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
