/**
 * What an option is: one row says its flag, its type, its default and its rule, and all sources read by it.
 *
 * Guarantees: reading never throws; every problem is told at once, each with the option as its source writes it, the
 * value and the rule.
 */
import { FeatureGatesError, defaultFeatureGates } from '../features/gates.ts';
import type { FeatureGates, GateName, GateSource } from '../features/gates.ts';
import { formatDuration, parseDuration } from './duration.ts';

interface Kinds {
  string: string;
  /** Milliseconds. */
  duration: number;
  integer: number;
  /** Not negative, with a fraction perhaps. */
  number: number;
  boolean: boolean;
  /** May be given several times. */
  strings: readonly string[];
  /** May be given several times; what the sources say is merged gate by gate. */
  gates: FeatureGates<GateName>;
}

export interface OptionSpec<K extends keyof Kinds = keyof Kinds> {
  readonly kind: K;
  /** With its dashes. */
  readonly flag: string;
  /** One dash and a letter, where the field has one. */
  readonly short?: string;
  /** What stands for the value in the help, in capitals; none for a boolean. */
  readonly arg?: string;
  readonly help: string;
  readonly default?: Kinds[K];
  readonly choices?: readonly string[];
  /** Smallest value, for integers. */
  readonly min?: number;
  /** The weakest source that may set it; default `file`. What belongs to one call of a command is `flag`. */
  readonly weakest?: 'flag' | 'environment' | 'file';
  /** A service takes a new value from the configuration file while it runs. Default false. */
  readonly live?: boolean;
}

/** Where a value stands, weakest first. */
export type Origin = 'default' | 'file' | 'environment' | 'flag';

/** A value as one source gave it. */
export interface Sourced {
  readonly raw: unknown;
  readonly origin: Exclude<Origin, 'default'>;
  /** The option as its user wrote it there: a flag, a variable, a file and its key. */
  readonly name: string;
}

/** What was given, by the options' keys: of each option what the strongest source says; of gates what every source does. */
export interface Given {
  readonly options: Readonly<Record<string, readonly Sourced[]>>;
  /** What is wrong with the sources themselves. */
  readonly problems: readonly Problem[];
}

export interface Problem {
  /** The option as its user wrote or would write it. */
  readonly option: string;
  readonly value: unknown;
  readonly rule: string;
}

/** The values of a table of options: those without a default may be missing. */
export type OptionValues<Table extends Record<string, OptionSpec>> = {
  readonly [Key in keyof Table]: Table[Key] extends { kind: infer K extends keyof Kinds; default: unknown }
    ? Kinds[K]
    : Table[Key] extends { kind: infer K extends keyof Kinds }
      ? Kinds[K] | undefined
      : never;
};

interface Reading {
  readonly value?: unknown;
  readonly rule?: string;
}

const NUMBER = /^\d{1,15}(\.\d{1,9})?$/;
/** Go's ParseBool, as for feature gates and flags of Kubernetes' components. */
const BOOLEANS: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true])),
  ...Object.fromEntries(['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false])),
};

/** One option's value, from the text of a flag or variable, or from what a file holds. */
export function readOption(spec: OptionSpec, { raw, origin }: Pick<Sourced, 'raw' | 'origin'>): Reading {
  const typed = origin === 'file';
  switch (spec.kind) {
    case 'boolean': {
      const value = typeof raw === 'string' && !typed ? BOOLEANS[raw] : raw;
      return typeof value === 'boolean' ? { value } : { rule: 'must be true or false' };
    }
    case 'strings': {
      const list: readonly unknown[] =
        typeof raw === 'string' && !typed ? raw.split(',') : Array.isArray(raw) ? raw : [0];
      return list.every((item) => typeof item === 'string') ? { value: list } : { rule: 'must be a list of texts' };
    }
    case 'integer': {
      const n = typed ? raw : /^-?\d{1,15}$/.test(String(raw)) ? Number(raw) : NaN;
      const min = spec.min ?? 0;
      return Number.isSafeInteger(n) && (n as number) >= min
        ? { value: n }
        : { rule: `must be a whole number, ${min} or more` };
    }
    case 'number': {
      const n = typed ? raw : NUMBER.test(String(raw)) ? Number(raw) : NaN;
      return typeof n === 'number' && Number.isFinite(n) && n >= 0
        ? { value: n }
        : { rule: 'must be a number, 0 or more' };
    }
    case 'duration': {
      const ms = typeof raw === 'string' ? parseDuration(raw) : undefined;
      return ms === undefined ? { rule: 'must be a duration such as 10s, 1m30s or 500ms' } : { value: ms };
    }
    case 'string':
      if (typeof raw !== 'string') return { rule: 'must be text: put it in quotes' };
      if (spec.choices && !spec.choices.includes(raw)) return { rule: `must be one of ${spec.choices.join(', ')}` };
      return { value: raw };
    case 'gates':
      return { rule: 'is read with all its sources' };
  }
}

/** The gates that all sources together say, and what is wrong with any of them, in Kubernetes' words. */
function readGates(given: readonly Sourced[]): { value: unknown; problems: Problem[] } {
  const problems: Problem[] = [];
  const layers: { source: GateSource; name: string; flag: boolean }[] = [];
  for (const { raw, origin, name } of given) {
    const flag = origin === 'flag';
    for (const source of flag && Array.isArray(raw) ? (raw as unknown[]) : [raw]) {
      const fits = origin === 'file' ? isMap(source) : typeof source === 'string';
      if (fits) layers.push({ source: source as GateSource, name, flag });
      else problems.push({ option: name, value: source, rule: 'must be a map of gates to true or false' });
    }
  }
  try {
    return { value: defaultFeatureGates.with(...layers.map(({ source }) => source)), problems };
  } catch (error) {
    if (!(error instanceof FeatureGatesError)) throw error;
    for (const { source, gate, value, message } of error.problems) {
      const at = layers[source];
      const text = typeof at?.source === 'string';
      const option = text ? (at?.name ?? '') : `${at?.name}.${gate}`;
      problems.push({ option, value: text ? at?.source : value, rule: message });
    }
    return { value: defaultFeatureGates, problems };
  }
}

const isMap = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads what was given; defaults stand in for what was not, and for what cannot be read. */
export function readOptions<Table extends Record<string, OptionSpec>>(
  table: Table,
  given: Given,
): { values: OptionValues<Table>; problems: Problem[] } {
  const values: Record<string, unknown> = {};
  const problems: Problem[] = [...given.problems];
  for (const [key, spec] of Object.entries(table)) {
    values[key] = spec.default;
    const sources = Object.hasOwn(given.options, key) ? (given.options[key] ?? []) : [];
    const strongest = sources.at(-1);
    if (strongest === undefined) continue;
    if (spec.kind === 'gates') {
      const gates = readGates(sources);
      values[key] = gates.value;
      problems.push(...gates.problems);
      continue;
    }
    const { value, rule } = readOption(spec, strongest);
    if (rule === undefined) values[key] = value;
    else problems.push({ option: strongest.name, value: strongest.raw, rule });
  }
  return { values: values as OptionValues<Table>, problems };
}

/**
 * The problems of values that were read, named as their sources name them: rules tell a problem by its flag. What is
 * said of a value that could not be read is left out: it stands for its default, and the default is not to blame.
 */
export function ruleProblems(
  broken: readonly Problem[],
  table: Readonly<Record<string, OptionSpec>>,
  given: Given,
  unread: readonly Problem[],
): Problem[] {
  const named = new Map(Object.entries(table).map(([key, spec]) => [spec.flag, given.options[key]?.at(-1)?.name]));
  return broken
    .map((problem) => ({ ...problem, option: named.get(problem.option) ?? problem.option }))
    .filter(({ option }) => !unread.some((problem) => problem.option === option));
}

/** An option's default as its user would write it; `undefined` when there is none to tell. */
export function defaultText(spec: OptionSpec): string | undefined {
  if (spec.default === undefined || spec.kind === 'boolean' || spec.kind === 'gates') return undefined;
  return spec.kind === 'duration' ? formatDuration(spec.default as number) : String(spec.default);
}

/** A problem in one line; a value that is not there is not shown. */
export function problemText({ option, value, rule }: Problem): string {
  if (value === undefined) return `${option}: ${rule}`;
  // Nobody should put a password into a URL here; who does shall not find it in a log.
  const shown = (JSON.stringify(value) ?? typeof value).replace(/\/\/[^/\s@]*@/g, '//***@');
  return `${option} ${shown.length > 82 ? `${shown.slice(0, 78)}..."` : shown}: ${rule}`;
}
