/**
 * `leasekeeper publish`: one publisher, from its options until SIGTERM.
 *
 * Guarantees: nothing is begun before every option is checked and the configuration of the API is read.
 */
import { securityFiles } from '../config/http-flags.ts';
import { hostname } from 'node:os';
import { v4 as uuid } from 'uuid';
import type { Wrong } from '../config/bindings.ts';
import { PUBLISH_TABLE, publishSettings } from '../config/publish-flags.ts';
import type { PublishValues } from '../config/publish-flags.ts';
import type { PublisherPhase, ShutdownOutcome } from '../identity/publisher-events.ts';
import { ServerHealth } from '../identity/server-health.ts';
import { Publisher } from '../identity/publisher.ts';
import { createEventsApi } from '../kube/events-api.ts';
import { holderIdentity, isLocalName, leaseName } from '../lease/names.ts';
import { leaseQuery } from '../config/shared-flags.ts';
import { LeaseEvents } from '../observe/lease-events.ts';
import { logPublisher } from '../observe/publisher-log.ts';
import { logSweeper } from '../observe/sweep-log.ts';
import { observers } from '../runtime/observer.ts';
import { runServices } from '../runtime/services.ts';
import { version } from '../version.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { hotReload } from './hot-reload.ts';
import { serverProbe } from './server-probe.ts';
import { runService } from './service.ts';
import { scheduleRules, sweepService } from './scheduled-sweep.ts';
import { onEvents, onLeases, permitted } from './permissions.ts';
import type { Grant } from './permissions.ts';

/** What must hold between the options. */
export const publishRules = async (values: PublishValues): Promise<Wrong[]> => [
  ...publishSettings(values, hostname()).wrong,
  ...(values.sweep ? await scheduleRules(values.sweepSchedule) : []),
];

/** For systemd's STATUS. */
const PHASES: Readonly<Record<PublisherPhase, string>> = {
  idle: 'starting',
  disabled: 'disabled by feature gate APIServerIdentity',
  waitingForServer: 'waiting for the server beside us',
  claiming: 'claiming',
  holding: 'holding',
  superseded: 'superseded, standing by',
  besideServer: 'standing by for the API server of this host',
  foreign: 'the lease of this name is not ours',
  stopping: 'stopping',
};

export async function run(input: CommandInput): Promise<number> {
  const { given, io } = input;
  const values = await readValues(PUBLISH_TABLE, given, publishRules);
  const settings = publishSettings(values, hostname());
  const options = settings.identity;
  let gates = values.featureGates;
  // A sweep may be thousands of deletions, as many at once as --sweep-concurrency says.
  const { requestTimeoutMs } = options;
  const api = { requestTimeoutMs, light: !values.sweep, maxConnections: Number.POSITIVE_INFINITY };
  return runService(values, io, api, async ({ log, clock, connection, systemd, stop }) => {
    const url = values.serverHealthUrl;
    await using probe = url === undefined ? undefined : await serverProbe(url, { ...values, clock, env: io.env });
    const health = probe && new ServerHealth({ probe: probe.ask, clock, ...settings.health });
    const { transport } = connection;
    const events = new LeaseEvents({
      post: createEventsApi(transport),
      clock,
      instance: options.hostname,
      log,
      enabled: () => gates.enabled('LeaseEvents'),
    });
    const { address, census } = settings.http;
    const endpoints =
      address &&
      (await import('./endpoints.ts')).censusEndpoints(
        { address, security: securityFiles(values), log, clock, transport, gates: () => gates },
        { census, store: connection.store, query: leaseQuery(values), publisher: () => publisher },
      );
    const publisher: Publisher = new Publisher({
      store: connection.store,
      clock,
      random: Math.random,
      holder: holderIdentity(
        leaseName(options.hostname, options.nameFormat, options.namePrefix, options.component),
        uuid(),
      ),
      ...options,
      observe: observers(logPublisher(log), events.publisher, endpoints?.publisher, () => systemd.changed()),
      health,
      clockDistanceMs: () => connection.transport.clockDistanceMs(),
    });
    const shown = await endpoints?.listen();
    if (shown) log.info({ url: shown.url }, 'HTTP endpoints: /, /v1/instances, /v1/count, /metrics, /livez, /readyz');
    const { lease, holder } = publisher.status;
    const about = {
      version,
      server: connection.server,
      namespace: options.namespace,
      lease,
      hostname: options.hostname,
    };
    if (isLocalName(options.hostname))
      log.warn(
        { hostname: options.hostname },
        'other machines are probably called the same, and would take this lease over: give this one a name of its own, or --hostname-override',
      );
    if (settings.enabled) log.info({ ...about, holder }, 'publishing the identity lease of this host');
    else log.warn({ ...about, holder }, 'disabled: feature gate APIServerIdentity is off, nothing is published');
    publisher.enable(settings.enabled);
    const sweeper = sweepService(
      {
        store: connection.store,
        clock,
        random: Math.random,
        observe: observers(logSweeper(log), events.sweep, endpoints?.sweep),
        own: { namespace: options.namespace, name: lease, holderIdentity: holder },
      },
      settings.sweep,
    );
    const reload = hotReload(input, {
      table: PUBLISH_TABLE,
      values,
      clock,
      rules: publishRules,
      log,
      systemd,
      apply(next) {
        const to = publishSettings(next, hostname());
        log.level = next.logLevel;
        gates = next.featureGates;
        health?.update(to.health);
        publisher.update(to.identity);
        const disabled = publisher.status.phase === 'disabled';
        if (to.enabled && disabled) log.info('feature gate APIServerIdentity is on: publishing');
        if (!to.enabled && !disabled) log.warn('disabled: feature gate APIServerIdentity is off, giving the lease up');
        publisher.enable(to.enabled);
        sweeper.set(to.sweep);
        systemd.changed();
      },
    });
    systemd.ready(() => `${PHASES[publisher.status.phase]}: ${lease}`);
    let outcome: ShutdownOutcome | undefined;
    const run = async (signal: AbortSignal): Promise<void> => void (outcome = await publisher.run(signal));
    await runServices(
      [...reload, ...(shown?.services ?? []), events.service, { name: 'publisher', run }, sweeper],
      stop,
    );
    return outcome === 'unknown' ? EXIT.failed : EXIT.ok;
  });
}

export const grants = permitted(PUBLISH_TABLE, publishRules, (values, given) => {
  const {
    namespace,
    hostname: host,
    nameFormat,
    namePrefix,
    component,
    besideServer,
    shutdownPolicy,
  } = publishSettings(values, hostname()).identity;
  // A Role is printed for other hosts than this one: only a name that was given says which lease it will be.
  const own = values.hostname === undefined ? undefined : [leaseName(host, nameFormat, namePrefix, component)];
  const leaves = shutdownPolicy === 'delete' || (shutdownPolicy === 'auto' && values.serverHealthUrl !== undefined);
  const all: Grant[] = [
    onLeases(namespace, ['create'], 'claims the lease where there is none'),
    onLeases(namespace, ['get', 'update'], 'takes it over, and renews it', own),
    onLeases(namespace, ['list', 'watch'], 'notices at once who deletes it or publishes the same hostname'),
  ];
  if (values.sweep)
    all.push(onLeases(namespace, values.sweepDryRun ? ['list'] : ['list', 'delete'], 'sweeps what has expired'));
  if (leaves) all.push(onLeases(namespace, ['delete'], 'gives the lease up at the end', own));
  else if (given.options['config'] !== undefined)
    all.push(onLeases(namespace, ['delete'], 'gives the lease up when the file switches it off', own));
  else if (besideServer === 'auto' && nameFormat === 'sha256')
    all.push(
      onLeases(namespace, ['delete'], 'gives the lease up beside a server that takes part in peer proxying', own),
    );
  return [...all, ...onEvents(namespace, values.featureGates)];
});
