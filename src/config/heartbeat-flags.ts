/**
 * The options of `heartbeat` and `nodes`.
 */
import { HEARTBEAT_DEFAULTS, heartbeatOptions, heartbeatProblems } from '../heartbeat/heartbeat-options.ts';
import {
  AVAILABILITY_DEFAULTS,
  availabilityOptions,
  availabilityProblems,
} from '../availability/availability-options.ts';
import type { HeartbeatOptions } from '../heartbeat/heartbeat-options.ts';
import type { AvailabilityOptions } from '../availability/availability-options.ts';
import { objectNameProblem } from '../lease/names.ts';
import { formatDuration } from './duration.ts';
import { ADDRESS_RULE, PUBLISH_ADDRESS as OFF, parseAddress } from './http-flags.ts';
import type { HttpSettings } from './http-flags.ts';
import { API_OPTIONS } from './shared-flags.ts';
import type { OptionSpec, OptionValues, Problem } from './option-spec.ts';

/** Which nodes: the same for both commands. */
export const NODE_OPTIONS = {
  heartbeatNamespace: {
    kind: 'string',
    flag: '--namespace',
    short: '-n',
    arg: 'NAME',
    help: 'namespace of the heartbeats',
    default: HEARTBEAT_DEFAULTS.namespace,
  },
  node: { kind: 'strings', flag: '--node', arg: 'NAME', help: 'name of a Node; may be given several times' },
  nodesSelector: {
    kind: 'string',
    flag: '--nodes-selector',
    arg: 'SELECTOR',
    help: 'label selector of Nodes, for instance type=virtual-kubelet',
  },
} as const satisfies Record<string, OptionSpec>;

export const HEARTBEAT_OPTIONS = {
  heartbeatDuration: {
    kind: 'duration',
    flag: '--lease-duration',
    arg: 'DURATION',
    help: 'how long a heartbeat is valid after a renewal, whole seconds',
    default: HEARTBEAT_DEFAULTS.leaseDurationSeconds * 1000,
    live: true,
  },
  heartbeatInterval: {
    kind: 'duration',
    flag: '--renew-interval',
    arg: 'DURATION',
    help: 'time from one renewal of a node to its next',
    default: HEARTBEAT_DEFAULTS.renewIntervalMs,
    live: true,
  },
  heartbeatConcurrency: {
    kind: 'integer',
    flag: '--concurrency',
    arg: 'N',
    help: 'requests under way at once',
    default: HEARTBEAT_DEFAULTS.concurrency,
    min: 1,
    live: true,
  },
  heartbeatHttpAddress: {
    kind: 'string',
    flag: '--http-address',
    arg: 'ADDRESS',
    help: 'where /metrics, /livez and /readyz are served: PORT (of 127.0.0.1), HOST:PORT, :PORT (every interface) or off',
    default: OFF,
  },
} as const satisfies Record<string, OptionSpec>;

export const NODES_OPTIONS = {
  nodeGrace: {
    kind: 'duration',
    flag: '--grace',
    arg: 'DURATION',
    help: 'a node whose lease was not seen to be renewed for so long is Unknown',
    default: AVAILABILITY_DEFAULTS.graceMs,
  },
  nodesWait: {
    kind: 'duration',
    flag: '--wait',
    arg: 'DURATION',
    help: 'look on for at most so long, until every node is Ready or Unknown; default --grace and two seconds',
    weakest: 'flag',
  },
  nodesHttpAddress: {
    kind: 'string',
    flag: '--http-address',
    arg: 'ADDRESS',
    help: 'go on until SIGTERM, and serve /v1/nodes, /metrics, /livez and /readyz there: PORT (of 127.0.0.1), HOST:PORT, :PORT (every interface) or off',
    default: OFF,
    weakest: 'flag',
  },
} as const satisfies Record<string, OptionSpec>;

const NODE_TABLE = { ...NODE_OPTIONS, ...HEARTBEAT_OPTIONS, requestTimeout: API_OPTIONS.requestTimeout };
const AVAILABILITY_TABLE = { ...NODE_OPTIONS, ...NODES_OPTIONS };

const HEARTBEAT_FLAGS: Record<keyof HeartbeatOptions, OptionSpec> = {
  namespace: NODE_OPTIONS.heartbeatNamespace,
  leaseDurationSeconds: HEARTBEAT_OPTIONS.heartbeatDuration,
  renewIntervalMs: HEARTBEAT_OPTIONS.heartbeatInterval,
  requestTimeoutMs: API_OPTIONS.requestTimeout,
  concurrency: HEARTBEAT_OPTIONS.heartbeatConcurrency,
};

type Address = HttpSettings['address'];

/** Undefined: no endpoints. */
function addressOf(option: OptionSpec, value: string): { address: Address; problems: Problem[] } {
  const address = parseAddress(value);
  if (address === undefined) {
    return { address, problems: [{ option: option.flag, value, rule: ADDRESS_RULE }] };
  }
  return { address: address === 'off' ? undefined : address, problems: [] };
}

/** Options from what was given, and everything that is wrong with them. */
export function heartbeatSettings(values: OptionValues<typeof NODE_TABLE>): {
  options: HeartbeatOptions;
  address: Address;
  problems: Problem[];
} {
  const options = heartbeatOptions({
    namespace: values.heartbeatNamespace,
    leaseDurationSeconds: values.heartbeatDuration / 1000,
    renewIntervalMs: values.heartbeatInterval,
    requestTimeoutMs: values.requestTimeout,
    concurrency: values.heartbeatConcurrency,
  });
  const problems: Problem[] = heartbeatProblems(options).map(({ field, value, rule }) => {
    const spec = HEARTBEAT_FLAGS[field as keyof HeartbeatOptions];
    const ms = Number(value) * (field.endsWith('Seconds') ? 1000 : 1);
    return { option: spec.flag, value: spec.kind === 'duration' ? formatDuration(ms) : value, rule };
  });
  problems.push(...nodeProblems(values));
  const { node = [], nodesSelector } = values;
  if (node.length === 0 && nodesSelector === undefined) {
    const rule = 'is needed: which Nodes? Or give --nodes-selector; an empty one means all';
    problems.push({ option: NODE_OPTIONS.node.flag, value: undefined, rule });
  }
  const http = addressOf(HEARTBEAT_OPTIONS.heartbeatHttpAddress, values.heartbeatHttpAddress);
  return { options, address: http.address, problems: [...problems, ...http.problems] };
}

/** Options from what was given, and everything that is wrong with them. */
export function availabilitySettings(values: OptionValues<typeof AVAILABILITY_TABLE>): {
  options: AvailabilityOptions;
  waitMs: number;
  address: Address;
  problems: Problem[];
} {
  const options = availabilityOptions({ namespace: values.heartbeatNamespace, graceMs: values.nodeGrace });
  const problems: Problem[] = availabilityProblems(options).map(({ field, value, rule }) =>
    field === 'graceMs'
      ? { option: NODES_OPTIONS.nodeGrace.flag, value: formatDuration(Number(value)), rule }
      : { option: NODE_OPTIONS.heartbeatNamespace.flag, value, rule },
  );
  const { address, problems: unusable } = addressOf(NODES_OPTIONS.nodesHttpAddress, values.nodesHttpAddress);
  problems.push(...nodeProblems(values), ...unusable);
  return { options, waitMs: values.nodesWait ?? options.graceMs + 2_000, address, problems };
}

function nodeProblems({ node = [], nodesSelector }: OptionValues<typeof NODE_OPTIONS>): Problem[] {
  const problems: Problem[] = [];
  for (const name of node) {
    const rule = objectNameProblem(name);
    if (rule !== undefined) problems.push({ option: NODE_OPTIONS.node.flag, value: name, rule });
  }
  if (node.length > 0 && nodesSelector !== undefined) {
    const rule = 'cannot be given together with --node';
    problems.push({ option: NODE_OPTIONS.nodesSelector.flag, value: nodesSelector, rule });
  }
  return problems;
}
