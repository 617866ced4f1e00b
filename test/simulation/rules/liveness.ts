/**
 * What must have come true when it has been quiet for long enough: everybody holds or stands by, one leads, the dead are
 * swept, the living are counted, heartbeats are renewed.
 *
 * Left out, because an operator did it and only an operator can undo it: a lease without its identity label, which its
 * holder's next process must refuse.
 */
import { publishedExpiry } from '../../../src/lease/expiry.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import { MicroTime } from '../../../src/lease/micro-time.ts';
import { hostnameOf, leaseName } from '../../../src/lease/names.ts';
import {
  CensusActor,
  ClientGoActor,
  ELECTION,
  ElectorActor,
  FleetActor,
  IDENTITIES,
  MonitorActor,
  PublisherActor,
  ServerActor,
  SweeperActor,
} from '../actors.ts';
import type { Actor } from '../actors.ts';
import type { Judge } from '../judge.ts';
import type { Network } from '../network.ts';
import type { Nodes } from '../nodes.ts';
import { sweepBound } from '../plan.ts';
import type { ElectionRules } from './election.ts';
import type { HeartbeatRules } from './heartbeat.ts';
import type { IdentityRules } from './identity.ts';
import { isIdentity, isPeer } from './identity.ts';

/** What a renewal takes beyond its interval: jitter, a clock that is slow, the way. */
const renewedWithin = (intervalMs: number): number => intervalMs * 1.05 + 500;
/** Once quiet nobody else writes the lease of a Node; milliseconds, two renewals. */
const ONE_WRITER_MS = 20_000;
/** The well-known label. */
const HOST = 'kubernetes.io/hostname';
const HOST_ANNOTATION = 'leasekeeper.dev/hostname';
/** States that are this near to becoming others are not compared. */
const MARGIN_MS = 4_000;

export interface LivenessParts {
  readonly network: Network;
  readonly nodes: Nodes;
  readonly judge: Judge;
  readonly actors: ReadonlyMap<string, Actor>;
  readonly identity: IdentityRules;
  readonly election: ElectionRules;
  readonly heartbeat: HeartbeatRules;
  /** Since when it is quiet, in true milliseconds. */
  readonly quietSince: number;
}

export function checkLiveness(parts: LivenessParts): void {
  const { actors, judge, network } = parts;
  const living = [...actors.values()].filter((actor) => actor.living);
  for (const actor of actors.values()) {
    if (actor.error)
      judge.fail('services end without an error', `${actor.name}: ${actor.error.stack ?? actor.error.message}`);
  }
  publishers(parts, living);
  sweepers(parts, living);
  for (const actor of living) if (actor instanceof CensusActor) census(parts, actor);
  const rivals = living.filter((actor) => actor instanceof ClientGoActor && actor.elector.leading).length;
  const leads = parts.election.leading().length + rivals;
  const electors = living.some((actor) => actor instanceof ElectorActor);
  if (electors && leads !== 1) judge.fail('one leads once it is quiet', `${leads} lead`);
  const holder = network.api.peek(ELECTION)?.spec.holderIdentity;
  const [led] = parts.election.leading();
  if (led && holder !== led.elector.holder)
    judge.fail('the leader holds the lease', `${led.elector.name} leads, ${holder} holds`);
  heartbeats(parts, living);
  ownerless(parts, living);
}

/** Heartbeats whose Node has long been gone are deleted, where somebody looks for them and sees other Nodes. */
function ownerless({ network, nodes, judge, heartbeat, quietSince }: LivenessParts, living: readonly Actor[]): void {
  const { api, world } = network;
  const sweeper = living.find((a) => a instanceof SweeperActor && a.nodes && a.startedAt <= quietSince);
  if (!(sweeper instanceof SweeperActor) || nodes.nodes.size === 0) return;
  for (const [name, at] of nodes.changedAt) {
    const since = Math.max(at, heartbeat.writtenAt.get(name) ?? -Infinity, quietSince);
    const left = api.peek({ namespace: 'kube-node-lease', name });
    if (left && !nodes.nodes.has(name) && world.now - since > sweepBound(sweeper.sweeps))
      judge.fail('heartbeats without a Node are swept', `${name}'s is there ${world.now - since} ms after`);
  }
}

function publishers({ network, judge, identity }: LivenessParts, living: readonly Actor[]): void {
  const { api, world } = network;
  const all = living.filter((actor): actor is PublisherActor => actor instanceof PublisherActor);
  for (const name of new Set(all.map((p) => p.leaseName))) {
    const lease = api.peek({ namespace: IDENTITIES.namespace, name });
    const mine = all.filter((p) => p.leaseName === name);
    const who = mine.map((p) => `${p.name} ${p.publisher.status.phase}`).join(', ');
    const beside = (phases: readonly string[]): void => {
      if (!mine.every((p) => phases.includes(p.publisher.status.phase))) judge.fail('a server is left its lease', who);
    };
    const { hostname } = mine[0]!.slot;
    if (api.all().some((l) => isPeer(l) && hostnameOf(l) === hostname && l.metadata.name !== name)) {
      // Whose watch is forbidden looks again after minutes.
      if (mine.some((p) => p.link.store.watches.open === 0)) continue;
      beside(['besideServer']);
      if (isIdentity(lease)) judge.fail('no second lease beside peer proxying', who);
      continue;
    }
    const servers = living.filter((a) => a instanceof ServerActor && a.server.name === name);
    if (servers.length > 0) {
      const ageMs = world.now - (identity.writtenAt.get(name) ?? -Infinity);
      if (!lease || ageMs > renewedWithin(10_000)) judge.fail('a server keeps its lease', `${who}: ${ageMs} ms ago`);
      beside(['besideServer', 'superseded']);
      continue;
    }
    if (!lease) return judge.fail('no lease is lost', `${who}: there is no lease`);
    const holding = mine.filter((p) => p.publisher.status.phase === 'holding');
    if (!isIdentity(lease)) {
      if (mine.some((p) => !['foreign', 'holding'].includes(p.publisher.status.phase)))
        judge.fail('everybody holds or stands by', who);
      continue;
    }
    const standing = mine.filter((p) => p.publisher.status.phase === 'superseded');
    if (holding.length !== 1 || standing.length !== mine.length - 1) judge.fail('everybody holds or stands by', who);
    const [holder] = holding;
    if (lease.spec.holderIdentity !== holder!.holder)
      judge.fail('who holds is who says so', `${who}: held by ${lease.spec.holderIdentity}`);
    const ageMs = world.now - identity.writtenAt.get(name)!;
    if (ageMs > renewedWithin(holder!.slot.intervalMs)) judge.fail('renewals go on', `${who}: renewed ${ageMs} ms ago`);
  }
}

/** Leases that had expired long ago are gone, if a sweeper was there and somebody else was alive to prove it. */
function sweepers({ network, judge, quietSince }: LivenessParts, living: readonly Actor[]): void {
  const { api, world } = network;
  const plans = living.flatMap((a) => {
    const sweeps = (a instanceof SweeperActor || a instanceof PublisherActor) && a.startedAt <= quietSince && a.sweeps;
    return sweeps && sweeps.looksFor !== 'ownerless' ? [sweepBound(sweeps)] : [];
  });
  if (plans.length === 0) return;
  const leases = api.all().filter(isIdentity);
  const now = MicroTime.fromEpochMicros(world.wallMicros());
  const left = (lease: Lease): number => publishedExpiry(lease)?.since(now) ?? Infinity;
  // Signs of life that a pass believes: a renewal of a moment ago, by a clock that is right.
  const proof = living.some(
    (a) =>
      a instanceof PublisherActor && Math.abs(a.process.wallOffsetMs) < 1_000 && a.publisher.status.phase === 'holding',
  );
  if (!proof) return;
  const bound = Math.min(...plans);
  for (const lease of leases) {
    const held = lease.spec.holderIdentity !== '' && lease.spec.holderIdentity !== undefined;
    if (held && -left(lease) > bound && world.now - quietSince > bound) {
      const owner = living.some(
        (a) =>
          (a instanceof PublisherActor && a.leaseName === lease.metadata.name) ||
          (a instanceof ServerActor && a.server.name === lease.metadata.name),
      );
      if (!owner) judge.fail('what expired is swept', `${hostnameOf(lease)} expired ${-left(lease)} ms ago`);
    }
  }
}

function census({ network, judge, identity, actors }: LivenessParts, actor: CensusActor): void {
  const { api, world } = network;
  const snapshot = actor.census.snapshot();
  if (!snapshot.known) return judge.fail('a census knows once it is quiet', `${actor.name}: ${snapshot.reason}`);
  for (const { name, hostname } of actor.census.leases()?.leases ?? []) {
    const of = [...actors.values()].find((a) => a instanceof PublisherActor && a.leaseName === name);
    const there = api.peek({ ...IDENTITIES, name });
    const whole = of instanceof PublisherActor ? of.slot.hostname : undefined;
    // What its holder wrote there, or somebody else since it died.
    const annotated = whole !== undefined && there?.metadata.annotations[HOST_ANNOTATION] === whole;
    const host = annotated ? whole : there?.metadata.labels[HOST];
    if (there && hostname !== host)
      judge.fail('a lease is shown under its own host', `${actor.name} calls ${host} ${hostname}`);
  }
  const hosts = new Map<string, { sure: boolean; maybe: boolean; live: boolean; liveMaybe: boolean }>();
  for (const lease of api.all().filter(isIdentity)) {
    const host = hostnameOf(lease) ?? lease.metadata.name;
    const known = hosts.get(host) ?? { sure: false, maybe: false, live: false, liveMaybe: false };
    if (!lease.spec.holderIdentity) continue;
    const ageMs = world.now - (identity.renewedAt.get(lease.metadata.name) ?? -Infinity);
    const oldestMs = identity.silentMs(lease, world.now);
    const durationMs = (lease.spec.leaseDurationSeconds ?? 3600) * 1000;
    // Of what was there before it looked, a census knows only what the writer's wall clock said.
    const seen = actor.startedAt < world.now - ageMs;
    hosts.set(host, {
      sure: known.sure || (seen && oldestMs < durationMs - MARGIN_MS),
      maybe: known.maybe || !seen || ageMs < durationMs + MARGIN_MS,
      live: known.live || (seen && oldestMs < 30_000 - MARGIN_MS),
      liveMaybe: known.liveMaybe || !seen || ageMs < 30_000 + MARGIN_MS,
    });
  }
  const count = (key: 'sure' | 'maybe' | 'live' | 'liveMaybe'): number =>
    [...hosts.values()].filter((h) => h[key]).length;
  const { instances, live } = snapshot.answer.counts;
  const wrong =
    instances < count('sure') || instances > count('maybe') || live < count('live') || live > count('liveMaybe');
  if (wrong) {
    const truth = `${count('sure')} to ${count('maybe')} and ${count('live')} to ${count('liveMaybe')}`;
    judge.fail(
      'a census tells the truth once it is quiet',
      `${actor.name} says ${instances} and ${live} live; true are ${truth}`,
    );
  }
}

function heartbeats({ network, nodes, judge, heartbeat, quietSince }: LivenessParts, living: readonly Actor[]): void {
  const { api, world } = network;
  const fleets = living.filter((actor): actor is FleetActor => actor instanceof FleetActor);
  const monitors = living.filter((actor): actor is MonitorActor => actor instanceof MonitorActor);
  if (fleets.length === 0) return;
  const within = renewedWithin(Math.max(...fleets.map((f) => f.slot.intervalMs)));
  for (const { name, uid } of nodes.nodes.values()) {
    const lease = api.peek({ namespace: 'kube-node-lease', name });
    const lastAt = heartbeat.writtenAt.get(name) ?? -Infinity;
    if (!lease || world.now - lastAt > within) {
      return judge.fail('every heartbeat is renewed', `${name}: ${world.now - lastAt} ms ago`);
    }
    const writers = new Set(
      network.api.history.flatMap((c) => (c.name === name && world.now - c.at < ONE_WRITER_MS ? [c.by] : [])),
    );
    if (writers.size > 1) judge.fail('one keeps a Node', `${name}: ${[...writers].join()}`);
    if (lease.metadata.ownerReferences[0]?.uid !== uid) judge.fail('a recreated Node owns its heartbeat', name);
    for (const actor of monitors) {
      const status = actor.monitor.snapshot().nodes.find((n) => n.name === name)?.status;
      const grownAt = heartbeat.grown.get(name)?.at(-1) ?? -Infinity;
      if (status !== 'Ready' && grownAt > lastAt - 1_000)
        judge.fail('a renewed node is Ready', `${actor.name} says that ${name} is ${status}`);
    }
  }
  for (const [name, at] of nodes.changedAt) {
    const lastAt = heartbeat.writtenAt.get(name) ?? -Infinity;
    // Who stood still has what was due to send first.
    if (!nodes.nodes.has(name) && lastAt > Math.max(at + 50_000, quietSince + 5_000))
      judge.fail('heartbeats stop for a deleted Node', name);
  }
}

export const identityRef = (hostname: string): { namespace: string; name: string } => ({
  namespace: IDENTITIES.namespace,
  name: leaseName(hostname),
});
