/**
 * From arguments to one command and its exit code. Loads nothing of a command before it is asked for.
 */
import { basename } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { API_OPTIONS, CONFIG_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS } from '../config/shared-flags.ts';
import { sources } from '../config/sources.ts';
import { defaultText } from '../config/option-spec.ts';
import type { OptionSpec } from '../config/option-spec.ts';
import { version } from '../version.ts';
import { ConfigurationError, EXIT, UsageError } from './command.ts';
import type { CommandModule, CommandSpec, Io } from './command.ts';
import { COMMANDS, allOptions, loadCompletion } from './commands.ts';
import { stderr, stderrIsJournal } from './streams.ts';
import { takeSystemdVariables } from './systemd.ts';

export { finish } from './streams.ts';

const INTRO = `Kubernetes Leases: publish and count servers, elect leaders, lock, share work, keep heartbeats of Nodes.

A Lease says who holds something, and when that was last renewed. Each server publishes one and renews it every few seconds; anyone who lists the leases knows which servers exist, and which are alive. A leader, or the holder of a lock, keeps one in the same way.`;

const OUTRO = `
Try it without a cluster:
  leasekeeper demo     the whole story in half a minute, in one process
  leasekeeper dev      that API server to play with: it prints what to type

Exit codes: 0 done; 1 failed, see stderr; 2 wrong usage; 3 another number than
--expect; 75 lock not free in time. elect, lock and once exit with the code of
their command.
`;

/** Headings of the help. */
const GROUPS = [
  [API_OPTIONS, 'Kubernetes API:'],
  [LEASE_OPTIONS, 'Which leases:'],
  [CONFIG_OPTIONS, 'Configuration:'],
  [LOG_OPTIONS, 'Logging:'],
] as const;

/** @param loaded commands that are here already, by name */
export async function main(
  argv: readonly string[],
  io: Io = processIo(),
  loaded: Readonly<Record<string, CommandModule>> = {},
): Promise<number> {
  if (argv[0] === '__complete')
    return (await loadCompletion()).complete(argv.slice(1), COMMANDS, allOptions(COMMANDS), io);
  let exitCode: number = EXIT.ok;
  const asksHelp = argv.some((word) => word === '-h' || word === '--help' || word === 'help');
  const texts = asksHelp ? (await import('./command-texts.ts')).COMMAND_TEXTS : {};
  const program = new Command(io.program ?? 'leasekeeper')
    .description(INTRO)
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      outputError: (text, write) => write(text.replace(/^error:/, 'leasekeeper:')),
    })
    // The help of each option says its default and its choices itself; beside the longest flag there is room for 36 columns.
    .configureHelp({ optionDescription: ({ description }) => description, minWidthToWrap: 30 })
    .addHelpText('after', OUTRO)
    .exitOverride()
    .showSuggestionAfterError(true);
  const add = (to: Command, spec: CommandSpec): void => {
    const { description, examples } = (to === program ? texts[spec.name] : undefined) ?? {};
    const command = to.command(spec.name).summary(spec.summary).exitOverride();
    command.description([`${spec.summary}.`, ...(description ?? [])].join('\n\n'));
    if (spec.arguments) command.argument(spec.arguments);
    if (spec.usage) command.usage(spec.usage);
    // Hundreds of options take milliseconds to make; only a command that is named here can need its own.
    const named = argv.includes(spec.name);
    const table = named ? spec.options : {};
    for (const [key, option] of Object.entries(table))
      command.addOption(toOption(key, option).helpGroup(GROUPS.find(([table]) => key in table)?.[1] ?? 'Options:'));
    if (examples) command.addHelpText('after', `\nExamples:\n${examples.map(example).join('\n')}\n`);
    command.action(async () => {
      const module = loaded[spec.name] ?? (await spec.load());
      const from = sources({ table, all: () => allOptions(COMMANDS), flags: command.optsWithGlobals(), env: io.env });
      for (const warning of from.warnings) io.err(`leasekeeper: warning: ${warning}\n`);
      const file = await from.readFile();
      const given = await from.given(file);
      exitCode = await module.run({ table, given, sources: from, file, args: command.args, io });
    });
    if (named) for (const below of spec.commands ?? []) add(command, below);
  };
  // All of them only where one must be found or described: each takes its time to make.
  const first = COMMANDS.filter(({ name }) => name === argv[0]);
  for (const spec of first.length > 0 ? first : COMMANDS) add(program, spec);
  try {
    if (argv.length === 0) {
      io.out(program.helpInformation() + OUTRO);
      return EXIT.ok;
    }
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof UsageError || error instanceof ConfigurationError) {
      for (const line of error.message.split('\n')) io.err(`leasekeeper: ${line}\n`);
      return EXIT.usage;
    }
    throw error;
  }
}

const example = ([comment, line]: readonly [string, string]): string => `  # ${comment}\n  ${line}`;

function toOption(key: string, spec: OptionSpec): Option {
  const short = spec.short ? `${spec.short}, ` : '';
  const fallback = defaultText(spec);
  const choices = spec.choices ? ` [${spec.choices.join('|')}]` : '';
  const help = `${spec.help}${choices}${fallback === undefined ? '' : ` (default ${fallback})`}`;
  const arg = spec.arg === undefined ? '' : spec.alone === undefined ? ` <${spec.arg}>` : ` [${spec.arg}]`;
  const option = new Option(`${short}${spec.flag}${arg}`, help);
  if (spec.alone !== undefined) option.preset(spec.alone);
  if (spec.kind === 'strings' || spec.kind === 'gates')
    option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  // Values are kept under the option's own key, whatever its flag is called.
  option.attributeName = () => key;
  // `--no-wait` is an option of its own, not the contrary of `--wait`.
  option.negate = false;
  return option;
}

function processIo(): Io {
  const systemd = takeSystemdVariables(process.env, process.pid);
  return {
    env: process.env,
    systemd,
    journal: stderrIsJournal(process.env['JOURNAL_STREAM']),
    // kubectl starts plugins by the name of their file.
    program: /^kubectl-/.test(basename(process.argv[1] ?? '')) ? 'kubectl leasekeeper' : 'leasekeeper',
    terminal: process.stdout.isTTY === true,
    get errTerminal() {
      return process.getBuiltinModule('node:tty').isatty(2);
    },
    out: (text) => void process.stdout.write(text),
    err: (text) => stderr().write(text),
    onLost: (callback) => stderr().onLost(callback),
  };
}
