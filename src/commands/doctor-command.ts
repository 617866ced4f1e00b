/**
 * `leasekeeper doctor`: what on-call engineers look for, a line each, with what to do. Exits with 1 when something fails.
 *
 * Guarantees: writes nothing to the API; a finding is printed as soon as it is there; with -o json they are one document.
 */
import { hostname } from 'node:os';
import { DOCTOR_TABLE, leaseQuery, queryRules } from '../config/shared-flags.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { ConfigurationError, EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { connectApi } from './compose.ts';
import { examine } from './doctor-checks.ts';
import type { Finding } from './doctor-checks.ts';
import { printable } from './output/text-width.ts';
import { onLeases, permitted } from './permissions.ts';
import { ProgressLine } from './progress-line.ts';
import { stopSignal } from './signals.ts';

const COLOURS: Readonly<Record<Finding['verdict'], number>> = { ok: 32, warning: 33, failure: 31, skipped: 2 };

export async function run({ given, io: world }: CommandInput): Promise<number> {
  const values = await readValues(DOCTOR_TABLE, given, queryRules);
  const clock = createSystemClock();
  using progress = new ProgressLine(world, clock);
  const { io } = progress;
  const findings: Finding[] = [];
  const colour = io.terminal && !io.env['NO_COLOR'];
  const tell = (finding: Finding): void => {
    findings.push(finding);
    if (values.output === 'json') return;
    const { check, verdict, found, todo } = finding;
    const word = verdict.padEnd(8);
    const shown = colour ? `\x1b[${COLOURS[verdict]}m${word}\x1b[0m` : word;
    io.out(
      `${shown} ${check}: ${printable(found)}${todo === undefined ? '' : `${/[.?!]$/.test(found) ? '' : '.'} ${printable(todo)}`}\n`,
    );
  };
  using stop = stopSignal();
  try {
    await using connection = await connectApi(values, { clock, env: io.env, light: true });
    const checks = examine({
      connection,
      clock,
      query: leaseQuery(values),
      label: `${values.labelKey}=${values.labelValue}`,
      hostname: values.doctorHostname ?? hostname(),
      observeMs: values.doctorObserve,
      timeoutMs: values.requestTimeout,
      signal: stop.signal,
      progress: (what, untilMs) => progress.show(what, untilMs),
    });
    for await (const finding of checks) tell(finding);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    tell({
      check: 'kubeconfig',
      verdict: 'failure',
      found: error.message,
      todo: 'Mend it, or name another (--kubeconfig).',
    });
  }
  // Interrupted, it has not looked at everything.
  const ok = !stop.signal.aborted && findings.every(({ verdict }) => verdict !== 'failure');
  if (values.output === 'json') io.out(`${JSON.stringify({ ok, findings }, null, 2)}\n`);
  return ok ? EXIT.ok : EXIT.failed;
}

export const grants = permitted(DOCTOR_TABLE, queryRules, ({ namespace }) => [
  onLeases(namespace, ['list'], 'looks at the leases, twice'),
]);
