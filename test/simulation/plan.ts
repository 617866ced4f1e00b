/**
 * What a seed stands for: who takes part, what happens when, and when it is quiet. Drawn before anything runs, so that
 * parts of it can be left out while the rest stays the same.
 */
import { chance, stream } from './chance.ts';
import type { Chance } from './chance.ts';
import type { FaultKind } from './chaos.ts';

export const THEMES = [
  'everything',
  'election',
  'identity',
  'outage',
  'full etcd',
  'sweep',
  'nodes',
  'defaults',
] as const;
export type Theme = (typeof THEMES)[number];

interface Machine {
  readonly name: string;
  /** True milliseconds of its first start. */
  readonly startAt: number;
  /** How fast its clocks run. */
  readonly rate: number;
  /** How far its wall clock is off, in milliseconds. */
  readonly skewMs: number;
}

export interface PublisherSlot extends Machine {
  readonly kind: 'publisher';
  readonly hostname: string;
  readonly nameFormat: 'sha256' | 'apiserver';
  readonly durationSeconds: number;
  readonly intervalMs: number;
  readonly policy: 'keep' | 'delete' | 'auto';
  /** Its first process is asked to stop before it has well begun, while its writes come late. */
  readonly hasty: boolean;
  /** A server beside it, whose health it asks for. */
  readonly health: boolean;
  /** The sweeper inside, if there is one. */
  readonly sweeps: SweepPlan | undefined;
}

/** An API server that publishes itself, beside the publishers of its host. */
export interface ServerSlot extends Machine {
  readonly kind: 'server';
  readonly hostname: string;
  /** It takes part in peer proxying. */
  readonly peers: boolean;
}

export interface SweepPlan {
  readonly tickMs: number;
  readonly confirmAfterMs: number;
  readonly pageSize: number;
}

export interface SweeperSlot extends Machine {
  readonly kind: 'sweeper';
  readonly sweeps: SweepPlan;
}

export interface ElectorSlot extends Machine {
  readonly kind: 'elector';
  /** No time between the deadline and what others observe. */
  readonly tight: boolean;
  readonly mayWatch: boolean;
  readonly shared: boolean;
  /** Several processes carry the very same holder identity. */
  readonly clone: boolean;
}

export interface ClientGoSlot extends Machine {
  readonly kind: 'client-go';
}

export interface FleetSlot extends Machine {
  readonly kind: 'fleet';
  readonly intervalMs: number;
}

export interface CensusSlot extends Machine {
  readonly kind: 'census';
}

export interface MonitorSlot extends Machine {
  readonly kind: 'monitor';
}

/** A process that uses a recipe. */
export interface RecipeSlot extends Machine {
  readonly kind: 'recipe';
  readonly recipe: 'lock' | 'once' | 'cron' | 'semaphore' | 'shards' | 'members';
  /** Its works end at once when they are asked to; else they take their time. */
  readonly tight: boolean;
  /** Cron: a fire is left out while the one before still runs. */
  readonly skip: boolean;
  /** Semaphore: how many may work at once, as this process was started. */
  readonly count: number;
  readonly mayWatch: boolean;
}

export type ServiceSlot =
  PublisherSlot | ServerSlot | SweeperSlot | ElectorSlot | ClientGoSlot | FleetSlot | CensusSlot | MonitorSlot;
export type Slot = ServiceSlot | RecipeSlot;

export type HappeningKind =
  | 'weather'
  | Extract<
      FaultKind,
      | 'API outage'
      | 'no space for writes'
      | 'no Date'
      | 'compaction'
      | 'watch silent'
      | 'watch lost'
      | 'watch cut'
      | 'watch ended (410)'
      | 'pause'
      | 'suspend'
      | 'crash'
      | 'stop'
      | 'overlapping restart'
      | 'clock step'
      | 'server down'
      | 'operator deletes'
      | 'operator edits'
      | 'operator steps the leader down'
      | 'restore'
      | 'node deleted'
      | 'node recreated'
    >;

/** One thing that happens; what exactly is in its dice, 0 to 1. */
export interface Happening {
  readonly index: number;
  /** True milliseconds since the phase began. */
  readonly at: number;
  readonly kind: HappeningKind;
  /** The one that it happens to, where it happens to one. */
  readonly slot: string | undefined;
  readonly dice: readonly [number, number, number];
}

export interface Phase {
  readonly chaosMs: number;
  readonly quietMs: number;
  readonly happenings: readonly Happening[];
  /** Slots whose process stays dead through the quiet. */
  readonly dead: readonly string[];
}

/**
 * `orphan`: its host is long gone. `released`: given up on purpose. `untimed`: without times, made long ago. `foreign`:
 * no identity lease, under a host's name.
 */
export type Furniture = 'orphan' | 'released' | 'untimed' | 'foreign';

/** See ring-drills.ts. */
export const RING_DRILLS = [
  'heard late',
  'created twice',
  'own record put back',
  'release put back',
  'own term over',
] as const;
export type RingDrill = (typeof RING_DRILLS)[number];

export interface Plan {
  readonly seed: number;
  readonly theme: Theme | RecipeSlot['recipe'];
  readonly slots: readonly Slot[];
  readonly nodes: readonly string[];
  /** Leases that lie there from before. */
  readonly furniture: readonly Furniture[];
  readonly phases: readonly Phase[];
  /** What is tried once the last quiet is over, to measure its bound. */
  readonly drill: 'failover' | 'release' | 'step-down' | 'clock ahead' | 'deletion' | RingDrill | 'none';
}

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
  const nodes = slots.some(({ kind }) => kind === 'fleet') ? names('node', random.whole(1, 4)) : [];
  const furniture: Furniture[] = [];
  if (slots.some(({ kind }) => kind === 'publisher')) {
    for (const kind of ['orphan', 'released', 'untimed'] as const) if (random.hit(0.3)) furniture.push(kind);
    if (random.hit(0.05)) furniture.push('foreign');
  }
  const phases: Phase[] = [];
  const count = theme !== 'defaults' && random.hit(0.25) ? 2 : 1;
  for (let i = 0, from = 0; i < count; i++) {
    const trouble = phaseOf(theme, slots, stream(seed, `phase ${i}`), from);
    const phase = stepDowns(trouble, slots, stream(seed, `step-down ${i}`), from);
    from += phase.happenings.length;
    phases.push(phase);
  }
  const drills = slots.some(({ kind }) => kind === 'elector')
    ? (['failover', 'release', 'step-down'] as const)
    : slots.some(({ kind }) => kind === 'publisher')
      ? (['clock ahead', 'deletion'] as const)
      : (['none'] as const);
  return { seed, theme, slots, nodes, furniture, phases, drill: random.pick(drills) };
}

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
    slots.push({ kind: 'elector', ...machine(name), tight, mayWatch, shared, clone });
  }
  for (const name of names('fleet', random.whole(...cast.fleets))) {
    slots.push({ kind: 'fleet', ...machine(name), intervalMs: random.pick([5_000, 10_000]) });
  }
  for (const name of names('monitor', random.whole(...cast.monitors)))
    slots.push({ kind: 'monitor', ...machine(name) });
  return slots;
}

/** The second process of a hostname renews at its own pace. */
function twins(theme: Theme, slots: ServiceSlot[], random: Chance): void {
  if (theme !== 'identity' && theme !== 'everything') return;
  for (const [i, slot] of slots.entries()) {
    if (slot.kind === 'publisher' && slot.name.endsWith('b'))
      slots[i] = { ...slot, intervalMs: random.pick([3_000, 5_000, 10_000, 20_000]) };
  }
}

/** A server that publishes itself beside the publishers of one host: under their name, or taking part in peer proxying. */
function serverBeside(theme: Theme, slots: ServiceSlot[], random: Chance): ServerSlot | undefined {
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

/** A client-go process among the electors of every other world. */
function clientGo(slots: readonly Slot[], random: Chance): ClientGoSlot | undefined {
  if (!slots.some(({ kind }) => kind === 'elector') || random.hit(0.5)) return undefined;
  const rate = 1 + random.between(-0.0049, 0.0049);
  return { kind: 'client-go', name: 'client-go', startAt: random.between(0, 5_000), rate, skewMs: 0 };
}

/** Up to three requests to the leader of that moment. */
function stepDowns(phase: Phase, slots: readonly ServiceSlot[], random: Chance, from: number): Phase {
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
    case 'elector':
    case 'client-go':
      return 75_000;
    case 'fleet':
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
