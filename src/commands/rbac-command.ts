/**
 * `leasekeeper rbac`: the smallest Role and RoleBinding for a command and its options. Nothing is sent to anybody.
 */
import { named } from '../config/bindings.ts';
import { nearest } from '../config/nearest.ts';
import { readOptions } from '../config/option-spec.ts';
import type { Given } from '../config/option-spec.ts';
import { RBAC_OPTIONS, rbacSettings } from '../config/rbac-flags.ts';
import { EXIT, UsageError } from './command.ts';
import type { CommandModule, CommandSpec } from './command.ts';
import { rbacObjects, rbacYaml } from './output/print-roles.ts';

/** What runs on its own in a cluster, for `rbac` without a command; heartbeats of all Nodes. */
const SERVICES: Readonly<Record<string, Given['options']>> = {
  publish: {},
  sweep: {},
  serve: {},
  heartbeat: { nodesSelector: [{ raw: '', origin: 'flag', name: '--nodes-selector' }] },
};

/** `rbac` alone: of every service, with its defaults. */
export const rbacOfServices = (commands: readonly CommandSpec[]): CommandModule => ({
  async run({ given, args, io }) {
    const [command] = args;
    if (command !== undefined) {
      const names = commands.map(({ name }) => name);
      const near = nearest(command, names);
      const rule = `must be one of ${names.join(', ')}${near === undefined ? '' : `; did you mean ${near}?`}`;
      throw new UsageError([{ option: 'COMMAND', value: command, rule }]);
    }
    const { values, problems } = readOptions(RBAC_OPTIONS, given);
    if (values.rbacName !== undefined) {
      const rule = 'is the name of one command: give the command too';
      problems.push({ option: RBAC_OPTIONS.rbacName.flag, value: values.rbacName, rule });
    }
    if (problems.length > 0) throw new UsageError(problems);
    const printed: string[] = [];
    for (const spec of commands.filter(({ name }) => name in SERVICES))
      printed.push(await yamlOf(spec, { options: { ...given.options, ...SERVICES[spec.name] }, problems: [] }));
    io.out(printed.join('---\n'));
    return EXIT.ok;
  },
});

/** `rbac COMMAND`. @param title what is asked about, as it is called */
export const rbacOf = (spec: CommandSpec, title: string): CommandModule => ({
  async run({ given, args, io }) {
    io.out(await yamlOf(spec, given, title, args));
    return EXIT.ok;
  },
});

/** @throws UsageError */
async function yamlOf(
  { name, load }: CommandSpec,
  given: Given,
  title = `\`leasekeeper ${name}\``,
  args: readonly string[] = [],
): Promise<string> {
  const { values, problems: unread } = readOptions(RBAC_OPTIONS, { ...given, problems: [] });
  const settings = rbacSettings(values, name);
  const grantsOf = (await load()).grants;
  if (grantsOf === undefined) throw new TypeError(`${name} states no permissions`);
  const { grants, problems } = await grantsOf(given, args);
  const all = [...unread, ...named(settings.wrong, RBAC_OPTIONS, given), ...problems];
  if (all.length > 0) throw new UsageError(all);
  return rbacYaml(rbacObjects(grants, settings), `What ${title} may do, and nothing more.`);
}
