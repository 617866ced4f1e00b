/**
 * What some worlds have beside their theme: who else takes part, what else happens. Each draws from dice of its own, so that one
 * more of them changes no other world.
 */
import type { Chance } from './chance.ts';
import type {
  ClientGoSlot,
  Phase,
  PublisherSlot,
  ReleaserSlot,
  ServerSlot,
  ServiceSlot,
  Slot,
  SweepPlan,
  SweeperSlot,
  Theme,
} from './plan-types.ts';

/** The second process of a hostname renews at its own pace. */
export function twins(theme: Theme, slots: ServiceSlot[], random: Chance): void {
  if (theme !== 'identity' && theme !== 'everything') return;
  for (const [i, slot] of slots.entries()) {
    if (slot.kind === 'publisher' && slot.name.endsWith('b'))
      slots[i] = { ...slot, intervalMs: random.pick([3_000, 5_000, 10_000, 20_000]) };
  }
}

/** A server that publishes itself beside the publishers of one host: under their name, or taking part in peer proxying. */
export function serverBeside(theme: Theme, slots: ServiceSlot[], random: Chance): ServerSlot | undefined {
  const host = slots.find(({ kind }) => kind === 'publisher') as PublisherSlot | undefined;
  if (!host || !random.hit(theme === 'identity' ? 0.4 : theme === 'everything' ? 0.15 : 0)) return undefined;
  const shared = random.hit(0.6);
  const { hostname } = host;
  for (const [i, slot] of slots.entries()) {
    if (shared && slot.kind === 'publisher' && slot.hostname === hostname)
      slots[i] = { ...slot, nameFormat: 'apiserver' };
  }
  const rate = 1 + random.between(-0.0049, 0.0049);
  const startAt = random.between(0, 60_000);
  return { kind: 'server', name: 'server', hostname, peers: !shared || random.hit(0.3), startAt, rate, skewMs: 0 };
}

/** Some hosts have a name that is too long for a label; a server on such a host could not publish itself. */
export function longNames(slots: ServiceSlot[], random: Chance): void {
  const served = new Set(slots.flatMap((slot) => (slot.kind === 'server' ? [slot.hostname] : [])));
  const long = new Map<string, string>();
  for (const [i, slot] of slots.entries()) {
    if (slot.kind !== 'publisher' || served.has(slot.hostname)) continue;
    const { hostname } = slot;
    if (!long.has(hostname)) long.set(hostname, random.hit(0.1) ? `${hostname}.${'x'.repeat(60)}.example` : hostname);
    slots[i] = { ...slot, hostname: long.get(hostname)! };
  }
}

/** Where elections are too, half of the sweepers look for every lease there is. */
export function lookForEverything(theme: Theme, slots: ServiceSlot[], random: Chance): void {
  if (theme !== 'everything') return;
  for (const [i, slot] of slots.entries()) {
    if (slot.kind !== 'sweeper' || random.hit(0.5)) continue;
    slots[i] = { ...slot, sweeps: { ...slot.sweeps, looksFor: 'everything' } };
  }
}

/** A sweeper of heartbeats, where there are some, in half of the worlds: there no garbage collector runs. */
export function ownerless(slots: readonly ServiceSlot[], random: Chance): SweeperSlot | undefined {
  if (!slots.some(({ kind }) => kind === 'fleet') || random.hit(0.5)) return undefined;
  const rate = 1 + random.between(-0.0049, 0.0049);
  const tickMs = random.between(5_000, 15_000);
  const sweeps: SweepPlan = { looksFor: 'ownerless', tickMs, confirmAfterMs: 30_000, pageSize: random.pick([1, 500]) };
  return { kind: 'sweeper', name: 'sweeper-nodes', startAt: random.between(0, 5_000), rate, skewMs: 0, sweeps };
}

/** In some worlds somebody takes a host for gone; it may be. */
export function releaserOf(slots: readonly ServiceSlot[], random: Chance): ReleaserSlot | undefined {
  const hosts = slots.flatMap((slot) => (slot.kind === 'publisher' ? [slot.hostname] : []));
  if (hosts.length === 0 || !random.hit(0.3)) return undefined;
  const rate = 1 + random.between(-0.0049, 0.0049);
  const startAt = random.between(10_000, 100_000);
  return { kind: 'releaser', name: 'releaser', hostname: random.pick(hosts), startAt, rate, skewMs: 0 };
}

/** The host dies just before, and comes back about when its lease is deleted; in worlds of sweeps later. */
export function releasedHostDies(phase: Phase, slots: readonly Slot[], releaser: ReleaserSlot, random: Chance): Phase {
  if (releaser.startAt > phase.chaosMs) return phase;
  const host = slots.find((slot) => slot.kind === 'publisher' && slot.hostname === releaser.hostname);
  // See `crash` among the happenings: back after 36 to 48 s.
  const dice = [0.69 + 0.03 * random(), random(), random()] as const;
  const crash = {
    index: phase.happenings.length,
    at: releaser.startAt - 500,
    kind: 'crash',
    slot: host!.name,
    dice,
  } as const;
  return { ...phase, happenings: [...phase.happenings, crash] };
}

/** Half of the fleets share their Nodes with a second one. */
export function share(slots: ServiceSlot[], random: Chance): void {
  const i = slots.findIndex(({ kind }) => kind === 'fleet');
  const first = slots[i];
  if (first?.kind !== 'fleet' || random.hit(0.5)) return;
  const rate = 1 + random.between(-0.0049, 0.0049);
  slots[i] = { ...first, shares: true };
  slots.push({ ...first, name: 'fleet-2', shares: true, rate, startAt: random.between(0, 5_000) });
}

/** In some worlds the last elector that leaves deletes the lease. */
export function leaveNothing(slots: ServiceSlot[], random: Chance): void {
  if (!random.hit(0.15)) return;
  for (const [i, slot] of slots.entries()) if (slot.kind === 'elector') slots[i] = { ...slot, deletes: true };
}

/** A client-go process among the electors of every other world. */
export function clientGo(slots: readonly Slot[], random: Chance): ClientGoSlot | undefined {
  if (!slots.some(({ kind }) => kind === 'elector') || random.hit(0.5)) return undefined;
  const rate = 1 + random.between(-0.0049, 0.0049);
  return { kind: 'client-go', name: 'client-go', startAt: random.between(0, 5_000), rate, skewMs: 0 };
}

/** Up to three requests to the leader of that moment. */
export function stepDowns(phase: Phase, slots: readonly ServiceSlot[], random: Chance, from: number): Phase {
  const electors = slots.filter(({ kind }) => kind === 'elector');
  if (electors.length === 0) return phase;
  const happenings = [...phase.happenings];
  for (let i = random.whole(0, 3); i > 0; i--) {
    const [at, slot] = [random.between(5_000, phase.chaosMs), random.pick(electors).name];
    const dice = [random(), random(), random()] as const;
    happenings.push({ index: from + happenings.length, at, kind: 'operator steps the leader down', slot, dice });
  }
  return { ...phase, happenings };
}

/** In some worlds the feature gate of one publisher is switched off for a while. */
export function gateOff(phase: Phase, slots: readonly ServiceSlot[], random: Chance, from: number): Phase {
  const publishers = slots.filter(({ kind }) => kind === 'publisher');
  if (publishers.length === 0 || !random.hit(0.2)) return phase;
  const [at, slot] = [random.between(5_000, phase.chaosMs), random.pick(publishers).name];
  const dice = [random(), random(), random()] as const;
  const index = from + phase.happenings.length;
  return { ...phase, happenings: [...phase.happenings, { index, at, kind: 'feature gate off', slot, dice }] };
}
