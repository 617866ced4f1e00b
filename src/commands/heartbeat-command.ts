/**
 * `leasekeeper heartbeat`: keeps the heartbeats of Nodes until SIGTERM. The leases stay, and expire by themselves.
 */
import { hostname } from 'node:os';
import { v4 as uuid } from 'uuid';
import { securityFiles } from '../config/http-flags.ts';
import { HEARTBEAT_TABLE, heartbeatSettings } from '../config/heartbeat-flags.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { Heartbeat } from '../heartbeat/heartbeats.ts';
import { NODE_SLOTS, SharedNodes } from '../heartbeat/shared-nodes.ts';
import { createNodesApi } from '../kube/node-api.ts';
import { parseRef } from '../lease/names.ts';
import { logHeartbeat } from '../observe/heartbeat-log.ts';
import { logRecipe } from '../observe/recipe-log.ts';
import { Shards } from '../recipes/shards.ts';
import { observers } from '../runtime/observer.ts';
import { aborted } from '../runtime/clock.ts';
import { runServices } from '../runtime/services.ts';
import type { Service } from '../runtime/services.ts';
import { version } from '../version.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { hotReload } from './hot-reload.ts';
import { runService } from './service.ts';
import { onLeases, onNodes, permitted } from './permissions.ts';
import { onRing } from './recipe-grants.ts';

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
    async ({ log, clock, connection: { transport, store, server, namespace }, systemd, stop }) => {
      const { node: names, nodesSelector: labelSelector } = values;
      const endpoints =
        address &&
        (await import('./endpoints.ts')).heartbeatEndpoints(
          { address, security: securityFiles(values), log, clock, transport },
          () => heartbeat,
        );
      const all = createNodesApi({ transport, clock, random: Math.random, names, labelSelector });
      const share = values.heartbeatShare;
      const shared = share === undefined ? undefined : new SharedNodes({ nodes: all, clock });
      const heartbeat: Heartbeat = new Heartbeat({
        store,
        nodes: shared ?? all,
        clock,
        random: Math.random,
        ...options,
        // Of a share nobody knows which Nodes it should have.
        observe: observers(logHeartbeat(log, clock, shared ? [] : names), endpoints?.observe),
      });
      const sharing: Service[] = [];
      if (shared && share !== undefined) {
        const ring = parseRef(share, namespace ?? 'default');
        const shards = new Shards({
          store,
          clock,
          random: Math.random,
          ring,
          // A name of its own for each start: what a process before this one held is not waited for.
          id: `${hostname()}-${uuid().slice(0, 8)}`,
          uuid: uuid(),
          keys: NODE_SLOTS,
          async work({ key, signal }) {
            shared.take(Number(key));
            await aborted(signal);
            shared.give(Number(key));
          },
          observe: observers(logRecipe(log), endpoints?.recipe(ring)),
        });
        sharing.push({ name: 'shards', run: (signal) => shards.run(signal) });
      }
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
      await runServices([...reload, ...(shown?.services ?? []), beating, ...sharing], stop);
      log.info('stopped: the leases stay, and expire by themselves');
      return EXIT.ok;
    },
  );
}

export const grants = permitted(HEARTBEAT_TABLE, rules, ({ heartbeatNamespace: namespace, heartbeatShare, node }) => [
  onLeases(namespace, ['create'], 'makes the lease of a new Node'),
  onLeases(namespace, ['get', 'update'], 'renews it', node),
  onNodes(node),
  ...(heartbeatShare === undefined ? [] : [onRing(parseRef(heartbeatShare, 'default').namespace)]),
]);
