/** Fuzzing what reads leases: times, objects, names, labels. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from '../support/fast-check.ts';
import { LeaseParseError, leaseToJson, parseLease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import {
  hostnameLabel,
  hostnameMarks,
  hostnameOf,
  hostnameProblem,
  isLabelValue,
  labelKeyProblem,
  leaseName,
  objectNameProblem,
} from '../../src/lease/names.ts';
import { WorkloadNameError, workloadLeaseName } from '../../src/lease/workload-names.ts';
import { escapeQuoted, printable } from '../../src/runtime/printable.ts';
import { fuzz, nearly, onlyThrows, texts } from './fuzz.ts';

const TIMES = [
  '2026-01-02T03:04:05.123456Z',
  '2024-02-29t23:59:60,9+23:59',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999Z',
];

fuzz(
  'MicroTime',
  texts(TIMES),
  (text) => {
    const time = MicroTime.parse(text);
    if (!time) return;
    assert.match(time.toString(), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.ok(MicroTime.parse(time.toString())?.equals(time));
    // Node reads the same instant, as far as it can read the form at all, to the millisecond.
    const plain = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:)([0-5]\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text);
    const node = plain ? Date.parse(`${plain[1]}${plain[2]}${plain[4]}`) : NaN;
    if (!Number.isNaN(node)) assert.equal(time.seconds * 1000, node, text);
  },
  { runs: 3_000 },
);

const LEASE = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: {
    name: 'a',
    namespace: 'kube-system',
    uid: 'u',
    resourceVersion: '7',
    labels: { 'kubernetes.io/hostname': 'a' },
    annotations: { x: 'y' },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }],
    finalizers: ['f'],
    creationTimestamp: '2026-01-01T00:00:00Z',
    managedFields: [{}],
  },
  spec: {
    holderIdentity: 'h',
    leaseDurationSeconds: 3600,
    acquireTime: TIMES[0],
    renewTime: TIMES[0],
    leaseTransitions: 1,
    strategy: 'OldestEmulationVersion',
  },
};

fuzz(
  'Lease',
  nearly(LEASE),
  (json) => {
    const lease = onlyThrows(LeaseParseError, () => parseLease(json));
    if (!lease) return;
    const again = parseLease(leaseToJson(lease));
    assert.deepEqual(leaseToJson(again), leaseToJson(lease));
    for (const value of Object.values(lease.metadata.labels)) assert.equal(typeof value, 'string');
    hostnameOf(lease);
  },
  { runs: 2_000 },
);

const HOSTS = ['master-1', 'a.example.org', 'UPPER_case', 'x'.repeat(64), 'ip-10-0-0-1.eu-west-1.compute.internal'];

fuzz('hostnames: name of every format, label, annotation', texts(HOSTS), (host) => {
  if (hostnameProblem(host) !== undefined) return;
  const label = hostnameLabel(host);
  assert.ok(label !== '' && isLabelValue(label), label);
  const { labels, annotations } = hostnameMarks(host);
  const metadata = { ...parseLease(LEASE).metadata, labels, annotations };
  assert.equal(hostnameOf({ ...parseLease(LEASE), metadata }), host);
  assert.equal(leaseName(host), `kube-apiserver-${createHash('sha256').update(host).digest('hex')}`);
  for (const format of ['sha256', 'apiserver'] as const)
    assert.equal(objectNameProblem(leaseName(host, format)), undefined);
});

/** Kubernetes' rules, written in another way: piece by piece, without one large expression. */
const isAlnum = (char: string | undefined, upper: boolean): boolean => {
  if (char === undefined || char.length !== 1) return false;
  return (char >= '0' && char <= '9') || (char >= 'a' && char <= 'z') || (upper && char >= 'A' && char <= 'Z');
};
const isName = (text: string): boolean =>
  text.length > 0 &&
  text.length <= 253 &&
  text
    .split('.')
    .every(
      (part) =>
        isAlnum(part[0], false) &&
        isAlnum(part.at(-1), false) &&
        [...part].every((c) => c === '-' || isAlnum(c, false)),
    );
const isValue = (text: string): boolean =>
  text === '' ||
  (text.length <= 63 &&
    isAlnum(text[0], true) &&
    isAlnum(text.at(-1), true) &&
    [...text].every((c) => '-_.'.includes(c) || isAlnum(c, true)));
const isKey = (text: string): boolean => {
  const [first = '', ...rest] = text.split('/');
  const [name, prefix] = rest.length === 0 ? [first, undefined] : [rest.join('/'), first];
  return name !== '' && isValue(name) && (prefix === undefined || isName(prefix));
};

fuzz(
  'names of objects, label keys and values',
  texts(['a', 'a.b-c', 'kubernetes.io/hostname', 'x'.repeat(63), ...HOSTS]),
  (text) => {
    assert.equal(objectNameProblem(text) === undefined, isName(text), `name ${JSON.stringify(text)}`);
    assert.equal(isLabelValue(text), isValue(text), `value ${JSON.stringify(text)}`);
    assert.equal(labelKeyProblem(text) === undefined, isKey(text), `key ${JSON.stringify(text)}`);
  },
);

fuzz(
  'names of workloads',
  fc.tuple(texts(['my-operator', 'kube-apiserver', 'a']), fc.array(texts(['default', 'release-1']), { maxLength: 3 })),
  ([product, parts]) => {
    const name = onlyThrows(WorkloadNameError, () => workloadLeaseName(product, parts));
    if (name !== undefined) assert.ok(isName(name) && name.length <= 63 && name.startsWith(`${product}-`), name);
  },
);

fuzz('text of others on a terminal', texts(['plain', 'é\u0301\u0302\u0303', '\x1b[31mred', 'a\u{202e}b']), (text) => {
  assert.doesNotMatch(printable(text), /[\p{C}\p{Zl}\p{Zp}]/u);
  const json = JSON.stringify({ [text]: text });
  assert.deepEqual(JSON.parse(escapeQuoted(json)), JSON.parse(json));
  assert.doesNotMatch(escapeQuoted(json), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
});
