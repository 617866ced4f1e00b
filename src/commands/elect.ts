/**
 * `leasekeeper elect`: runs a command only while this process leads.
 *
 * Guarantees: nothing is begun before every option is checked and the command is known to exist; the command runs under a
 * watchdog that ends it before the lease may be another's, whatever becomes of this process; the lease is released once
 * nothing of the command is left, and not before. The exit code is the command's (128 + n when signal n ended it).
 */
import { securityFiles } from '../config/http-flags.ts';
import { constants, hostname } from 'node:os';
import { v4 as uuid } from 'uuid';
import { ELECT_TABLE, electSettings } from '../config/elect-flags.ts';
import type { RestartPolicy } from '../config/elect-flags.ts';
import { COMMAND_VARIABLES } from '../config/sources.ts';
import { readChecked } from '../config/bindings.ts';
import type { OptionValues, Problem } from '../config/option-spec.ts';
import { LeaderElector } from '../election/elector.ts';
import { LeadershipError } from '../election/term.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import type { Term } from '../election/term.ts';
import { createEventsApi } from '../kube/events-api.ts';
import { logElection } from '../observe/elect-log.ts';
import { LeaseEvents } from '../observe/lease-events.ts';
import { createLog } from '../observe/pino-log.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { observers } from '../runtime/observer.ts';
import { runServices } from '../runtime/services.ts';
import { version } from '../version.ts';
import { CommandError, EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { connectApi } from './compose.ts';
import { commandProblem } from '../guard/find-command.ts';
import { Guard, KILL_MARGIN_MS } from '../guard/guard.ts';
import type { Outcome } from '../guard/guard.ts';
import { staySmall } from './memory.ts';
import { stopSignal, surviveHangup } from './signals.ts';
import { onEvents, onLeases, permitted } from './permissions.ts';

/** Passed on to the command as they are, while one runs, and nothing else; SIGTERM and SIGINT end it first. */
const FORWARDED = ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

const settingsOf = (values: OptionValues<typeof ELECT_TABLE>) => electSettings(values, hostname(), KILL_MARGIN_MS);

export async function run({ given, args, io }: CommandInput): Promise<number> {
  const { values, problems } = await readChecked(ELECT_TABLE, given, (read) => settingsOf(read).wrong);
  const settings = settingsOf(values);
  const [command = '', ...rest] = args;
  const wrong = [
    ...problems,
    ...problemOf('COMMAND', command, commandProblem(command, io.env['PATH'])),
    ...problemOf('elect', undefined, process.platform === 'win32' ? 'needs process groups: not on Windows' : undefined),
  ];
  if (wrong.length > 0) throw new UsageError(wrong);
  surviveHangup();
  staySmall();
  const log = createLog({ level: values.logLevel, format: values.logFormat, output: io });
  const clock = createSystemClock();
  const connection = await connectApi(values, { clock, env: io.env });
  let unbound = false;
  const onStarted = (pid: number, bound: boolean): void => {
    log.info({ pid, command }, 'started the command');
    if (!bound && !unbound) {
      log.info(
        'nothing ends the command where leasekeeper and its watchdog are killed in one go: that needs Linux and setpriv of util-linux',
      );
    }
    unbound ||= !bound;
  };
  const guard = new Guard({ clock, onStarted });
  for (const name of FORWARDED) process.on(name, () => guard.forward(name));
  try {
    using stop = stopSignal((signal) => log.info({ signal }, 'stopping; a second signal ends everything at once'));
    const over = new AbortController();
    let exit: { readonly code: number } | undefined;
    const { transport } = connection;
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
        settings.lease,
        () => elector,
      );
    const events = new LeaseEvents({
      post: createEventsApi(transport),
      clock,
      instance: settings.id,
      log,
      enabled: () => values.featureGates.enabled('LeaseEvents'),
    });
    const onDeadline = (term: Term): void => {
      if (term.lost === undefined) guard.extend(term);
      // Another may lead already: there is no time left to end in order.
      else if (term.lost !== 'deadline') guard.kill();
    };
    const onEvent = (event: ElectionEvent): void => {
      if (event.type === 'stopped' && exit) over.abort();
    };
    const { lease, restart, stopTimeoutMs: graceMs } = settings;
    const env = (term: Term): Record<string, string | undefined> => ({
      ...io.env,
      [COMMAND_VARIABLES.lease]: `${lease.namespace}/${lease.name}`,
      [COMMAND_VARIABLES.holder]: term.holder,
      [COMMAND_VARIABLES.fencingToken]: String(term.fencingToken),
    });
    const work = async (term: Term): Promise<void> => {
      const end = (): void => guard.end(stopping(term) ? (stop.received() ?? 'SIGTERM') : 'SIGTERM');
      const running = guard.run({ command, args: rest, env: env(term), graceMs }, term);
      if (term.signal.aborted) end();
      else term.signal.addEventListener('abort', end, { once: true });
      const outcome = await running;
      term.signal.removeEventListener('abort', end);
      const { code, why } = ending(outcome);
      log[outcome.how === 'ended' ? 'info' : 'error'](why);
      // The last one counts, however often it was elected.
      if (stopping(term) || endsUs(restart, outcome)) exit = { code };
      // What leadership ended, or its end, is no failure of the command.
      else if (code !== EXIT.ok && !(outcome.how === 'ended' && outcome.asked)) throw new CommandError(why);
      // `stopped` came when the term was lost, before it was known that the command had ended.
      if (exit && term.remainingMs === 0) over.abort();
    };
    const logEvent = logElection(log);
    const elector: LeaderElector = new LeaderElector({
      store: connection.store,
      clock,
      random: Math.random,
      lease: settings.lease,
      id: settings.id,
      uuid: uuid(),
      ...settings.election,
      work,
      onDeadline,
      observe: observers(
        onEvent,
        // How the command ended is reported; whether it runs again is --restart's business.
        (event) => event.type !== 'workReturned' && logEvent(event),
        endpoints?.observe,
        events.election,
      ),
    });

    const shown = await endpoints?.listen();
    guard.prepare();
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
    await runServices(
      [
        ...(shown?.services ?? []),
        events.service,
        {
          name: 'elector',
          async run(signal) {
            await elector.run(signal);
            over.abort();
          },
        },
      ],
      AbortSignal.any([stop.signal, over.signal]),
    ).catch((error: unknown) => {
      if (!(error instanceof LeadershipError)) throw error;
      throw new CommandError('the command could not be killed: the lease is left to expire', { cause: error });
    });
    return exit?.code ?? EXIT.ok;
  } finally {
    await guard.close();
    await connection.close();
  }
}

const problemOf = (option: string, value: unknown, rule: string | undefined): Problem[] =>
  rule === undefined ? [] : [{ option, value, rule }];

/** Whether the term's work was asked to end because this process is to end. */
const stopping = ({ signal }: Term): boolean =>
  signal.aborted && signal.reason instanceof LeadershipError && signal.reason.code === 'ShuttingDown';

/** Whether the command, having ended by itself, ends this process too. */
function endsUs(restart: RestartPolicy, outcome: Outcome): boolean {
  if (outcome.how === 'unguarded' || (outcome.how === 'ended' && outcome.asked)) return false;
  if (restart === 'never') return true;
  return restart === 'on-failure' && outcome.how === 'ended' && outcome.code === 0;
}

/** The exit code, as a shell has it, and what to say. */
function ending(outcome: Outcome): { code: number; why: string } {
  switch (outcome.how) {
    case 'ended': {
      const { code, signal } = outcome;
      if (code !== null) return { code, why: `the command ended with exit code ${code}` };
      return {
        code: signal === null ? EXIT.failed : 128 + constants.signals[signal],
        why: signal === null ? 'the command was not started: leadership is over' : `the command was ended by ${signal}`,
      };
    }
    case 'notStarted':
      return { code: EXIT.failed, why: `the command could not be started: ${outcome.message}` };
    case 'unguarded':
      return { code: EXIT.failed, why: `the watchdog is gone (${outcome.why}): the command was killed` };
  }
}

export const grants = permitted(
  ELECT_TABLE,
  (values) => settingsOf(values).wrong,
  (values) => {
    const { namespace, name } = settingsOf(values).lease;
    return [
      onLeases(namespace, ['create'], 'makes the lease where there is none'),
      // Without list a watch begins with what there is: see kube/list-watch.ts.
      onLeases(
        namespace,
        ['get', 'watch', 'update'],
        'stands by, leads and renews; add list before Kubernetes 1.32 and in 1.33',
        [name],
      ),
      ...onEvents(namespace, values.featureGates),
    ];
  },
);
