/**
 * The options of `heartbeat` and `nodes`.
 */
import { AVAILABILITY_ROWS } from '../availability/availability-options.ts';
import type { AvailabilityOptions } from '../availability/availability-options.ts';
import { HEARTBEAT_BETWEEN, HEARTBEAT_ROWS } from '../heartbeat/heartbeat-options.ts';
import type { HeartbeatOptions } from '../heartbeat/heartbeat-options.ts';
import { objectNameProblem } from '../lease/names.ts';
import { bind, optionsOf, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import { HTTP_SECURITY_OPTIONS, OFF, addressOption, parseAddress, securityRules } from './http-flags.ts';
import type { Address } from './http-flags.ts';
import type { OptionSpec, OptionValues } from './option-spec.ts';
import { ringRules } from './recipe-flags.ts';
import { API_OPTIONS, FILE_OPTIONS, LOG_OPTIONS, OUTPUT_OPTIONS, WATCH_OPTIONS } from './shared-flags.ts';

/** Which nodes: the same for both commands. */
const NODE_OPTIONS = {
  ...bind(HEARTBEAT_ROWS, {
    heartbeatNamespace: { field: 'namespace', flag: '--namespace', short: '-n', arg: 'NAME', completes: 'namespaces' },
  }),
  node: {
    kind: 'strings',
    flag: '--node',
    arg: 'NAME',
    help: 'name of a Node; may be given several times',
    completes: 'nodes',
  },
  nodesSelector: {
    kind: 'string',
    flag: '--nodes-selector',
    arg: 'SELECTOR',
    help: 'label selector of Nodes, for instance type=virtual-kubelet',
  },
} as const satisfies Record<string, OptionSpec>;

export const HEARTBEAT_TABLE = {
  ...NODE_OPTIONS,
  ...bind(HEARTBEAT_ROWS, {
    heartbeatDuration: { field: 'leaseDurationSeconds', flag: '--lease-duration', live: true },
    heartbeatInterval: { field: 'renewIntervalMs', flag: '--renew-interval', live: true },
    heartbeatConcurrency: { field: 'concurrency', flag: '--concurrency', live: true },
  }),
  heartbeatShare: {
    kind: 'string',
    flag: '--share',
    arg: '[NAMESPACE/]RING',
    help: 'share the Nodes with all processes of this ring: each keeps a part of them, and those of one that dies go to the others',
  },
  heartbeatHttpAddress: { ...addressOption('where /metrics, /livez and /readyz are served: ADDRESS'), default: OFF },
  ...HTTP_SECURITY_OPTIONS,
  ...API_OPTIONS,
  ...FILE_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

export const NODES_TABLE = {
  ...NODE_OPTIONS,
  ...bind(AVAILABILITY_ROWS, {
    nodeGrace: { field: 'graceMs', flag: '--grace' },
    nodeStartupGrace: { field: 'startupGraceMs', flag: '--startup-grace' },
  }),
  nodesWait: {
    kind: 'duration',
    flag: '--wait',
    arg: 'DURATION',
    help: 'watch for at most this long, until no Node is Pending; default: the longer of both grace periods, and two seconds',
    weakest: 'flag',
  },
  nodesHttpAddress: {
    ...addressOption('go on until SIGTERM, and serve /v1/nodes, /metrics, /livez and /readyz there: ADDRESS'),
    default: OFF,
    weakest: 'flag',
  },
  ...HTTP_SECURITY_OPTIONS,
  ...OUTPUT_OPTIONS,
  ...WATCH_OPTIONS,
  ...API_OPTIONS,
  ...FILE_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

interface HeartbeatSettings {
  readonly options: HeartbeatOptions;
  readonly address: Address | undefined;
  readonly wrong: readonly Wrong[];
}

export function heartbeatSettings(values: OptionValues<typeof HEARTBEAT_TABLE>): HeartbeatSettings {
  const capability = { rows: HEARTBEAT_ROWS, between: HEARTBEAT_BETWEEN };
  const { options, wrong: broken } = optionsOf(capability, HEARTBEAT_TABLE, values);
  const { node = [], nodesSelector, heartbeatHttpAddress, heartbeatShare: share } = values;
  const none = node.length === 0 && nodesSelector === undefined;
  const rule = none ? 'is needed: which Nodes? Or give --nodes-selector; an empty one means all' : undefined;
  return {
    options,
    address: parseAddress(heartbeatHttpAddress),
    wrong: [
      ...broken,
      ...securityRules(values),
      ...nodeRules(values),
      ...wrong('node', undefined, rule),
      ...wrong('heartbeatShare', share, share === undefined ? undefined : ringRules(share)),
    ],
  };
}

interface NodesSettings {
  readonly options: AvailabilityOptions;
  readonly waitMs: number;
  readonly address: Address | undefined;
  readonly wrong: readonly Wrong[];
}

export function nodesSettings(values: OptionValues<typeof NODES_TABLE>): NodesSettings {
  const { options, wrong: broken } = optionsOf({ rows: AVAILABILITY_ROWS }, NODES_TABLE, values);
  const { nodesHttpAddress, nodesWait, watch, output } = values;
  const address = parseAddress(nodesHttpAddress);
  const printed = watch || output !== undefined || nodesWait !== undefined;
  const rule = 'cannot be given together with --watch, --output or --wait: what it serves is not printed';
  return {
    options,
    waitMs: nodesWait ?? Math.max(options.graceMs, options.startupGraceMs) + 2_000,
    address,
    wrong: [
      ...broken,
      ...securityRules(values),
      ...nodeRules(values),
      ...wrong('nodesHttpAddress', nodesHttpAddress, address && printed ? rule : undefined),
    ],
  };
}

function nodeRules({ node = [], nodesSelector }: OptionValues<typeof NODE_OPTIONS>): Wrong[] {
  const both = node.length > 0 && nodesSelector !== undefined;
  return [
    ...node.flatMap((name) => wrong('node', name, objectNameProblem(name))),
    ...wrong('nodesSelector', nodesSelector, both ? 'cannot be given together with --node' : undefined),
  ];
}
