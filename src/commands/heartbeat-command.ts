/**
 * `leasekeeper heartbeat`: keeps the heartbeats of Nodes until SIGTERM. The leases stay, and expire by themselves.
 */
import { securityFiles } from '../config/http-flags.ts';
import { HEARTBEAT_TABLE, heartbeatSettings } from '../config/heartbeat-flags.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { Heartbeat } from '../heartbeat/heartbeats.ts';
import { createNodesApi } from '../kube/node-api.ts';
import { logHeartbeat } from '../observe/heartbeat-log.ts';
import { observers } from '../runtime/observer.ts';
import { runServices } from '../runtime/services.ts';
import type { Service } from '../runtime/services.ts';
import { version } from '../version.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { hotReload } from './hot-reload.ts';
import { runService } from './service.ts';
import { onLeases, onNodes, permitted } from './permissions.ts';

const rules = (values: OptionValues<typeof HEARTBEAT_TABLE>) => heartbeatSettings(values).wrong;

export async function run(input: CommandInput): Promise<number> {
  const { given, io } = input;
  const values = await readValues(HEARTBEAT_TABLE, given, rules);
  const { options, address } = heartbeatSettings(values);
  const { requestTimeoutMs } = options;
  // --concurrency is the bound, and may change: a request that waited for a connection here would be late unseen.
  const api = { requestTimeoutMs, maxConnections: Number.POSITIVE_INFINITY };
  return runService(
    values,
    io,
    api,
    async ({ log, clock, connection: { transport, store, server }, systemd, stop }) => {
      const { node: names, nodesSelector: labelSelector } = values;
      const endpoints =
        address &&
        (await import('./endpoints.ts')).heartbeatEndpoints(
          { address, security: securityFiles(values), log, clock, transport },
          () => heartbeat,
        );
      const heartbeat: Heartbeat = new Heartbeat({
        store,
        nodes: createNodesApi({ transport, clock, random: Math.random, names, labelSelector }),
        clock,
        random: Math.random,
        ...options,
        observe: observers(logHeartbeat(log, clock, names), endpoints?.observe),
      });
      const reload = hotReload(input, {
        table: HEARTBEAT_TABLE,
        values,
        clock,
        rules,
        log,
        systemd,
        apply(next) {
          log.level = next.logLevel;
          heartbeat.update(heartbeatSettings(next).options);
        },
      });
      const which = names ? { nodes: names.join(',') } : { selector: labelSelector };
      const shown = await endpoints?.listen();
      const url = shown?.url;
      log.info({ version, server, namespace: options.namespace, ...which, url }, 'keeping the heartbeats of Nodes');
      systemd.ready(() => 'keeping the heartbeats of Nodes');
      const beating: Service = { name: 'heartbeat', run: (signal) => heartbeat.run(signal) };
      await runServices([...reload, ...(shown?.services ?? []), beating], stop);
      log.info('stopped: the leases stay, and expire by themselves');
      return EXIT.ok;
    },
  );
}

export const grants = permitted(HEARTBEAT_TABLE, rules, ({ heartbeatNamespace: namespace, node }) => [
  onLeases(namespace, ['create'], 'makes the lease of a new Node'),
  onLeases(namespace, ['get', 'update'], 'renews it', node),
  onNodes(node),
]);
