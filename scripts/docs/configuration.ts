/**
 * docs/configuration.md: every command and every option, from the schema that the program itself reads.
 *
 * Each option stands once, at the command whose flag for it is shortest; whatever else takes it is named there.
 */
import type { CommandSpec } from '../../src/commands/command.ts';
import { EXIT } from '../../src/commands/command.ts';
import { COMMAND_TEXTS } from '../../src/commands/command-texts.ts';
import { COMMANDS } from '../../src/commands/commands.ts';
import { API_VERSION, KIND, MAX_FILE_BYTES } from '../../src/config/config-file.ts';
import { API_OPTIONS, CONFIG_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS } from '../../src/config/shared-flags.ts';
import { settable, variableName } from '../../src/config/sources.ts';
import { defaultText } from '../../src/config/option-spec.ts';
import type { OptionSpec, Table } from '../../src/config/option-spec.ts';
import { GATES } from '../../src/features/gates.ts';
import type { GateName } from '../../src/features/gates.ts';
import { rulesOf } from './rules.ts';

/** `config` takes the options of all the others and has but a few of its own. */
const TAKES_ALL = 'config';

/** Options that several commands share, under a heading of their own. */
const SHARED: readonly (readonly [heading: string, table: Table])[] = [
  ['Kubernetes API', API_OPTIONS],
  ['Which leases', LEASE_OPTIONS],
  ['File and gates', CONFIG_OPTIONS],
  ['Logging', LOG_OPTIONS],
];

/** What each gate turns on and off. */
const GATE_TEXTS: Readonly<Record<GateName, string>> = {
  APIServerIdentity:
    'publishing and sweeping identity leases. Off, a publisher withdraws its lease, stays healthy and says `disabled`.',
  LeaseEvents: 'Events about leases: claimed, taken over, superseded, swept.',
};

interface Documented {
  readonly key: string;
  readonly spec: OptionSpec;
  /** The command, or the shared heading, under which it stands. */
  readonly home: string;
  /** Its flags and the commands that have them. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly rules: ReadonlySet<string>;
}

function documented(): Documented[] {
  const keys = new Map<string, { command: CommandSpec; spec: OptionSpec }[]>();
  for (const command of COMMANDS)
    for (const [key, spec] of Object.entries(command.options))
      keys.set(key, [...(keys.get(key) ?? []), { command, spec }]);
  const rules = new Map(COMMANDS.map((command) => [command.name, rulesOf(command.name, command.options)]));
  return [...keys].map(([key, all]) => {
    const others = all.filter(({ command }) => command.name !== TAKES_ALL);
    const [first] = (others.length > 0 ? others : all).toSorted((a, b) => a.spec.flag.length - b.spec.flag.length);
    if (first === undefined) throw new Error(`${key}: no command has it`);
    const flags = new Map<string, string[]>();
    for (const { command, spec } of all) {
      const short = spec.short === undefined ? '' : `, ${spec.short}`;
      const flag = `${spec.flag}${short}${spec.arg === undefined ? '' : ` ${spec.arg}`}`;
      flags.set(flag, [...(flags.get(flag) ?? []), command.name]);
    }
    const home = SHARED.find(([, table]) => key in table)?.[0] ?? first.command.name;
    const own = all.flatMap(({ command }) => [...(rules.get(command.name)?.get(key) ?? [])]);
    return { key, spec: first.spec, home, flags, rules: new Set(own) };
  });
}

const code = (text: string): string => `\`${text}\``;
/** Values and flags at the beginning stay as they are written. */
const sentence = (text: string): string =>
  /^[a-z]+[ ,;]/.test(text) ? `${text.charAt(0).toUpperCase()}${text.slice(1)}` : text;

/** The words of one kind of value. */
const KINDS: Readonly<Record<OptionSpec['kind'], string>> = {
  string: 'text',
  duration: 'duration',
  integer: 'whole number',
  number: 'number',
  boolean: 'true or false',
  strings: 'list of texts',
  gates: 'feature gates',
};

function optionText({ key, spec, flags, rules }: Documented): string {
  const by = [...flags]
    .toSorted(([a], [b]) => a.length - b.length)
    .map(([flag, commands]) => {
      const all = COMMANDS.length === commands.length;
      return `${code(flag)} (${all ? 'every command' : commands.join(', ')})`;
    });
  const table = { [key]: spec };
  const places = [
    key in settable(table, 'environment') ? `variable ${code(variableName(key))}` : undefined,
    key in settable(table, 'file') ? `key ${code(key)}` : undefined,
  ].filter((place) => place !== undefined);
  const fallback = spec.kind === 'boolean' ? String(spec.default) : defaultText(spec);
  const words = [
    `${KINDS[spec.kind]}${spec.choices ? `: ${spec.choices.map(code).join(', ')}` : ''}`,
    fallback === undefined ? undefined : `default ${code(fallback)}`,
    spec.live === true ? 'taken while running' : undefined,
  ].filter((word) => word !== undefined);
  const help = spec.kind === 'gates' ? 'Feature gates: see [below](#feature-gates)' : sentence(spec.help);
  return [
    `#### ${key}`,
    `${escape(help)}.`,
    [
      `- ${by.join('; ')}`,
      `- ${places.length === 0 ? 'flag only' : places.join(', ')}`,
      `- ${words.join('; ')}`,
      ...[...rules].map((rule) => `- ${escape(rule)}`),
    ].join('\n'),
  ].join('\n\n');
}

/** What Markdown or HTML would read as its own. */
const escape = (text: string): string => text.replace(/[<>*]/g, (sign) => `\\${sign}`);

function commandText(command: CommandSpec, own: readonly Documented[], elsewhere: readonly Documented[]): string {
  const { name, summary, usage, options } = command;
  const { description = [] } = COMMAND_TEXTS[name] ?? {};
  const rest = usage ?? (Object.keys(options).some((key) => !(key in LOG_OPTIONS)) ? '[options]' : '');
  const groups = SHARED.filter(([, table]) => elsewhere.some(({ key }) => key in table)).map(([heading]) => heading);
  const others = elsewhere.filter(({ home }) => COMMANDS.some((other) => other.name === home));
  const also = [
    ...groups.map((heading) => `[${heading}](#${heading.toLowerCase().replaceAll(' ', '-')})`),
    ...others.map(({ key }) => `[${key}](#${key.toLowerCase()})`),
  ];
  return [
    `### leasekeeper ${name}`,
    code(`leasekeeper ${name} ${rest}`.trim()),
    `${escape(summary)}.`,
    ...description.map(escape),
    ...own.map(optionText),
    name === TAKES_ALL
      ? 'Also takes the options of all other commands; where two have the same flag, the later one is called as its key is.'
      : also.length === 0
        ? undefined
        : `Also: ${also.join(', ')}.`,
  ]
    .filter((part) => part !== undefined)
    .join('\n\n');
}

export function configurationPage(): string {
  const all = documented();
  const gates = Object.entries(GATES).map(
    ([name, { stage, default: on }]) =>
      `- ${code(name)} (${stage}, default ${code(String(on))}): ${GATE_TEXTS[name as GateName]}`,
  );
  return [
    '<!-- Made by `npm run docs`; do not edit. -->',
    '# Configuration',
    'Every command and every option of leasekeeper. `leasekeeper COMMAND --help` says the same, shorter; ' +
      '`leasekeeper config` prints what is in force and where each value comes from, and checks a file.',
    '## Where options come from',
    `Weakest first: defaults, the file that ${code('--config')} names, the environment, flags. The strongest source of an ` +
      'option counts; feature gates are merged one by one. All problems are reported at once, each with the option as its ' +
      `source writes it, the value and the rule, and exit code ${EXIT.usage}.`,
    [
      `- **Flags**: ${code('--flag VALUE')} or ${code('--flag=VALUE')}.`,
      `- **Environment**: ${code(variableName('renewInterval'))} for the key ${code('renewInterval')}, and so on. An unknown ` +
        `${code('LEASEKEEPER_*')} variable is a warning; those that Kubernetes makes for a Service of that name mean nothing.`,
      `- **File**: YAML or JSON, at most ${MAX_FILE_BYTES / 1024} KiB; without tags, aliases and merge keys. One file ` +
        'serves all commands. An unknown key is refused, and the nearest known one named.',
    ].join('\n'),
    ['```yaml', `apiVersion: ${API_VERSION}`, `kind: ${KIND}`, 'renewInterval: 5s', 'sweep: true', '```'].join('\n'),
    'Services follow their file while they run, also through a ConfigMap, and read it again on SIGHUP: [config](#config) says ' +
      'which. Options that are "taken while running" change at once; a change of another one is named in the log and waits for a restart. ' +
      'A file that is broken, or breaks a rule, is reported, and what was in force stays.',
    '## Values',
    [
      "- **Duration**: Go's syntax, as Kubernetes has it: `500ms`, `10s`, `1m30s`, `1h`, `0`. In a file too it is text.",
      '- **True or false**: a flag without a value means true. In a variable also `1`, `t`, `T`, `TRUE`, `True` and so on.',
      '- **List of texts**: give the flag several times; in a variable separate with commas; in a file it is a list.',
      '- **Whole number**, **number**: decimal digits.',
    ].join('\n'),
    '## Feature gates',
    `${code('--feature-gates=A=true,B=false')}, also several times; in a file a map under ${code('featureGates')}. ` +
      '`AllAlpha` and `AllBeta` set every gate of their stage that is not set by name. Syntax and errors are those of ' +
      "Kubernetes' components.",
    gates.join('\n'),
    '## Shared options',
    ...SHARED.map(([heading]) =>
      [`### ${heading}`, ...all.filter(({ home }) => home === heading).map(optionText)].join('\n\n'),
    ),
    '## Commands',
    ...COMMANDS.map((command) => {
      const table = command.options;
      const taken = all.filter(({ key }) => key in table);
      const own = taken.filter(({ home }) => home === command.name);
      return commandText(
        command,
        own,
        taken.filter((option) => !own.includes(option)),
      );
    }),
  ].join('\n\n');
}
