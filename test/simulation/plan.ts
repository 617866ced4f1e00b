/**
 * What a seed stands for: who takes part, what happens when, and when it is quiet. Drawn before anything runs, so that
 * parts of it can be left out while the rest stays the same.
 */
import { chance, stream } from './chance.ts';
import type { Chance } from './chance.ts';
import {
  clientGo,
  gateOff,
  leaveNothing,
  longNames,
  lookForEverything,
  ownerless,
  releasedHostDies,
  releaserOf,
  serverBeside,
  share,
  stepDowns,
  twins,
} from './variations.ts';
import type {
  Furniture,
  Happening,
  HappeningKind,
  Machine,
  Phase,
  Plan,
  PublisherSlot,
  ServiceSlot,
  Slot,
  SweepPlan,
  SweeperSlot,
  Theme,
} from './plan-types.ts';

type Weights = Partial<Record<HappeningKind, number>>;
const WATCHES: Weights = { 'watch silent': 2, 'watch lost': 2, 'watch cut': 1, 'watch ended (410)': 1 };
const PROCESSES: Weights = { pause: 6, suspend: 2, crash: 3, stop: 3, 'overlapping restart': 2, 'clock step': 2 };

const HAPPENINGS: Record<Theme, Weights> = {
  everything: {
    weather: 10,
    ...PROCESSES,
    ...WATCHES,
    'API outage': 1,
    'no space for writes': 0.5,
    'no Date': 1,
    compaction: 2,
    'server down': 2,
    'operator deletes': 2,
    'operator edits': 3,
    restore: 1.5,
    'node deleted': 1,
    'node recreated': 1,
  },
  election: {
    weather: 14,
    ...PROCESSES,
    pause: 9,
    ...WATCHES,
    'operator deletes': 0.3,
    'operator edits': 0.6,
    compaction: 1,
  },
  identity: {
    weather: 10,
    ...PROCESSES,
    stop: 4,
    'clock step': 5,
    'overlapping restart': 4,
    ...WATCHES,
    'server down': 3,
    'operator deletes': 4,
    'operator edits': 4,
    restore: 4,
    'API outage': 0.5,
  },
  outage: { crash: 1, weather: 1, 'watch cut': 1, compaction: 1 },
  'full etcd': { crash: 1, weather: 0.5, compaction: 1 },
  sweep: {
    weather: 3,
    crash: 8,
    pause: 3,
    stop: 2,
    'clock step': 2,
    'no Date': 1.5,
    compaction: 1.5,
    'operator edits': 2,
    suspend: 1,
  },
  nodes: {
    weather: 8,
    ...PROCESSES,
    ...WATCHES,
    'node deleted': 5,
    'node recreated': 6,
    'operator deletes': 1,
    'operator edits': 1,
  },
  defaults: { weather: 6, ...PROCESSES, ...WATCHES, 'API outage': 1, 'operator deletes': 1 },
};

/** How many of each kind, at least and at most. */
type Cast = Record<'hosts' | 'sweepers' | 'censuses' | 'electors' | 'fleets' | 'monitors', readonly [number, number]>;
const CASTS: Record<Theme, Cast> = {
  everything: { hosts: [1, 3], sweepers: [0, 2], censuses: [0, 1], electors: [0, 3], fleets: [0, 1], monitors: [0, 1] },
  election: { hosts: [0, 0], sweepers: [0, 0], censuses: [0, 0], electors: [2, 4], fleets: [0, 0], monitors: [0, 0] },
  identity: { hosts: [1, 3], sweepers: [0, 1], censuses: [0, 2], electors: [0, 0], fleets: [0, 0], monitors: [0, 0] },
  outage: { hosts: [3, 5], sweepers: [1, 3], censuses: [0, 1], electors: [0, 0], fleets: [0, 0], monitors: [0, 0] },
  'full etcd': {
    hosts: [1, 3],
    sweepers: [1, 2],
    censuses: [0, 1],
    electors: [0, 0],
    fleets: [0, 0],
    monitors: [0, 0],
  },
  sweep: { hosts: [2, 5], sweepers: [1, 3], censuses: [0, 1], electors: [0, 0], fleets: [0, 0], monitors: [0, 0] },
  nodes: { hosts: [0, 0], sweepers: [0, 0], censuses: [0, 0], electors: [0, 0], fleets: [1, 1], monitors: [0, 1] },
  defaults: { hosts: [1, 2], sweepers: [1, 1], censuses: [1, 1], electors: [0, 0], fleets: [0, 0], monitors: [0, 0] },
};

const themeOf = (random: Chance): Theme => {
  const dice = random();
  if (dice < 0.2) return 'everything';
  if (dice < 0.43) return 'election';
  if (dice < 0.59) return 'identity';
  if (dice < 0.71) return 'outage';
  if (dice < 0.78) return 'full etcd';
  if (dice < 0.9) return 'sweep';
  return dice < 0.99 ? 'nodes' : 'defaults';
};

export function drawPlan(seed: number): Plan {
  const random = chance(seed);
  const theme = themeOf(random);
  const slots = castOf(theme, stream(seed, 'cast'));
  twins(theme, slots, stream(seed, 'twins'));
  const server = serverBeside(theme, slots, stream(seed, 'server'));
  if (server) slots.push(server);
  const rival = clientGo(slots, stream(seed, 'client-go'));
  if (rival) slots.push(rival);
  longNames(slots, stream(seed, 'long names'));
  lookForEverything(theme, slots, stream(seed, 'everything'));
  const owners = ownerless(slots, stream(seed, 'ownerless'));
  if (owners) slots.push(owners);
  const releaser = releaserOf(slots, stream(seed, 'releaser'));
  if (releaser) slots.push(releaser);
  share(slots, stream(seed, 'share'));
  leaveNothing(slots, stream(seed, 'leave nothing'));
  const nodes = slots.some(({ kind }) => kind === 'fleet') ? names('node', random.whole(1, 4)) : [];
  const furniture: Furniture[] = [];
  if (slots.some(({ kind }) => kind === 'publisher')) {
    for (const kind of ['orphan', 'released', 'untimed'] as const) if (random.hit(0.3)) furniture.push(kind);
    if (random.hit(0.05)) furniture.push('foreign');
    if (stream(seed, 'misnamed').hit(0.1)) furniture.push('misnamed');
  }
  if (owners) furniture.push('ring key');
  const phases: Phase[] = [];
  const count = theme !== 'defaults' && random.hit(0.25) ? 2 : 1;
  for (let i = 0, from = 0; i < count; i++) {
    const trouble = phaseOf(theme, slots, stream(seed, `phase ${i}`), from);
    const asked = stepDowns(trouble, slots, stream(seed, `step-down ${i}`), from);
    const gated = gateOff(asked, slots, stream(seed, `gate ${i}`), from);
    const phase = i === 0 && releaser ? releasedHostDies(gated, slots, releaser, stream(seed, 'released host')) : gated;
    from += phase.happenings.length;
    phases.push(phase);
  }
  const electors = slots.some(({ kind }) => kind === 'elector');
  const drills = electors
    ? (['failover', 'release', 'step-down'] as const)
    : slots.some(({ kind }) => kind === 'publisher')
      ? (['clock ahead', 'deletion'] as const)
      : (['none'] as const);
  let drill: Plan['drill'] = random.pick(drills);
  const swept = stream(seed, 'swept').hit(0.5);
  if (electors && stream(seed, 'election put back').hit(0.15)) drill = 'election put back';
  else if (swept && electors && slots.some(looksFor('everything'))) drill = 'nobody leads';
  else if (swept && owners) drill = 'no Nodes seen';
  else if (slots.some((slot) => slot.kind === 'fleet' && slot.shares)) drill = 'a fleet dies';
  else if (theme === 'full etcd' && stream(seed, 'first to write').hit(0.5)) drill = 'first to write';
  else if (!electors && drill !== 'none' && stream(seed, 'two lists').hit(0.3))
    drill = stream(seed, 'put back').pick(['two lists', 'put back']);
  return { seed, theme, slots, nodes, furniture, phases, drill };
}

export const looksFor =
  (what: SweepPlan['looksFor']) =>
  (slot: Slot): slot is SweeperSlot =>
    slot.kind === 'sweeper' && slot.sweeps.looksFor === what;

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i + 1}`);

/** Seconds of identity leases; where etcd is full some expire while others have long to go. */
const DURATIONS: Partial<Record<Theme, readonly number[]>> = {
  defaults: [3600],
  outage: [40, 45, 50, 55, 60],
  'full etcd': [40, 50, 120],
  sweep: [45],
};
/** Milliseconds between passes: in a moment between two outages there is little time for one. */
const TICKS_MS: Partial<Record<Theme, readonly [number, number]>> = {
  outage: [2_000, 6_000],
  'full etcd': [5_000, 20_000],
};

function castOf(theme: Theme, random: Chance): ServiceSlot[] {
  const cast = CASTS[theme];
  const slots: ServiceSlot[] = [];
  const machine = (name: string): Machine => ({
    name,
    startAt: random.between(0, 5_000),
    // Where clocks are as far apart as they may be, little is left of every margin.
    rate: 1 + (random.hit(0.5) ? random.pick([-0.0049, 0.0049]) : random.between(-0.0049, 0.0049)),
    skewMs: random.hit(theme === 'outage' || theme === 'full etcd' ? 0.95 : 0.7)
      ? random.between(-300, 300)
      : random.between(-1, 1) * 10 ** random.between(3.5, 8.5),
  });
  const short = theme === 'outage' || theme === 'full etcd';
  const sweeps = (): SweepPlan => ({
    looksFor: 'identities',
    tickMs: random.between(...(TICKS_MS[theme] ?? [15_000, 60_000])),
    confirmAfterMs: 30_000,
    pageSize: random.pick([1, 2, 500]),
  });
  for (const hostname of names('host', random.whole(...cast.hosts))) {
    const durationSeconds = random.pick(DURATIONS[theme] ?? [45, 60, 120]);
    const intervalMs = theme === 'defaults' || short ? 10_000 : random.pick([5_000, 10_000]);
    const health = random.hit(0.25);
    const hasty = theme === 'identity' && random.hit(0.25);
    const policy = hasty ? 'delete' : random.pick(['keep', 'delete', 'auto'] as const);
    const twins = random.hit(0.25) ? 2 : 1;
    for (let i = 1; i <= twins; i++) {
      slots.push({
        kind: 'publisher',
        ...machine(`publisher-${hostname}${'ab'[i - 1]}`),
        hostname,
        nameFormat: 'sha256',
        durationSeconds,
        intervalMs,
        policy,
        hasty,
        health,
        sweeps: random.hit(0.2) ? sweeps() : undefined,
      });
    }
  }
  for (const name of names('sweeper', random.whole(...cast.sweepers))) {
    slots.push({ kind: 'sweeper', ...machine(name), sweeps: sweeps() });
  }
  for (const name of names('census', random.whole(...cast.censuses))) slots.push({ kind: 'census', ...machine(name) });
  const electors = random.whole(...cast.electors);
  const [tight, clone] = [random.hit(0.5), random.hit(0.15)];
  for (const name of names('elector', electors)) {
    const [mayWatch, shared] = [random.hit(0.8), random.hit(0.2)];
    slots.push({ kind: 'elector', ...machine(name), tight, mayWatch, shared, clone, deletes: false });
  }
  for (const name of names('fleet', random.whole(...cast.fleets))) {
    slots.push({ kind: 'fleet', ...machine(name), intervalMs: random.pick([5_000, 10_000]), shares: false });
  }
  for (const name of names('monitor', random.whole(...cast.monitors)))
    slots.push({ kind: 'monitor', ...machine(name) });
  return slots;
}

/** Silence after which another's lease is claimed: `freshForMs`, three intervals and a request at the least. */
export const windowMs = ({ intervalMs }: PublisherSlot): number =>
  Math.max(30_000, 3 * intervalMs + Math.min(5_000, intervalMs / 2));

/** How long after trouble a slot may need to be well again, in milliseconds. */
function boundOf(slot: ServiceSlot): number {
  switch (slot.kind) {
    // Standing by for a dead process's whole silence, twice where two take turns; and a wait between attempts.
    case 'publisher':
      return 2.05 * windowMs(slot) + 2 * slot.intervalMs + 20_000 + (slot.sweeps ? sweepBound(slot.sweeps) : 0);
    case 'sweeper':
      return sweepBound(slot.sweeps);
    case 'server':
      return 60_000;
    case 'releaser':
      return 0;
    case 'elector':
    case 'client-go':
      return 75_000;
    case 'fleet':
      // A member's silence, the keys that follow, and a renewal.
      return slot.shares ? 75_000 : 45_000;
    case 'census':
      return 45_000;
    case 'monitor':
      return 70_000;
  }
}

/** A pass that has just begun, one more, and one that an ill-timed tick was dropped for. */
export const sweepBound = ({ tickMs, confirmAfterMs }: SweepPlan): number => 2 * (tickMs + confirmAfterMs) + 25_000;

function phaseOf(theme: Theme, slots: readonly ServiceSlot[], random: Chance, from: number): Phase {
  const long = theme === 'outage' || theme === 'full etcd' || theme === 'sweep';
  const chaosMs = long ? random.between(200_000, 300_000) : random.between(60_000, 150_000);
  const weights = HAPPENINGS[theme];
  const kinds = Object.keys(weights) as HappeningKind[];
  const total = kinds.reduce((sum, kind) => sum + weights[kind]!, 0);
  const happenings: Happening[] = [];
  const dice = (): [number, number, number] => [random(), random(), random()];
  const add = (at: number, kind: HappeningKind, slot: string | undefined): void => {
    happenings.push({ index: from + happenings.length, at, kind, slot, dice: dice() });
  };
  if (theme === 'outage') add(random.between(60_000, 75_000), 'API outage', undefined);
  if (theme === 'full etcd') add(random.between(30_000, 60_000), 'no space for writes', undefined);
  const pause = theme === 'election' ? 6_000 : theme === 'outage' || theme === 'full etcd' ? 40_000 : 10_000;
  // Some leave before they have well begun.
  for (const slot of slots) {
    if (slot.kind === 'publisher' && slot.hasty) add(slot.startAt + random.between(500, 8_000), 'stop', slot.name);
  }
  for (let at = random.between(1_000, 8_000); at < chaosMs; at += random.between(500, pause)) {
    let left = random() * total;
    const kind = kinds.find((k) => (left -= weights[k]!) < 0) ?? kinds[0]!;
    add(at, kind, slots.length > 0 ? random.pick(slots).name : undefined);
  }
  const dead = slots.filter(
    ({ kind }) => (kind === 'publisher' || kind === 'server') && random.hit(theme === 'sweep' ? 0.4 : 0.15),
  );
  const quietMs = Math.max(30_000, ...slots.map(boundOf)) + 5_000;
  const longest = Math.max(0, ...slots.map((s) => (s.kind === 'publisher' ? s.durationSeconds * 1000 : 0)));
  const swept = Math.max(0, ...slots.map((s) => ('sweeps' in s && s.sweeps ? sweepBound(s.sweeps) : 0)));
  return {
    chaosMs,
    quietMs: Math.max(quietMs, swept > 0 ? longest + swept + 5_000 : 0),
    happenings,
    dead: dead.map(({ name }) => name),
  };
}
