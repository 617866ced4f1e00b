/**
 * /livez and /readyz, in the words of Kubernetes' components.
 *
 * Guarantees: a process that stands by (superseded) or was switched off (disabled) is ready: nothing is wrong with it.
 * What was never reached is not ready.
 */
import type { CensusSnapshot } from '../census/census-events.ts';
import type { HeartbeatStatus } from '../heartbeat/heartbeat-events.ts';
import type { PublisherStatus } from '../identity/publisher-events.ts';
import { text } from './answer.ts';
import type { Endpoint } from './answer.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** One line; may hold text of others. */
  readonly note: string;
}

/** `GET /livez` with `ping`, `GET /readyz` with what can fail. `?verbose` tells each check; a failure is always reported. */
export function healthz(name: string, checks: () => readonly Check[]): Endpoint {
  return (query) => {
    const all = checks();
    const ok = all.every((check) => check.ok);
    if (ok && !query.has('verbose')) return text(200, 'ok');
    const lines = all.map((check) => {
      const note = check.note === '' ? '' : `: ${printable(check.note)}`;
      return `[${check.ok ? '+' : '-'}]${check.name} ${check.ok ? 'ok' : 'failed'}${note}\n`;
    });
    return text(ok ? 200 : 503, `${lines.join('')}${name} check ${ok ? 'passed' : 'failed'}\n`);
  };
}

export const PING: Check = { name: 'ping', ok: true, note: '' };

/**
 * Ready as long as the lease is ours and has not run out, however many requests fail meanwhile: an API that is away for a
 * while must not take its sidecars down.
 * @param now monotonic milliseconds
 */
export function leaseCheck(status: PublisherStatus, leaseDurationMs: number, now: number): Check {
  const check = (ok: boolean, note: string): Check => ({ name: 'lease', ok, note });
  const { lease, phase, heldBy, renewedAt, failures, lastError, twins, finalizers } = status;
  const trouble = failures > 0 && lastError ? `; ${failures} failures in a row, the last: ${lastError.message}` : '';
  switch (phase) {
    case 'holding': {
      const ago = renewedAt === undefined ? undefined : now - renewedAt;
      const expired = ago !== undefined && ago > leaseDurationMs;
      const since = ago === undefined ? '' : `, renewed ${(ago / 1000).toFixed(1)} s ago`;
      const others = twins.length > 0 ? `; also published as ${twins.slice(0, 3).join(', ')}` : '';
      const marked = finalizers ? `; marked for deletion, held by finalizers ${finalizers.slice(0, 3).join(', ')}` : '';
      return check(!expired, `${expired ? 'expired: ' : ''}holding ${lease}${since}${others}${marked}${trouble}`);
    }
    case 'superseded':
      return check(true, `superseded: ${lease} is held by ${heldBy ?? 'another process'}; standing by`);
    case 'besideServer':
      return check(true, `the API server of this host publishes itself (holder ${heldBy ?? 'unknown'}); standing by`);
    case 'waitingForServer':
      return check(true, `the server beside us does not answer, or refuses our credentials: ${lease} is not renewed`);
    case 'disabled':
      return check(true, 'disabled by feature gate APIServerIdentity');
    case 'stopping':
      return check(true, 'stopping');
    case 'foreign':
      return check(false, `${lease} belongs to somebody else (${heldBy || 'no holder'}), without our identity label`);
    case 'idle':
    case 'claiming':
      return check(false, `${lease} is not claimed yet${trouble}`);
  }
}

/**
 * Whatever it says, the process is ready: no restart mends an expired certificate.
 * @param now milliseconds since the epoch
 */
export function certificateCheck(expiresAt: number, now: number): Check {
  const days = Math.abs(expiresAt - now) / 86_400_000;
  const long = days < 1 ? `${Math.round(days * 1440)} min` : `${days.toFixed(1)} days`;
  return { name: 'client-certificate', ok: true, note: expiresAt > now ? `expires in ${long}` : `expired ${long} ago` };
}

/** @param required false: reported, but no reason not to be ready */
export function censusCheck(snapshot: CensusSnapshot, required: boolean): Check {
  const { known, error, freshnessMs } = snapshot;
  const age = freshnessMs === undefined ? '' : `, last known ${(freshnessMs / 1000).toFixed(1)} s ago`;
  const why = error ? `; ${error.message}` : '';
  const note = known
    ? `${snapshot.answer.counts.instances} instances, ${snapshot.answer.counts.live} live${age}${why}`
    : `unknown (${snapshot.reason}${age})${why}`;
  return { name: 'census', ok: known || !required, note };
}

/**
 * Ready once the Nodes were read, and until no heartbeat could be written for a whole lease duration: an API that is away
 * for a while, or single nodes that fail, must not take down who keeps all the others.
 * @param read whether the Nodes were ever read
 * @param now monotonic milliseconds
 */
export function heartbeatCheck(status: HeartbeatStatus, read: boolean, leaseDurationMs: number, now: number): Check {
  const { nodes, held, failing, overdueMs, writtenAt, nodesSynced } = status;
  const silentMs = writtenAt === undefined ? overdueMs : Math.min(overdueMs, now - writtenAt);
  const expired = nodes > 0 && silentMs > leaseDurationMs;
  const lost = read && !nodesSynced ? '; the Nodes cannot be followed at present' : '';
  const fail = failing > 0 ? `, ${failing} failing` : '';
  const note = read ? `${held} of ${nodes} nodes have their heartbeat${fail}${lost}` : 'the Nodes were not read yet';
  return { name: 'heartbeats', ok: read && !expired, note: expired ? `expired: ${note}` : note };
}

/** Text of others on one line. */
function printable(note: string): string {
  return note.slice(0, 1000).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ');
}
