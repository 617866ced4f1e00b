/**
 * Says that our client certificate for the API server expires: from 30 days before, again each day, and once it has expired.
 *
 * Guarantees: asks for nothing; a certificate that was replaced is noticed with the first request that carries it.
 */
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from './log.ts';

const DAY_MS = 86_400_000;
const WARN_MS = 30 * DAY_MS;
/** Milliseconds between two checks: the first ones, and those of a certificate that expires within the hour. */
const CHECK_MS = 5_000;
/** Milliseconds between two checks of any other, or of none: a process that mostly waits is not woken for them. */
const SELDOM_MS = 60_000;
const HOUR_MS = 3_600_000;

/** @param expiresAt milliseconds since the epoch; undefined while that is not known */
export async function logCertificate(
  { expiresAt, clock, log }: { expiresAt: () => number | undefined; clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  let of: number | undefined;
  let saidAt: number | undefined;
  let saidExpired = false;
  let at: number | undefined;
  let checks = 0;
  const waitMs = (): number =>
    checks++ === 0 || (at !== undefined && at - clock.wallMicros() / 1000 < HOUR_MS) ? CHECK_MS : SELDOM_MS;
  do {
    at = expiresAt();
    if (at === undefined) continue;
    const expires = new Date(at).toISOString();
    if (at !== of) {
      if (saidAt !== undefined) log.info({ expires }, 'another client certificate is in use');
      of = at;
      saidAt = undefined;
      saidExpired = false;
    }
    const now = clock.wallMicros() / 1000;
    const left = at - now;
    if (left > WARN_MS || (saidAt !== undefined && now - saidAt < DAY_MS && (left > 0 || saidExpired))) continue;
    saidAt = now;
    saidExpired = left <= 0;
    if (saidExpired)
      log.error(
        { expires },
        'our client certificate has expired: the API server refuses it. Renew the one that the kubeconfig names',
      );
    else
      log.warn(
        { expires, days: Math.round(left / DAY_MS) },
        'our client certificate expires soon: renew the one that the kubeconfig names',
      );
  } while (await sleep(clock, waitMs(), signal));
}
