import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { PatchError, jsonPatch, mergePatch, strategicMergePatch } from '../../src/embedded/objects/patch.ts';
import { RESOURCES } from '../../src/embedded/objects/resources.ts';
import type { Json } from './support.ts';

const NODE = RESOURCES.find((type) => type.kind === 'Node')!.codec;

test('merge patch, by the examples of RFC 7386', () => {
  const table: [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, expected] of table) assert.deepEqual(mergePatch(target, patch), expected);
});

test('strategic merge patch: lists by key and as sets, directives', () => {
  const target = {
    metadata: {
      finalizers: ['a', 'b'],
      ownerReferences: [
        { uid: '1', name: 'x' },
        { uid: '2', name: 'y' },
      ],
    },
    spec: { taints: [1, 2], keep: 1, drop: 2 },
  };
  const table: [Json, Json][] = [
    [{ metadata: { finalizers: ['c', 'a'] } }, { finalizers: ['c', 'a', 'b'] }],
    [{ metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } }, { finalizers: ['b'] }],
    [{ metadata: { '$setElementOrder/finalizers': ['b', 'a'] } }, { finalizers: ['b', 'a'] }],
    [
      { metadata: { ownerReferences: [{ uid: '2', name: 'z' }, { uid: '3' }] } },
      { ownerReferences: [{ uid: '1', name: 'x' }, { uid: '2', name: 'z' }, { uid: '3' }] },
    ],
    [
      {
        metadata: { ownerReferences: [{ uid: '3' }], '$setElementOrder/ownerReferences': [{ uid: '3' }, { uid: '2' }] },
      },
      { ownerReferences: [{ uid: '3' }, { uid: '1', name: 'x' }, { uid: '2', name: 'y' }] },
    ],
    [
      { metadata: { ownerReferences: [{ uid: '1', $patch: 'delete' }] } },
      { ownerReferences: [{ uid: '2', name: 'y' }] },
    ],
    [{ metadata: { ownerReferences: [{ uid: '9' }, { $patch: 'replace' }] } }, { ownerReferences: [{ uid: '9' }] }],
    [{ metadata: { finalizers: null } }, { finalizers: undefined }],
  ];
  for (const [patch, expected] of table) {
    const { metadata } = strategicMergePatch(target, patch, NODE) as typeof target;
    for (const [field, value] of Object.entries(expected)) assert.deepEqual((metadata as Json)[field], value);
  }
  const spec = (patch: Json): unknown => (strategicMergePatch(target, { spec: patch }, NODE) as typeof target).spec;
  assert.deepEqual(spec({ taints: [3] }), { taints: [3], keep: 1, drop: 2 });
  assert.deepEqual(spec({ $retainKeys: ['keep'], keep: 5 }), { keep: 5 });
  assert.deepEqual(spec({ $patch: 'replace', new: 1 }), { new: 1 });
  assert.deepEqual(spec({ '$setElementOrder/taints': [2, 1] }), target.spec);
  for (const patch of [
    { metadata: { ownerReferences: [{ name: 'no uid' }] } },
    { metadata: { $patch: 'merge' } },
    { spec: { $retainKeys: ['keep'], other: 1 } },
    { metadata: { finalizers: ['x', 'y'], '$setElementOrder/finalizers': ['y', 'x'] } },
  ]) {
    assert.throws(() => strategicMergePatch(target, patch, NODE), PatchError, JSON.stringify(patch));
  }
});

test('JSON patch, by table', () => {
  const target = { a: { b: [1, 2], 'x/y': 0, '~': 1 }, n: null };
  const table: [object[], unknown][] = [
    [[{ op: 'add', path: '/a/b/1', value: 9 }], { ...target, a: { ...target.a, b: [1, 9, 2] } }],
    [[{ op: 'add', path: '/a/b/-', value: 9 }], { ...target, a: { ...target.a, b: [1, 2, 9] } }],
    [
      [
        { op: 'remove', path: '/a' },
        { op: 'add', path: '/n', value: 1 },
      ],
      { n: 1 },
    ],
    [[{ op: 'replace', path: '/a', value: 1 }], { a: 1, n: null }],
    [
      [
        { op: 'replace', path: '/a/x~1y', value: 5 },
        { op: 'replace', path: '/a/~0', value: 6 },
      ],
      { ...target, a: { b: [1, 2], 'x/y': 5, '~': 6 } },
    ],
    [[{ op: 'move', from: '/a/b', path: '/n' }], { a: { 'x/y': 0, '~': 1 }, n: [1, 2] }],
    [[{ op: 'copy', from: '/a/b/0', path: '/n' }], { ...target, n: 1 }],
    [
      [
        { op: 'test', path: '/a/b', value: [1, 2] },
        { op: 'test', path: '/n', value: null },
      ],
      target,
    ],
    [[{ op: 'add', path: '/a/b/-1', value: 9 }], { ...target, a: { ...target.a, b: [1, 2, 9] } }],
    [[{ op: 'test', path: '/absent', value: null }], target],
  ];
  for (const [patch, expected] of table) assert.deepEqual(jsonPatch(target, patch), expected, JSON.stringify(patch));
  assert.deepEqual(target.a.b, [1, 2], 'the target is left alone');
});

test('JSON patch: what does not fit fails, what is malformed is another error', () => {
  const failing: object[] = [
    { op: 'remove', path: '/nope' },
    { op: 'replace', path: '/nope', value: 1 },
    { op: 'add', path: '/nope/x', value: 1 },
    { op: 'add', path: '/list/3', value: 1 },
    { op: 'remove', path: '/list/-' },
    { op: 'remove', path: '/list/x' },
    { op: 'nope', path: '/list' },
    { op: 'replace', path: '', value: {} },
    { op: 'add', path: 'a', value: 1 },
    { op: 'move', path: '/a' },
    { op: 'test', path: '/list/0', value: 2 },
    { op: 'move', from: '/list', path: '/list/0' },
    { op: 'copy', from: '/toString', path: '/x' },
  ];
  const malformed: unknown[] = [5, null, 'x'];
  const code = (expected: string) => (e: unknown) => e instanceof PatchError && e.code === expected;
  for (const operation of failing)
    assert.throws(() => jsonPatch({ list: [1, 2] }, [operation]), code('Failed'), JSON.stringify(operation));
  for (const operation of malformed)
    assert.throws(() => jsonPatch({ list: [1] }, [operation]), code('Malformed'), JSON.stringify(operation));
  assert.throws(() => jsonPatch({}, {}), code('Malformed'));
  // A document that is copied into itself doubles each time.
  const doubling = Array.from({ length: 8 }, (_, i) => ({ op: 'copy', from: '/a', path: `/a/${i}` }));
  assert.throws(() => jsonPatch({ a: { text: 'x'.repeat(100_000) } }, doubling), code('Failed'));
});

test('property: no patch pollutes prototypes or changes its target, and each is a result or a PatchError', () => {
  const key = fc.constantFrom('a', '__proto__', 'finalizers', 'ownerReferences', '$patch', 'uid', 'constructor');
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, 1, 'delete', 'x'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  const op = fc.record({
    op: fc.constantFrom('add', 'remove', 'test', 'move', 'copy', 'replace'),
    path: fc.constantFrom('', '/a', '/__proto__/x', '/a/0', '/a/-'),
    from: fc.constantFrom('/a', ''),
    value,
  });
  fc.assert(
    fc.property(value, value, fc.array(op, { maxLength: 4 }), (target, patch, operations) => {
      const before = JSON.stringify(target);
      for (const run of [
        () => mergePatch(target, patch),
        () => strategicMergePatch(target, patch, NODE),
        () => jsonPatch(target, operations),
      ]) {
        try {
          run();
        } catch (error) {
          assert.ok(error instanceof PatchError, String(error));
        }
      }
      assert.equal(JSON.stringify(target), before);
      assert.equal(({} as Json)['x'], undefined);
    }),
  );
});
