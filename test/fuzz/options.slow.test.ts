/** Fuzzing what reads options: gates, durations, the file, the environment, flags, schedules, lease names. */
import assert from 'node:assert/strict';
import fc from '../support/fast-check.ts';
import { cronTicks, scheduleProblem } from '../../src/commands/scheduled-sweep.ts';
import { named } from '../../src/config/bindings.ts';
import { formatDuration, parseDuration } from '../../src/config/duration.ts';
import { ELECT_TABLE, electSettings } from '../../src/config/elect-flags.ts';
import { parseConfig } from '../../src/config/config-file.ts';
import { PUBLISH_TABLE, publishSettings } from '../../src/config/publish-flags.ts';
import { settable, sources, variableName } from '../../src/config/sources.ts';
import { problemText, readOption, readOptions } from '../../src/config/option-spec.ts';
import { SWEEP_TABLE } from '../../src/config/sweep-flags.ts';
import { FeatureGates, FeatureGatesError, defaultFeatureGates } from '../../src/features/gates.ts';
import { objectNameProblem } from '../../src/lease/names.ts';
import { fuzz, nearly, onlyThrows, texts } from './fuzz.ts';

const GATES = new FeatureGates({
  A: { stage: 'ALPHA', default: false },
  B: { stage: 'BETA', default: true },
  C: { stage: 'GA', default: true, lockToDefault: true },
});

fuzz(
  'feature gates',
  texts(['A=true,B=false', ' A = T ,, AllBeta=0', 'C=true', 'AllAlpha=1'], ['true', 'False', 'A=', '=1']),
  (text) => {
    const gates = onlyThrows(FeatureGatesError, () => GATES.with(text));
    if (!gates) return;
    assert.equal(GATES.with(gates.toString()).toString(), gates.toString());
    // Once more in Kubernetes' own order: what is named wins over what is named together, the last one over those before.
    const said = new Map(
      text
        .split(',')
        .filter((item) => item !== '')
        .map((item) => item.split('=').map((s) => s.trim()) as [string, string]),
    );
    const truth = (value: string | undefined): boolean | undefined =>
      value === undefined ? undefined : /^(1|t|T|true|TRUE|True)$/.test(value);
    assert.equal(gates.enabled('A'), truth(said.get('A')) ?? truth(said.get('AllAlpha')) ?? false);
    assert.equal(gates.enabled('B'), truth(said.get('B')) ?? truth(said.get('AllBeta')) ?? true);
    assert.equal(gates.enabled('C'), true);
  },
);

fuzz('feature gates in a file', nearly({ APIServerIdentity: true, AllBeta: false }), (map) => {
  if (typeof map !== 'object' || map === null || Array.isArray(map)) return;
  onlyThrows(FeatureGatesError, () => defaultFeatureGates.with(map as Record<string, unknown>));
});

/** Go's ParseDuration for what is not negative, in whole thousandths of a nanosecond; undefined for what it refuses. */
function goDuration(text: string): bigint | undefined {
  if (text === '0') return 0n;
  const units: Readonly<Record<string, bigint>> = {
    ns: 1n,
    us: 1_000n,
    µs: 1_000n,
    ms: 1_000_000n,
    s: 10n ** 9n,
    m: 60n * 10n ** 9n,
    h: 3_600n * 10n ** 9n,
  };
  let rest = text;
  let sum = 0n;
  while (rest !== '') {
    const digits = /^[0-9]*/.exec(rest)![0];
    rest = rest.slice(digits.length);
    let fraction = '';
    if (rest.startsWith('.')) {
      fraction = /^[0-9]*/.exec(rest.slice(1))![0];
      rest = rest.slice(1 + fraction.length);
    }
    if (digits === '' && fraction === '') return undefined;
    const unit = /^[^0-9.]*/.exec(rest)![0];
    const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
    if (factor === undefined) return undefined;
    rest = rest.slice(unit.length);
    const f = fraction.slice(0, 15);
    sum += BigInt(digits || '0') * factor * 1_000n + (BigInt(f || '0') * factor * 1_000n) / 10n ** BigInt(f.length);
  }
  return text === '' ? undefined : sum;
}

fuzz('durations', texts(['1h30m', '10s', '1.5s', '500ms', '0', '.5m', '1h1m1s1ms1us1ns', '3µs']), (text) => {
  const ms = parseDuration(text);
  // Go counts in 64 bits and refuses more; beyond, any number will do.
  if (/\d{12}/.test(text)) return void (ms !== undefined && assert.ok(Number.isFinite(ms) && ms >= 0));
  const go = goDuration(text);
  assert.equal(ms === undefined, go === undefined, JSON.stringify(text));
  if (ms === undefined || go === undefined) return;
  assert.ok(Math.abs(ms - Number(go) / 1e9) <= 1e-6 + ms * 1e-9, `${text}: ${ms} and ${Number(go) / 1e9}`);
  // Written again it is the same, to the nanosecond, where it is as long as options are.
  if (ms < 1e10 && (ms === 0 || ms >= 1))
    assert.ok(Math.abs(parseDuration(formatDuration(ms))! - ms) <= 1e-3 + ms * 1e-9, formatDuration(ms));
});

const TABLE = { ...PUBLISH_TABLE, ...SWEEP_TABLE };
const KNOWN = settable(TABLE, 'file');
const FILE = `# of a ConfigMap
apiVersion: leasekeeper.dev/v1alpha1
kind: LeasekeeperConfiguration
renewInterval: 10s
featureGates:
  APIServerIdentity: true
httpAddress: "127.0.0.1:8080"
sweep: false
labels: [a, b]
`;
const YAML_WORDS = [
  '&a',
  '*a',
  '<<: ',
  '!!binary ',
  '? ',
  '- ',
  '|\n ',
  '---\n',
  '...\n',
  '  ',
  '\t',
  '#',
  '!!js/function ',
  '[[[[',
  '{{{{',
];

fuzz(
  'configuration file',
  texts(
    [FILE, '{"apiVersion":"leasekeeper.dev/v1alpha1","kind":"LeasekeeperConfiguration","renewInterval":"1s"}'],
    [...YAML_WORDS, ...Object.keys(KNOWN)],
  ),
  async (text) => {
    const { values, problems } = await parseConfig(text, 'file', KNOWN);
    assert.ok(problems.length <= 20);
    for (const problem of problems) assert.ok(problemText(problem).length < 100_000);
    for (const key of Object.keys(values)) assert.ok(Object.hasOwn(KNOWN, key));
  },
  { boundMs: 1_000 },
);

const VALUES = [
  '10s',
  'true',
  'False',
  '5',
  'a,b',
  'kube-system',
  'A=true',
  '127.0.0.1:0',
  '*/5 * * * *',
  'debug',
  '[::1]:80',
];
const keys = fc.constantFrom(...Object.keys(TABLE));

fuzz(
  'environment, flags and file together',
  fc.record({
    env: fc.dictionary(
      fc.oneof(keys.map(variableName), texts(['LEASEKEEPER_PORT_80_TCP', 'LEASEKEEPER_X'])),
      texts(VALUES),
      { maxKeys: 5 },
    ),
    flags: fc.dictionary(keys, fc.oneof(texts(VALUES), fc.constant(true), fc.array(texts(VALUES), { maxLength: 3 })), {
      maxKeys: 5,
    }),
    file: fc.option(fc.dictionary(keys, nearly('10s', true, 5, ['a'], { APIServerIdentity: true })), {
      nil: undefined,
    }),
  }),
  async ({ env, flags, file }) => {
    const { config: _config, ...rest } = flags;
    const all = sources({ table: TABLE, all: () => TABLE, flags: { ...rest, ...(file && { config: 'file' }) }, env });
    const document = { apiVersion: 'leasekeeper.dev/v1alpha1', kind: 'LeasekeeperConfiguration', ...file };
    // What is nested deeper than the stack cannot be written.
    const text = onlyThrows(RangeError, () => JSON.stringify(document)) ?? '{';
    if (text.length > 20_000) return;
    const { values, problems } = readOptions(TABLE, await all.given({ text }));
    for (const problem of problems) assert.equal(typeof problemText(problem), 'string');
    for (const warning of all.warnings) assert.doesNotMatch(warning, /\p{Cc}/u);
    assert.ok(Number.isFinite(values.renewInterval));
    const wrong = named(publishSettings(values, 'host').wrong, TABLE, { options: {}, problems: [] });
    for (const problem of wrong) assert.equal(typeof problemText(problem), 'string');
  },
  { runs: 200, boundMs: 1_000 },
);

fuzz(
  'one option from any source',
  fc.record({
    key: keys,
    raw: fc.oneof(texts(VALUES), fc.jsonValue(), fc.anything()),
    origin: fc.constantFrom('file', 'environment', 'flag'),
  }),
  ({ key, raw, origin }) => {
    const spec = TABLE[key as keyof typeof TABLE];
    if (spec.kind === 'gates') return;
    const { value, rule } = readOption(spec, { raw, origin });
    assert.equal(rule === undefined, value !== undefined);
  },
);

fuzz('lease of elect: [NAMESPACE/]NAME', texts(['default/leader', 'kube-system/a.b', 'a/b/c', '/']), (electLease) => {
  const defaults = readOptions(ELECT_TABLE, { options: {}, problems: [] }).values;
  const { ref, wrong } = electSettings({ ...defaults, electLease }, 'host', 250);
  const parts = electLease.split('/');
  const good = parts.length <= 2 && parts.every((part) => objectNameProblem(part) === undefined);
  assert.equal(wrong.length === 0, good, JSON.stringify(electLease));
  const { namespace, name } = ref('pods');
  if (good) assert.deepEqual([namespace, name], parts.length === 2 ? parts : ['pods', ...parts]);
});

fuzz(
  'cron schedules',
  texts(
    ['*/5 * * * *', '0 0 1,15 * 1-5', '*/10 * * * * *', '0 12 * jan-dec mon', '59 23 31 12 7'],
    ['*/', '-', ',', '0-9', 'jan', 'sunday', '*/0', '60', 'L', '#'],
  ),
  async (expression) => {
    if ((await scheduleProblem(expression)) !== undefined) return;
    const end = (await cronTicks(expression))(() => {});
    end();
  },
  { runs: 400, boundMs: 1_000 },
);
