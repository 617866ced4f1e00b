/** What is tried once all is quiet, one thing a run, to hold each bound of DESIGN to the millisecond. */
import { withChanges } from '../../src/lease/lease.ts';
import { KIND_LABEL, TERM_ANNOTATION } from '../../src/lease/marks.ts';
import { recordOf, sameRecord } from '../../src/lease/record.ts';
import type { Census } from '../../src/census/census.ts';
import { takeCensus } from '../../src/census/take-census.ts';
import { MemoryApi } from '../support/memory-api.ts';
import {
  CensusActor,
  ClientGoActor,
  ELECTION,
  ElectorActor,
  FleetActor,
  IDENTITIES,
  PublisherActor,
  SweeperActor,
} from './actors.ts';
import type { Actor, Stage } from './actors.ts';
import type { ElectionRules } from './rules/election.ts';
import { askedToEnd } from './happenings.ts';
import { sweepBound } from './plan.ts';
import { RING_DRILLS } from './plan-types.ts';
import type { Plan, Slot } from './plan-types.ts';
import { ringDrill } from './ring-drills.ts';
import { stream } from './chance.ts';
import { FAIR, Link, UNHEARD } from './network.ts';
import { isIdentity } from './rules/identity.ts';
import { Process } from './process.ts';
import type { World } from './world.ts';

export interface DrillParts {
  readonly kind: Plan['drill'];
  readonly world: World;
  readonly api: MemoryApi;
  readonly stage: Stage;
  readonly actors: ReadonlyMap<string, Actor>;
  readonly election: ElectionRules;
  readonly verify: () => void;
  /** Starts another process. */
  readonly start: (slot: Slot) => Actor;
}

/** The longest that a candidate lets others go first, after races that it lost on a slow network. */
const HEAD_START_MS = 1_100;
/** The lease's duration by a clock that is slow, and the way there and back. */
const FAILOVER_MS = 15_000 * 1.01 + 500 + HEAD_START_MS;
/** Work that takes its time to end, the release, and one way there and back. */
const RELEASE_MS = 4_000 + 500 + HEAD_START_MS;
/** The same for standbys that may not watch: client-go's pace of polling. */
const RELEASE_POLLED_MS = RELEASE_MS + 2_000 * 2.2 + 500;
/** The pause between two renewals, and the renewal, which is refused. */
const RENEWAL_MS = 2_000 * 1.1 + 500;
/** Between two lists: longer than any publisher here is silent. */
const OBSERVE_MS = 35_000;
/** A request and its answer, where the network is fair. */
const WAY_MS = 100;
/** A pause between two attempts, by a clock that is slow. */
const NAMED_FIRST_MS = 2_000 * 1.1 + 500;
/** A deletion is sent at once, and a read and a write follow. */
const RECREATED_MS = 1_000;
const HOUR_MS = 3_600_000;
/** Silence after which a Node is Unknown to Kubernetes until 1.31; later it is 50 s. */
const GRACE_MS = 40_000;
/** An election's record, by any clock. */
const EXPIRED_MS = 20_000;
/** Longer than the freshness window, by any clock. */
const DEAD_MS = 35_000;
/** A list is there by then, also where it took two. */
const HEARD_MS = 10_000;

export async function drill(parts: DrillParts): Promise<void> {
  if (parts.kind === 'failover' || parts.kind === 'release' || parts.kind === 'step-down') return electors(parts);
  if (parts.kind === 'nobody leads' || parts.kind === 'no Nodes seen') return swept(parts);
  if (parts.kind === 'election put back') return electionPutBack(parts);
  if (parts.kind === 'a fleet dies') return fleetDies(parts);
  if (parts.kind === 'two lists') return twoLists(parts);
  if (parts.kind === 'put back') return putBack(parts);
  if (parts.kind === 'first to write') return firstToWrite(parts);
  if (parts.kind === 'deletion') return deletion(parts);
  if (parts.kind === 'clock ahead') return clockAhead(parts);
  const { world, stage, actors, verify } = parts;
  const ring = RING_DRILLS.find((kind) => kind === parts.kind);
  if (ring) return ringDrill(ring, stage, actors.values(), (until) => world.live(until, verify));
}

async function electors({ kind, world, api, stage, actors, election, verify }: DrillParts): Promise<void> {
  const living = [...actors.values()].filter((a): a is ElectorActor => a instanceof ElectorActor && a.living);
  // What is measured is ours.
  for (const actor of actors.values()) if (actor instanceof ClientGoActor) actor.process.crash();
  const [leader] = election.leading();
  if (!leader || living.length < 2) return;
  const others = living.filter((a) => a !== leader.elector);
  const watching = others.some((a) => a.link.store.watches.open > 0);
  stage.judge.note('DRILL', `${kind} of ${leader.elector.name}`);
  // In half of the worlds in Kubernetes' own way, which names the next.
  const next = stage.seed % 2 === 0 ? others[0]!.slot.name : undefined;
  if (kind === 'failover') leader.elector.process.crash();
  else if (kind === 'release') leader.elector.stop();
  else {
    const { holder } = leader.elector;
    if (next !== undefined) api.edit(ELECTION, () => ({ spec: { preferredHolder: next } }));
    else api.edit(ELECTION, (l) => askedToEnd(l, { holder, transitions: l.spec.leaseTransitions ?? 0, to: undefined }));
  }
  // A leader that may not watch finds the request at its next renewal.
  const askedMs = kind === 'step-down' && leader.elector.link.store.watches.open === 0 ? RENEWAL_MS : 0;
  // Others wait for the one that is named, which may not be watching.
  const othersMs = kind === 'step-down' && next !== undefined ? NAMED_FIRST_MS : 0;
  const released = askedMs + othersMs + (watching ? RELEASE_MS : RELEASE_POLLED_MS);
  const bound = kind === 'failover' ? FAILOVER_MS + (watching ? 0 : 5_000) : released;
  const from = world.now;
  while (!election.leading().some((l) => l !== leader)) {
    if (world.now - from > bound)
      stage.judge.fail(`${kind} within its bound`, `nobody leads ${world.now - from} ms after`);
    await world.live(world.now + 50, verify);
  }
}

/**
 * Nobody leads any more, or all fleets die and the sweeper sees no Node: what is left expires, or is not written, for longer
 * than any pass takes, and stays. The rules judge each deletion.
 */
async function swept({ kind, world, api, stage, actors, verify }: DrillParts): Promise<void> {
  const all = [...actors.values()];
  const sweepers = all.filter((a): a is SweeperActor => a instanceof SweeperActor && a.living);
  stage.judge.note('DRILL', kind);
  for (const actor of all) {
    const ends = kind === 'nobody leads' ? [ElectorActor, ClientGoActor] : [FleetActor];
    if (ends.some((Kind) => actor instanceof Kind)) actor.process.crash();
  }
  // As one that client-go made, which says only by its transitions that it has a record.
  if (kind === 'nobody leads' && stage.seed % 2 === 0 && api.peek(ELECTION))
    api.edit(ELECTION, (lease) => withChanges(lease, { labels: { [KIND_LABEL]: undefined } }));
  if (kind === 'no Nodes seen') for (const { nodes } of sweepers) if (nodes) nodes.blind = true;
  const bounds = sweepers.map(({ sweeps }) => sweepBound(sweeps));
  await world.live(world.now + EXPIRED_MS + Math.max(0, ...bounds), verify);
}

/** While its leader hears nothing, an election's lease is put back to when the term before had been released: others wait. */
async function electionPutBack({ world, api, stage, election, verify }: DrillParts): Promise<void> {
  const [leader] = election.leading();
  const { leaseTransitions = 0 } = api.peek(ELECTION)?.spec ?? {};
  if (!leader || leaseTransitions === 0) return;
  stage.judge.note('DRILL', `the lease of ${leader.elector.name} is put back`);
  leader.elector.link.hush(false);
  api.edit(ELECTION, (lease) =>
    withChanges(lease, {
      spec: { holderIdentity: '', leaseTransitions: leaseTransitions - 1 },
      annotations: { [TERM_ANNOTATION]: undefined },
    }),
  );
  await world.live(world.now + FAILOVER_MS, verify);
}

/** Of two fleets that share their Nodes one dies: the other renews them before anybody calls them Unknown. */
async function fleetDies({ world, api, stage, actors, verify }: DrillParts): Promise<void> {
  const fleets = [...actors.values()].filter((a): a is FleetActor => a instanceof FleetActor && a.living);
  if (fleets.length < 2) return;
  const [dies] = fleets;
  stage.judge.note('DRILL', `${dies!.name} dies`);
  dies!.process.crash();
  for (let left = GRACE_MS * 2; left > 0; left -= 1_000) {
    await world.live(world.now + 1_000, verify);
    for (const name of stage.nodes.nodes.keys()) {
      const at = api.history.findLast((c) => c.namespace === 'kube-node-lease' && c.name === name && c.after)?.at ?? 0;
      if (world.now - at > GRACE_MS)
        stage.judge.fail('the Nodes of a fleet that dies are kept by the others', `${name}: ${world.now - at} ms ago`);
    }
  }
}

/** `count --observe` on a machine with any clock: live is who wrote between its lists, and nobody else. */
async function twoLists({ world, api, stage, verify }: DrillParts): Promise<void> {
  const clock = new Process(world, 1, stream(stage.seed, 'two lists').between(-1, 1) * 1e9);
  const store = new Link(stage.network, clock, stream(stage.seed, 'two lists network'), 'counter');
  stage.judge.note('DRILL', 'count --observe');
  let census: Census | undefined;
  void takeCensus({ store, clock, query: IDENTITIES, observeMs: OBSERVE_MS }).then(
    (answer) => (census = answer),
    (error: unknown) => stage.judge.note('DRILL', String(error)),
  );
  const from = world.now;
  await world.live(from + OBSERVE_MS + 2_000, verify);
  const [first, second] = store.lists;
  if (!census || !first || !second) return stage.judge.fail('a count is answered once it is quiet', 'count --observe');
  const old = new Set(first.leases.map(({ metadata }) => metadata.uid));
  for (const { name, uid, state } of census.leases) {
    // What was not there at the first list is judged by what it says.
    if (!old.has(uid)) continue;
    const written = api.history.filter(
      (c) => c.name === name && c.after && !(c.before && sameRecord(recordOf(c.before), recordOf(c.after))),
    );
    const within = written.some(({ at }) => at > first.at && at < second.at - WAY_MS);
    const maybe = written.some(({ at }) => at > first.at - WAY_MS && at < second.at);
    if (state === 'live' ? !maybe : within && api.peek({ ...IDENTITIES, name })?.spec.holderIdentity)
      stage.judge.fail('live is who wrote between two lists', `${name.slice(-8)} is called ${state}`);
  }
}

/** A publisher that holds the lease of its host, alone. */
const holderOf = ({ actors }: DrillParts): PublisherActor | undefined =>
  [...actors.values()].find(
    (a): a is PublisherActor =>
      a instanceof PublisherActor &&
      a.living &&
      a.publisher.status.phase === 'holding' &&
      a.slot.nameFormat === 'sha256',
  );

/**
 * A host's clock is an hour ahead, and the host dies while a census hears nothing: once the census hears again, that host's
 * renewTime, which has not come, makes nobody live.
 */
async function clockAhead(parts: DrillParts): Promise<void> {
  const { world, api, stage, actors, verify } = parts;
  const holder = holderOf(parts);
  const census = [...actors.values()].find((a): a is CensusActor => a instanceof CensusActor && a.living);
  if (!holder || !census?.census.snapshot().known) return;
  stage.judge.note('DRILL', `${holder.name}, its clock ahead, dies unheard by ${census.name}`);
  census.link.hush(true);
  holder.process.stepWall(HOUR_MS);
  await world.live(world.now + holder.slot.intervalMs * 1.05 + 2_000, verify);
  holder.process.crash();
  const ref = { namespace: IDENTITIES.namespace, name: holder.leaseName };
  const left = api.peek(ref)?.metadata.resourceVersion;
  await world.live(world.now + DEAD_MS, verify);
  census.link.resume('relist');
  await world.live(world.now + HEARD_MS, verify);
  // Another process of the host may have taken it over.
  if (!census.census.snapshot().known || api.peek(ref)?.metadata.resourceVersion !== left) return;
  const shown = census.census.leases()?.leases.find(({ name }) => name === holder.leaseName);
  if (shown?.state === 'live')
    stage.judge.fail(
      'who is silent is not live',
      `${census.name} calls ${holder.name} live by a time that has not come`,
    );
}

/**
 * A lease is put back to what another left; its holder claims it, hears nothing of that, and a newer process takes it over: that
 * one keeps it, however few its transitions are.
 */
async function putBack(parts: DrillParts): Promise<void> {
  const { world, api, stage, verify, start } = parts;
  const holder = holderOf(parts);
  if (!holder) return;
  const ref = { namespace: IDENTITIES.namespace, name: holder.leaseName };
  const uid = api.peek(ref)?.metadata.uid;
  const left = api.history.find(
    ({ name, by, after }) =>
      name === ref.name &&
      by !== holder.name &&
      after?.metadata.uid === uid &&
      isIdentity(after) &&
      after?.spec.holderIdentity !== holder.holder,
  );
  if (!left?.after) return;
  stage.judge.note('DRILL', `${holder.name}'s lease is put back`);
  api.edit(ref, ({ spec }) => ({ spec: { leaseTransitions: (spec.leaseTransitions ?? 0) + 5 } }));
  const renewalMs = holder.slot.intervalMs * 1.05 + 2_000;
  await world.live(world.now + renewalMs, verify);
  holder.link.weather = UNHEARD;
  const { labels, annotations } = left.after.metadata;
  const { spec } = left.after;
  stage.restored(left);
  api.edit(ref, (lease) => ({ ...lease, metadata: { ...lease.metadata, labels, annotations }, spec }));
  for (const until = world.now + renewalMs; api.peek(ref)?.spec.holderIdentity !== holder.holder;) {
    if (world.now > until) return;
    await world.live(world.now + 50, verify);
  }
  holder.link.weather = FAIR;
  start({ ...holder.slot, name: `${holder.slot.name}-newer` });
  await world.live(world.now + 2 * renewalMs, verify);
}

/**
 * etcd is full until all leases have expired. A moment before a sweeper's second look there is space again, and somebody who had no
 * lease makes one: the others, who have not tried again yet, keep theirs.
 */
async function firstToWrite({ world, stage, actors, verify }: DrillParts): Promise<void> {
  const all = [...actors.values()];
  const holding = all.filter(
    (a): a is PublisherActor => a instanceof PublisherActor && a.living && a.publisher.status.phase === 'holding',
  );
  const sweeper = all.find((a): a is SweeperActor => a instanceof SweeperActor && a.living);
  const [first] = holding;
  if (!first || holding.length < 2 || !sweeper) return;
  const { network } = stage;
  stage.judge.note('DRILL', `no space for writes; ${first.name} is off`);
  [network.noSpace, network.wasSpace] = [true, true];
  [network.troubleBeganAt, network.backForAMomentAt] = [world.now, Number.NaN];
  first.switch(false);
  const durations = holding.map(({ slot }) => slot.durationSeconds * 1_000);
  const until = world.now + Math.max(...durations) * 1.05;
  await world.live(until, verify);
  const { tickMs, confirmAfterMs } = sweeper.sweeps;
  const latest = world.now + 2 * (tickMs + confirmAfterMs);
  while (sweeper.looked.look !== 1 || sweeper.looked.at < until) {
    if (world.now > latest) return;
    await world.live(world.now + 100, verify);
  }
  await world.live(sweeper.looked.at + confirmAfterMs - 1_000, verify);
  [network.noSpace, network.outageEndedAt] = [false, world.now];
  first.switch(true);
  await world.live(world.now + 3_000, verify);
}

/** Somebody deletes the lease of a living publisher: it comes back; at once where no server makes its own first. */
async function deletion(parts: DrillParts): Promise<void> {
  const { world, api, stage, verify } = parts;
  const holder = holderOf(parts);
  if (!holder) return;
  const ref = { namespace: IDENTITIES.namespace, name: holder.leaseName };
  stage.judge.note('DRILL', `deletion of ${holder.name}'s lease`);
  api.remove(ref);
  const watching = holder.link.store.watches.open > 0;
  const bound = watching ? RECREATED_MS : holder.slot.intervalMs * 1.05 + RECREATED_MS;
  await world.live(world.now + bound, verify);
  if (!api.peek(ref)) stage.judge.fail('no lease is lost', `${holder.name}'s did not come back within ${bound} ms`);
}
