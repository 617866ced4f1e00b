/**
 * The rules of options, in the words in which the program refuses a bad value: asked of the program itself, by giving it
 * bad values. A rule that no probe here breaks is not found; one that is found is a real one.
 */
import { named } from '../../src/config/bindings.ts';
import type { Wrong } from '../../src/config/bindings.ts';
import { electSettings } from '../../src/config/elect-flags.ts';
import { heartbeatSettings, nodesSettings } from '../../src/config/heartbeat-flags.ts';
import { serveSettings } from '../../src/config/http-flags.ts';
import type { OptionSpec, Table } from '../../src/config/option-spec.ts';
import { readOption } from '../../src/config/option-spec.ts';
import { publishSettings } from '../../src/config/publish-flags.ts';
import { sweepSettings } from '../../src/config/sweep-flags.ts';

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

/** What checks the values of each command beyond reading them, with what it needs to look at all of them. */
const CHECKS: Readonly<Record<string, (values: never) => readonly Wrong[]>> = {
  publish: (values: Parameters<typeof publishSettings>[0]) =>
    publishSettings({ ...values, serverHealthUrl: values.serverHealthUrl ?? 'https://127.0.0.1:6443/livez' }, 'host')
      .wrong,
  sweep: (values: Parameters<typeof sweepSettings>[0]) => sweepSettings(values).wrong,
  serve: (values: Parameters<typeof serveSettings>[0]) => serveSettings(values).wrong,
  // The margin is the watchdog's; it changes no rule's words but for a number that the lease duration decides too.
  elect: (values: Parameters<typeof electSettings>[0]) =>
    electSettings({ ...values, electLease: values.electLease ?? 'namespace/name' }, 'host', 0).wrong,
  heartbeat: (values: Parameters<typeof heartbeatSettings>[0]) =>
    heartbeatSettings({ ...values, node: values.node ?? ['node'] }).wrong,
  nodes: (values: Parameters<typeof nodesSettings>[0]) => nodesSettings(values).wrong,
};

/** The rules of each option of a command, by key. */
export function rulesOf(command: string, table: Table): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const say = (one: Wrong): void => {
    const [problem] = named([one], table, { options: {}, problems: [] });
    // What a rule quotes of the value that it refuses says nothing here.
    const words = problem?.rule.replace(/"[^"]*"/, '"…"').replace(/, this one has \d+$/, '') ?? '';
    found.set(one.key, (found.get(one.key) ?? new Set()).add(words));
  };
  const defaults = Object.fromEntries(Object.entries(table).map(([key, spec]) => [key, spec.default]));
  for (const [key, spec] of Object.entries(table)) {
    // Choices are listed by themselves.
    if (spec.choices) continue;
    for (const value of PROBES[spec.kind]) {
      const rule = spec.rule?.(value as never);
      if (rule !== undefined) say({ key, value, rule });
      for (const one of CHECKS[command]?.({ ...defaults, [key]: value } as never) ?? []) if (one.key === key) say(one);
    }
    const rule = numberRule(spec);
    if (rule !== undefined && !found.has(key)) say({ key, value: undefined, rule });
  }
  return found;
}

/** What reading says of a number that its kind cannot have, where nothing more is said of it. */
const numberRule = (spec: OptionSpec): string | undefined =>
  !spec.field && (spec.kind === 'integer' || spec.kind === 'number')
    ? readOption(spec, { raw: 'x', origin: 'flag' }).rule
    : undefined;
