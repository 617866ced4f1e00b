/**
 * The commands: their words and options. What they do is loaded when they run.
 */
import { BESIDE_OTHERS, ELECT_TABLE } from '../config/elect-flags.ts';
import { HEARTBEAT_TABLE, NODES_TABLE } from '../config/heartbeat-flags.ts';
import { SERVE_TABLE } from '../config/http-flags.ts';
import type { OptionSpec, Table } from '../config/option-spec.ts';
import { PUBLISH_TABLE } from '../config/publish-flags.ts';
import { RBAC_OPTIONS } from '../config/rbac-flags.ts';
import { LEASES_TABLE, STEP_DOWN_TABLE } from '../config/lease-list-flags.ts';
import {
  LOCK_TABLE,
  ONCE_TABLE,
  RBAC_CRON_TABLE,
  RBAC_MEMBER_TABLE,
  RBAC_SEMAPHORE_TABLE,
  RING_VIEW_TABLE,
  SHARD_TABLE,
} from '../config/recipe-flags.ts';
import {
  COUNT_TABLE,
  CONFIG_PRINT_OPTIONS,
  DEV_TABLE,
  DOCTOR_TABLE,
  GET_TABLE,
  LOG_OPTIONS,
  RELEASE_TABLE,
} from '../config/shared-flags.ts';
import { settable } from '../config/sources.ts';
import { SWEEP_TABLE } from '../config/sweep-flags.ts';
import type { CommandSpec } from './command.ts';

/** What the shells ask, too. */
export const loadCompletion = () => import('./completion-command.ts');

const DOING: readonly CommandSpec[] = [
  {
    name: 'publish',
    summary: "Publish this host's identity lease, and keep it renewed until SIGTERM",
    options: PUBLISH_TABLE,
    load: () => import('./publish-command.ts'),
  },
  {
    name: 'sweep',
    summary: 'Delete identity leases that have expired, at start and on a schedule',
    options: SWEEP_TABLE,
    load: () => import('./sweep-command.ts'),
  },
  {
    name: 'get',
    summary: 'List the identity leases and the state of each',
    options: GET_TABLE,
    arguments: '[name...]',
    load: () => import('./get-command.ts'),
  },
  {
    name: 'leases',
    summary: 'List leases of every kind: what each is for, who holds it, and whether anybody does',
    options: LEASES_TABLE,
    load: () => import('./leases-command.ts'),
  },
  {
    name: 'step-down',
    summary: 'Ask the leader, or the holder of a lock, a slot or a shard, to end its work and to release the lease',
    options: STEP_DOWN_TABLE,
    arguments: '<lease>',
    completes: { completes: 'leases' },
    usage: '[NAMESPACE/]NAME [--to HOLDER] [options]',
    load: () => import('./step-down-command.ts'),
  },
  {
    name: 'count',
    summary: 'Print how many instances there are',
    options: COUNT_TABLE,
    load: () => import('./count-command.ts'),
  },
  {
    name: 'release',
    summary: 'Delete the identity lease of a host that is gone',
    options: RELEASE_TABLE,
    arguments: '<hostname>',
    usage: 'HOSTNAME [options]',
    load: () => import('./release-command.ts'),
  },
  {
    name: 'serve',
    summary: 'Keep count of the instances, and serve it over HTTP until SIGTERM',
    options: SERVE_TABLE,
    load: () => import('./serve-command.ts'),
  },
  {
    name: 'elect',
    summary: 'Run a command only while this process leads, or say who leads: leader election on a Lease',
    options: ELECT_TABLE,
    arguments: '[command...]',
    usage: '--lease [NAMESPACE/]NAME [options] [-- COMMAND [ARG...]]',
    load: () => import('./elect-command.ts'),
  },
  {
    name: 'lock',
    summary: 'Run a command while this process holds a lock, as flock does, but across machines',
    options: LOCK_TABLE,
    arguments: '<command...>',
    usage: '--lease [NAMESPACE/]NAME [--wait DURATION | --no-wait] [options] -- COMMAND [ARG...]',
    load: () => import('./lock-command.ts'),
  },
  {
    name: 'once',
    summary: 'Run a command once for a key: of many replicas one runs it, the others wait for its success',
    options: ONCE_TABLE,
    arguments: '<command...>',
    usage: '--lease [NAMESPACE/]NAME --key KEY [options] -- COMMAND [ARG...]',
    load: () => import('./once-command.ts'),
  },
  {
    name: 'shard',
    summary: 'Share slots with other processes: one command runs for each slot, in one process at a time',
    options: SHARD_TABLE,
    arguments: '<command...>',
    usage: '--ring [NAMESPACE/]NAME --slots N [options] -- COMMAND [ARG...]',
    load: () => import('./shard-command.ts'),
  },
  {
    name: 'members',
    summary: 'List the members of a ring',
    options: RING_VIEW_TABLE,
    arguments: '<ring>',
    usage: '[NAMESPACE/]NAME [options]',
    load: () => import('./members-command.ts'),
  },
  {
    name: 'shards',
    summary: 'List who has which key of a ring',
    options: RING_VIEW_TABLE,
    arguments: '<ring>',
    usage: '[NAMESPACE/]NAME [options]',
    load: () => import('./shards-command.ts'),
  },
  {
    name: 'heartbeat',
    summary: 'Keep the heartbeats of Nodes, as kubelet does, for one node or ten thousand',
    options: HEARTBEAT_TABLE,
    load: () => import('./heartbeat-command.ts'),
  },
  {
    name: 'nodes',
    summary: 'List the Nodes and whether they are Ready, as the node lifecycle controller judges',
    options: NODES_TABLE,
    load: () => import('./nodes-command.ts'),
  },
  {
    name: 'doctor',
    summary: 'Look at what usually goes wrong: reach, rights, clocks, certificates, leases, webhooks',
    options: DOCTOR_TABLE,
    load: () => import('./doctor-command.ts'),
  },
  {
    name: 'dev',
    summary: 'Run a small API server for Leases in this process, and write a kubeconfig for it',
    options: DEV_TABLE,
    load: () => import('./dev-command.ts'),
  },
  {
    name: 'demo',
    summary: 'Play it all in half a minute: claim, crash, take over, leave, expire, sweep, count',
    options: LOG_OPTIONS,
    load: () => import('./demo-command.ts'),
  },
  {
    name: 'completion',
    summary: 'Print a script by which a shell completes commands, options and names',
    options: LOG_OPTIONS,
    arguments: '<shell>',
    completes: { choices: ['bash', 'zsh', 'fish'] },
    usage: 'bash|zsh|fish',
    load: loadCompletion,
  },
  {
    name: 'version',
    summary: 'Print the version, and what it runs on',
    options: LOG_OPTIONS,
    load: () => import('./version-command.ts'),
  },
];

/** Every option of these commands, by key: the first command that has it counts, as all have it alike. */
export const allOptions = (commands: readonly CommandSpec[]): Table =>
  Object.assign({}, ...commands.toReversed().map(({ options }) => options)) as Table;

/** Commands may call different options alike: the first one keeps the flag, later ones are called as their keys are. */
function distinctFlags(options: Table): Record<string, OptionSpec> {
  const taken = new Set<string>();
  const entries = Object.entries(options).map(([key, option]) => {
    const { short, ...spec } = option;
    const own = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    const flag = taken.has(spec.flag) ? own : spec.flag;
    const keepsShort = short !== undefined && flag === spec.flag && !taken.has(short);
    taken.add(flag);
    if (keepsShort) taken.add(short);
    return [key, { ...spec, flag, ...(keepsShort && { short }) }] as const;
  });
  return Object.fromEntries(entries);
}

/** Commands that talk to an API. */
const TALKING = DOING.filter(({ options }) => 'kubeconfig' in options);

/** Recipes of the library that are no commands: only what they need is asked for. */
const RECIPES: readonly CommandSpec[] = (
  [
    ['cron', 'a cron of the library, or of node-cron', RBAC_CRON_TABLE],
    ['semaphore', 'a semaphore of the library', RBAC_SEMAPHORE_TABLE],
    ['member', 'members and shards of the library', RBAC_MEMBER_TABLE],
  ] as const
).map(([name, summary, options]) => ({
  name,
  summary,
  options,
  load: async () => ({ run: async () => 2, grants: (await import('./recipe-grants.ts')).RECIPE_GRANTS[name] }),
}));

/** What `rbac` can be asked about, and how it is called. */
const ASKED = [
  ...TALKING.map((spec) => [spec, `\`leasekeeper ${spec.name}\``] as const),
  ...RECIPES.map((spec) => [spec, spec.summary] as const),
];

const RBAC: CommandSpec = {
  name: 'rbac',
  summary: 'Print the smallest Role and RoleBinding for a command and its options',
  options: { ...RBAC_OPTIONS, ...LOG_OPTIONS },
  arguments: '[command]',
  usage: '[COMMAND] [options of the command] [options]',
  load: async () => (await import('./rbac-command.ts')).rbacOfServices(ASKED.map(([spec]) => spec)),
  commands: ASKED.map(([spec, title]) => ({
    name: spec.name,
    summary: `Print what ${title} needs`,
    options: { ...spec.options, ...RBAC_OPTIONS },
    ...(spec.arguments !== undefined && { arguments: spec.arguments.replace('<', '[').replace('>', ']') }),
    load: async () => (await import('./rbac-command.ts')).rbacOf(spec, title),
  })),
};

export const COMMANDS: readonly CommandSpec[] = [
  ...DOING,
  RBAC,
  {
    name: 'config',
    summary: 'Print the configuration in force, and where each value comes from',
    options: distinctFlags({
      ...CONFIG_PRINT_OPTIONS,
      ...DOING[0]?.options,
      ...settable(allOptions(DOING), 'environment'),
      ...BESIDE_OTHERS,
    }),
    load: () => import('./config-command.ts'),
  },
];
