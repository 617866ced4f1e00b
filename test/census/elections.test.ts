/** All leases of a cluster by one watch: which are elections, how long nobody leads, and what a switch takes. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { isAmong, identityLeases } from '../../src/census/census-query.ts';
import type { CensusEvent, LeaderSwitch } from '../../src/census/census-events.ts';
import { LiveCensus } from '../../src/census/live-census.ts';
import { leasesEndpoint } from '../../src/http/leases-endpoint.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { parseLease } from '../../src/lease/lease.ts';
import { KIND_LABEL } from '../../src/lease/marks.ts';
import { switchMetrics } from '../../src/observe/switch-metrics.ts';
import { observers } from '../../src/runtime/observer.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { NOW, ScriptedWatch, at } from './support.ts';

interface Sketch {
  readonly namespace?: string;
  readonly name?: string;
  readonly labels?: Record<string, string>;
  readonly holder?: string;
  readonly seconds?: number;
  /** Milliseconds after NOW. */
  readonly renewed?: number;
  readonly acquired?: number;
  readonly transitions?: number;
}

function lease(sketch: Sketch = {}): Lease {
  const {
    namespace = 'apps',
    name = 'op',
    labels,
    holder = 'a',
    seconds = 15,
    renewed = 0,
    acquired,
    transitions,
  } = sketch;
  return parseLease({
    metadata: { namespace, name, uid: `uid-${namespace}-${name}`, labels, creationTimestamp: at(-1e7).toString() },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: seconds,
      renewTime: at(renewed).toString(),
      acquireTime: acquired === undefined ? undefined : at(acquired).toString(),
      leaseTransitions: transitions,
    },
  });
}
/** As client-go has it. */
const election = (sketch: Sketch = {}): Lease => lease({ acquired: -60_000, transitions: 1, ...sketch });
const heartbeat = (renewed: number): Lease =>
  lease({ namespace: 'kube-node-lease', name: 'n1', holder: 'n1', seconds: 40, renewed });

async function start(t: TestContext, first: readonly Lease[]) {
  const clock = new ManualClock(NOW);
  const store = new ScriptedWatch();
  const there = new Map(first.map((one) => [`${one.metadata.namespace}/${one.metadata.name}`, one]));
  const tell = async (type: 'added' | 'modified' | 'deleted', one: Lease): Promise<void> => {
    const key = `${one.metadata.namespace}/${one.metadata.name}`;
    if (type === 'deleted') there.delete(key);
    else there.set(key, one);
    store.tell({ type, lease: one });
    await settle();
  };
  store.onOpen = () => [
    { type: 'list', leases: [...there.values()], serverDate: at(Math.floor(clock.monotonic() / 1000) * 1000) },
  ];
  const switches: LeaderSwitch[] = [];
  const registry = new Registry();
  const noted = (event: CensusEvent): void => {
    if (event.type === 'switched') switches.push(event);
  };
  const census: LiveCensus = new LiveCensus({
    store,
    query: {
      namespace: '',
      counted: isAmong(identityLeases('kube-system', 'apiserver.kubernetes.io/identity', 'kube-apiserver')),
    },
    elections: true,
    clock,
    random: () => 0.5,
    observe: observers(
      noted,
      switchMetrics(registry, () => census.elections()),
    ),
  });
  const abort = new AbortController();
  const run = census.run(abort.signal);
  t.after(async () => {
    abort.abort();
    await run;
    assert.equal(clock.pending, 0);
  });
  await settle();
  /** Moves time on to this moment, while a node's heartbeats prove every second that the watch lives. */
  const to = async (ms: number): Promise<void> => {
    while (clock.monotonic() < ms) {
      await clock.advance(Math.min(1_000, ms - clock.monotonic()));
      await tell('modified', heartbeat(clock.monotonic()));
    }
  };
  const change = (one: Lease, type: 'added' | 'modified' | 'deleted' = 'modified'): Promise<void> => tell(type, one);
  const leaderless = (): Record<string, number> | undefined =>
    census.elections() &&
    Object.fromEntries(
      census.elections()!.map(({ namespace, name, leaderlessMs }) => [`${namespace}/${name}`, leaderlessMs]),
    );
  return { clock, store, census, registry, switches, to, change, leaderless };
}

/** A leader that renews every two seconds until it is killed, after the renewal of 10 s. */
async function killed(w: Awaited<ReturnType<typeof start>>): Promise<void> {
  for (let ms = 2_000; ms <= 10_000; ms += 2_000) {
    await w.to(ms);
    await w.change(election({ renewed: ms }));
  }
}

test('a leader that is killed: nobody leads from its expiry on, as its standbys see it, until the next one begins', async (t) => {
  const w = await start(t, [election(), heartbeat(0)]);
  await killed(w);
  await w.to(24_900);
  assert.deepEqual(w.leaderless(), { 'apps/op': 0 });
  await w.to(26_400);
  const gap = w.leaderless()!['apps/op']!;
  assert(gap >= 1_300 && gap <= 1_400, `${gap}`);
  await w.to(27_700);
  await w.change(election({ holder: 'b', renewed: 27_700, acquired: 27_700, transitions: 2 }));
  assert.deepEqual(w.leaderless(), { 'apps/op': 0 });
  const [only, ...more] = w.switches;
  assert.deepEqual(more, []);
  assert.deepEqual([only!.from, only!.to, only!.how], ['a', 'b', 'expired']);
  assert.equal(only!.switchMs, 17_700);
  assert.equal(only!.leaderlessMs, 2_700);
  const text = await w.registry.metrics();
  assert.match(text, /leasekeeper_election_switch_seconds_sum\{how="expired"\} 17\.7\n/);
  assert.match(text, /leasekeeper_election_switch_seconds_bucket\{le="20",how="expired"\} 1\n/);
  assert.match(text, /leasekeeper_election_transitions_total\{lease_namespace="apps",name="op"\} 1\n/);
  assert.match(text, /leasekeeper_election_leaderless_seconds\{lease_namespace="apps",name="op"\} 0\n/);
});

test('taken over before anything proved that it had expired: the same', async (t) => {
  const w = await start(t, [election()]);
  await w.change(election({ renewed: 0, transitions: 1 }));
  await w.clock.advance(14_000);
  await w.clock.advance(1_500);
  await w.change(election({ holder: 'b', renewed: 15_500, acquired: 15_500, transitions: 2 }));
  assert.deepEqual(
    [w.switches[0]!.how, w.switches[0]!.switchMs, w.switches[0]!.leaderlessMs],
    ['expired', 15_500, 500],
  );
});

test('a release: the switch takes what the next one takes', async (t) => {
  const w = await start(t, [election(), heartbeat(0)]);
  await w.to(3_000);
  await w.change(election({ renewed: 3_000 }));
  await w.to(4_000);
  await w.change(election({ holder: '', seconds: 1, renewed: 4_000, acquired: 4_000 }));
  await w.clock.advance(30);
  assert.deepEqual(w.leaderless(), { 'apps/op': 30 });
  await w.change(election({ holder: 'b', renewed: 4_030, acquired: 4_030, transitions: 2 }));
  assert.deepEqual([w.switches[0]!.how, w.switches[0]!.switchMs, w.switches[0]!.leaderlessMs], ['released', 30, 30]);
});

test('taken from one that lived, a late renewal, a lease that was deleted', async (t) => {
  const w = await start(t, [election(), election({ name: 'late' }), election({ name: 'gone' }), heartbeat(0)]);
  await w.to(5_000);
  await w.change(election({ holder: 'b', renewed: 5_000, acquired: 5_000, transitions: 2 }));
  assert.deepEqual([w.switches[0]!.how, w.switches[0]!.leaderlessMs], ['taken', 0]);
  await w.to(16_500);
  assert(w.leaderless()!['apps/late']! > 1_000);
  await w.change(election({ name: 'late', renewed: 16_500 }));
  assert.equal(w.leaderless()!['apps/late'], 0);
  await w.change(election({ name: 'gone' }), 'deleted');
  await w.change(election({ name: 'gone', holder: 'c', renewed: 16_500, acquired: 16_500, transitions: 0 }), 'added');
  assert.equal(w.switches.length, 1, 'neither a late renewal nor a recreated lease is a switch');
  await w.change(election({ name: 'gone' }), 'deleted');
  assert.deepEqual(Object.keys(w.leaderless()!), ['apps/op', 'apps/late']);
  assert.doesNotMatch(await w.registry.metrics(), /name="gone"/);
});

const UUID = '11111111-2222-4333-8444-555555555555';
const CLUSTER = [
  election(),
  lease({ name: 'ours', labels: { [KIND_LABEL]: 'election' }, acquired: 0, transitions: 0 }),
  ...['lock', 'once', 'cron', 'semaphore', 'member', 'shard'].map((kind) =>
    lease({ name: kind, labels: { [KIND_LABEL]: kind }, acquired: 0, transitions: 3 }),
  ),
  heartbeat(0),
  lease({
    namespace: 'kube-system',
    name: 'konnectivity-proxy-server-1',
    labels: { 'k8s-app': 'konnectivity-server' },
  }),
  lease({ namespace: 'cluster1', name: 'managed-cluster-lease', holder: 'managed-cluster-lease' }),
  lease({
    namespace: 'kube-system',
    name: 'apiserver-1',
    labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver', 'kubernetes.io/hostname': 'm1' },
    seconds: 3600,
  }),
  lease({
    name: 'proxy-1',
    labels: { 'k8s-app': 'my-proxy', 'kubernetes.io/hostname': 'm1' },
    holder: `proxy-1_${UUID}`,
    acquired: 0,
    transitions: 7,
  }),
];

test('a cluster with leases of every kind: each is named, only elections are measured, only identities counted', async (t) => {
  const w = await start(t, CLUSTER);
  const answer = (query: string) => {
    const { body, status } = leasesEndpoint(w.census, w.clock)(new URLSearchParams(query)) as {
      body: string | (string | Buffer)[];
      status: number;
    };
    const text = [body].flat().join('');
    return { status, ...(JSON.parse(text) as { leases: Record<string, unknown>[] }) };
  };
  const { status, leases } = answer('');
  assert.equal(status, 200);
  const kinds = Object.fromEntries(leases.map(({ name, kind }) => [String(name), kind]));
  assert.deepEqual(kinds, {
    op: 'election',
    ours: 'election',
    ...Object.fromEntries(['lock', 'once', 'cron', 'semaphore', 'member', 'shard'].map((kind) => [kind, kind])),
    n1: 'heartbeat',
    'konnectivity-proxy-server-1': 'unknown',
    'managed-cluster-lease': 'unknown',
    'apiserver-1': 'identity',
    'proxy-1': 'identity',
  });
  assert.deepEqual(
    answer('kind=election').leases.map(({ name, held, leaderlessSeconds }) => [name, held, leaderlessSeconds]),
    [
      ['op', true, 0],
      ['ours', true, 0],
    ],
  );
  assert.equal(answer('kind=elections').status, 400);
  const snapshot = w.census.snapshot();
  assert(snapshot.known);
  assert.deepEqual([snapshot.answer.counts.instances, w.census.census()!.leases.length], [1, 1]);
  // All go silent, but for the one that proves it.
  await w.to(100_000);
  assert.deepEqual(Object.keys(w.leaderless()!), ['apps/op', 'apps/ours']);
  assert(Object.values(w.leaderless()!).every((ms) => ms >= 84_000));
  const names = [
    ...(await w.registry.metrics()).matchAll(/leaderless_seconds\{lease_namespace="apps",name="(\w+)"\}/g),
  ];
  assert.deepEqual(
    names.map(([, name]) => name),
    ['op', 'ours'],
  );
});

test('what is counted may come and go by its labels', async (t) => {
  const w = await start(t, CLUSTER);
  const counts = () => {
    const snapshot = w.census.snapshot();
    assert(snapshot.known);
    return [snapshot.answer.counts.instances, snapshot.answer.leaseCounts.live];
  };
  const one = CLUSTER.find(({ metadata }) => metadata.name === 'apiserver-1')!;
  assert.deepEqual(counts(), [1, 1]);
  await w.change({ ...one, metadata: { ...one.metadata, labels: {} } });
  await w.to(1_000);
  assert.deepEqual(counts(), [0, 0]);
  await w.change(one);
  await w.to(2_000);
  assert.deepEqual(counts(), [1, 1]);
  await w.change(one, 'deleted');
  await w.to(3_000);
  assert.deepEqual(counts(), [0, 0]);
});

test('2,000 elections have 500 series, those that nobody leads first', async (t) => {
  const many = Array.from({ length: 2_000 }, (_, i) =>
    election({ name: `op-${i}`, renewed: i === 1_999 ? -60_000 : 0 }),
  );
  const w = await start(t, many);
  const text = await w.registry.metrics();
  assert.equal([...text.matchAll(/^leasekeeper_election_leaderless_seconds\{/gm)].length, 500);
  assert.equal([...text.matchAll(/^leasekeeper_election_transitions_total\{/gm)].length, 500);
  assert.match(text, /leaderless_seconds\{lease_namespace="apps",name="op-1999"\} 45\n/);
  assert.match(text, /^leasekeeper_election_leases 2000$/m);
});

test('while nothing is known there is no number', async (t) => {
  const w = await start(t, [election()]);
  await w.clock.advance(31_000);
  w.store.onOpen = () => [];
  await w.clock.advance(60_000);
  assert.equal(w.leaderless(), undefined);
  assert.doesNotMatch(await w.registry.metrics(), /^leasekeeper_election_leaderless_seconds\{/m);
});
