/**
 * The rules of options, in the words in which the program refuses a bad value: asked of the program itself, by giving it
 * bad values. A rule that no probe here breaks is not found; one that is found is a real one.
 */
import type { OptionSpec, Problem } from '../../src/config/option-spec.ts';
import { readOption } from '../../src/config/option-spec.ts';
import { electSettings } from '../../src/config/elect-flags.ts';
import { availabilitySettings, heartbeatSettings } from '../../src/config/heartbeat-flags.ts';
import { httpSettings } from '../../src/config/http-flags.ts';
import { publisherOptions } from '../../src/config/publish-flags.ts';
import { sweepSettings } from '../../src/config/sweep-flags.ts';

type Table = Readonly<Record<string, OptionSpec>>;
type Values = Record<string, unknown>;

/** Values that some rule or other may refuse. */
const PROBES: Readonly<Record<OptionSpec['kind'], readonly unknown[]>> = {
  duration: [0, 999, 1_000, 1_500, 1e12],
  integer: [0, 1e12],
  number: [1e12],
  string: ['', '!', 'a/b', 'A/B', 'x'.repeat(300), 'https://user:word@host/'],
  strings: [['!'], ['']],
  boolean: [],
  gates: [],
};

/** What checks the values of each command beyond reading them. What all of them need to be complete stands in `with`. */
const CHECKS: Readonly<
  Record<string, { with?: Values; problems: (values: never, table: Table) => readonly Problem[] }>
> = {
  publish: {
    with: { serverHealthUrl: 'https://127.0.0.1:6443/livez' },
    problems: (values: Parameters<typeof publisherOptions>[0]) => publisherOptions(values, 'host').problems,
  },
  sweep: {
    problems: (values: Parameters<typeof sweepSettings>[0], table) => sweepSettings(values, table).problems,
  },
  serve: { problems: (values: Parameters<typeof httpSettings>[0]) => httpSettings(values, 'off').problems },
  elect: {
    with: { electLease: 'namespace/name' },
    // The margin is the watchdog's; it changes no rule's words but for a number that the lease duration decides too.
    problems: (values: Parameters<typeof electSettings>[0]) => electSettings(values, 'host', 0).problems,
  },
  heartbeat: {
    with: { node: ['node'] },
    problems: (values: Parameters<typeof heartbeatSettings>[0]) => heartbeatSettings(values).problems,
  },
  nodes: { problems: (values: Parameters<typeof availabilitySettings>[0]) => availabilitySettings(values).problems },
};

/** The rules of each option of a command, by key. */
export function rulesOf(command: string, table: Table): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const say = (key: string, rule: string): void => {
    // What a rule quotes of the value that it refuses says nothing here.
    const words = rule.replace(/"[^"]*"/, '"…"').replace(/, this one has \d+$/, '');
    found.set(key, (found.get(key) ?? new Set()).add(words));
  };
  for (const [key, spec] of Object.entries(table)) {
    const rule = spec.choices ? undefined : readRule(spec);
    if (rule !== undefined) say(key, rule);
  }
  const check = CHECKS[command];
  if (check === undefined) return found;
  const defaults = Object.fromEntries(Object.entries(table).map(([key, s]) => [key, s.default]));
  for (const [key, spec] of Object.entries(table)) {
    // Its choices are told by themselves.
    if (spec.choices) continue;
    for (const probe of PROBES[spec.kind]) {
      const values = { ...defaults, ...check.with, [key]: probe } as never;
      for (const { option, rule } of check.problems(values, table)) if (option === spec.flag) say(key, rule);
    }
  }
  return found;
}

/** What reading says of a value that its kind cannot have, where that is more than its kind says. */
function readRule(spec: OptionSpec): string | undefined {
  return spec.kind === 'integer' || spec.kind === 'number'
    ? readOption(spec, { raw: 'x', origin: 'flag' }).rule
    : undefined;
}
