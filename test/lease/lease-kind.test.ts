/** What each kind of lease is called, and that nothing is guessed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLease } from '../../src/lease/lease.ts';
import { kindOf } from '../../src/lease/lease-kind.ts';
import { KIND_LABEL, LEASE_KINDS } from '../../src/lease/marks.ts';

const NOW = '2026-01-02T03:04:05.000000Z';
const UUID = '11111111-2222-4333-8444-555555555555';
const ID = 'apiserver.kubernetes.io/identity';
const HOST = 'kubernetes.io/hostname';

interface Sketch {
  readonly namespace?: string;
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

const cases: readonly (readonly [what: string, lease: Sketch, kind: string])[] = [
  [
    'client-go’s elector, kube-controller-manager',
    {
      spec: { holderIdentity: 'm1_x', acquireTime: NOW, renewTime: NOW, leaseDurationSeconds: 15, leaseTransitions: 0 },
    },
    'election',
  ],
  ['the same, released', { spec: { holderIdentity: '', acquireTime: NOW, leaseTransitions: 3 } }, 'election'],
  [
    'a Node’s heartbeat',
    { namespace: 'kube-node-lease', name: 'n1', spec: { holderIdentity: 'n1', renewTime: NOW } },
    'heartbeat',
  ],
  [
    'a heartbeat that has been taken over',
    { namespace: 'kube-node-lease', name: 'n1', spec: { acquireTime: NOW, leaseTransitions: 4 } },
    'heartbeat',
  ],
  [
    'konnectivity’s server',
    {
      name: 'konnectivity-proxy-server-7',
      labels: { 'k8s-app': 'konnectivity-server' },
      spec: { holderIdentity: '7', renewTime: NOW, leaseDurationSeconds: 30 },
    },
    'unknown',
  ],
  [
    'a heartbeat of Open Cluster Management',
    {
      namespace: 'cluster1',
      name: 'managed-cluster-lease',
      labels: { 'open-cluster-management.io/cluster-name': 'cluster1' },
      spec: { holderIdentity: 'managed-cluster-lease', renewTime: NOW, leaseDurationSeconds: 60 },
    },
    'unknown',
  ],
  [
    'kube-apiserver’s identity',
    { labels: { [ID]: 'kube-apiserver', [HOST]: 'm1' }, spec: { renewTime: NOW } },
    'identity',
  ],
  [
    'that of 1.26 and before',
    { labels: { 'k8s.io/component': 'kube-apiserver' }, spec: { renewTime: NOW } },
    'identity',
  ],
  ['another component with that label', { labels: { 'k8s.io/component': 'x' }, spec: { renewTime: NOW } }, 'unknown'],
  ['the identity label alone', { labels: { [ID]: 'kube-apiserver' }, spec: { renewTime: NOW } }, 'unknown'],
  [
    'another product’s identity',
    {
      name: 'proxy-1',
      labels: { 'k8s-app': 'proxy', [HOST]: 'm1' },
      spec: { holderIdentity: `proxy-1_${UUID}`, acquireTime: NOW, leaseTransitions: 2 },
    },
    'identity',
  ],
  [
    'an election whose lease carries a hostname',
    { name: 'op', labels: { [HOST]: 'm1' }, spec: { holderIdentity: `pod_${UUID}`, leaseTransitions: 2 } },
    'election',
  ],
  [
    'an election in the namespace of identities',
    { namespace: 'kube-system', spec: { leaseTransitions: 0 } },
    'election',
  ],
  ['an empty lease', {}, 'unknown'],
  ['a holder alone', { spec: { holderIdentity: 'x' } }, 'unknown'],
  ['numbers that are none', { spec: { leaseTransitions: -1, acquireTime: 'yesterday' } }, 'unknown'],
  [
    'a kind that this version does not know',
    { labels: { [KIND_LABEL]: 'quorum' }, spec: { leaseTransitions: 1 } },
    'unknown',
  ],
  ['an empty kind', { labels: { [KIND_LABEL]: '' }, spec: { leaseTransitions: 1 } }, 'unknown'],
  ...LEASE_KINDS.map((kind) => [`ours: ${kind}`, { labels: { [KIND_LABEL]: kind } }, kind] as const),
  [
    'ours, whatever else stands on it',
    { namespace: 'kube-node-lease', labels: { [KIND_LABEL]: 'lock', [ID]: 'x', [HOST]: 'y' } },
    'lock',
  ],
];

for (const [what, { namespace = 'default', name = 'l', labels = {}, spec = {} }, kind] of cases)
  test(`${what}: ${kind}`, () => {
    assert.equal(kindOf(parseLease({ metadata: { namespace, name, labels }, spec })), kind);
  });
