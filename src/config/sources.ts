/**
 * Where options come from: defaults < configuration file < environment < flags.
 *
 * Guarantees: nothing here throws; of each option the strongest source counts, of feature gates all of them. Variables
 * that Kubernetes sets for a Service named `leasekeeper` (LEASEKEEPER_SERVICE_HOST, LEASEKEEPER_PORT and so on) mean
 * nothing here.
 */
import { foreignProblems, parseConfig, readFileText } from './config-file.ts';
import type { FileText } from './config-file.ts';
import { nearest } from './nearest.ts';
import type { Given, OptionSpec, Problem, Sourced, Table } from './option-spec.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = 'LEASEKEEPER_';

/** `renewInterval`: `LEASEKEEPER_RENEW_INTERVAL`. */
export function variableName(key: string): string {
  return PREFIX + key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/**
 * What kubelet sets for every Service of a pod's namespace, when its name begins with `leasekeeper`: {NAME}_SERVICE_HOST,
 * {NAME}_SERVICE_PORT, {NAME}_SERVICE_PORT_{PORT NAME}, {NAME}_PORT, {NAME}_PORT_{NUMBER}_{PROTOCOL} and that with
 * _PROTO, _PORT or _ADDR.
 */
const OF_A_SERVICE =
  /^LEASEKEEPER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;
export const isOfAService = (variable: string): boolean => OF_A_SERVICE.test(variable);

/** What `elect` tells its command, which may well be another leasekeeper. */
export const COMMAND_VARIABLES = {
  lease: `${PREFIX}LEASE`,
  holder: `${PREFIX}HOLDER`,
  fencingToken: `${PREFIX}FENCING_TOKEN`,
  slot: `${PREFIX}SLOT`,
} as const;
const OF_A_LEADER: ReadonlySet<string> = new Set(Object.values(COMMAND_VARIABLES));

/** The options of a table that a source may set. */
export function settable(table: Table, by: 'environment' | 'file'): Record<string, OptionSpec> {
  const allows = by === 'file' ? ['file', undefined] : ['file', undefined, 'environment'];
  return Object.fromEntries(Object.entries(table).filter(([, { weakest }]) => allows.includes(weakest)));
}

export interface SourcesOptions {
  /** The options of this command. */
  readonly table: Table;
  /** The options of all commands: what a shared file or environment may name. */
  readonly all: () => Table;
  /** The flags that were given, by key: text, `true`, or a list. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Environment;
}

export interface Sources {
  /** The configuration file, when one is named. */
  readonly path: string | undefined;
  /** Variables that look like options and are none: worth a warning each. */
  readonly warnings: readonly string[];
  /** What the sources say with this text in the file. */
  given(file: FileText | undefined): Promise<Given>;
  /** The file as it is now. */
  readFile(): Promise<FileText | undefined>;
}

/** The key of the option that names the file. */
const FILE_KEY = 'config';

export function sources({ table, all, flags, env }: SourcesOptions): Sources {
  const variables = environment(settable(table, 'environment'), env);
  const path = pathOf(table, flags, variables);
  return {
    path,
    warnings: unknownVariables(() => settable(all(), 'environment'), env),
    readFile: async () => (path === undefined ? undefined : readFileText(path)),
    async given(file) {
      const problems: Problem[] = [];
      let values: Readonly<Record<string, unknown>> = {};
      if (path !== undefined && file !== undefined) {
        if ('unreadable' in file)
          problems.push({ option: nameOfPath(table, flags), value: path, rule: file.unreadable });
        else {
          const known = settable(all(), 'file');
          const foreign = Object.fromEntries(Object.entries(known).filter(([key]) => !(key in table)));
          const parsed = await parseConfig(file.text, path, known);
          values = parsed.values;
          problems.push(...parsed.problems, ...foreignProblems(values, path, foreign));
        }
      }
      const options: Record<string, Sourced[]> = {};
      for (const [key, spec] of Object.entries(table)) {
        const list: Sourced[] = [];
        if (Object.hasOwn(values, key)) list.push({ raw: values[key], origin: 'file', name: `${path}: ${key}` });
        const variable = variables.get(key);
        if (variable) list.push(variable);
        const raw = flags[key];
        if (raw !== undefined) list.push({ raw, origin: 'flag', name: spec.flag });
        if (list.length > 0) options[key] = list;
      }
      return { options, problems };
    },
  };
}

function environment(table: Table, env: Environment): ReadonlyMap<string, Sourced> {
  const found = new Map<string, Sourced>();
  for (const key of Object.keys(table)) {
    const name = variableName(key);
    const raw = env[name];
    if (raw !== undefined) found.set(key, { raw, origin: 'environment', name });
  }
  return found;
}

function pathOf(
  table: Table,
  flags: SourcesOptions['flags'],
  variables: ReadonlyMap<string, Sourced>,
): string | undefined {
  if (!(FILE_KEY in table)) return undefined;
  return (flags[FILE_KEY] ?? variables.get(FILE_KEY)?.raw) as string | undefined;
}

const nameOfPath = (table: Table, flags: SourcesOptions['flags']): string =>
  flags[FILE_KEY] === undefined ? variableName(FILE_KEY) : (table[FILE_KEY]?.flag ?? FILE_KEY);

/** Refusing them would be wrong: anyone who sets variables for a whole pod or shell may not know every version's options. */
function unknownVariables(known: () => Table, env: Environment): string[] {
  const ours = Object.keys(env).filter((name) => name.startsWith(PREFIX) && !isOfAService(name));
  if (ours.length === 0) return [];
  const names = new Set(Object.keys(known()).map(variableName));
  const words = [...names].map((name) => name.slice(PREFIX.length));
  return ours
    .filter((name) => !names.has(name) && !OF_A_LEADER.has(name))
    .sort()
    .map((name) => {
      // The prefix is alike in all of them and says nothing.
      const near = nearest(name.slice(PREFIX.length), words);
      const shown = JSON.stringify(name.slice(0, 80)).slice(1, -1);
      return `${shown}: unknown variable, ignored${near === undefined ? '' : `; did you mean ${PREFIX}${near}?`}`;
    });
}
