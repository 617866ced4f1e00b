import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import type { GateSource } from '../../src/features/gates.ts';
import { FeatureGates, FeatureGatesError, defaultFeatureGates } from '../../src/features/gates.ts';

const gates = new FeatureGates({
  Alpha: { default: false, stage: 'ALPHA' },
  AlphaOn: { default: true, stage: 'ALPHA' },
  Beta: { default: true, stage: 'BETA' },
  BetaOff: { default: false, stage: 'BETA' },
  LockedBeta: { default: true, stage: 'BETA', lockToDefault: true },
  Done: { default: true, stage: 'GA' },
  Locked: { default: true, stage: 'GA', lockToDefault: true },
  Old: { default: false, stage: 'DEPRECATED' },
});

function problemsOf(...sources: GateSource[]): FeatureGatesError {
  try {
    gates.with(...sources);
  } catch (error) {
    assert.ok(error instanceof FeatureGatesError);
    return error;
  }
  return assert.fail(`accepted ${JSON.stringify(sources)}`);
}

test('the gate of the identity lease is beta and on', () => {
  assert.equal(defaultFeatureGates.enabled('APIServerIdentity'), true);
  assert.equal(defaultFeatureGates.with('APIServerIdentity=false').enabled('APIServerIdentity'), false);
  assert.equal(defaultFeatureGates.with('AllBeta=false').enabled('APIServerIdentity'), false);
  assert.equal(defaultFeatureGates.with('AllBeta=false,APIServerIdentity=true').enabled('APIServerIdentity'), true);
});

test('what is accepted, and what it sets', () => {
  const table: [source: string, expected: string][] = [
    ['', ''],
    [',,,', ''],
    ['Alpha=true', 'Alpha=true'],
    ['  Alpha \t=\n true ', 'Alpha=true'],
    ['\u0085Alpha=true\u3000', 'Alpha=true'],
    [',Alpha=true,,Beta=false,', 'Alpha=true,Beta=false'],
    ['Alpha=true,Alpha=false', 'Alpha=false'],
    ['Alpha=false,Alpha=true', 'Alpha=true'],
    ['Locked=true', 'Locked=true'],
    ['Done=false', 'Done=false'],
    ['AllAlpha=true', 'AllAlpha=true,Alpha=true,AlphaOn=true'],
    ['AllAlpha=false', 'AllAlpha=false,Alpha=false,AlphaOn=false'],
    ['AllAlpha=true,Alpha=false', 'AllAlpha=true,Alpha=false,AlphaOn=true'],
    ['Alpha=false,AllAlpha=true', 'AllAlpha=true,Alpha=false,AlphaOn=true'],
    ['AllBeta=false', 'AllBeta=false,Beta=false,BetaOff=false'],
    ['AllBeta=true,AllAlpha=false', 'AllAlpha=false,AllBeta=true,Alpha=false,AlphaOn=false,Beta=true,BetaOff=true'],
  ];
  for (const [source, expected] of table) assert.equal(String(gates.with(source)), expected, source);
});

test('booleans are those of Go', () => {
  for (const yes of ['1', 't', 'T', 'TRUE', 'true', 'True']) {
    assert.equal(gates.with(`Alpha=${yes}`).enabled('Alpha'), true, yes);
  }
  for (const no of ['0', 'f', 'F', 'FALSE', 'false', 'False']) {
    assert.equal(gates.with(`Beta=${no}`).enabled('Beta'), false, no);
  }
  for (const neither of ['', 'yes', 'on', 'tRUE', 'TrUe', '2', '01', 'true=false']) {
    const { problems } = problemsOf(`Alpha=${neither}`);
    assert.equal(problems[0]?.code, 'InvalidValue', neither);
  }
});

test('refusals are worded as Kubernetes words them', () => {
  const table: [source: GateSource, message: string, code: string][] = [
    ['Alpha', 'missing bool value for Alpha', 'MissingValue'],
    [' Alpha ,Beta=true', 'missing bool value for Alpha', 'MissingValue'],
    ['Alpha=true, ', 'missing bool value for ', 'MissingValue'],
    ['Alpha=maybe', 'invalid value of Alpha=maybe, err: must be true or false', 'InvalidValue'],
    ['Alpha=', 'invalid value of Alpha=, err: must be true or false', 'InvalidValue'],
    ['Alpha=a=b', 'invalid value of Alpha=a=b, err: must be true or false', 'InvalidValue'],
    [
      'Alpha=a"\\\x07\x01\u00a0b',
      'invalid value of Alpha=a"\\\x07\x01\u00a0b, err: must be true or false',
      'InvalidValue',
    ],
    ['Gamma=true', 'unrecognized feature gate: Gamma', 'UnknownGate'],
    ['alpha=true', 'unrecognized feature gate: alpha', 'UnknownGate'],
    ['=true', 'unrecognized feature gate: ', 'UnknownGate'],
    ['toString=true', 'unrecognized feature gate: toString', 'UnknownGate'],
    ['Locked=false', 'cannot set feature gate Locked to false, feature is locked to true', 'LockedGate'],
    [{ Alpha: 'true' }, 'invalid value of Alpha=true, err: must be true or false, without quotes', 'InvalidValue'],
    [{ Alpha: null }, 'invalid value of Alpha=null, err: must be true or false', 'InvalidValue'],
  ];
  for (const [source, message, code] of table) {
    const error = problemsOf(source);
    assert.equal(error.code, 'InvalidFeatureGates');
    assert.equal(error.message, message);
    assert.deepEqual(
      error.problems.map((problem) => problem.code),
      [code],
    );
  }
});

test('all that is wrong is reported at once, with the source it stands in', () => {
  const error = problemsOf({ Gamma: true, Beta: 3 }, 'Alpha,Locked=false', 'Delta=x');
  assert.deepEqual(
    error.problems.map(({ source, code, gate }) => [source, code, gate]),
    [
      [0, 'InvalidValue', 'Beta'],
      [0, 'UnknownGate', 'Gamma'],
      [1, 'MissingValue', 'Alpha'],
      [1, 'LockedGate', 'Locked'],
      [2, 'InvalidValue', 'Delta'],
    ],
  );
  assert.match(error.message, /^\[invalid value of Beta=3, .*, missing bool value for Alpha, /);
});

test('sources merge gate by gate, the strongest last', () => {
  const set = gates.with({ Alpha: true, Beta: false }, 'Beta=true', 'BetaOff=true', 'BetaOff=false');
  assert.equal(String(set), 'Alpha=true,Beta=true,BetaOff=false');
  // A stronger source sets right what a weaker one had wrong about a locked gate: only the outcome counts.
  assert.equal(gates.with('Locked=false', 'Locked=true').enabled('Locked'), true);
  // A collective gate of a stronger source leaves alone what a weaker one set by name.
  assert.equal(gates.with('Alpha=false', 'AllAlpha=true').enabled('Alpha'), false);
  assert.equal(gates.with('AllAlpha=true', 'AllAlpha=false').enabled('Alpha'), false);
});

test('a value never changes, a refused change leaves nothing behind', () => {
  const first = gates.with('Alpha=true');
  const second = first.with('Beta=false');
  assert.throws(() => first.with('Beta=false,Gamma=true'), FeatureGatesError);
  assert.equal(String(gates), '');
  assert.equal(String(first), 'Alpha=true');
  assert.equal(String(second), 'Alpha=true,Beta=false');
  assert.equal(first.enabled('Beta'), true);
});

test('locked gates are not moved by AllAlpha and AllBeta', () => {
  assert.equal(gates.with('AllBeta=false').enabled('LockedBeta'), true);
});

test('help lists alpha and beta gates only, sorted', () => {
  assert.equal(
    defaultFeatureGates.help(),
    [
      'A set of key=value pairs that describe feature gates for alpha/experimental features. Options are:',
      'APIServerIdentity=true|false (BETA - default=true)',
      'AllAlpha=true|false (ALPHA - default=false)',
      'AllBeta=true|false (BETA - default=false)',
      'LeaseEvents=true|false (BETA - default=true)',
    ].join('\n'),
  );
  const lines = gates.with('Alpha=true').known();
  assert.deepEqual(lines, [...lines].sort());
  assert.ok(lines.includes('Alpha=true|false (ALPHA - default=false)'), 'the default, not what is set');
  assert.ok(!lines.some((line) => /^(Done|Locked|Old)=/.test(line)));
});

test('setting a gate on its way out is reported', () => {
  assert.deepEqual(gates.with('Alpha=true').warnings(), []);
  assert.deepEqual(gates.with('Done=true,Old=true').warnings(), [
    'Setting GA feature gate Done=true. It will be removed in a future release.',
    'Setting deprecated feature gate Old=true. It will be removed in a future release.',
  ]);
});

test('metrics hold every gate with its stage as Kubernetes has it', () => {
  assert.deepEqual(defaultFeatureGates.with('AllAlpha=true,APIServerIdentity=0').metrics(), [
    { name: 'APIServerIdentity', stage: 'BETA', enabled: false },
    { name: 'AllAlpha', stage: 'ALPHA', enabled: true },
    { name: 'AllBeta', stage: 'BETA', enabled: false },
    { name: 'LeaseEvents', stage: 'BETA', enabled: true },
  ]);
  assert.equal(gates.metrics().find(({ name }) => name === 'Done')?.stage, '');
});

test('asking for a gate that does not exist is a mistake in the program', () => {
  assert.throws(() => new FeatureGates({}).enabled('Nope' as never), RangeError);
});

test('property: any text is either set or refused, and what is set reads back the same', () => {
  const name = fc.constantFrom('Alpha', 'Beta', 'AllAlpha', 'AllBeta', 'Locked', 'Nope', '__proto__', 'constructor');
  const value = fc.constantFrom('true', 'false', 'T', '0', 'x', '');
  const item = fc.oneof(
    fc.tuple(name, value).map(([k, v]) => ` ${k} = ${v} `),
    fc.string(),
    name,
  );
  fc.assert(
    fc.property(fc.array(item), (items) => {
      const text = items.join(',');
      try {
        const set = gates.with(text);
        assert.deepEqual(gates.with(String(set)).metrics(), set.metrics());
      } catch (error) {
        assert.ok(error instanceof FeatureGatesError, String(error));
        assert.ok(error.problems.length > 0);
      }
    }),
  );
});

test('a value nested deeper than the stack is refused like any other', () => {
  let deep: unknown = true;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  assert.throws(() => defaultFeatureGates.with({ APIServerIdentity: deep }), {
    name: 'FeatureGatesError',
    message: /invalid value of APIServerIdentity=\[…\]/,
  });
});
