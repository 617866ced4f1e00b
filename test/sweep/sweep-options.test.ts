import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionsError, fillOptions, optionProblems } from '../../src/runtime/options.ts';
import { SWEEP_ROWS } from '../../src/sweep/sweep-options.ts';
import type { SweepOptions } from '../../src/sweep/sweep-options.ts';
import { World } from './world.ts';

const sweepOptions = (given: Partial<SweepOptions> = {}) => fillOptions(SWEEP_ROWS, given);
const sweepProblems = (options: SweepOptions) => optionProblems(SWEEP_ROWS, options);

test('the defaults hold, and fill what was left out', () => {
  assert.deepEqual(sweepProblems(sweepOptions()), []);
  assert.deepEqual(sweepOptions({ graceMs: 5 }), { ...sweepOptions(), graceMs: 5 });
  assert.equal(sweepOptions().labelSelector, 'apiserver.kubernetes.io/identity=kube-apiserver');
  assert.equal(sweepOptions().confirmAfterMs, 30_000);
});

test('values at the edge', () => {
  const good: Partial<SweepOptions>[] = [
    { confirmAfterMs: 0 },
    { graceMs: 0 },
    { qps: 0 },
    { qps: 0.1 },
    { concurrency: 1 },
    { concurrency: 1000 },
    { pageSize: 1 },
    { namespace: 'a' },
  ];
  for (const options of good) assert.deepEqual(sweepProblems(sweepOptions(options)), [], JSON.stringify(options));
  const bad: Partial<SweepOptions>[] = [
    { confirmAfterMs: -1 },
    { confirmAfterMs: NaN },
    { confirmAfterMs: Infinity },
    { graceMs: -1 },
    { qps: -1 },
    { qps: Infinity },
    { concurrency: 0 },
    { concurrency: 1.5 },
    { concurrency: 1001 },
    { pageSize: 0 },
    { maxSkewMs: 0 },
    { requestTimeoutMs: 0 },
    { namespace: '' },
    { namespace: 'Kube' },
    { namespace: 'a.b' },
    { namespace: 'a'.repeat(64) },
    { labelSelector: '' },
    { labelSelector: '  ' },
    { dryRun: 'yes' as never },
    { concurrency: '64' as never },
  ];
  for (const options of bad) {
    const [problem, ...more] = sweepProblems(sweepOptions(options));
    const [field, value] = Object.entries(options)[0]!;
    assert.deepEqual([problem?.field, problem?.value, more.length], [field, value, 0], JSON.stringify(options));
  }
});

test('all problems are reported at once, and nothing is started', () => {
  const world = new World();
  assert.throws(
    () => world.sweeper({ namespace: '', concurrency: 0, qps: -1, confirmAfterMs: -5 }),
    (error) => {
      assert.ok(error instanceof OptionsError);
      assert.equal(error.code, 'InvalidOptions');
      assert.deepEqual(error.problems.map(({ field }) => field).sort(), [
        'concurrency',
        'confirmAfterMs',
        'namespace',
        'qps',
      ]);
      assert.match(error.message, /concurrency 0: must be a whole number from 1 to 1000/);
      return true;
    },
  );
  assert.equal(world.store.count(), 0);
});
