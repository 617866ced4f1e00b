/**
 * `leasekeeper heartbeat`: keeps the heartbeats of Nodes until SIGTERM. The leases stay, and expire by themselves.
 */
import { HEARTBEAT_OPTIONS, NODE_OPTIONS, heartbeatSettings } from '../config/heartbeat-options.ts';
import { API_OPTIONS, LOG_OPTIONS } from '../config/options.ts';
import { readOptions, ruleProblems } from '../config/spec.ts';
import { Heartbeat } from '../heartbeat/heartbeat.ts';
import { createNodesApi } from '../kube/nodes-api.ts';
import { logHeartbeat } from '../observe/heartbeat-log.ts';
import { createLog } from '../observe/log.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { version } from '../version.ts';
import { EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { connectApi } from './compose.ts';
import { staySmall } from './memory.ts';
import { stopSignal } from './signals.ts';

const TABLE = { ...LOG_OPTIONS, ...API_OPTIONS, ...NODE_OPTIONS, ...HEARTBEAT_OPTIONS };

export async function run({ given, io }: CommandInput): Promise<number> {
  const { values, problems } = readOptions(TABLE, given);
  const { options, problems: broken } = heartbeatSettings(values);
  const wrong = [...problems, ...ruleProblems(broken, TABLE, given, problems)];
  if (wrong.length > 0) throw new UsageError(wrong);

  staySmall();
  const log = createLog({ level: values.logLevel, format: values.logFormat, write: (line) => io.err(line) });
  const clock = createSystemClock();
  const connection = await connectApi(values, { clock, requestTimeoutMs: options.requestTimeoutMs, env: io.env });
  try {
    const { transport, store, server } = connection;
    const { node: names, nodesSelector: labelSelector } = values;
    const heartbeat = new Heartbeat({
      store,
      nodes: createNodesApi({ transport, clock, random: Math.random, names, labelSelector }),
      clock,
      random: Math.random,
      options,
      observe: logHeartbeat(log, clock, names),
    });
    using stop = stopSignal((signal) => log.info({ signal }, 'stopping; a second signal ends at once'));
    const which = names ? { nodes: names.join(',') } : { selector: labelSelector };
    log.info({ version, server, namespace: options.namespace, ...which }, 'keeping the heartbeats of Nodes');
    await heartbeat.run(stop.signal);
    log.info('stopped: the leases stay, and expire by themselves');
    return EXIT.ok;
  } finally {
    await connection.close();
  }
}
