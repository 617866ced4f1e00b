import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { isLabelValue, leaseName, objectNameProblem } from '../../src/lease/names.ts';
import {
  MAX_PRODUCT_LENGTH,
  RESERVED_PREFIXES,
  WorkloadNameError,
  productProblem,
  workloadLeaseName,
} from '../../src/lease/workload-names.ts';

const product = fc
  .tuple(fc.stringMatching(/^[a-z]$/), fc.stringMatching(/^[-a-z0-9]{0,33}$/), fc.stringMatching(/^[a-z0-9]$/))
  .map((parts) => parts.join(''))
  .filter((name) => productProblem(name) === undefined);
const parts = fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 5 });

test('a name says the product, and stays the same for ever', () => {
  assert.equal(workloadLeaseName('my-operator', ['team-a', 'blue']), 'my-operator-ssnjv2rkivcvpjldcpgog6rhr4');
});

test('every name is a valid, bounded DNS label, and the same each time', () => {
  fc.assert(
    fc.property(product, parts, (p, list) => {
      const name = workloadLeaseName(p, list);
      assert.equal(objectNameProblem(name), undefined);
      assert.ok(name.length <= 63 && isLabelValue(name) && !name.includes('.') && name.startsWith(`${p}-`), name);
      assert.equal(workloadLeaseName(p, [...list]), name);
    }),
  );
});

test('two products, or two lists of parts, never share a name', () => {
  fc.assert(
    fc.property(product, product, parts, parts, (p, q, a, b) => {
      const same = p === q && a.length === b.length && a.every((part, i) => part === b[i]);
      assert.equal(workloadLeaseName(p, a) === workloadLeaseName(q, b), same);
    }),
  );
  const alike = [
    workloadLeaseName('a', ['b', 'c']),
    workloadLeaseName('a', ['bc']),
    workloadLeaseName('a', ['b-c']),
    workloadLeaseName('a', ['b,c']),
    workloadLeaseName('a', ['c', 'b']),
    workloadLeaseName('a-b', ['c']),
    workloadLeaseName('a', ['\u0000\u0000\u0000\u0001b']),
  ];
  assert.equal(new Set(alike).size, alike.length);
});

test("no name is one of Kubernetes' own", () => {
  const theirs = [leaseName('h'), leaseName('h', 'apiserver'), 'kube-scheduler', 'kube-controller-manager'];
  for (const name of theirs) {
    const asProduct = name.slice(0, MAX_PRODUCT_LENGTH).replace(/-+$/, '');
    assert.match(productProblem(asProduct) ?? '', /must not begin with/);
  }
  assert.equal(productProblem('kubelike'), undefined);
  assert.equal(productProblem('my-kube-thing'), undefined);
});

test('what would collide or be no name is refused with the rule', () => {
  const cases: [string, unknown, string, RegExp][] = [
    ['', ['a'], 'product', /must not be empty/],
    ['Upper', ['a'], 'product', /lower-case/],
    ['dotted.name', ['a'], 'product', /lower-case/],
    ['-a', ['a'], 'product', /beginning with a letter/],
    ['a-', ['a'], 'product', /ending with/],
    ['a'.repeat(MAX_PRODUCT_LENGTH + 1), ['a'], 'product', /at most 36 characters/],
    ...RESERVED_PREFIXES.flatMap((prefix): [string, unknown, string, RegExp][] => [
      [prefix, ['a'], 'product', /must not begin with/],
      [`${prefix}-x`, ['a'], 'product', /must not begin with/],
    ]),
    ['ok', [], 'parts', /at least one/],
    ['ok', ['a', ''], 'parts[1]', /not empty/],
    ['ok', [7], 'parts[0]', /must be a text/],
    ['ok', ['\ud800'], 'parts[0]', /well-formed/],
  ];
  for (const [p, list, field, rule] of cases) {
    assert.throws(
      () => workloadLeaseName(p, list as string[]),
      (e) =>
        e instanceof WorkloadNameError && e.code === 'InvalidWorkloadName' && e.field === field && rule.test(e.rule),
      `${p} ${JSON.stringify(list)}`,
    );
  }
});
