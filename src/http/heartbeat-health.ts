/**
 * What /readyz says of heartbeats.
 */
import type { HeartbeatStatus } from '../heartbeat/heartbeat-events.ts';
import type { Check } from './health-endpoint.ts';

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
