/**
 * `leasekeeper sweep`: deletes expired leases, once or at start and on a schedule until SIGTERM.
 *
 * Guarantees: nothing is sent before every option is checked; with --once the exit code tells whether the pass did all
 * that it found to do: 1 also when expired leases are left for a later pass, because renewals may not work now.
 */
import type { Wrong } from '../config/bindings.ts';
import { parseAddress, securityFiles, securityRules } from '../config/http-flags.ts';
import type { Given, OptionValues } from '../config/option-spec.ts';
import { SWEEP_TABLE, heartbeatSweep, sweepSettings } from '../config/sweep-flags.ts';
import type { SweepSettings } from '../config/sweep-flags.ts';
import { createNodesApi } from '../kube/node-api.ts';
import { HEARTBEAT_NAMESPACE } from '../lease/lease-kind.ts';
import { createLog } from '../observe/pino-log.ts';
import { logSweeper, spanText } from '../observe/sweep-log.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { observers } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { runServices } from '../runtime/services.ts';
import type { PassResult, SweepEvent } from '../sweep/sweep-events.ts';
import { Sweeper } from '../sweep/sweeper.ts';
import { version } from '../version.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput, Io } from './command.ts';
import { connectApi } from './compose.ts';
import { hotReload } from './hot-reload.ts';
import { printable } from './output/text-width.ts';
import { runService } from './service.ts';
import type { ServiceWorld } from './service.ts';
import { stopSignal } from './signals.ts';
import { scheduleRules, sweepService } from './scheduled-sweep.ts';
import { onLeases, onNodes, permitted } from './permissions.ts';
import { ProgressLine } from './progress-line.ts';

type Values = OptionValues<typeof SWEEP_TABLE>;

const GATE_OFF = 'feature gate APIServerIdentity is off: nothing is swept';

/** --concurrency is the bound, and may change. */
const API = { maxConnections: Number.POSITIVE_INFINITY };

export async function run(input: CommandInput): Promise<number> {
  const { given, io } = input;
  const values = await readValues(SWEEP_TABLE, given, rules);
  if (values.once && settingsOf(values) === undefined) {
    io.out(`${GATE_OFF}\n`);
    return EXIT.ok;
  }
  return values.once ? once(values, io) : runService(values, io, API, (world) => scheduled(values, world, input));
}

/** Undefined: the gate is off. */
function settingsOf(values: Values): SweepSettings | undefined {
  if (!values.featureGates.enabled('APIServerIdentity')) return undefined;
  return sweepSettings(values);
}

// With --once there is no schedule, and nobody waits for what checks one, unless one is given.
const rules = async (values: Values, given: Given): Promise<Wrong[]> => [
  ...sweepSettings(values).wrong,
  ...securityRules(values),
  ...(!values.once || given.options['sweepSchedule'] ? await scheduleRules(values.sweepSchedule) : []),
];

async function once(values: Values, world: Io): Promise<number> {
  const clock = createSystemClock();
  using progress = new ProgressLine(world, clock);
  const { io } = progress;
  await using connection = await connectApi(values, { ...API, clock, env: io.env });
  const log = createLog({ level: values.logLevel, format: values.logFormat, output: io });
  using stop = stopSignal((signal) => log.info({ signal }, 'stopping'));
  const settings = sweepSettings(values);
  let deleted = 0;
  const observe =
    (tell: Observe<SweepEvent>) =>
    (event: SweepEvent): void => {
      if (event.type === 'passStarted') progress.show('listing the leases');
      else if (event.type === 'looked' && event.look === 1)
        progress.show(`${event.leases} leases; looking again`, clock.monotonic() + settings.options.confirmAfterMs);
      else if (event.type === 'looked') progress.show(() => `${event.leases} leases; ${deleted} deleted`);
      else if (event.type === 'deleted') deleted += 1;
      // What a dry run is asked for goes to stdout, and not to the log as well.
      if (event.type === 'wouldDelete') io.out(plannedText(event, settings));
      else tell(event);
    };
  const { store, transport } = connection;
  // An observer knows the pass that runs: each sweeper has its own.
  const parts = () => ({ store, clock, random: Math.random, observe: observe(logSweeper(log)) });
  const sweepers = [new Sweeper({ ...parts(), ...settings.options })];
  if (values.ownerGone) {
    const nodes = createNodesApi({ transport, clock, random: Math.random });
    sweepers.push(new Sweeper({ ...parts(), ...heartbeatSweep(settings).options, nodes }));
  }
  let code: number = EXIT.ok;
  for (const sweeper of sweepers) {
    const result = await sweeper.sweepOnce(stop.signal);
    if (result.dryRun && result.outcome === 'completed') io.out(summaryText(result));
    const { recovering, unproven } = result.kept;
    if (result.outcome !== 'completed' || result.failed + recovering + unproven > 0) code = EXIT.failed;
  }
  return code;
}

async function scheduled(
  values: Values,
  { log, clock, connection: { store, server, transport }, systemd, stop }: ServiceWorld,
  input: CommandInput,
): Promise<number> {
  const settings = settingsOf(values);
  let gates = values.featureGates;
  const address = values.httpAddress === undefined ? undefined : parseAddress(values.httpAddress);
  const endpoints =
    address &&
    (await import('./endpoints.ts')).sweepEndpoints({
      address,
      security: securityFiles(values),
      log,
      clock,
      transport,
      gates: () => gates,
    });
  // An observer knows the pass that runs: each sweeper has its own.
  const parts = (name: string) => {
    const observe = observers(logSweeper(log), endpoints?.observer(name));
    return { store, clock, random: Math.random, observe };
  };
  const service = sweepService(parts('sweep'), settings);
  const ofHeartbeats = (desired: SweepSettings | undefined): SweepSettings | undefined =>
    desired && heartbeatSweep(desired);
  const nodes = values.ownerGone ? createNodesApi({ transport, clock, random: Math.random }) : undefined;
  const heartbeats = nodes && sweepService({ ...parts('heartbeats'), nodes }, ofHeartbeats(settings));
  const { namespace, sweepSchedule: schedule } = values;
  const shown = await endpoints?.listen();
  log.info(
    { version, server, namespace, schedule, url: shown?.url },
    settings ? 'sweeping expired leases' : `disabled: ${GATE_OFF}`,
  );
  systemd.ready(() => (service.setting ? 'sweeping expired leases' : `disabled: ${GATE_OFF}`));
  const reload = hotReload(input, {
    table: SWEEP_TABLE,
    values,
    clock,
    rules,
    log,
    systemd,
    apply(next) {
      log.level = next.logLevel;
      gates = next.featureGates;
      const after = settingsOf(next);
      if ((after === undefined) !== (service.setting === undefined)) {
        log.info(after ? 'feature gate APIServerIdentity is on: sweeping' : `disabled: ${GATE_OFF}`);
      }
      service.set(after);
      heartbeats?.set(ofHeartbeats(after));
      systemd.changed();
    },
  });
  await runServices([...reload, ...(shown?.services ?? []), service, ...(heartbeats ? [heartbeats] : [])], stop);
  return EXIT.ok;
}

function plannedText({ lease }: Extract<SweepEvent, { type: 'wouldDelete' }>, { options }: SweepSettings): string {
  const { name, hostname, holderIdentity, expiredForMs } = lease;
  const looks = `not written between two looks ${spanText(options.confirmAfterMs)} apart`;
  const host = hostname === undefined ? '' : ` of ${printable(hostname)}`;
  const why = expiredForMs === undefined ? 'no such Node' : `expired ${spanText(expiredForMs)} ago`;
  return `would delete ${printable(name)}${host}: ${why}, ${looks}; holder ${printable(holderIdentity)}\n`;
}

/** In the words of the sweeper's own reasons. */
const KEPT: Readonly<Record<keyof PassResult['kept'], string>> = {
  terminating: 'being deleted',
  released: 'released',
  unexpired: 'unexpired',
  renewed: 'renewed between the looks',
  own: 'our own',
  election: 'of elections, locks and their kind (--include-elections)',
  unversioned: 'without a version',
  grace: 'within the grace',
  expiredOnce: 'expired between the looks',
  changed: 'written between the looks',
  recovering: 'silent as long as others that have just come back',
  unproven: 'expired since anybody renewed',
  owned: 'of Nodes that are there',
  passVoid: 'not judged',
};

function summaryText({ seen, collectable, kept }: PassResult): string {
  const reasons = Object.entries(kept).filter(([, n]) => n > 0);
  const rest = reasons.map(([reason, n]) => `${n} ${KEPT[reason as keyof typeof KEPT]}`).join(', ');
  return `${collectable} of ${seen} leases would be deleted${rest === '' ? '' : `; kept: ${rest}`}\n`;
}

export const grants = permitted(
  SWEEP_TABLE,
  (values) => sweepSettings(values).wrong,
  ({ namespace, sweepDryRun, ownerGone }) => [
    onLeases(namespace, ['list'], 'looks, twice in a pass'),
    ...(sweepDryRun ? [] : [onLeases(namespace, ['delete'], 'deletes what was expired both times')]),
    ...(ownerGone
      ? [
          onLeases(HEARTBEAT_NAMESPACE, sweepDryRun ? ['list'] : ['list', 'delete'], 'heartbeats whose Node is gone'),
          onNodes(undefined),
        ]
      : []),
  ],
);
