/**
 * What a command is, what it gets, and how its bad input is reported.
 */
import type { FileText } from '../config/config-file.ts';
import type { Sources } from '../config/sources.ts';
import { readChecked } from '../config/bindings.ts';
import type { Rules } from '../config/bindings.ts';
import { problemText } from '../config/option-spec.ts';
import type { Given, OptionSpec, OptionValues, Problem, Table } from '../config/option-spec.ts';
import type { Grants } from './permissions.ts';
import type { SystemdVariables } from './systemd.ts';

/** Exit codes of the program. */
export const EXIT = {
  ok: 0,
  /** Failed at run time: the API cannot be reached, refuses, or what was asked for could not be done. */
  failed: 1,
  /** Usage or configuration. */
  usage: 2,
  /** `count --expect` saw another number. */
  unexpected: 3,
  /** `lock` did not have the lock in time: EX_TEMPFAIL of sysexits.h. */
  notAcquired: 75,
} as const;

/** The world outside, as a command sees it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the user typed to start it; default `leasekeeper`. */
  readonly program?: string;
  /** True when stdout is a terminal. */
  readonly terminal: boolean;
  /** True when stderr is one. */
  readonly errTerminal?: boolean;
  /** Undefined: systemd does not listen to this process. */
  readonly systemd?: SystemdVariables | undefined;
  /** Whether stderr is the journal's. Default false. */
  readonly journal?: boolean;
  out(text: string): void;
  /** Returns at once, whatever the reader does. */
  err(text: string): void;
  /** Called once stderr is read again, with the number of texts that were left out because it was not. */
  onLost?(callback: (texts: number) => void): void;
}

export interface CommandInput {
  /** The options of the command. */
  readonly table: Table;
  /** The options that were given, by whatever source. */
  readonly given: Given;
  /** The sources themselves: they can be read again. */
  readonly sources: Sources;
  /** The configuration file as it was when `given` was read. */
  readonly file: FileText | undefined;
  readonly args: readonly string[];
  readonly io: Io;
}

export interface CommandModule {
  /** @returns the exit code. @throws UsageError, or any error that ends the program with one line and exit code 1 */
  run(input: CommandInput): Promise<number>;
  /** What it needs of a Kubernetes API; a command with the option --kubeconfig has it. */
  readonly grants?: Grants;
}

export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** Those of logging too. */
  readonly options: Table;
  readonly arguments?: string;
  /** What a shell completes in place of the arguments. */
  readonly completes?: Pick<OptionSpec, 'choices' | 'completes'>;
  /** Commands below this one, each with options of its own; not in the help of all commands. */
  readonly commands?: readonly CommandSpec[];
  /** In place of what follows from options and arguments. */
  readonly usage?: string;
  /** Only the command that runs is loaded. */
  readonly load: () => Promise<CommandModule>;
}

/** Bad options: exit code 2, every problem in a line of its own. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'Usage';
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map(problemText).join('\n'));
    this.problems = problems;
  }
}

/** A command's values. @throws UsageError with everything that is wrong with them */
export async function readValues<T extends Table>(
  table: T,
  given: Given,
  rules: Rules<T> = () => [],
): Promise<OptionValues<T>> {
  const { values, problems } = await readChecked(table, given, rules);
  if (problems.length > 0) throw new UsageError(problems);
  return values;
}

/** A file of configuration that cannot be used: exit code 2. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly code = 'Configuration';
}

/** Something failed at run time in a way that one line tells whole: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code = 'Failed';
}

/** What to type for this program: its name, or, run from its source, the project's own Node and the entry. */
export const programName = (entry = process.argv[1] ?? ''): string =>
  entry.endsWith('.ts') ? 'npx node src/cli.ts' : 'leasekeeper';
