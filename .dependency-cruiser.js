/**
 * Who may import whom, in src/. Each folder lists what it may import of ours; everything else is a violation, and a new
 * folder is one until it is listed here. Type-only imports count as any other, but for `embedded`.
 *
 * test/project/imports.test.ts proves of every rule here that it can fail.
 *
 * @type {Record<string, readonly string[]>}
 */
const capabilities = ['identity', 'sweep', 'census', 'election', 'heartbeat', 'availability'];

/** Folder or file of src/ → what else of src/ it may import. */
const MAY_IMPORT = {
  lease: [],
  features: [],
  runtime: ['lease'],
  ...Object.fromEntries(capabilities.map((capability) => [capability, ['lease', 'runtime']])),
  // What replicas need, built on the capabilities.
  recipes: ['lease', 'runtime', ...capabilities],
  kube: ['lease', 'runtime'],
  // Client and server must not share a bug: the embedded server reads and writes leases with code of its own.
  embedded: [],
  // The watchdog loads as little as it can: it stands beside every elected command.
  guard: ['runtime'],
  config: ['lease', 'runtime', 'features', ...capabilities, 'recipes'],
  observe: ['lease', 'runtime', 'features', ...capabilities, 'recipes'],
  http: ['lease', 'runtime', 'features', ...capabilities, 'recipes'],
  // Only the commands compose: they may import everything but the entries.
  commands: [
    'lease',
    'runtime',
    'features',
    ...capabilities,
    'kube',
    'recipes',
    'guard',
    'embedded',
    'config',
    'observe',
    'http',
    'version.ts',
  ],
  'version.ts': [],
  'cli.ts': ['commands'],
  // What the command line logs and measures, for a logger and a registry of the caller's: an entry of the package each.
  // The coordinator of node-cron opens the door.
  adapters: ['observe', 'runtime', 'leases.ts'],
  // The door composes, as the commands do, for programs.
  'leases.ts': ['lease', 'runtime', ...capabilities, 'recipes', 'kube', 'observe', 'adapters'],
  'index.ts': [
    'lease',
    'runtime',
    'features',
    ...capabilities,
    'recipes',
    'kube',
    'observe',
    'leases.ts',
    'version.ts',
  ],
  'testing.ts': ['lease', 'runtime', 'embedded'],
};

/** What a type-only import may name besides. */
const MAY_IMPORT_TYPES = { embedded: ['lease'], adapters: ['lease', ...capabilities, 'recipes'] };

/** Part of the command line alone, whose packages are built in. */
const BUILT_IN = ['cli.ts', 'commands', 'config', 'guard', 'http'];

/** A pattern for these folders and files of src/. */
const inSrc = (/** @type {readonly string[]} */ names) =>
  `^src/(${names.map((name) => (name.endsWith('.ts') ? `${name.replace('.', '\\.')}$` : `${name}/`)).join('|')})`;

const boundaries = Object.entries(MAY_IMPORT).flatMap(([name, others]) => {
  const types = MAY_IMPORT_TYPES[name] ?? [];
  const rule = {
    name: `${name.replace('.ts', '')}-imports`,
    comment: `src/${name} may import ${others.length === 0 ? 'nothing else of ours' : others.join(', ')}.`,
    severity: 'error',
    from: { path: inSrc([name]) },
    to: { path: '^src/', pathNot: inSrc([name, ...others, ...types]) },
  };
  if (types.length === 0) return [rule];
  return [
    rule,
    {
      ...rule,
      name: `${name}-imports-types-only`,
      comment: `src/${name} may import types of ${types.join(', ')}, but no code.`,
      to: { path: inSrc(types), dependencyTypesNot: ['type-only'] },
    },
  ];
});

/** Packages that only one folder may import, and those that services and pure code must not know. */
const packages = [
  { name: 'node-cron-in-commands', package: 'node-cron', only: ['commands'] },
  // Its KubeConfig is taken as the plain data that it is: whoever brings one has the package.
  { name: 'no-client-node', package: '@kubernetes/client-node', only: [] },
  { name: 'pino-in-observe', package: 'pino', only: ['observe'] },
  { name: 'prom-client-in-observe', package: 'prom-client', only: ['observe', 'adapters'] },
].map(({ name, package: dependency, only }) => ({
  name,
  comment: `${only.length === 0 ? 'Nothing in src/' : `Only src/${only.join(', src/')}`} may import ${dependency}.`,
  severity: 'error',
  from: { path: '^src/', ...(only.length > 0 && { pathNot: inSrc(only) }) },
  // Where node_modules is a link, the path begins elsewhere.
  to: { path: [`^${dependency}(/|$)`, `node_modules/${dependency}(/|$)`] },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'No file may need itself, through types either.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'Every import must lead to a file, a package or a module of Node.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'src-imports-src',
      comment: 'What is published must not need what is not: tests and scripts.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts)/' },
    },
    {
      name: 'no-chance-in-tests',
      comment: 'Tests take fast-check from test/support/fast-check.ts, which gives it the same seed in every run.',
      severity: 'error',
      from: { path: '^test/', pathNot: '^test/support/fast-check\\.ts$' },
      to: { path: ['^fast-check(/|$)', 'node_modules/fast-check(/|$)'] },
    },
    {
      name: 'src-needs-dependencies',
      comment:
        'What the library imports must stand in `dependencies`, or in `peerDependencies`: an installed package has nothing else.',
      severity: 'error',
      from: { path: '^src/', pathNot: inSrc(BUILT_IN) },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['npm', 'npm-peer'] },
    },
    {
      name: 'command-line-needs-packages',
      comment:
        'What the command line imports is built in, so it may be a devDependency; it must stand in package.json.',
      severity: 'error',
      from: { path: inSrc(BUILT_IN) },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'listed',
      comment: 'A new folder or file directly in src/ says in .dependency-cruiser.js what it may import.',
      severity: 'error',
      from: { path: '^src/', pathNot: inSrc(Object.keys(MAY_IMPORT)) },
      to: {},
    },
    ...boundaries,
    ...packages,
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|coverage)/' },
    moduleSystems: ['es6', 'cjs'],
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json', '.d.ts'],
    },
    skipAnalysisNotInRules: true,
  },
};
