/** Carries out what a plan says will happen. */
import { MicroTime } from '../../src/lease/micro-time.ts';
import { withChanges } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { STEP_DOWN_ANNOTATION, stepDownMarkText } from '../../src/lease/marks.ts';
import { HOSTNAME_ANNOTATION, IDENTITY_LABEL, isCalled, leaseName } from '../../src/lease/names.ts';
import { ELECTION, FleetActor, IDENTITIES, MonitorActor, PublisherActor, SweeperActor } from './actors.ts';
import type { Actor, Stage } from './actors.ts';
import { RECIPES } from './recipe-actors.ts';
import type { LeaseRef } from '../../src/lease/store.ts';
import type { MemoryApi } from '../support/memory-api.ts';
import type { Chance } from './chance.ts';
import { FAIR, WEATHERS } from './network.ts';
import type { NodeLink } from './nodes.ts';
import { looksFor } from './plan.ts';
import { identityRef } from './rules/liveness.ts';
import type { Happening, Plan } from './plan-types.ts';

/** What the happenings may do to the world beside what the stage shows. */
export interface Scene {
  readonly stage: Stage;
  readonly plan: Plan;
  readonly random: Chance;
  /** The process that runs in a slot now. */
  current(slot: string): Actor | undefined;
  /** Starts another one there after so many milliseconds, unless one has been started since. It ends no other. */
  restart(actor: Actor, afterMs: number): void;
  /** True milliseconds at which the chaos ends. */
  readonly chaosEnd: number;
}

const PAUSES_MS = [500, 3_000, 9_000, 14_000, 16_000, 26_000, 28_000, 50_000];
/** No two outages fall into one pass of a sweeper: what two in a row do is not promised. */
const OUTAGES_APART_MS = 130_000;

export function happen(scene: Scene, happening: Happening): void {
  const { stage } = scene;
  const { kind, slot, dice } = happening;
  const actor = slot === undefined ? undefined : scene.current(slot);
  switch (kind) {
    case 'API outage':
      return outage(scene, dice);
    case 'no space for writes':
    case 'no Date':
      return forEverybody(scene, kind, dice);
    case 'compaction':
      if (stage.network.chaos.inject(kind)) {
        stage.network.api.compact();
        stage.judge.note('API', 'compacts');
      }
      return;
    case 'server down':
      return serverDown(scene, dice);
    case 'feature gate off':
      return gateOff(scene, actor, dice);
    case 'operator deletes':
    case 'operator edits':
      return operate(scene, happening);
    case 'operator steps the leader down':
      return askToStepDown(stage, happening);
    case 'restore':
      return restore(scene, dice);
    case 'node deleted':
    case 'node recreated':
      return node(scene, happening);
    default:
      if (actor && actor.process.state !== 'crashed') happenTo(scene, actor, happening);
  }
}

function happenTo(scene: Scene, actor: Actor, { kind, dice }: Happening): void {
  const { stage, random, plan } = scene;
  const { judge, network } = stage;
  const { world, chaos } = network;
  const [a, b, c] = dice;
  const { store } = actor.link;
  if (kind === 'weather') {
    actor.link.weather = WEATHERS[Math.floor(a * WEATHERS.length)]!;
    judge.note(actor.name, `weather: ${actor.link.weather.name}`);
    return;
  }
  if ((kind === 'stop' || kind === 'overlapping restart') && (actor.process.state !== 'running' || actor.stopping))
    return;
  // Two servers on one host have one port.
  if (kind === 'overlapping restart' && actor.slot.kind === 'server') return;
  if (!chaos.inject(kind as Exclude<typeof kind, 'weather'>)) return;
  judge.note(actor.name, `befallen: ${kind}`);
  switch (kind) {
    case 'pause':
    case 'suspend':
      actor.standStill();
      if (kind === 'pause') actor.process.stop();
      else actor.process.suspend();
      world.schedule(PAUSES_MS[Math.floor(a * PAUSES_MS.length)]! * (0.8 + 0.4 * b), () => {
        judge.note(actor.name, 'goes on');
        actor.process.goOn(random);
      });
      return;
    case 'crash':
      actor.process.crash();
      // Some come back at once, some only after their lease has expired.
      if (plan.theme === 'sweep' && actor.slot.kind === 'publisher') return scene.restart(actor, 75_000 + a * 90_000);
      if (actor.slot.kind === 'sweeper') return scene.restart(actor, a * 5_000);
      return scene.restart(actor, a < 0.6 ? a * 30_000 : (a - 0.6) * 400_000);
    case 'overlapping restart':
      scene.restart(actor, 0);
      world.schedule(b < 0.3 ? 0 : b * 300, () => actor.stop());
      return;
    case 'stop':
      actor.stop();
      return scene.restart(actor, a * 20_000);
    case 'clock step':
      return actor.process.stepWall(a < 0.5 ? (b - 0.5) * 10_000 : (b - 0.5) * 2e8);
    case 'watch silent':
      actor.link.hush(false);
      world.schedule(a * 120_000, () => actor.link.resume(c < 0.5 ? 'replay' : 'relist'));
      return;
    case 'watch lost':
      actor.link.hush(true);
      nodesOf(actor)?.lose();
      world.schedule(a * 30_000, () => {
        actor.link.resume(c < 0.5 ? 'replay' : 'relist');
        nodesOf(actor)?.resume();
      });
      return;
    case 'watch cut':
      if (b < 0.3 && chaos.inject('watch forbidden')) store.watches.forbid();
      else store.watches.cut();
      return;
    case 'watch ended (410)':
      return store.watches.relist();
    default:
      return;
  }
}

/**
 * In half of the worlds that are about outages the API comes back for a moment only: long enough for a sweeper's first look,
 * and then away for about as long as it waits for the second.
 */
function outage({ stage, plan, chaosEnd }: Scene, [a, b, c]: Happening['dice']): void {
  const { network, judge } = stage;
  const { world } = network;
  if (network.outage || network.noSpace || world.now - network.outageEndedAt < OUTAGES_APART_MS) return;
  if (!network.chaos.allows('API outage')) return;
  network.outage = a < 0.5 ? 'refuse' : 'hang';
  network.troubleBeganAt = world.now;
  network.wasSpace = false;
  network.backForAMomentAt = Number.NaN;
  judge.note('API', `is out: ${network.outage}`);
  const end = (): void => {
    if (!network.outage) return;
    network.outage = undefined;
    network.outageEndedAt = world.now;
    judge.note('API', 'is back');
  };
  const ms = 5_000 + b * 100_000;
  const flaps = plan.theme === 'outage' && c >= 0.25;
  if (!flaps) world.schedule(Math.min(ms, chaosEnd - world.now), end);
  if (!flaps) return;
  // Long enough for every lease to expire.
  const first = 65_000 + b * 20_000;
  const again = first + 200 + (c - 0.25) * 9_000;
  world.schedule(first, () => {
    end();
    network.backForAMomentAt = world.now;
  });
  // Longer than the wait for the second look, or just so that it falls into the next moment.
  const second = a % 0.1 < 0.04 ? 45_000 : 24_000 + (a % 0.1) * 60_000;
  world.schedule(again, () => {
    network.outage = a < 0.5 ? 'refuse' : 'hang';
    judge.note('API', `is out again: ${network.outage}`);
  });
  world.schedule(again + second, end);
}

function forEverybody(
  { stage, chaosEnd }: Scene,
  kind: 'no space for writes' | 'no Date',
  [a]: Happening['dice'],
): void {
  const { network, judge } = stage;
  const { world } = network;
  const far = world.now - network.outageEndedAt >= OUTAGES_APART_MS;
  if (!network.chaos.allows(kind) || (kind === 'no space for writes' && (network.outage || network.noSpace || !far)))
    return;
  const flag = kind === 'no Date' ? 'noDate' : 'noSpace';
  network[flag] = true;
  if (flag === 'noSpace')
    [network.troubleBeganAt, network.wasSpace, network.backForAMomentAt] = [world.now, true, Number.NaN];
  judge.note('API', kind);
  const ms = kind === 'no Date' ? 5_000 + a * 60_000 : 60_000 + a * 90_000;
  world.schedule(Math.min(ms, chaosEnd - world.now), () => {
    network[flag] = false;
    if (flag === 'noSpace') network.outageEndedAt = world.now;
    judge.note('API', `${kind}: over`);
  });
}

function serverDown({ stage, plan, chaosEnd }: Scene, [a, b]: Happening['dice']): void {
  const { network, judge, serversDown } = stage;
  const { world } = network;
  const hosts = [...new Set(plan.slots.flatMap((s) => (s.kind === 'publisher' ? [s.hostname] : [])))];
  const host = hosts[Math.floor(a * hosts.length)];
  if (host === undefined || serversDown.has(host) || !network.chaos.inject('server down')) return;
  serversDown.set(host, world.now);
  judge.note(host, 'does not answer');
  world.schedule(Math.min(b * 90_000, chaosEnd - world.now), () => {
    serversDown.delete(host);
    judge.note(host, 'answers');
  });
}

/** `APIServerIdentity=false`, for up to a minute. */
function gateOff({ stage, chaosEnd }: Scene, actor: Actor | undefined, [a]: Happening['dice']): void {
  const { network, judge } = stage;
  if (!(actor instanceof PublisherActor) || !actor.living || !network.chaos.inject('feature gate off')) return;
  judge.note(actor.name, 'feature gate off');
  actor.switch(false);
  network.world.schedule(Math.min(a * 60_000, chaosEnd - network.world.now), () => actor.switch(true));
}

/** A lease is put back to what it was up to two minutes ago, by a restore of etcd or from a backup. */
function restore({ stage, plan }: Scene, [a, b]: Happening['dice']): void {
  const { network, judge } = stage;
  const { api, chaos, world } = network;
  const hosts = [...new Set(plan.slots.flatMap((s) => (s.kind === 'publisher' ? [s.hostname] : [])))];
  const refs = [...hosts.map(identityRef), ...recipeRefs(api)];
  const ref = refs[Math.floor(a * refs.length)];
  if (!ref) return;
  // A backup of a recipe's Lease goes over that very object, or makes it again; not over another one of its name.
  const uid = ref.namespace === RECIPES ? api.peek(ref)?.metadata.uid : undefined;
  const past = api.history.filter(
    (c) =>
      c.name === ref.name &&
      c.after &&
      world.now - c.at < 120_000 &&
      (uid === undefined || c.after.metadata.uid === uid),
  );
  const chosen = past[Math.floor(b * past.length)];
  if (!chosen?.after || chosen === past.at(-1) || !chaos.inject('restore')) return;
  const { metadata, spec } = chosen.after;
  const { labels, annotations } = metadata;
  judge.note('operator', `puts ${ref.name.slice(-8)} back to ${((world.now - chosen.at) / 1000).toFixed(0)} s ago`);
  stage.restored(chosen);
  const there = api.peek(ref);
  if (there) api.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, labels, annotations }, spec }));
  else api.put({ ...ref, labels, annotations, spec });
}

/** Leases that recipes have made. */
const recipeRefs = (api: MemoryApi): LeaseRef[] =>
  api
    .all()
    .filter(({ metadata }) => metadata.namespace === RECIPES)
    .map(({ metadata: { namespace, name } }) => ({ namespace, name }));

/** A person with kubectl, or kube-apiserver's own collector, which deletes without looking twice. */
function operate({ stage, plan }: Scene, { kind, dice }: Happening): void {
  const { network, judge } = stage;
  const { api, chaos, world } = network;
  const [a, b, c] = dice;
  const names = [...new Set(plan.slots.flatMap((s) => (s.kind === 'publisher' ? [leaseName(s.hostname)] : [])))].map(
    (name) => ({ namespace: IDENTITIES.namespace, name }),
  );
  const beats = plan.nodes.map((name) => ({ namespace: 'kube-node-lease', name }));
  const election = plan.slots.some((s) => s.kind === 'elector') ? [ELECTION] : [];
  const refs = [...names, ...beats, ...election, ...recipeRefs(api)];
  const ref = refs[Math.floor(a * refs.length)];
  const lease = ref && api.peek(ref);
  if (!ref || !lease || !chaos.inject(kind as 'operator deletes')) return;
  if (kind === 'operator deletes') {
    judge.note('operator', `deletes ${ref.name.slice(-8)}`);
    api.remove(ref);
    return;
  }
  const edits: Record<string, () => Lease | { spec: Lease['spec'] }> = {
    annotates: () => {
      const misnamed = c < 0.3 && ref.namespace === IDENTITIES.namespace && { [HOSTNAME_ANNOTATION]: 'another-host' };
      return withChanges(lease, { annotations: { touched: String(world.now), ...misnamed } });
    },
    empties: () => ({ spec: { holderIdentity: '' } }),
    'gives away': () => ({ spec: { holderIdentity: 'somebody else' } }),
    'sets back': () => ({ spec: { renewTime: MicroTime.fromEpochMicros(world.wallMicros() - 7_200e6) } }),
    'counts on': () => ({ spec: { leaseTransitions: (lease.spec.leaseTransitions ?? 0) + 5 } }),
  };
  if (ref.namespace === IDENTITIES.namespace && ref !== ELECTION) {
    edits['unlabels'] = () => {
      const { [IDENTITY_LABEL]: _label, ...labels } = lease.metadata.labels;
      return { ...lease, metadata: { ...lease.metadata, labels } };
    };
  }
  const chosen = Object.keys(edits)[Math.floor(b * Object.keys(edits).length)]!;
  judge.note('operator', `${chosen} ${ref.name.slice(-8)} (${c.toFixed(2)})`);
  api.edit(ref, edits[chosen]!);
}

/** `leasekeeper step-down`; some requests come when the term that they name is over. */
function askToStepDown({ network, judge }: Stage, { kind, slot, dice: [a, b, c] }: Happening): void {
  const { api, chaos } = network;
  const lease = api.peek(ELECTION);
  const { holderIdentity: holder, leaseTransitions = 0 } = lease?.spec ?? {};
  const transitions = leaseTransitions - (a < 0.3 ? 1 : 0);
  if (!holder || transitions < 0 || !chaos.inject(kind as 'operator steps the leader down')) return;
  judge.note('operator', `asks ${holder} to end term ${transitions} of ${leaseTransitions}`);
  // Who leads already is not asked to make way for itself.
  const to = slot === undefined || b >= 0.5 || isCalled(holder, slot) ? undefined : slot;
  // Kubernetes' own way names the next holder only, and whatever term there is.
  if (to !== undefined && c < 0.5) api.edit(ELECTION, () => ({ spec: { preferredHolder: to } }));
  else api.edit(ELECTION, (l) => askedToEnd(l, { holder, transitions, to }));
}

export const askedToEnd = (lease: Lease, mark: Parameters<typeof stepDownMarkText>[0]): Lease =>
  withChanges(lease, { annotations: { [STEP_DOWN_ANNOTATION]: stepDownMarkText(mark) } });

function node({ stage, plan, chaosEnd }: Scene, { kind, dice }: Happening): void {
  const { network, nodes, judge } = stage;
  const { world, api } = network;
  const [a, b, c] = dice;
  const name = plan.nodes[Math.floor(a * plan.nodes.length)];
  if (name === undefined || !network.chaos.inject(kind as 'node deleted')) return;
  judge.note(name, kind);
  nodes.remove(name);
  // The garbage collector takes its lease, sooner or later.
  const collect = (): void => {
    const lease = api.peek({ namespace: 'kube-node-lease', name });
    const owner = lease?.metadata.ownerReferences[0]?.uid;
    if (owner !== undefined && owner !== nodes.nodes.get(name)?.uid) api.remove({ namespace: 'kube-node-lease', name });
  };
  if (!plan.slots.some(looksFor('ownerless'))) world.schedule(b * 20_000, collect);
  if (kind === 'node recreated') world.schedule(c < 0.3 ? 0 : c * 10_000, () => nodes.add(name));
  else if (c < 0.5) world.schedule(Math.min(c * 80_000, chaosEnd - world.now), () => nodes.add(name));
}

/** Ends all trouble that has an end. */
export function calmDown({ stage, random }: Scene, actors: Iterable<Actor>): void {
  const { network, serversDown } = stage;
  network.outage = undefined;
  network.noSpace = false;
  network.noDate = false;
  serversDown.clear();
  for (const actor of actors) {
    if (!actor.process.alive) continue;
    actor.link.weather = FAIR;
    if (actor instanceof MonitorActor) actor.link.mayWatch = true;
    actor.process.goOn(random);
    actor.link.resume('relist');
    nodesOf(actor)?.resume();
    if (actor instanceof PublisherActor) actor.switch(true);
  }
}

/** The Nodes as a process sees them; undefined: it does not ask for them. */
const nodesOf = (actor: Actor): NodeLink | undefined =>
  actor instanceof FleetActor || actor instanceof MonitorActor || actor instanceof SweeperActor
    ? actor.nodes
    : undefined;
