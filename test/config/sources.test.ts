/** Four sources, one schema: which one counts, and how everything that is wrong is reported. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMMANDS, allOptions } from '../../src/commands/commands.ts';
import { PUBLISH_TABLE as TABLE } from '../../src/config/publish-flags.ts';
import { isOfAService, settable, sources, variableName } from '../../src/config/sources.ts';
import type { SourcesOptions } from '../../src/config/sources.ts';
import { problemText, readOptions } from '../../src/config/option-spec.ts';
import { SWEEP_TABLE } from '../../src/config/sweep-flags.ts';

const ALL = allOptions(COMMANDS);
const HEAD = 'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\n';

interface Given extends Partial<Pick<SourcesOptions, 'flags' | 'env'>> {
  /** The file's keys, after its head; or the whole text. */
  readonly file?: string;
  readonly whole?: string;
}

async function read({ flags = {}, env = {}, file, whole }: Given) {
  const from = sources({ table: TABLE, all: () => ALL, flags: { config: 'lk.yaml', ...flags }, env });
  const given = await from.given({ text: whole ?? HEAD + (file ?? '') });
  const { values, problems } = readOptions(TABLE, given);
  return { values, problems: problems.map(problemText), warnings: from.warnings };
}

describe('sources', () => {
  it('defaults < file < environment < flags', async () => {
    const file = 'renewInterval: 1s\nleaseDuration: 1m\nnamespace: file';
    const env = { LEASEKEEPER_RENEW_INTERVAL: '2s', LEASEKEEPER_LEASE_DURATION: '2m' };
    const { values, problems } = await read({ file, env, flags: { renewInterval: '3s' } });
    assert.deepEqual(problems, []);
    assert.equal(values.renewInterval, 3_000);
    assert.equal(values.leaseDuration, 120_000);
    assert.equal(values.namespace, 'file');
    assert.equal(values.shutdownPolicy, 'auto');
  });

  it('feature gates merge one by one', async () => {
    const gates = async (given: Given): Promise<string> => (await read(given)).values.featureGates.toString();
    const file = 'featureGates: {APIServerIdentity: false, LeaseEvents: false}';
    const env = { LEASEKEEPER_FEATURE_GATES: 'APIServerIdentity=true' };
    assert.equal(await gates({ file, env }), 'APIServerIdentity=true,LeaseEvents=false');
    const flags = { featureGates: ['LeaseEvents=true', 'LeaseEvents=false,AllBeta=true'] };
    assert.equal(await gates({ file, env, flags }), 'APIServerIdentity=true,AllBeta=true,LeaseEvents=false');
    assert.equal((await read({ file })).values.featureGates.enabled('APIServerIdentity'), false);
  });

  it('gates are refused in the words of Kubernetes, of whatever source, all at once', async () => {
    const { problems } = await read({
      file: 'featureGates: {Foo: true, APIServerIdentity: "true", ApiServerIdentiy: true}',
      env: { LEASEKEEPER_FEATURE_GATES: 'APIServerIdentity' },
      flags: { featureGates: ['APIServerIdentity=yes', 'Bar=false'] },
    });
    assert.deepEqual(problems, [
      'lk.yaml: featureGates.APIServerIdentity "true": invalid value of APIServerIdentity=true, err: must be true or false, without quotes',
      'lk.yaml: featureGates.Foo true: unrecognized feature gate: Foo',
      'lk.yaml: featureGates.ApiServerIdentiy true: unrecognized feature gate: ApiServerIdentiy; did you mean APIServerIdentity?',
      'LEASEKEEPER_FEATURE_GATES "APIServerIdentity": missing bool value for APIServerIdentity',
      '--feature-gates "APIServerIdentity=yes": invalid value of APIServerIdentity=yes, err: must be true or false',
      '--feature-gates "Bar=false": unrecognized feature gate: Bar',
    ]);
  });

  it('tells everything that is wrong at once: source and field, value, rule', async () => {
    const { problems } = await read({
      file: 'renewIntervall: 1s\nleaseDuration: 20\nserverHealthThreshold: "3"\nhostname: 12\ncontext:\nsweepQps: many\n__proto__: 1',
      env: { LEASEKEEPER_LOG_LEVEL: 'loud' },
      flags: { shutdownPolicy: 'stay' },
    });
    assert.deepEqual(problems.sort(), [
      '--shutdown-policy "stay": must be one of auto, keep, delete',
      'LEASEKEEPER_LOG_LEVEL "loud": must be one of debug, info, warn, error',
      'lk.yaml: __proto__: unknown key',
      'lk.yaml: context null: must have a value; without the key the default holds',
      'lk.yaml: hostname 12: must be text: put it in quotes',
      'lk.yaml: leaseDuration 20: must be a duration such as 10s, 1m30s or 500ms',
      'lk.yaml: renewIntervall: unknown key; did you mean renewInterval?',
      'lk.yaml: serverHealthThreshold "3": must be a whole number, 0 or more',
      // No option of this command, but of another: one file serves all.
      'lk.yaml: sweepQps "many": must be a number, 0 or more',
    ]);
  });

  it('a weaker value that is not used is not read', async () => {
    const { problems, values } = await read({
      env: { LEASEKEEPER_RENEW_INTERVAL: 'x' },
      flags: { renewInterval: '3s' },
    });
    assert.deepEqual(problems, []);
    assert.equal(values.renewInterval, 3_000);
  });

  it('JSON is read as well', async () => {
    const whole = JSON.stringify(
      { apiVersion: 'leasekeeper.dev/v1alpha1', kind: 'LeasekeeperConfiguration', renewInterval: '7s' },
      undefined,
      '\t',
    );
    const { values, problems } = await read({ whole });
    assert.deepEqual(problems, []);
    assert.equal(values.renewInterval, 7_000);
  });

  for (const [what, whole, rule] of [
    ['an empty file', '', /^lk\.yaml: must be a map of keys to values, with apiVersion and kind$/],
    ['a list', '- a\n- b', /^lk\.yaml: must be a map/],
    ['a text', 'hello', /^lk\.yaml: must be a map/],
    ['a key twice', `${HEAD}renewInterval: 1s\nrenewInterval: 2s`, /^lk\.yaml:4: Map keys must be unique/],
    ['a broken document', `${HEAD}a: [1, 2`, /^lk\.yaml:3: Flow sequence .* must .*\]$/],
    ['two documents', `${HEAD}---\n${HEAD}`, /^lk\.yaml:3: must be one document, without --- between$/],
    ['aliases', `${HEAD}a: &a [1]\nb: [*a, *a]`, /^lk\.yaml:4: aliases \(\*name\) are not taken$/],
    ['a tag', `${HEAD}a: !!js/function x`, /^lk\.yaml:3: Unresolved tag: tag:yaml.org,2002:js\/function$/],
    ['nesting beyond reason', `${HEAD}a: ${'['.repeat(50_000)}`, /^lk\.yaml(: is no configuration|:\d+: )/],
    [
      'another apiVersion',
      HEAD.replace('v1alpha1', 'v2'),
      /^lk\.yaml: apiVersion "leasekeeper.dev\/v2": must be leasekeeper.dev\/v1alpha1$/,
    ],
    [
      'another kind',
      HEAD.replace('LeasekeeperC', 'KubeletC'),
      /^lk\.yaml: kind "KubeletConfiguration": must be LeasekeeperConfiguration$/,
    ],
    ['no kind', 'apiVersion: leasekeeper.dev/v1alpha1', /^lk\.yaml: kind: must be LeasekeeperConfiguration$/],
    ['what belongs to the command line', `${HEAD}once: true`, /^lk\.yaml: once: unknown key$/],
    ['the file itself', `${HEAD}config: other.yaml`, /^lk\.yaml: config: unknown key/],
  ] as const) {
    it(`${what} is refused`, async () => {
      const { problems } = await read({ whole });
      assert.ok(problems.length >= 1);
      assert.match(problems[0]!, rule);
      assert.ok(problems.length <= 20);
    });
  }

  it('a bomb of aliases is refused at once', async () => {
    const levels = Array.from({ length: 12 }, (_, i) => `k${i}: &k${i} [${`*k${i - 1}, `.repeat(9)}*k${i - 1}]`);
    const began = performance.now();
    const { problems } = await read({ whole: `${HEAD}k-1: &k-1 [x]\n${levels.join('\n')}` });
    assert.ok(performance.now() - began < 20_000);
    assert.match(problems[0]!, /aliases/);
  });
});

describe('the environment', () => {
  it('what Kubernetes sets for a Service named leasekeeper means nothing, not even a warning', async () => {
    const env = {
      LEASEKEEPER_SERVICE_HOST: '10.0.0.7',
      LEASEKEEPER_SERVICE_PORT: '80',
      LEASEKEEPER_SERVICE_PORT_HTTP: '80',
      LEASEKEEPER_PORT: 'tcp://10.0.0.7:80',
      LEASEKEEPER_PORT_80_TCP: 'tcp://10.0.0.7:80',
      LEASEKEEPER_PORT_80_TCP_PROTO: 'tcp',
      LEASEKEEPER_PORT_80_TCP_PORT: '80',
      LEASEKEEPER_PORT_80_TCP_ADDR: '10.0.0.7',
      LEASEKEEPER_METRICS_SERVICE_HOST: '10.0.0.8',
      LEASEKEEPER_METRICS_PORT: 'tcp://10.0.0.8:80',
    };
    assert.deepEqual(await read({ env }).then(({ problems, warnings }) => [problems, warnings]), [[], []]);
  });

  it('no option has a name that Kubernetes might set', () => {
    for (const key of Object.keys(settable(ALL, 'environment'))) assert.ok(!isOfAService(variableName(key)), key);
  });

  it('an unknown variable is a warning, with the nearest known one', async () => {
    const { problems, warnings } = await read({
      env: { LEASEKEEPER_RENEW_INTERVALL: '1s', LEASEKEEPER_ZZZ: '', OTHER: '' },
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(warnings, [
      'LEASEKEEPER_RENEW_INTERVALL: unknown variable, ignored; did you mean LEASEKEEPER_RENEW_INTERVAL?',
      'LEASEKEEPER_ZZZ: unknown variable, ignored',
    ]);
  });

  it('options of other commands are no unknown variables, those of one call are', async () => {
    const { warnings } = await read({ env: { LEASEKEEPER_SWEEP_QPS: '1', LEASEKEEPER_ONCE: 'true' } });
    assert.deepEqual(warnings, ['LEASEKEEPER_ONCE: unknown variable, ignored']);
  });

  it('booleans are as Go reads them', async () => {
    const table = SWEEP_TABLE;
    for (const [text, expected] of [
      ['true', true],
      ['1', true],
      ['F', false],
      ['yes', undefined],
    ] as const) {
      const from = sources({ table, all: () => ALL, flags: {}, env: { LEASEKEEPER_SWEEP_DRY_RUN: text } });
      const { values, problems } = readOptions(table, await from.given(undefined));
      assert.equal(problems.length, expected === undefined ? 1 : 0);
      assert.equal(values.sweepDryRun, expected ?? false);
    }
  });

  it('names the file by LEASEKEEPER_CONFIG too', async () => {
    const from = sources({ table: TABLE, all: () => ALL, flags: {}, env: { LEASEKEEPER_CONFIG: '/no/such/file' } });
    assert.equal(from.path, '/no/such/file');
    const { problems } = readOptions(TABLE, await from.given(await from.readFile()));
    assert.deepEqual(problems.map(problemText), ['LEASEKEEPER_CONFIG "/no/such/file": does not exist']);
  });
});
