/**
 * What a seed stands for in a world of recipes: which recipe, how many processes, what happens when. Worlds of their own, so
 * that they take nothing of the time of the others.
 */
import { chance, stream } from './chance.ts';
import type { Chance } from './chance.ts';
import { RING_DRILLS } from './plan-types.ts';
import type { Happening, HappeningKind, Phase, Plan, RecipeSlot } from './plan-types.ts';

export const RECIPE_THEMES = ['lock', 'once', 'cron', 'semaphore', 'shards', 'members'] as const;
export type RecipeTheme = (typeof RECIPE_THEMES)[number];

const HAPPENINGS: Partial<Record<HappeningKind, number>> = {
  weather: 14,
  pause: 7,
  suspend: 2,
  crash: 4,
  stop: 4,
  'overlapping restart': 2,
  'clock step': 2,
  'watch silent': 3,
  'watch lost': 2,
  'watch cut': 1,
  'watch ended (410)': 1,
  'API outage': 0.5,
  'no space for writes': 0.3,
  'no Date': 0.7,
  compaction: 0.7,
  'operator deletes': 1.5,
  'operator edits': 1,
  restore: 1,
};
/** Where records that come and go are most of the danger. */
const OF_SHARDS: typeof HAPPENINGS = {
  ...HAPPENINGS,
  'overlapping restart': 4,
  'watch silent': 5,
  'operator deletes': 6,
  'operator edits': 4,
  restore: 7,
};

/** Waiting for the longest silence twice, for a pause between attempts, and for a round of works. */
const QUIET_MS = 80_000;
/** Of members some stay dead: until the Leases that they leave are deleted, after five durations and a look a duration. */
const TIDY_MS = 110_000;

export function drawRecipePlan(seed: number): Plan {
  const random = chance(seed);
  const theme = themeOf(random());
  const slots = castOf(theme, stream(seed, 'cast'));
  const phase = phaseOf(theme === 'shards' ? OF_SHARDS : HAPPENINGS, slots, stream(seed, 'phase 0'));
  const members = theme === 'members' && slots.length > 2 ? { quietMs: TIDY_MS, dead: [slots.at(-1)!.name] } : {};
  return {
    seed,
    theme,
    slots,
    nodes: [],
    furniture: [],
    phases: [{ ...phase, ...members }],
    drill: theme === 'shards' ? drillOf(stream(seed, 'drill')) : 'none',
  };
}

/** Of those with two members, which it takes, five of six. */
const drillOf = (random: Chance): Plan['drill'] => (random.hit(5 / 6) ? random.pick(RING_DRILLS) : 'none');

function themeOf(dice: number): RecipeTheme {
  if (dice < 0.14) return 'lock';
  if (dice < 0.26) return 'once';
  if (dice < 0.4) return 'cron';
  if (dice < 0.56) return 'semaphore';
  return dice < 0.97 ? 'shards' : 'members';
}

function castOf(theme: RecipeTheme, random: Chance): RecipeSlot[] {
  const [tight, skip, mixed] = [random.hit(0.4), random.hit(0.5), random.hit(0.3)];
  const count = random.whole(2, 4);
  const slots = random.whole(1, 3);
  return Array.from({ length: theme === 'members' ? count : Math.max(count, 2) }, (_, i) => ({
    kind: 'recipe' as const,
    recipe: theme,
    name: `${theme}-${i + 1}`,
    startAt: random.between(0, random.hit(0.3) ? 40_000 : 5_000),
    rate: 1 + (random.hit(0.5) ? random.pick([-0.0049, 0.0049]) : random.between(-0.0049, 0.0049)),
    skewMs: skewOf(theme, random),
    tight,
    skip,
    count: mixed && i % 2 === 1 ? slots + 1 : slots,
    mayWatch: theme === 'shards' || theme === 'members' || random.hit(0.85),
  }));
}

/** In milliseconds; of cron some are about as far off as fires are remembered. */
function skewOf(theme: RecipeTheme, random: Chance): number {
  if (theme === 'cron' && random.hit(0.4)) return random.between(-230_000, 100_000);
  return random.hit(0.7) ? random.between(-300, 300) : random.between(-1, 1) * 10 ** random.between(3.5, 8.5);
}

function phaseOf(weights: typeof HAPPENINGS, slots: readonly RecipeSlot[], random: Chance): Phase {
  const kinds = Object.keys(weights) as HappeningKind[];
  const total = kinds.reduce((sum, kind) => sum + weights[kind]!, 0);
  const chaosMs = random.between(60_000, 130_000);
  const happenings: Happening[] = [];
  for (let at = random.between(1_000, 8_000); at < chaosMs; at += random.between(500, 9_000)) {
    let left = random() * total;
    const kind = kinds.find((k) => (left -= weights[k]!) < 0) ?? kinds[0]!;
    const dice: [number, number, number] = [random(), random(), random()];
    happenings.push({ index: happenings.length, at, kind, slot: random.pick(slots).name, dice });
  }
  return { chaosMs, quietMs: QUIET_MS, happenings, dead: [] };
}
