/**
 * Each import rule of .dependency-cruiser.js fails on a tree that breaks it, and lets through what it should.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { cruise } from 'dependency-cruiser';
import type { ICruiseResult, IForbiddenRuleType } from 'dependency-cruiser';
// @ts-expect-error: plain JavaScript, without declarations
import untypedConfiguration from '../../.dependency-cruiser.js';

const configuration = untypedConfiguration as {
  forbidden: (IForbiddenRuleType & { name: string })[];
  options: Record<string, unknown>;
};

/** [rule, file, its text]: the rule, and no other, must be reported for the file. */
const violations: [string, string, string][] = [
  ['lease-imports', 'src/lease/bad.ts', `import '../runtime/b.ts';`],
  ['features-imports', 'src/features/bad.ts', `import '../lease/b.ts';`],
  ['runtime-imports', 'src/runtime/bad.ts', `import '../features/b.ts';`],
  ['identity-imports', 'src/identity/bad.ts', `import '../sweep/b.ts';`],
  ['identity-imports', 'src/identity/bad-type.ts', `import type { T } from '../census/b.ts'; export type U = T;`],
  ['identity-imports', 'src/identity/bad-inline.ts', `export type U = import('../census/b.ts').T;`],
  ['sweep-imports', 'src/sweep/bad.ts', `import '../kube/b.ts';`],
  ['sweep-imports', 'src/sweep/bad-lazy.ts', `export const later = () => import('../kube/b.ts');`],
  ['census-imports', 'src/census/bad.ts', `export * from '../identity/b.ts';`],
  ['election-imports', 'src/election/bad.ts', `import '../features/b.ts';`],
  ['heartbeat-imports', 'src/heartbeat/bad.ts', `import '../election/b.ts';`],
  ['availability-imports', 'src/availability/bad.ts', `import '../heartbeat/b.ts';`],
  ['recipes-imports', 'src/recipes/bad.ts', `import '../kube/b.ts';`],
  ['guard-imports', 'src/guard/bad.ts', `import '../election/b.ts';`],
  ['adapters-imports', 'src/adapters/bad.ts', `import '../commands/b.ts';`],
  [
    'adapters-imports-types-only',
    'src/adapters/bad-code.ts',
    `import { b } from '../election/b.ts'; export const c = b;`,
  ],
  ['leases-imports', 'src/leases.ts', `import './commands/b.ts';`],
  ['kube-imports', 'src/kube/bad.ts', `import '../embedded/b.ts';`],
  ['embedded-imports', 'src/embedded/bad.ts', `import '../kube/b.ts';`],
  ['embedded-imports', 'src/embedded/bad-type.ts', `import type { T } from '../kube/b.ts'; export type U = T;`],
  ['embedded-imports-types-only', 'src/embedded/bad-code.ts', `import { b } from '../lease/b.ts'; export const c = b;`],
  ['config-imports', 'src/config/bad.ts', `import '../commands/b.ts';`],
  ['observe-imports', 'src/observe/bad.ts', `import '../kube/b.ts';`],
  ['http-imports', 'src/http/bad.ts', `import '../observe/b.ts';`],
  ['commands-imports', 'src/commands/bad.ts', `import '../testing.ts';`],
  ['version-imports', 'src/version.ts', `import './lease/b.ts';`],
  ['cli-imports', 'src/cli.ts', `export const later = () => import('./kube/b.ts');`],
  ['index-imports', 'src/index.ts', `export * from './commands/b.ts';`],
  ['testing-imports', 'src/testing.ts', `export * from './kube/b.ts';`],
  ['listed', 'src/elsewhere/bad.ts', `import '../lease/b.ts';`],
  ['no-circles', 'src/lease/circle.ts', `import type { T } from './round.ts'; export type U = T;`],
  ['resolvable', 'src/lease/lost.ts', `import './nowhere.ts';`],
  ['src-imports-src', 'src/observe/tested.ts', `import '../../test/b.ts';`],
  ['src-imports-src', 'src/observe/scripted.ts', `import '../../scripts/b.ts';`],
  ['no-chance-in-tests', 'test/lease/by-chance.test.ts', `import fc from 'fast-check'; fc;`],
  ['src-needs-dependencies', 'src/observe/dev.ts', `import 'only-for-development';`],
  ['src-needs-dependencies', 'src/observe/unlisted.ts', `import 'installed-by-another';`],
  ['command-line-needs-packages', 'src/commands/unlisted.ts', `import 'installed-by-another';`],
  ['node-cron-in-commands', 'src/sweep/cron.ts', `import 'node-cron';`],
  ['no-client-node', 'src/kube/client.ts', `import '@kubernetes/client-node';`],
  ['no-client-node', 'src/commands/client.ts', `import type { T } from '@kubernetes/client-node'; export type U = T;`],
  ['pino-in-observe', 'src/election/log.ts', `import type { T } from 'pino'; export type U = T;`],
  ['prom-client-in-observe', 'src/http/metrics.ts', `import 'prom-client';`],
];

/** [file, its text]: nothing must be reported. */
const allowed: [string, string][] = [
  // The other half of the circle above, which is reported once.
  ['src/lease/round.ts', `import type { U } from './circle.ts'; export type T = U | 1;`],
  ['src/lease/good.ts', `import './b.ts'; import 'node:crypto';`],
  ['src/identity/good.ts', `import './b.ts'; import '../lease/b.ts'; import '../runtime/b.ts';`],
  ['src/kube/good.ts', `import '../lease/b.ts'; import '../runtime/b.ts';`],
  ['src/embedded/good.ts', `import type { T } from '../lease/b.ts'; export type U = T;`],
  ['src/config/good.ts', `import '../identity/b.ts'; import '../features/b.ts';`],
  [
    'src/observe/good.ts',
    `import type { T } from '../identity/b.ts'; import 'pino'; import 'prom-client'; export type U = T;`,
  ],
  [
    'src/commands/good.ts',
    `import '../kube/b.ts'; import '../embedded/b.ts'; import '../config/b.ts'; import 'node-cron'; import 'only-for-development';`,
  ],
  ['test/support/fast-check.ts', `export { default } from 'fast-check';`],
  ['test/good.ts', `import '../src/kube/b.ts'; import '../src/embedded/b.ts'; import 'only-for-development';`],
];

const folders =
  'lease features runtime identity sweep census election heartbeat kube embedded config observe http commands';

let tree: string;
/** "rule file" of every violation found. */
let found: Set<string>;

before(async () => {
  tree = await mkdtemp(join(tmpdir(), 'leasekeeper-imports-'));
  const files = new Map<string, string>();
  for (const folder of folders.split(' ')) files.set(`src/${folder}/b.ts`, 'export const b = 1; export type T = 1;');
  for (const folder of ['test', 'scripts']) files.set(`${folder}/b.ts`, 'export const b = 1;');
  const dependencies = { 'node-cron': '1', pino: '1' };
  // Of these the library may import the one that is a peer, too.
  const peerDependencies = { '@kubernetes/client-node': '1', 'prom-client': '1' };
  const devDependencies = { 'only-for-development': '1', 'fast-check': '1', ...peerDependencies };
  for (const name of [...Object.keys({ ...dependencies, ...devDependencies }), 'installed-by-another']) {
    files.set(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' }));
    files.set(`node_modules/${name}/index.js`, 'exports.b = 1;');
    files.set(`node_modules/${name}/index.d.ts`, 'export type T = 1;');
  }
  files.set(
    'package.json',
    JSON.stringify({ name: 'tree', type: 'module', dependencies, peerDependencies, devDependencies }),
  );
  for (const [, file, text] of violations) files.set(file, text);
  for (const [file, text] of allowed) files.set(file, text);
  for (const [file, text] of files) {
    await mkdir(dirname(join(tree, file)), { recursive: true });
    await writeFile(join(tree, file), text);
  }
  const { tsConfig: _, ...options } = configuration.options;
  const result = await cruise(['src', 'test', 'scripts'], {
    ...options,
    baseDir: tree,
    ruleSet: { forbidden: configuration.forbidden },
    validate: true,
  });
  const { summary } = result.output as ICruiseResult;
  found = new Set(summary.violations.map((violation) => `${violation.rule.name} ${violation.from}`));
});

after(() => rm(tree, { recursive: true, force: true }));

test('each violation is reported, by its rule', () => {
  for (const [rule, file, text] of violations) assert.ok(found.has(`${rule} ${file}`), `${rule}: ${file}: ${text}`);
});

test('nothing else is reported', () => {
  const expected = new Set(violations.map(([rule, file]) => `${rule} ${file}`));
  assert.deepEqual(
    [...found].filter((violation) => !expected.has(violation)),
    [],
  );
});

test('every rule has a tree that breaks it', () => {
  const proved = new Set(violations.map(([rule]) => rule));
  const rules = configuration.forbidden.map((rule) => rule.name);
  assert.deepEqual(
    rules.filter((rule) => !proved.has(rule)),
    [],
  );
  assert.ok(configuration.forbidden.every((rule) => rule.severity === 'error'));
});
