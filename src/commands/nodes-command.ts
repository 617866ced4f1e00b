/**
 * `leasekeeper nodes`: which Nodes are Ready, NotReady and Unknown, by their conditions and what is seen of their heartbeats.
 *
 * Guarantees: nothing is reported that was not seen: the command looks on until every node showed a sign of life, or did not
 * for the grace period; with a shorter --wait what is open is Pending. When Nodes or leases cannot be read at first it ends
 * with that error; with --watch a loss later on is reported, and survived. A Node that was asked for by name and is not there
 * is an error as well, once the others were printed. With --http-address it serves the same over HTTP.
 */
import { securityFiles } from '../config/http-flags.ts';
import { NODES_TABLE, nodesSettings } from '../config/heartbeat-flags.ts';
import type { OptionValues } from '../config/option-spec.ts';
import type { AvailabilityEvent } from '../availability/node-monitor.ts';
import { NodeMonitor } from '../availability/node-monitor.ts';
import type { AvailabilityOptions } from '../availability/availability-options.ts';
import type { HttpAddress } from '../http/server.ts';
import type { Connection } from '../kube/connection.ts';
import { createNodesApi } from '../kube/node-api.ts';
import type { NodeSource } from '../lease/node-source.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { createSystemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { observers } from '../runtime/observer.ts';
import { runServices } from '../runtime/services.ts';
import { version } from '../version.ts';
import { CommandError, EXIT, readValues } from './command.ts';
import type { CommandInput, Io } from './command.ts';
import { connectApi } from './compose.ts';
import { nodeShape, printNodes } from './output/print-nodes.ts';
import { RowPrinter, printOptions } from './output/printer.ts';
import { printable } from './output/text-width.ts';
import { stopSignal, surviveHangup } from './signals.ts';
import { onLeases, onNodes, permitted } from './permissions.ts';
import { ProgressLine } from './progress-line.ts';

type Values = OptionValues<typeof NODES_TABLE>;

export async function run({ given, io: world }: CommandInput): Promise<number> {
  const values = await readValues(NODES_TABLE, given, (read) => nodesSettings(read).wrong);
  const { options: availability, waitMs, address } = nodesSettings(values);
  if (address) return serve(address, availability, values, world);

  // A terminal that closes takes along what only shows something on it.
  if (values.watch && !world.terminal) surviveHangup();
  const clock = createSystemClock();
  using progress = new ProgressLine(world, clock);
  const { io } = progress;
  const stop = new AbortController();
  using _signals = stopSignal(() => stop.abort());
  await using connection = await connectApi(values, { clock, env: io.env, light: true });
  const options = printOptions(values.output, io);
  let failed: LeaseStoreError | undefined;
  let began = false;
  let cancel = (): void => {};
  const shape = nodeShape(() => monitor.snapshot().serverNow, options.output);
  const printer = new RowPrinter(shape, options, (text) => io.out(text));
  /** Without --watch: ends as soon as there is nothing left to wait for. */
  const mayEnd = (): void => {
    if (began && !values.watch && monitor.snapshot().counts.Pending === 0) stop.abort();
  };
  const observe = (event: AvailabilityEvent): void => {
    switch (event.type) {
      case 'synced':
        if (began) io.err('leasekeeper: up to date again\n');
        else if (values.watch) printer.print(monitor.snapshot().nodes);
        else {
          cancel = clock.schedule(waitMs, () => stop.abort());
          progress.show(() => {
            const { counts, nodes } = monitor.snapshot();
            return `waiting for the heartbeats of ${counts.Pending} of ${nodes.length} Nodes`;
          }, clock.monotonic() + waitMs);
        }
        began = true;
        return mayEnd();
      case 'lost':
        if (!began) {
          failed = event.error;
          stop.abort();
        } else io.err(`leasekeeper: warning: changes may be missing for now: ${printable(event.error.message)}\n`);
        return;
      case 'changed':
      case 'gone':
        if (began && values.watch) printer.print([event.node]);
        return mayEnd();
    }
  };
  const nodes = nodesOf(values, connection, clock);
  const monitor = new NodeMonitor({
    store: connection.store,
    nodes,
    clock,
    random: Math.random,
    ...availability,
    observe,
  });
  try {
    await monitor.run(stop.signal);
    await printer.settled();
  } finally {
    cancel();
    progress[Symbol.dispose]();
  }
  if (failed) throw failed;
  if (values.watch) return EXIT.ok;
  if (!began) return EXIT.failed;
  const snapshot = monitor.snapshot();
  const found = new Set(snapshot.nodes.map(({ name }) => name));
  const missing = (values.node ?? []).filter((name) => !found.has(name));
  const printed = await printNodes(snapshot, options);
  if (printed.stderr !== '' && missing.length === 0) io.err(printed.stderr);
  if (printed.stdout !== '') io.out(printed.stdout);
  if (missing.length === 0) return EXIT.ok;
  throw new CommandError(`there is no such Node: ${missing.join(', ')}`);
}

/** Goes on until SIGTERM, also while the API is away. */
async function serve(address: HttpAddress, options: AvailabilityOptions, values: Values, io: Io): Promise<number> {
  const { runService } = await import('./service.ts');
  const { logAvailability } = await import('../observe/availability-log.ts');
  const { nodesEndpoints } = await import('./endpoints.ts');
  return runService(values, io, {}, async ({ log, clock, connection, systemd, stop }) => {
    const { transport } = connection;
    const endpoints = nodesEndpoints(
      { address, security: securityFiles(values), log, clock, transport },
      () => monitor,
    );
    const monitor: NodeMonitor = new NodeMonitor({
      store: connection.store,
      nodes: nodesOf(values, connection, clock),
      clock,
      random: Math.random,
      ...options,
      observe: observers(logAvailability(log, clock), endpoints.observe),
    });
    const { namespace } = options;
    const { url, services } = await endpoints.listen();
    log.info(
      { version, server: connection.server, namespace, url },
      'HTTP endpoints: /v1/nodes, /metrics, /livez, /readyz',
    );
    systemd.ready(() => 'watching Nodes');
    await runServices([...services, { name: 'monitor', run: (signal) => monitor.run(signal) }], stop);
    return EXIT.ok;
  });
}

function nodesOf(
  { node: names, nodesSelector: labelSelector }: Values,
  { transport }: Connection,
  clock: Clock,
): NodeSource {
  return createNodesApi({ transport, clock, random: Math.random, names, labelSelector, conditions: true });
}

export const grants = permitted(
  NODES_TABLE,
  (values) => nodesSettings(values).wrong,
  ({ heartbeatNamespace, node }) => [
    onLeases(heartbeatNamespace, ['list', 'watch'], 'sees the heartbeats'),
    onNodes(node),
  ],
);
