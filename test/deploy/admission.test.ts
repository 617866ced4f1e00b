/**
 * What the admission policy says, for each who might write a lease. Its expressions use so little of CEL that JavaScript
 * says the same after a few replacements; a server's own word is asked for in test/e2e/manifests-real.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { IDENTITY_LABEL, leaseName } from '../../src/lease/names.ts';
import { documents } from './support.ts';

interface Asked {
  readonly request: {
    /** Missing of each object of a collection that is deleted. */
    readonly name?: string;
    readonly operation: string;
    readonly userInfo: { readonly username: string };
  };
  readonly object: object | null;
  readonly oldObject: object | null;
}

function evaluate(expression: string, asked: Asked): boolean {
  const script = expression
    .replace(/has\(([\w.]+)\)/g, '($1 !== undefined)')
    .replace(/([\w.]+)\.matches\(('[^']*')\)/g, '(new RegExp($2).test($1))')
    .replace(/('[^']*'|[\w.]+) in (\[[^\]]*\])/g, '($2.includes($1))')
    .replace(/('[^']*') in ([\w.]+)/g, '($1 in $2)');
  return runInNewContext(script, { ...asked }) as boolean;
}

const { spec } = documents('overlays/admission/policy.yaml')[0]!;
const lease = (labels?: Record<string, string>): object => ({ metadata: labels === undefined ? {} : { labels } });
const IDENTITY = lease({ [IDENTITY_LABEL]: 'kube-apiserver' });
const OTHER = lease({ app: 'x' });
const PLAIN = lease();

const PUBLISHERS = ['system:apiserver', 'leasekeeper-sidecar', 'system:serviceaccount:leasekeeper:leasekeeper-publish'];
const SWEEPER = 'system:serviceaccount:leasekeeper:leasekeeper-sweep';
const STRANGERS = [
  'alice',
  'system:serviceaccount:kube-system:default',
  'system:serviceaccount:evil:leasekeeper-publish',
];

/** True: allowed. */
function allows(
  username: string,
  operation: string,
  name: string,
  oldObject: object | null,
  object: object | null,
): boolean {
  const called = (it: object | null): object | null =>
    it && { metadata: { ...(it as { metadata: object }).metadata, name } };
  const asked = {
    request: { operation, userInfo: { username } },
    object: called(object),
    oldObject: called(oldObject),
  };
  const matches = (spec.matchConditions as { expression: string }[]).every(({ expression }) =>
    evaluate(expression, asked),
  );
  return (
    !matches || (spec.validations as { expression: string }[]).every(({ expression }) => evaluate(expression, asked))
  );
}

const NAMES = [
  leaseName('master-1'),
  leaseName('master-1', 'apiserver'),
  'kube-apiserver-c4vwjftbvpc5os2vvzle4qg27a',
  'kube-apiserver-f80a6b28-3c3a-4f58-ad43-5d3a3a0dd6c9',
];

test('only API servers and leasekeeper write identity leases', () => {
  for (const name of NAMES) {
    for (const who of [...PUBLISHERS, SWEEPER, ...STRANGERS]) {
      const publishes = PUBLISHERS.includes(who);
      assert.equal(allows(who, 'CREATE', name, null, IDENTITY), publishes, who);
      assert.equal(allows(who, 'UPDATE', name, IDENTITY, IDENTITY), publishes, who);
      assert.equal(allows(who, 'DELETE', name, IDENTITY, null), publishes || who === SWEEPER, who);
    }
  }
});

test('nobody gets around it', () => {
  for (const who of STRANGERS) {
    assert.equal(allows(who, 'CREATE', 'any-name', null, IDENTITY), false, 'the label under another name');
    assert.equal(
      allows(who, 'CREATE', NAMES[0]!, null, PLAIN),
      false,
      'the name without the label: nobody could claim it',
    );
    assert.equal(allows(who, 'UPDATE', 'any-name', IDENTITY, OTHER), false, 'taking the label away');
    assert.equal(allows(who, 'UPDATE', 'any-name', OTHER, IDENTITY), false, 'adding it');
    assert.equal(allows(who, 'DELETE', NAMES[0]!, PLAIN, null), false);
  }
});

test('it asks for no name of the request, which one to delete a collection lacks: an error would refuse that to all', () => {
  const all = [
    ...(spec.matchConditions as { expression: string }[]),
    ...(spec.validations as { expression: string }[]),
  ];
  for (const { expression } of all) assert.doesNotMatch(expression, /request\.name/);
});

test('every other lease is as it was', () => {
  for (const name of [
    'kube-scheduler',
    'kube-controller-manager',
    'apiserver-operator',
    'my-job',
    'kube-apiserver-x',
    'apiserver-network-proxy-controller-manager',
    'kube-apiserver-operator-lock-with-a-longish-name',
  ]) {
    for (const who of [SWEEPER, ...STRANGERS]) {
      assert.equal(allows(who, 'CREATE', name, null, PLAIN), true);
      assert.equal(allows(who, 'UPDATE', name, OTHER, PLAIN), true);
      assert.equal(allows(who, 'DELETE', name, OTHER, null), true);
    }
  }
});
