/**
 * Feature gates as Kubernetes' components have them (k8s.io/component-base/featuregate).
 *
 * Guarantees: a FeatureGates value never changes; `with` makes a new one or tells everything that is wrong at once.
 * Syntax, help and the wording of errors are Kubernetes' own. Two things differ on purpose: there only the first error is
 * reported, and a locked gate is moved by AllAlpha or AllBeta; here all errors are reported, and locked means locked.
 */

/** Every gate of this program. What users may want to switch off gets a line here. */
export const GATES = {
  /** Publishing and sweeping identity leases; Kubernetes: alpha and off in 1.20, beta and on since 1.26. */
  APIServerIdentity: { default: true, stage: 'BETA' },
  /** Events about leases: claimed, taken over, superseded, swept. Ours, beta from the start: best effort, and bounded. */
  LeaseEvents: { default: true, stage: 'BETA' },
} as const satisfies Record<string, GateSpec>;

/** The gates of this program. */
export type GateName = keyof typeof GATES;

/** How far a feature is. */
export type Stage = 'ALPHA' | 'BETA' | 'GA' | 'DEPRECATED';

/** One gate: its default and its stage. */
export interface GateSpec {
  readonly default: boolean;
  readonly stage: Stage;
  /** Setting it to anything but its default is refused. Default false. */
  readonly lockToDefault?: boolean;
}

/** `A=true,B=false` as on a command line, or a map as in a configuration file. */
export type GateSource = string | Readonly<Record<string, unknown>>;

/** One setting that is refused. */
export interface GateProblem {
  readonly code:
    /** `A` without `=`. */
    | 'MissingValue'
    /** A value that is neither true nor false; in a map, one that is no boolean. */
    | 'InvalidValue'
    | 'UnknownGate'
    | 'LockedGate';
  readonly gate: string;
  readonly value: unknown;
  /** In Kubernetes' words. */
  readonly message: string;
  /** Which of the sources given to `with` it stands in, from 0. */
  readonly source: number;
}

/** Gates that cannot be set so. `problems` holds all of them, in the order of the sources. */
export class FeatureGatesError extends Error {
  override readonly name = 'FeatureGatesError';
  readonly code = 'InvalidFeatureGates';
  readonly problems: readonly GateProblem[];
  constructor(problems: readonly GateProblem[]) {
    const messages = [...new Set(problems.map((problem) => problem.message))];
    super(messages.length === 1 ? messages[0] : `[${messages.join(', ')}]`);
    this.problems = problems;
  }
}

/** One series of `kubernetes_feature_enabled`; its stage is empty for GA, as in Kubernetes. */
export interface GateMetric {
  readonly name: string;
  readonly stage: string;
  readonly enabled: boolean;
}

const ALL_ALPHA = 'AllAlpha';
const ALL_BETA = 'AllBeta';
/** Set every gate of their stage that is not set by name. */
const COLLECTIVE: Readonly<Record<string, GateSpec>> = {
  [ALL_ALPHA]: { default: false, stage: 'ALPHA' },
  [ALL_BETA]: { default: false, stage: 'BETA' },
};
/** What Go's strconv.ParseBool takes. */
const BOOLEANS = new Map(
  ['1', 't', 'T', 'TRUE', 'true', 'True']
    .map((text): [string, boolean] => [text, true])
    .concat(['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false])),
);

interface Setting {
  readonly value: boolean;
  readonly source: number;
}

/** Feature gates with Kubernetes' syntax, help and errors. Immutable: `with` makes others. */
export class FeatureGates<Name extends string = string> {
  readonly #specs: ReadonlyMap<string, GateSpec>;
  readonly #settings: ReadonlyMap<string, boolean>;
  /** What is set, by name or by AllAlpha and AllBeta. */
  readonly #resolved: ReadonlyMap<string, boolean>;

  /** @param specs the gates there are; AllAlpha and AllBeta come by themselves */
  constructor(specs: Readonly<Record<Name, GateSpec>>, settings: ReadonlyMap<string, boolean> = new Map()) {
    this.#specs = new Map(Object.entries<GateSpec>({ ...specs, ...COLLECTIVE }).sort(byName));
    this.#settings = settings;
    this.#resolved = resolve(this.#specs, settings);
  }

  /**
   * These gates with the sources set over them: the weakest first, merged gate by gate, the last one wins.
   * @throws FeatureGatesError with all that is wrong in any of them
   */
  with(...sources: readonly GateSource[]): FeatureGates<Name> {
    const problems: GateProblem[] = [];
    const merged = new Map<string, Setting>();
    sources.forEach((given, source) => {
      const read = typeof given === 'string' ? readText(given, source) : readMap(given, source);
      problems.push(...read.problems);
      for (const [gate, value] of read.settings) merged.set(gate, { value, source });
    });
    for (const [gate, { value, source }] of merged) {
      const spec = this.#specs.get(gate);
      if (!spec) {
        problems.push({ code: 'UnknownGate', gate, value, source, message: `unrecognized feature gate: ${gate}` });
      } else if (spec.lockToDefault && spec.default !== value) {
        const message = `cannot set feature gate ${gate} to ${value}, feature is locked to ${spec.default}`;
        problems.push({ code: 'LockedGate', gate, value, source, message });
      }
    }
    if (problems.length > 0) throw new FeatureGatesError(problems.sort((a, b) => a.source - b.source));
    const settings = new Map(this.#settings);
    for (const [gate, { value }] of merged) settings.set(gate, value);
    return new FeatureGates(Object.fromEntries(this.#specs) as Record<Name, GateSpec>, settings);
  }

  /** @throws RangeError for a name that is no gate: a mistake in the program */
  enabled(name: Name): boolean {
    const spec = this.#specs.get(name);
    if (!spec) throw new RangeError(`feature ${JSON.stringify(name)} is not registered`);
    return this.#resolved.get(name) ?? spec.default;
  }

  /** One line of help for each gate that is neither GA nor deprecated, sorted. */
  known(): string[] {
    return [...this.#specs]
      .filter(([, { stage }]) => stage === 'ALPHA' || stage === 'BETA')
      .map(([name, spec]) => `${name}=true|false (${spec.stage} - default=${spec.default})`);
  }

  /** The help of the flag `--feature-gates`. */
  help(): string {
    return `A set of key=value pairs that describe feature gates for alpha/experimental features. Options are:\n${this.known().join('\n')}`;
  }

  /** What to say of a gate that is on its way out; empty mostly. */
  warnings(): string[] {
    return [...this.#settings].flatMap(([name, value]) => {
      const stage = this.#specs.get(name)?.stage;
      if (stage !== 'GA' && stage !== 'DEPRECATED') return [];
      const kind = stage === 'GA' ? 'GA' : 'deprecated';
      return [`Setting ${kind} feature gate ${name}=${value}. It will be removed in a future release.`];
    });
  }

  /** All gates, AllAlpha and AllBeta too, sorted by name. */
  metrics(): GateMetric[] {
    return [...this.#specs].map(([name, { stage }]) => ({
      name,
      stage: stage === 'GA' ? '' : stage,
      enabled: this.enabled(name as Name),
    }));
  }

  /** What is set, by name or by AllAlpha and AllBeta, as `A=true,B=false`, sorted. */
  toString(): string {
    return [...this.#resolved]
      .sort(byName)
      .map(([name, value]) => `${name}=${value}`)
      .join(',');
  }
}

/** This program's gates, nothing set. */
export const defaultFeatureGates: FeatureGates<GateName> = new FeatureGates(GATES);

function resolve(
  specs: ReadonlyMap<string, GateSpec>,
  settings: ReadonlyMap<string, boolean>,
): ReadonlyMap<string, boolean> {
  const resolved = new Map(settings);
  for (const [name, { stage, lockToDefault }] of specs) {
    const all = settings.get(stage === 'ALPHA' ? ALL_ALPHA : stage === 'BETA' ? ALL_BETA : '');
    if (all !== undefined && !resolved.has(name) && !lockToDefault && !Object.hasOwn(COLLECTIVE, name))
      resolved.set(name, all);
  }
  return resolved;
}

interface Read {
  readonly settings: ReadonlyMap<string, boolean>;
  readonly problems: readonly GateProblem[];
}

function readText(text: string, source: number): Read {
  const settings = new Map<string, boolean>();
  const problems: GateProblem[] = [];
  for (const item of text.split(',')) {
    // Only the empty item is skipped, as in Kubernetes; one of spaces is a gate without a value there too.
    if (item === '') continue;
    const equals = item.indexOf('=');
    const gate = trim(equals < 0 ? item : item.slice(0, equals));
    if (equals < 0) {
      const message = `missing bool value for ${gate}`;
      problems.push({ code: 'MissingValue', gate, value: undefined, source, message });
      continue;
    }
    const value = trim(item.slice(equals + 1));
    const parsed = BOOLEANS.get(value);
    if (parsed === undefined) problems.push(invalidValue(gate, value, source));
    else settings.set(gate, parsed);
  }
  return { settings, problems };
}

function readMap(map: Readonly<Record<string, unknown>>, source: number): Read {
  const settings = new Map<string, boolean>();
  const problems: GateProblem[] = [];
  for (const [gate, value] of Object.entries(map)) {
    if (typeof value === 'boolean') settings.set(gate, value);
    else problems.push(invalidValue(gate, value, source));
  }
  return { settings, problems };
}

function invalidValue(gate: string, value: unknown, source: number): GateProblem {
  const said = typeof value === 'string' ? value : written(value);
  const why = `must be true or false${BOOLEANS.has(said) ? ', without quotes' : ''}`;
  return { code: 'InvalidValue', gate, value, source, message: `invalid value of ${gate}=${said}, err: ${why}` };
}

/** As JSON, where it can be written so: not what is nested deeper than the stack. */
function written(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Array.isArray(value) ? '[…]' : '{…}';
  }
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Go's strings.TrimSpace: Unicode white space, which differs from String.trim in U+0085 and U+FEFF. */
const trim = (text: string): string => text.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, '');
