/**
 * `leasekeeper elect`: runs a command only while this process leads; without one it says over HTTP who leads.
 *
 * Guarantees: nothing is begun before every option is checked and the command is known to exist; the command runs under a
 * watchdog that ends it before the lease may be another's, whatever becomes of this process; the lease is released once
 * nothing of the command is left, and not before. The exit code is the command's (128 + n when signal n ended it).
 */
import { hostname } from 'node:os';
import { securityFiles } from '../config/http-flags.ts';
import { v4 as uuid } from 'uuid';
import { ELECT_TABLE, electSettings } from '../config/elect-flags.ts';
import type { ElectSettings, RestartPolicy } from '../config/elect-flags.ts';
import { readChecked } from '../config/bindings.ts';
import type { OptionValues, Problem } from '../config/option-spec.ts';
import { deleteUnwanted } from '../election/unwanted.ts';
import { LeaderElector } from '../election/elector.ts';
import { LeadershipError } from '../election/term.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import type { Term } from '../election/term.ts';
import { createEventsApi } from '../kube/events-api.ts';
import { logElection } from '../observe/election-log.ts';
import { LeaseEvents } from '../observe/lease-events.ts';
import { aborted } from '../runtime/clock.ts';
import { observers } from '../runtime/observer.ts';
import { runServices } from '../runtime/services.ts';
import { version } from '../version.ts';
import { CommandError, EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { KILL_MARGIN_MS } from '../guard/guard.ts';
import { GuardedCommand, commandProblems, ending, isStopping } from './guarded-command.ts';
import type { Outcome } from '../guard/guard.ts';
import { onEvents, onLeases, permitted } from './permissions.ts';
import { runService } from './service.ts';

const settingsOf = (values: OptionValues<typeof ELECT_TABLE>) => electSettings(values, hostname(), KILL_MARGIN_MS);

export async function run({ given, args, io }: CommandInput): Promise<number> {
  const { values, problems } = await readChecked(ELECT_TABLE, given, (read) => settingsOf(read).wrong);
  const settings = settingsOf(values);
  const [command, ...rest] = args;
  const wrong = [...problems, ...workProblems(command, settings, io.env['PATH'])];
  if (wrong.length > 0) throw new UsageError(wrong);
  return runService(values, io, {}, async ({ log, clock, connection, systemd, stop, received }) => {
    const { restart, stopTimeoutMs: graceMs } = settings;
    const { store, transport } = connection;
    const lease = settings.ref(connection.namespace);
    const guarded =
      command === undefined
        ? undefined
        : new GuardedCommand({ clock, log, command, args: rest, env: io.env, graceMs, received });
    try {
      const over = new AbortController();
      let exit: { readonly code: number } | undefined;
      const endpoints =
        settings.http &&
        (await import('./endpoints.ts')).electEndpoints(
          {
            address: settings.http,
            security: securityFiles(values),
            log,
            clock,
            transport,
            gates: () => values.featureGates,
          },
          lease,
          () => elector,
        );
      const events = new LeaseEvents({
        post: createEventsApi(transport),
        clock,
        instance: settings.id,
        log,
        enabled: () => values.featureGates.enabled('LeaseEvents'),
      });
      const onEvent = (event: ElectionEvent): void => {
        if (event.type === 'stopped' && exit) over.abort();
      };
      const work = async (term: Term): Promise<void> => {
        // Others do the work: it ends when its term does.
        if (!guarded) return aborted(term.signal);
        const outcome = await guarded.run(term);
        const { code, why } = ending(outcome);
        // The last one counts, however often it was elected.
        if (isStopping(term) || endsUs(restart, outcome)) exit = { code };
        // What the end of the term ended, or that end, is no failure of the command.
        else if (code !== EXIT.ok && !(outcome.how === 'ended' && outcome.asked)) throw new CommandError(why);
        // `stopped` came when the term was lost, before it was known that the command had ended.
        if (exit && term.remainingMs === 0) over.abort();
      };
      const logEvent = logElection(log);
      const elector: LeaderElector = new LeaderElector({
        store,
        clock,
        random: Math.random,
        lease,
        id: settings.id,
        uuid: uuid(),
        ...settings.election,
        labels: settings.marks.labels,
        annotations: () => settings.marks.annotations,
        owners: settings.marks.owners,
        work,
        onDeadline: guarded?.onDeadline,
        observe: observers(
          onEvent,
          // How the command ended is reported; whether it runs again is --restart's business.
          (event) => event.type !== 'workReturned' && logEvent(event),
          endpoints?.observe,
          events.election,
          () => systemd.changed(),
        ),
      });

      const { retryPeriodMs } = settings.election;
      const tidy = async (): Promise<void> => {
        const deleting = deleteUnwanted({ store, clock, lease, retryPeriodMs });
        const deleted = await deleting.catch((err: unknown) => log.warn({ err }, 'the lease was not deleted'));
        if (deleted) log.info('nobody else took the lease: deleted it');
      };
      const shown = await endpoints?.listen();
      guarded?.prepare();
      log.info(
        {
          version,
          server: connection.server,
          lease: `${lease.namespace}/${lease.name}`,
          holder: elector.holder,
          url: shown?.url,
        },
        'contending for the lease',
      );
      systemd.ready(() => `${elector.term ? 'leading' : 'standing by'}: ${lease.namespace}/${lease.name}`);
      await runServices(
        [
          ...(shown?.services ?? []),
          events.service,
          {
            name: 'elector',
            async run(signal) {
              await elector.run(signal);
              if (values.electDeleteOnExit) await tidy();
              over.abort();
            },
          },
        ],
        AbortSignal.any([stop, over.signal]),
      ).catch((error: unknown) => {
        if (!(error instanceof LeadershipError)) throw error;
        throw new CommandError('the command could not be killed: the lease is left to expire', { cause: error });
      });
      return exit?.code ?? EXIT.ok;
    } finally {
      await guarded?.close();
    }
  });
}

/** What is wrong with what is to be done while leading. */
function workProblems(command: string | undefined, { http }: ElectSettings, path: string | undefined): Problem[] {
  if (command !== undefined) return commandProblems('elect', command, path);
  const rule = 'is required, or --http-address to say who leads';
  return http ? [] : [{ option: 'COMMAND', value: undefined, rule }];
}

/** Whether the command, having ended by itself, ends this process too. */
function endsUs(restart: RestartPolicy, outcome: Outcome): boolean {
  if (outcome.how === 'unguarded' || (outcome.how === 'ended' && outcome.asked)) return false;
  if (restart === 'never') return true;
  return restart === 'on-failure' && outcome.how === 'ended' && outcome.code === 0;
}

export const grants = permitted(
  ELECT_TABLE,
  (values) => settingsOf(values).wrong,
  (values) => {
    const { namespace, name } = settingsOf(values).ref(undefined);
    return [
      onLeases(namespace, ['create'], 'makes the lease where there is none'),
      // Without list a watch begins with what there is: see kube/list-watch.ts.
      onLeases(
        namespace,
        ['get', 'watch', 'update'],
        'stands by, leads and renews; add list before Kubernetes 1.32 and in 1.33',
        [name],
      ),
      ...(values.electDeleteOnExit
        ? [onLeases(namespace, ['delete'], 'deletes it when the last one ends', [name])]
        : []),
      ...onEvents(namespace, values.featureGates),
    ];
  },
);
