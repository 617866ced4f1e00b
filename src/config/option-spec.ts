/**
 * What an option of the program is: its flag, its type, its default and its rule, by which all sources are read.
 *
 * Guarantees: reading never throws; every problem is reported at once, each with the option as its source writes it, the
 * value and the rule.
 */
import { FeatureGatesError, defaultFeatureGates } from '../features/gates.ts';
import type { FeatureGates, GateName, GateSource } from '../features/gates.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { nearest } from './nearest.ts';

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

/** Names that a shell completes, from a kubeconfig or an API. */
export type Completes = 'contexts' | 'namespaces' | 'leases' | 'nodes';

export interface OptionSpec<K extends keyof Kinds = keyof Kinds> {
  readonly kind: K;
  /** With its dashes. */
  readonly flag: string;
  /** One dash and a letter, where the field has one. */
  readonly short?: string;
  /** What stands for the value in the help, in capitals; none for a boolean. */
  readonly arg?: string;
  /** Stands for the value of a flag that is given alone; then the value belongs to it by `=` or follows it. */
  readonly alone?: string;
  readonly help: string;
  readonly default?: Kinds[K];
  readonly choices?: readonly string[];
  /** Why a value cannot be used; undefined when it can. */
  rule?(value: Kinds[K]): string | undefined;
  /** What there is to choose from, where a shell can ask for it. */
  readonly completes?: Completes;
  /** The option of a capability that it sets: see bindings.ts. */
  readonly field?: string;
  /** That one counts whole seconds. */
  readonly seconds?: boolean;
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

export type Table = Readonly<Record<string, OptionSpec>>;

/** An option whose value has a type of its own, which is no more than said: nothing holds it. */
export interface Typed<Value> {
  readonly typed?: (value: Value) => void;
}

/** The values of a table of options: those without a default may be missing. */
export type OptionValues<T extends Table> = {
  readonly [Key in keyof T]: T[Key] extends { typed?: (value: infer Value) => void }
    ? Value
    : T[Key] extends { kind: infer K extends keyof Kinds; default: unknown }
      ? Kinds[K]
      : T[Key] extends { kind: infer K extends keyof Kinds }
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
      return Number.isSafeInteger(n) && (n as number) >= 0
        ? { value: n }
        : { rule: 'must be a whole number, 0 or more' };
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
    const known = defaultFeatureGates.metrics().map(({ name }) => name);
    for (const { code, source, gate, value, message } of error.problems) {
      const at = layers[source];
      const text = typeof at?.source === 'string';
      const option = text ? (at?.name ?? '') : `${at?.name}.${gate}`;
      const near = code === 'UnknownGate' ? nearest(gate, known) : undefined;
      const rule = near === undefined ? message : `${message}; did you mean ${near}?`;
      problems.push({ option, value: text ? at?.source : value, rule });
    }
    return { value: defaultFeatureGates, problems };
  }
}

const isMap = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads what was given; defaults stand in for what was not, and for what cannot be used. */
export function readOptions<T extends Table>(
  table: T,
  given: Given,
): { values: OptionValues<T>; problems: Problem[]; broken: ReadonlySet<string> } {
  const values: Record<string, unknown> = {};
  const problems: Problem[] = [...given.problems];
  const broken = new Set<string>();
  for (const [key, spec] of Object.entries(table) as [string, OptionSpec][]) {
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
    const reading = readOption(spec, strongest);
    const { value } = reading;
    const rule = reading.rule ?? spec.rule?.(value as never);
    if (rule === undefined) values[key] = value;
    else {
      broken.add(key);
      problems.push({ option: strongest.name, value: strongest.raw, rule: withDurations(rule) });
    }
  }
  return { values: values as OptionValues<T>, problems, broken };
}

/** A rule's times as its user would write them. */
export const withDurations = (rule: string): string =>
  rule.replace(/(\d+) ms\b/g, (_, ms: string) => formatDuration(Number(ms)));

/** An option's default as its user would write it; `undefined` when there is none to tell. */
export function defaultText(spec: OptionSpec): string | undefined {
  if (spec.default === undefined || spec.kind === 'boolean' || spec.kind === 'gates') return undefined;
  // Of a flag that may stand alone, the default is that it is not given.
  if (spec.alone !== undefined) return undefined;
  return spec.kind === 'duration' ? formatDuration(spec.default as number) : String(spec.default);
}

/** A problem in one line; a value that is not there is not shown. */
export function problemText({ option, value, rule }: Problem): string {
  if (value === undefined) return `${option}: ${rule}`;
  // Nobody should put a password into a URL here; where somebody does, it does not reach a log.
  const texts = Array.isArray(value) && value.every((item) => typeof item === 'string');
  const written = texts ? value.join(',') : value;
  const shown = (JSON.stringify(written) ?? typeof value).replace(/\/\/[^/\s@]*@/g, '//***@');
  return `${option} ${shown.length > 82 ? `${shown.slice(0, 78)}..."` : shown}: ${rule}`;
}
