/**
 * `leasekeeper rbac`: the smallest Role and RoleBinding for a command and its options. Nothing is sent to anybody.
 */
import { named } from '../config/bindings.ts';
import { nearest } from '../config/nearest.ts';
import { PERMITTED, RBAC_OPTIONS, rbacSettings } from '../config/rbac-flags.ts';
import type { Permitted } from '../config/rbac-flags.ts';
import { readOptions } from '../config/option-spec.ts';
import type { Given, Problem } from '../config/option-spec.ts';
import { EXIT, UsageError } from './command.ts';
import type { CommandInput, CommandModule } from './command.ts';
import { rbacObjects, rbacYaml } from './output/print-roles.ts';
import { PERMISSIONS } from './permissions.ts';

/** What runs on its own in a cluster, for `rbac` without a command; heartbeats of all Nodes. */
const SERVICES: readonly (readonly [Permitted, Given['options']])[] = [
  ['publish', {}],
  ['sweep', {}],
  ['serve', {}],
  ['heartbeat', { nodesSelector: [{ raw: '', origin: 'flag', name: '--nodes-selector' }] }],
];

/** `rbac` alone: of every service, with its defaults. */
export async function run({ given, args, io }: CommandInput): Promise<number> {
  const [command] = args;
  if (command !== undefined) throw new UsageError([unknown(command)]);
  const { values, problems } = readOptions(RBAC_OPTIONS, given);
  if (values.rbacName !== undefined) {
    const rule = 'is the name of one command: give the command too';
    problems.push({ option: RBAC_OPTIONS.rbacName.flag, value: values.rbacName, rule });
  }
  if (problems.length > 0) throw new UsageError(problems);
  const printed: string[] = [];
  for (const [name, options] of SERVICES)
    printed.push(await yamlOf(name, { options: { ...given.options, ...options }, problems: [] }));
  io.out(printed.join('---\n'));
  return EXIT.ok;
}

/** `rbac COMMAND`. */
export const rbacOf = (command: Permitted): CommandModule => ({
  async run({ given, io }) {
    io.out(await yamlOf(command, given));
    return EXIT.ok;
  },
});

/** @throws UsageError */
async function yamlOf(command: Permitted, given: Given): Promise<string> {
  const { values, problems: unread } = readOptions(RBAC_OPTIONS, { ...given, problems: [] });
  const settings = rbacSettings(values, command);
  const { grants, problems } = await PERMISSIONS[command](given);
  const all = [...unread, ...named(settings.wrong, RBAC_OPTIONS, given), ...problems];
  if (all.length > 0) throw new UsageError(all);
  return rbacYaml(rbacObjects(grants, settings), `What \`leasekeeper ${command}\` may do, and nothing more.`);
}

function unknown(command: string): Problem {
  const near = nearest(command, PERMITTED);
  const known = `must be one of ${PERMITTED.join(', ')}`;
  return { option: 'COMMAND', value: command, rule: near === undefined ? known : `${known}; did you mean ${near}?` };
}
