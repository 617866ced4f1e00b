/**
 * Says that our client certificate for the API server ends: from 30 days before, again each day, and once it has ended.
 *
 * Guarantees: asks for nothing; a certificate that was replaced is noticed with the first request that carries it.
 */
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from './log.ts';

const DAY_MS = 86_400_000;
const WARN_MS = 30 * DAY_MS;
/** Milliseconds between two checks: the first ones, and those at a certificate that ends within the hour. */
const CHECK_MS = 5_000;
/** Milliseconds between two checks at any other, or at none: a process that mostly waits is not woken for them. */
const SELDOM_MS = 60_000;
const HOUR_MS = 3_600_000;

/** @param endsAt milliseconds since the epoch; undefined while that is not known */
export async function logCertificate(
  { endsAt, clock, log }: { endsAt: () => number | undefined; clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  let of: number | undefined;
  let saidAt: number | undefined;
  let saidEnded = false;
  let at: number | undefined;
  let checks = 0;
  const waitMs = (): number =>
    checks++ === 0 || (at !== undefined && at - clock.wallMicros() / 1000 < HOUR_MS) ? CHECK_MS : SELDOM_MS;
  do {
    at = endsAt();
    if (at === undefined) continue;
    const ends = new Date(at).toISOString();
    if (at !== of) {
      if (saidAt !== undefined) log.info({ ends }, 'another client certificate is in use');
      of = at;
      saidAt = undefined;
      saidEnded = false;
    }
    const now = clock.wallMicros() / 1000;
    const left = at - now;
    if (left > WARN_MS || (saidAt !== undefined && now - saidAt < DAY_MS && (left > 0 || saidEnded))) continue;
    saidAt = now;
    saidEnded = left <= 0;
    if (saidEnded)
      log.error(
        { ends },
        'our client certificate has ended: the API server refuses it. Renew the one that the kubeconfig names',
      );
    else
      log.warn(
        { ends, days: Math.round(left / DAY_MS) },
        'our client certificate ends soon: renew the one that the kubeconfig names',
      );
  } while (await sleep(clock, waitMs(), signal));
}
