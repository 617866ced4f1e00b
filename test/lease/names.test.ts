import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from '../support/fast-check.ts';
import { newLease } from '../../src/lease/lease.ts';
import {
  HOSTNAME_ANNOTATION,
  HOSTNAME_LABEL,
  holderIdentity,
  hostnameLabel,
  hostnameMarks,
  hostnameOf,
  hostnameProblem,
  isLocalName,
  isLabelValue,
  labelKeyProblem,
  leaseName,
  objectNameProblem,
} from '../../src/lease/names.ts';

/** Kubernetes' own rules, written down again. */
const VALID_LABEL = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
const validLabel = (value: string): boolean => Buffer.byteLength(value) <= 63 && VALID_LABEL.test(value);

describe('leaseName', () => {
  const vectors: [string, string][] = [
    ['localhost', 'apiserver-l2yubf4cvcl5c7a3wrubrwqdve'],
    ['test-server-a', 'apiserver-tcwjsvs6hjq4qbwzx5rvp5fsqe'],
    ['vm', 'apiserver-wlv32tlttr4jl3gtroqexyxapa'],
  ];
  for (const [hostname, name] of vectors) {
    it(`names ${hostname} as kube-apiserver does`, () => assert.equal(leaseName(hostname, 'apiserver'), name));
  }

  it('is by default kube-apiserver- and the SHA-256 of the hostname', () => {
    // printf %s localhost | sha256sum
    const digest = '49960de5880e8c687434170f6476605b8fe4aeb9a28632c7995cf3ba831d9763';
    assert.equal(leaseName('localhost'), `kube-apiserver-${digest}`);
    assert.equal(leaseName('localhost').length, 79);
    assert.equal(leaseName('localhost', 'sha256', 'konnectivity'), `konnectivity-${digest}`);
    assert.equal(leaseName('vm', 'apiserver', 'other'), 'other-wlv32tlttr4jl3gtroqexyxapa');
  });

  it('takes the hostname byte for byte', () => {
    for (const format of ['sha256', 'apiserver'] as const) {
      const names = ['Master', 'master', 'master ', ' master', 'mäster', 'ma\u0308ster'].map((h) =>
        leaseName(h, format),
      );
      assert.equal(new Set(names).size, names.length);
    }
    const bytes = createHash('sha256').update(Buffer.from('mäster', 'utf8')).digest('hex');
    assert.equal(leaseName('mäster'), `kube-apiserver-${bytes}`);
  });

  it('is a valid object name for any hostname', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 253 }), (hostname) => {
        for (const format of ['sha256', 'apiserver'] as const) {
          assert.match(leaseName(hostname, format), /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
          assert.equal(objectNameProblem(leaseName(hostname, format)), undefined);
        }
      }),
    );
  });

  it('gives a holder of the name and the UUID', () => assert.equal(holderIdentity('n', 'u'), 'n_u'));
});

describe('hostnameLabel', () => {
  it('keeps what is a valid label value', () => {
    for (const hostname of ['master-1', 'Master-1', 'a', '1', 'a.b_c', 'h'.repeat(63)]) {
      assert.equal(hostnameLabel(hostname), hostname);
    }
  });

  const odd = [
    'h'.repeat(64),
    `${'h'.repeat(62)}.h`,
    'h'.repeat(253),
    `${'a.'.repeat(126)}a`,
    `${'A'.repeat(30)}${'-'.repeat(40)}`,
    'x_',
    '_x',
    '-',
    '.',
    ' ',
    'mäster',
    '主机',
    'a b',
    'host\n',
    'host\nhost',
    '🚀'.repeat(40),
    '\ud800',
  ];
  for (const hostname of odd) {
    it(`makes ${JSON.stringify(hostname).slice(0, 30)} (${hostname.length}) a valid value and keeps the whole name`, () => {
      const value = hostnameLabel(hostname);
      assert.ok(validLabel(value) && value !== '', value);
      const marks = hostnameMarks(hostname);
      assert.deepEqual(marks, {
        labels: { [HOSTNAME_LABEL]: value },
        annotations: { [HOSTNAME_ANNOTATION]: hostname },
      });
      assert.equal(hostnameOf(newLease({ name: 'x', namespace: 'n', ...marks }, {})), hostname);
    });
  }

  it('tells long hostnames apart that differ only at the end', () => {
    const hosts = Array.from({ length: 200 }, (_, i) => `${'node'.repeat(40)}-${i}`);
    assert.equal(new Set(hosts.map(hostnameLabel)).size, hosts.length);
  });

  it('is valid for every hostname, and different for different ones', () => {
    const hostname = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 253 }),
      fc.stringMatching(/^[A-Za-z0-9._-]{1,100}$/),
      fc.stringMatching(/^[hH]{60,70}$/),
    );
    fc.assert(
      fc.property(hostname, hostname, (a, b) => {
        assert.ok(validLabel(hostnameLabel(a)) && hostnameLabel(a) !== '');
        if (Buffer.from(a).equals(Buffer.from(b))) assert.equal(hostnameLabel(a), hostnameLabel(b));
        else assert.notEqual(hostnameLabel(a), hostnameLabel(b));
      }),
      { numRuns: 2000 },
    );
  });

  it('needs no annotation where the label says it all; a lease without either has no hostname', () => {
    assert.deepEqual(hostnameMarks('vm'), { labels: { [HOSTNAME_LABEL]: 'vm' }, annotations: {} });
    assert.equal(hostnameOf(newLease({ name: 'x', namespace: 'n', ...hostnameMarks('vm') }, {})), 'vm');
    assert.equal(hostnameOf(newLease({ name: 'x', namespace: 'n' }, {})), undefined);
  });
});

describe('the hostname of a lease', () => {
  const of = (labels: Record<string, string>, annotations: Record<string, string>): string | undefined =>
    hostnameOf(newLease({ name: 'x', namespace: 'n', labels, annotations }, {}));
  const long = 'h'.repeat(100);

  it('is the annotation only where that gives the label', () => {
    assert.equal(of({ [HOSTNAME_LABEL]: 'master-1' }, { [HOSTNAME_ANNOTATION]: 'master-2' }), 'master-1');
    assert.equal(of({ [HOSTNAME_LABEL]: 'master-1' }, { [HOSTNAME_ANNOTATION]: long }), 'master-1');
    assert.equal(of({ [HOSTNAME_LABEL]: hostnameLabel(long) }, { [HOSTNAME_ANNOTATION]: long }), long);
    assert.equal(
      of({ [HOSTNAME_LABEL]: hostnameLabel(long) }, { [HOSTNAME_ANNOTATION]: `${long}x` }),
      hostnameLabel(long),
    );
    assert.equal(of({}, { [HOSTNAME_ANNOTATION]: 'master-2' }), undefined);
    assert.equal(of({ [HOSTNAME_LABEL]: 'a' }, { [HOSTNAME_ANNOTATION]: '' }), 'a');
    const huge = 'x'.repeat(200_000);
    assert.equal(of({ [HOSTNAME_LABEL]: hostnameLabel(huge) }, { [HOSTNAME_ANNOTATION]: huge }), hostnameLabel(huge));
  });
});

describe('a hostname that no two machines should have', () => {
  for (const name of [
    'localhost',
    'LOCALHOST',
    'localhost.',
    'localhost4',
    'localhost.localdomain',
    'x.localdomain',
    'a.localhost',
    '127.0.0.1',
    '::1',
    '(none)',
    'ip6-localhost',
  ])
    it(`${name}: local`, () => assert.ok(isLocalName(name)));
  for (const name of ['master-1', 'localhost-1', 'mylocalhost', 'local', '10.0.0.1', 'localdomain.example.com'])
    it(`${name}: a name`, () => assert.ok(!isLocalName(name)));
});

describe('rules', () => {
  it('hostname: 1 to 253 characters, whatever they are', () => {
    assert.match(hostnameProblem('')!, /empty/);
    assert.equal(hostnameProblem('h'.repeat(253)), undefined);
    assert.match(hostnameProblem('h'.repeat(254))!, /253.*254/);
    assert.equal(hostnameProblem('Master 1'), undefined);
  });

  const objectNames: [string, boolean][] = [
    ['a', true],
    ['a.b-c.1', true],
    ['a'.repeat(253), true],
    ['a'.repeat(254), false],
    ['', false],
    ['A', false],
    ['a_b', false],
    ['-a', false],
    ['a-', false],
    ['a..b', false],
    ['a.-b', false],
    ['a\n', false],
  ];
  for (const [name, ok] of objectNames) {
    it(`object name ${JSON.stringify(name).slice(0, 20)}: ${ok}`, () =>
      assert.equal(objectNameProblem(name) === undefined, ok));
  }

  const keys: [string, boolean][] = [
    ['a', true],
    ['apiserver.kubernetes.io/identity', true],
    ['A_b.c-1', true],
    ['n'.repeat(63), true],
    ['n'.repeat(64), false],
    ['', false],
    ['/a', false],
    ['a/', false],
    ['a/b/c', false],
    ['Upper.io/a', false],
    ['bad key', false],
    ['-a', false],
  ];
  for (const [key, ok] of keys) {
    it(`label key ${JSON.stringify(key).slice(0, 40)}: ${ok}`, () =>
      assert.equal(labelKeyProblem(key) === undefined, ok));
  }

  it('label value: as Kubernetes has it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[A-Za-z0-9._\- \n]{0,70}$/)), (value) => {
        assert.equal(isLabelValue(value), validLabel(value));
      }),
      { numRuns: 1000 },
    );
  });
});
