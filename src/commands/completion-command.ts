/**
 * `leasekeeper completion`: a script for a shell, and what the shells ask by it: `leasekeeper __complete WORD...`, in the
 * words of cobra's programs, so that kubectl asks the same of a plugin (kubectl_complete-leasekeeper).
 *
 * Guarantees: nothing is written but candidates, which come from the rows of the options; what an API does not tell within
 * three seconds is left out.
 */
import type { Completes, OptionSpec, OptionValues, Table } from '../config/option-spec.ts';
import { readOptions } from '../config/option-spec.ts';
import type { API_OPTIONS } from '../config/shared-flags.ts';
import { LOG_OPTIONS } from '../config/shared-flags.ts';
import { sources } from '../config/sources.ts';
import type { FeatureGates } from '../features/gates.ts';
import { contextNames } from '../kube/auth/kubeconfig.ts';
import type { Connection } from '../kube/connection.ts';
import { listPages } from '../lease/list-pages.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { EXIT, UsageError, readValues } from './command.ts';
import type { CommandInput, CommandSpec, Io } from './command.ts';
import { connectApi } from './compose.ts';

/** Milliseconds: nobody waits longer for a word. */
const ASK_MS = 3_000;
const MAX_LEASES = 20_000;
/** cobra's directives: 0 lets the shell go on with files. */
const [NO_SPACE, NO_FILES] = [2, 4];

interface Candidate {
  readonly value: string;
  readonly about?: string | undefined;
}

interface Next {
  readonly candidates: readonly Candidate[];
  /** Where there are none, the shell's own: files. */
  readonly files?: boolean;
  /** The word goes on after any of them. */
  readonly goesOn?: boolean;
}

const NOTHING: Next = { candidates: [] };
const plain = (values: Iterable<string>): Next => ({ candidates: [...values].map((value) => ({ value })) });

/**
 * Prints what the last of the words may become.
 * @param all the options of all commands, by key
 */
export async function complete(
  words: readonly string[],
  commands: readonly CommandSpec[],
  all: Table,
  io: Io,
): Promise<number> {
  const current = words.at(-1) ?? '';
  const line = readLine(words.slice(0, -1), commands);
  const { candidates, files = false, goesOn = false } = await next(line, current, commands, all, io);
  const fitting = candidates.filter(({ value }) => value.startsWith(current) && !/[\s\p{C}]/u.test(value));
  for (const { value, about } of fitting) io.out(about === undefined ? `${value}\n` : `${value}\t${about}\n`);
  io.out(`:${(goesOn ? NO_SPACE : 0) + (files ? 0 : NO_FILES)}\n`);
  return EXIT.ok;
}

interface Line {
  readonly spec: CommandSpec | undefined;
  /** The flags that were given, by key. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The option whose value is the next word. */
  readonly expects: OptionSpec | undefined;
  /** After `help`, or what is no command, or `--`: none of ours. */
  readonly over?: 'help' | 'unknown' | 'command';
}

/** The words before the one that is to be completed. */
function readLine(words: readonly string[], commands: readonly CommandSpec[]): Line {
  const flags: Record<string, unknown> = {};
  let spec: CommandSpec | undefined;
  let expects: [key: string, option: OptionSpec] | undefined;
  const set = ([key, { kind }]: [string, OptionSpec], value: unknown): void => {
    flags[key] = kind === 'strings' || kind === 'gates' ? [...((flags[key] as unknown[]) ?? []), value] : value;
  };
  for (const word of words) {
    if (expects) {
      set(expects, word);
      expects = undefined;
    } else if (word === '--') return { spec, flags, expects: undefined, over: 'command' };
    else if (word.startsWith('-')) {
      const equals = word.indexOf('=');
      const option = optionOf(spec, equals < 0 ? word : word.slice(0, equals));
      if (option && equals >= 0) set(option, word.slice(equals + 1));
      else if (option?.[1].kind === 'boolean') set(option, true);
      else expects = option;
    } else {
      const below = (spec ? spec.commands : commands)?.find(({ name }) => name === word);
      if (below) spec = below;
      else if (!spec) return { spec, flags, expects: undefined, over: word === 'help' ? 'help' : 'unknown' };
    }
  }
  return { spec, flags, expects: expects?.[1] };
}

const optionOf = (spec: CommandSpec | undefined, flag: string): [string, OptionSpec] | undefined =>
  Object.entries(spec?.options ?? {}).find(([, option]) => option.flag === flag || option.short === flag);

async function next(
  { spec, flags, expects, over }: Line,
  current: string,
  commands: readonly CommandSpec[],
  all: Table,
  io: Io,
): Promise<Next> {
  if (over === 'command') return { candidates: [], files: true };
  if (over === 'unknown') return NOTHING;
  const names = (specs: readonly CommandSpec[]): Candidate[] =>
    specs.map(({ name, summary }) => ({ value: name, about: summary }));
  if (over === 'help') return { candidates: names(commands) };
  const values = (of: Pick<OptionSpec, 'kind' | 'choices' | 'completes' | 'arg' | 'default'>, word: string) =>
    valuesOf(of, word, () => asked(of.completes, word, { spec, flags, all, io }));
  if (expects) return values(expects, current);
  const [, flag = '', value = ''] = /^(--[^=]+=)(.*)$/s.exec(current) ?? [];
  const option = flag === '' ? undefined : optionOf(spec, flag.slice(0, -1))?.[1];
  if (option) {
    const { candidates, ...rest } = await values(option, value);
    return { candidates: candidates.map(({ value: text }) => ({ value: flag + text })), ...rest };
  }
  if (!spec) {
    if (current.startsWith('-')) return plain(['--help', '--version']);
    return { candidates: [...names(commands), { value: 'help', about: 'print help for a command' }] };
  }
  const positional = spec.commands
    ? { candidates: names(spec.commands) }
    : await values({ kind: 'string', ...spec.completes }, current);
  return positional.candidates.length > 0 && !current.startsWith('-')
    ? positional
    : { candidates: flagsOf(spec, flags) };
}

/** The flags that may still be given. */
function flagsOf({ options }: CommandSpec, given: Line['flags']): Candidate[] {
  const open = Object.entries(options).filter(
    ([key, { kind }]) => given[key] === undefined || kind === 'strings' || kind === 'gates',
  );
  const flags = open.map(([, { flag, help }]) => ({ value: flag, about: help.split('\n')[0] }));
  return [...flags, { value: '--help', about: 'print help' }];
}

async function valuesOf(
  spec: Pick<OptionSpec, 'kind' | 'choices' | 'completes' | 'arg' | 'default'>,
  word: string,
  ask: () => Promise<Next>,
): Promise<Next> {
  if (spec.choices) return plain(spec.choices);
  if (spec.kind === 'boolean') return plain(['true', 'false']);
  if (spec.kind === 'gates') {
    const before = word.slice(0, word.lastIndexOf(',') + 1);
    const gates = (spec.default as FeatureGates).metrics();
    return plain(gates.flatMap(({ name }) => [`${before}${name}=true`, `${before}${name}=false`]));
  }
  if (spec.completes) return ask().catch(() => NOTHING);
  return { candidates: [], files: spec.arg === 'FILE' };
}

/** What is read from a kubeconfig or an API. */
async function asked(
  what: Completes | undefined,
  word: string,
  line: Pick<Line, 'flags' | 'spec'> & { all: Table; io: Io },
): Promise<Next> {
  const table = line.spec?.options ?? {};
  const from = sources({ table, all: () => line.all, flags: line.flags, env: line.io.env });
  const given = await from.given(await from.readFile());
  const values = readOptions(table, given).values as OptionValues<typeof API_OPTIONS> & Record<string, unknown>;
  if (what === 'contexts') return plain(await contextNames({ kubeconfig: values.kubeconfig, env: line.io.env }));
  const clock = createSystemClock();
  await using connection = await connectApi(values, { clock, env: line.io.env, light: true, requestTimeoutMs: ASK_MS });
  const leases = (namespace: string): Promise<readonly { namespace: string; name: string }[]> =>
    leasesOf(connection, namespace, () => clock.monotonic());
  if (what === 'nodes') {
    return plain((await leases(String(values['heartbeatNamespace']))).map(({ name }) => name));
  }
  const slash = word.indexOf('/');
  if (what === 'leases' && slash >= 0)
    return plain((await leases(word.slice(0, slash))).map(({ namespace, name }) => `${namespace}/${name}`));
  // Who may not list all namespaces has one of their own.
  const spaces = await leases('').then(
    (found) => new Set(found.map(({ namespace }) => namespace)),
    () => new Set([connection.namespace ?? 'default']),
  );
  const goesOn = what === 'leases';
  return { ...plain([...spaces].map((namespace) => (goesOn ? `${namespace}/` : namespace))), goesOn };
}

async function leasesOf({ store }: Connection, namespace: string, now: () => number) {
  const { items } = await listPages({
    ask: (part, leftMs) => store.list({ namespace, ...part }, { timeoutMs: leftMs }),
    keep: ({ leases }) => leases.map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name })),
    now,
    timeoutMs: ASK_MS,
    maxItems: MAX_LEASES,
  });
  return items;
}

const BASH = `# bash completion for leasekeeper:  source <(leasekeeper completion bash)
_leasekeeper() {
  local line=\${COMP_LINE:0:COMP_POINT} directive=0 text current before=
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=\${words[\${#words[@]}-1]}
  # Of a word with these signs bash replaces what follows the last of them.
  [[ $current == *[=:]* ]] && before=\${current%"\${current##*[=:]}"}
  COMPREPLY=()
  while IFS= read -r text; do
    case $text in
      :*) directive=\${text#:} ;;
      *) text=\${text%%$'\\t'*} && COMPREPLY+=("\${text#"$before"}") ;;
    esac
  done < <("\${words[0]/#\\~/$HOME}" __complete "\${words[@]:1}" 2>/dev/null)
  if type compopt >/dev/null 2>&1; then
    ((directive & ${NO_SPACE})) && compopt -o nospace
    ((directive & ${NO_FILES})) || compopt -o default
  fi
}
complete -F _leasekeeper leasekeeper kubectl-leasekeeper
`;

const ZSH = `#compdef leasekeeper kubectl-leasekeeper
# zsh completion for leasekeeper:  source <(leasekeeper completion zsh)
_leasekeeper() {
  local -a lines candidates space
  local directive=0 line
  lines=("\${(@f)$("\${(Q)words[1]}" __complete "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  for line in "\${lines[@]}"; do
    case $line in
      :*) directive=\${line#:} ;;
      *) candidates+=("\${\${line//:/\\\\:}/$'\\t'/:}") ;;
    esac
  done
  ((directive & ${NO_SPACE})) && space=(-S '')
  if (($#candidates)); then
    _describe leasekeeper candidates "\${space[@]}"
  elif ! ((directive & ${NO_FILES})); then
    _files
  fi
}
compdef _leasekeeper leasekeeper kubectl-leasekeeper
`;

const FISH = `# fish completion for leasekeeper:  leasekeeper completion fish | source
function __leasekeeper_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l program $words[1]
  set -e words[1]
  set -l lines ($program __complete $words "$current" 2>/dev/null)
  if test (count $lines) -gt 1
    printf '%s\\n' $lines[1..-2]
  else if test "$lines" = :0
    __fish_complete_path "$current"
  end
end
complete -c leasekeeper -f -a '(__leasekeeper_complete)'
complete -c kubectl-leasekeeper -f -a '(__leasekeeper_complete)'
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

export async function run({ given, args, io }: CommandInput): Promise<number> {
  await readValues(LOG_OPTIONS, given);
  const [shell = '', ...more] = args;
  const script = Object.hasOwn(SCRIPTS, shell) && more.length === 0 ? SCRIPTS[shell] : undefined;
  if (script === undefined) {
    const rule = `must be one of ${Object.keys(SCRIPTS).join(', ')}`;
    throw new UsageError([{ option: 'SHELL', value: args.join(' ') || undefined, rule }]);
  }
  io.out(script);
  return EXIT.ok;
}
