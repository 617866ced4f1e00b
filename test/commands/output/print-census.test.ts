import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../support/fast-check.ts';
import { parse } from 'yaml';
import type { Census, CensusLease } from '../../../src/census/census.ts';
import { census } from '../../../src/census/census.ts';
import { leaseShape, printCensus } from '../../../src/commands/output/print-census.ts';
import type { OutputFormat } from '../../../src/commands/output/printer.ts';
import { Table } from '../../../src/commands/output/text-table.ts';
import { printable, truncate, width } from '../../../src/commands/output/text-width.ts';
import { published } from '../../census/support.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import { parseLease } from '../../../src/lease/lease.ts';
import { MicroTime } from '../../../src/lease/micro-time.ts';

const asOf = MicroTime.parse('2026-01-01T01:00:00Z');
const UID = '0dd9777d-b120-420b-811c-26a64a99390e';

function lease(name: string, hostname: string | undefined, spec: object, metadata: object = {}): Lease {
  return parseLease({
    metadata: {
      name,
      namespace: 'kube-system',
      uid: UID,
      resourceVersion: '7',
      creationTimestamp: '2025-12-29T13:00:00Z',
      labels: hostname === undefined ? {} : { 'kubernetes.io/hostname': hostname },
      ...metadata,
    },
    spec,
  });
}

const leases = [
  lease('kube-apiserver-a', 'master-1', {
    holderIdentity: 'kube-apiserver-a_1',
    leaseDurationSeconds: 3600,
    renewTime: '2026-01-01T00:59:55.123456Z',
    acquireTime: '2025-12-31T22:00:00.000000Z',
    leaseTransitions: 2,
  }),
  lease('apiserver-wlv32', 'vm', {
    holderIdentity: 'apiserver-wlv32_2',
    leaseDurationSeconds: 3600,
    renewTime: '2026-01-01T00:57:30.000000Z',
  }),
  lease('kube-apiserver-c', undefined, {
    holderIdentity: 'c',
    leaseDurationSeconds: 3600,
    renewTime: '2025-12-31T23:00:00.000000Z',
  }),
  lease('kube-apiserver-d', 'master-4', { holderIdentity: '' }, { deletionTimestamp: '2026-01-01T00:00:00Z' }),
];
const made = published(leases, { serverDate: asOf, freshForMs: 30_000, freshnessMs: 12.4 });
const empty = published([], { serverDate: asOf, freshForMs: 30_000 });
const print = (output: OutputFormat, of: Census = made, more: object = {}): ReturnType<typeof printCensus> =>
  printCensus(of, { output, query: { namespace: 'kube-system', labelSelector: 'a=b' }, ...more });
const lines = (...of: string[]): string => of.map((line) => `${line}\n`).join('');

describe('tables', () => {
  test('as kubectl aligns them', async () => {
    assert.deepEqual(await print('table'), {
      stdout: lines(
        'NAME               HOSTNAME   STATE                  HOLDER               RENEWED   AGE',
        'apiserver-wlv32    vm         Stale                  apiserver-wlv32_2    2m30s     2d12h',
        'kube-apiserver-a   master-1   Live                   kube-apiserver-a_1   4s        2d12h',
        'kube-apiserver-c   <none>     Expired                c                    120m      2d12h',
        'kube-apiserver-d   master-4   Released,Terminating   <none>               <none>    2d12h',
      ),
      stderr: '',
    });
  });

  test('wide', async () => {
    const two = published(leases.slice(0, 2), { serverDate: asOf, freshForMs: 30_000 });
    assert.equal(
      (await print('wide', two)).stdout,
      lines(
        `NAME               HOSTNAME   STATE   HOLDER               RENEWED   AGE     DURATION   TRANSITIONS   ACQUIRED   LABELS   PAYLOAD   PEER     UID`,
        `apiserver-wlv32    vm         Stale   apiserver-wlv32_2    2m30s     2d12h   3600s      <none>        <none>     <none>   <none>    <none>   ${UID}`,
        `kube-apiserver-a   master-1   Live    kube-apiserver-a_1   4s        2d12h   3600s      2             3h         <none>   <none>    <none>   ${UID}`,
      ),
    );
  });

  test('wide shows further labels and the payload; the rest stays foreign text', async () => {
    const marks = {
      labels: {
        'apiserver.kubernetes.io/identity': 'kube-apiserver',
        'kubernetes.io/hostname': 'm',
        zone: 'a',
        tier: '1',
      },
      annotations: { 'leasekeeper.dev/payload': '{"at":"10.0.0.7\u001b[31m"}' },
    };
    const [, row = ''] = (await print('wide', published([lease('a', 'm', {}, marks)], { freshForMs: 1 }))).stdout.split(
      '\n',
    );
    assert.match(row, / zone=a,tier=1 .*\{"at":"10\.0\.0\.7/);
    assert.doesNotMatch(row, /\u001b|apiserver\.kubernetes/);
  });

  test('of all namespaces, without headers', async () => {
    const one = published(leases.slice(0, 1), { serverDate: asOf, freshForMs: 30_000 });
    assert.equal(
      (await print('table', one, { query: { namespace: '' }, noHeaders: true })).stdout,
      'kube-system   kube-apiserver-a   master-1   Live   kube-apiserver-a_1   4s   2d12h\n',
    );
  });

  test('colour only where asked for, and it moves no column', async () => {
    const coloured = (await print('table', made, { color: true })).stdout;
    assert.match(coloured, /vm {9}\u001b\[33mStale\u001b\[0m {18}apiserver/);
    assert.equal(coloured.replace(/\u001b\[\d*m/g, ''), (await print('table')).stdout);
  });

  test('times that nobody reported', async () => {
    const blind = published(leases.slice(0, 1), { freshForMs: 30_000 });
    const [, row] = (await print('table', blind)).stdout.split('\n');
    assert.equal(row, 'kube-apiserver-a   master-1   Unknown   kube-apiserver-a_1   <unknown>   <unknown>');
  });

  test('nothing found is said with what was looked for, in every format', async () => {
    assert.deepEqual(await print('table', empty), {
      stdout: '',
      stderr: 'No resources found with label a=b in namespace kube-system\n',
    });
    assert.deepEqual(await print('wide', empty, { query: { namespace: '' } }), {
      stdout: '',
      stderr: 'No resources found in any namespace\n',
    });
    for (const output of ['name', 'json', 'yaml'] as const)
      assert.match(
        (await print(output, empty)).stderr,
        /^No resources found with label a=b in namespace kube-system$/m,
      );
  });

  test('at most 100 columns: holders are cut to the end of their UUID, the widest columns are narrowed', async () => {
    const hash = '0123456789abcdef'.repeat(4);
    const holder = `kube-apiserver-${hash}_a90d7461-4c2f-4f2b-8e4f-9bc16e4b2f01`;
    const spec = { holderIdentity: holder, leaseDurationSeconds: 3600, renewTime: '2026-01-01T00:59:56.000000Z' };
    const of = (hostname: string): Census =>
      published([lease(`kube-apiserver-${hash}`, hostname, spec)], { serverDate: asOf, freshForMs: 30_000 });
    const text = (await print('table', of('master-1'))).stdout;
    assert.match(text, /^kube-apiserver-0123456789[0-9a-f]+…cdef   master-1   Live    …9bc16e4b2f01   4s /m);
    for (const hostname of ['a', 'master-1.example.org', 'h'.repeat(253), '日'.repeat(63)])
      for (const query of [{ namespace: 'kube-system' }, { namespace: '' }]) {
        const { stdout } = await print('table', of(hostname), { query });
        for (const line of stdout.split('\n')) assert.ok(width(line) <= 100, `${width(line)}: ${line}`);
      }
    assert.ok((await print('wide', of('master-1'))).stdout.includes(holder), 'wide shows it whole');
  });

  test('a renewal in the future is shown with its distance; the peer address in wide', async () => {
    const spec = { holderIdentity: 'a', leaseDurationSeconds: 3600, renewTime: '2026-01-01T03:00:00.000000Z' };
    const peer = { annotations: { 'kubernetes.io/peer-advertise-address': '10.0.0.1:6443' } };
    const ahead = published([lease('kube-apiserver-a', 'a', spec, peer)], { serverDate: asOf, freshForMs: 30_000 });
    assert.match((await print('wide', ahead)).stdout, /Stale   a        in 120m .* 10\.0\.0\.1:6443 /);
    const { items } = JSON.parse((await print('json', ahead)).stdout) as { items: { status: object }[] };
    assert.deepEqual(items[0]?.status, {
      state: 'stale',
      hostname: 'a',
      renewedSecondsAgo: -7200,
      renewTimeAheadSeconds: 7200,
    });
  });

  test('rows that come later keep the widths; the headers come once', () => {
    const table = new Table(leaseShape(() => asOf, { output: 'table', query: { namespace: 'kube-system' } }).columns);
    assert.equal(table.print([]), '');
    const [a, b] = made.leases;
    assert.ok(a && b);
    assert.equal(table.print([b]).split('\n').length, 3);
    assert.equal(table.print([a]), 'apiserver-wlv32    vm         Stale   apiserver-wlv32_2    2m30s     2d12h\n');
  });

  test('what others wrote breaks neither table nor terminal', async () => {
    const evil = published(
      [
        lease('a', 'h\u001b[2Jh', { holderIdentity: `x\ny\t\u009b31m\u202e${'z'.repeat(200)}` }),
        lease('b', '日本', { holderIdentity: 'e\u0301\u0301\u0301\u0301'.repeat(2) }),
      ],
      { serverDate: asOf, freshForMs: 30_000 },
    );
    assert.equal(
      (await print('table', evil)).stdout,
      lines(
        `NAME   HOSTNAME    STATE     HOLDER${' '.repeat(50)}RENEWED   AGE`,
        `a      h\\x1b[2Jh   Expired   x\\x0ay\\x09\\x9b31m\\u{202e}${'z'.repeat(27)}…   <none>    2d12h`,
        `b      日本        Expired   e\u0301\u0301e\u0301\u0301${' '.repeat(54)}<none>    2d12h`,
      ),
    );
  });
});

describe('for programs', () => {
  test('names', async () => {
    assert.equal(
      (await print('name')).stdout,
      lines(
        'lease.coordination.k8s.io/apiserver-wlv32',
        'lease.coordination.k8s.io/kube-apiserver-a',
        'lease.coordination.k8s.io/kube-apiserver-c',
        'lease.coordination.k8s.io/kube-apiserver-d',
      ),
    );
  });

  test('json: the numbers, the instances, and the leases as they were read', async () => {
    const { stdout } = await print('json');
    assert.ok(stdout.startsWith('{\n    "apiVersion": "leasekeeper.dev/v1alpha1",\n    "kind": "Census",\n'));
    const { items, ...rest } = JSON.parse(stdout) as Record<string, unknown> & { items: unknown[] };
    assert.deepEqual(rest, {
      apiVersion: 'leasekeeper.dev/v1alpha1',
      kind: 'Census',
      asOf: '2026-01-01T01:00:00.000000Z',
      clock: 'server-date',
      freshForSeconds: 30,
      freshnessSeconds: 0.012,
      counts: { instances: 2, live: 1, stale: 1, expired: 1, released: 1 },
      leases: { live: 1, unknown: 0, stale: 1, expired: 1, released: 1 },
      instances: [
        { name: 'master-1', hostname: 'master-1', state: 'live', leases: ['kube-apiserver-a'] },
        { name: 'vm', hostname: 'vm', state: 'stale', leases: ['apiserver-wlv32'] },
      ],
    });
    assert.equal(items.length, 4);
    assert.deepEqual(items[1], {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name: 'kube-apiserver-a',
        namespace: 'kube-system',
        uid: UID,
        resourceVersion: '7',
        labels: { 'kubernetes.io/hostname': 'master-1' },
        creationTimestamp: '2025-12-29T13:00:00Z',
      },
      spec: {
        holderIdentity: 'kube-apiserver-a_1',
        leaseDurationSeconds: 3600,
        acquireTime: '2025-12-31T22:00:00.000000Z',
        renewTime: '2026-01-01T00:59:55.123456Z',
        leaseTransitions: 2,
      },
      status: { state: 'live', hostname: 'master-1', renewedSecondsAgo: 4.877, renewTimeAheadSeconds: null },
    });
  });

  test('numbers that are not known are null', async () => {
    const blind = published(leases, { freshForMs: 30_000 });
    const { counts, asOf: when } = JSON.parse((await print('json', blind)).stdout) as Record<string, unknown>;
    assert.deepEqual(counts, { instances: null, live: null, stale: null, expired: null, released: null });
    assert.equal(when, null);
  });

  test('yaml says what json says', async () => {
    assert.deepEqual(parse((await print('yaml')).stdout), JSON.parse((await print('json')).stdout));
    assert.match((await print('yaml', empty)).stdout, /\nitems: \[\]\n$/);
  });

  test('yaml: strings that a reader of YAML 1.1 takes for something else are quoted', async () => {
    const { stdout } = await print(
      'yaml',
      published([lease('yes', 'on', { holderIdentity: '0777' })], { freshForMs: 1 }),
    );
    assert.match(stdout, /name: "yes"/);
    assert.match(stdout, /hostname: "on"/);
    assert.match(stdout, /holderIdentity: "0777"/);
  });

  test('a summary without its source is printed all the same', async () => {
    const kept: CensusLease = {
      namespace: 'n',
      name: 'x',
      kind: 'unknown',
      uid: UID,
      state: 'released',
      terminating: false,
    };
    const of = census([kept], { clock: 'observed', freshForMs: 1, freshnessMs: 0 });
    const { items } = JSON.parse((await print('json', of)).stdout) as { items: { spec: unknown; status: unknown }[] };
    assert.deepEqual(items[0]?.spec, { holderIdentity: '' });
    assert.deepEqual(items[0]?.status, {
      state: 'released',
      hostname: null,
      renewedSecondsAgo: null,
      renewTimeAheadSeconds: null,
    });
  });
});

test('characters that only look like spaces are distinguished from spaces', () => {
  assert.equal(printable('a b\u00a0c\u3000d'), 'a b\\xa0c\\u{3000}d');
});

describe('for any text', () => {
  const nasty = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({
      unit: fc.constantFrom(
        '\u001b',
        '\u009b',
        '\n',
        '\r',
        '\u202e',
        '\ud800',
        '\u200b',
        '\u0301',
        '日',
        'a',
        '😀',
        '\u0085',
        '\u2028',
        '\ufeff',
      ),
    }),
  );
  const unsafe = /[\p{C}\p{Zl}\p{Zp}]/u;

  test('cells are printable, bounded, and as wide as said', () => {
    fc.assert(
      fc.property(nasty, fc.integer({ min: 1, max: 40 }), (text, columns) => {
        const cell = truncate(printable(text), columns);
        assert.doesNotMatch(cell, unsafe);
        assert.ok(width(cell) <= columns);
        if (width(printable(text)) <= columns) assert.equal(cell, printable(text));
      }),
      { numRuns: 2_000 },
    );
  });

  test('every output is free of what a terminal acts on, one line a row, and json and yaml lose nothing', async () => {
    await fc.assert(
      fc.asyncProperty(nasty, nasty, nasty, async (hostname, holder, other) => {
        const spec = {
          holderIdentity: holder,
          renewTime: '2026-01-01T00:59:55Z',
          leaseDurationSeconds: 60,
          [`k${other}`]: other,
        };
        const of = published([lease('x', hostname, spec, { annotations: { note: other } })], {
          serverDate: asOf,
          freshForMs: 30_000,
        });
        for (const output of ['table', 'wide', 'json', 'yaml', 'name'] as const) {
          const { stdout } = await print(output, of);
          assert.doesNotMatch(stdout.replaceAll('\n', ''), unsafe, output);
          if (output === 'table' || output === 'wide') assert.equal(stdout.split('\n').length, 3);
        }
        const json = JSON.parse((await print('json', of)).stdout) as { items: { spec: Record<string, unknown> }[] };
        assert.equal(json.items[0]?.spec['holderIdentity'], holder);
        assert.deepEqual(parse((await print('yaml', of)).stdout), json);
      }),
      { numRuns: 1_000 },
    );
  });
});
