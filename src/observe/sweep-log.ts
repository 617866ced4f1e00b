/**
 * What a sweeper's events say in the log.
 *
 * Guarantees: every deletion has a line of its own, with its holder, its host and how long the lease had expired; every
 * pass ends with one line that says what it came to, and when that is not what was wanted, what to do. A failure that
 * repeats within a pass is logged once.
 */
import type { Observe } from '../runtime/observer.ts';
import type { Collectable } from '../sweep/decide.ts';
import type { PassResult, SweepEvent } from '../sweep/sweep-events.ts';
import { Outage } from './log.ts';
import type { Logger } from './log.ts';

export function logSweeper(log: Logger): Observe<SweepEvent> {
  const outage = new Outage(log);
  let lookedFor: { readonly namespace: string; readonly selector: string } = { namespace: '', selector: '' };
  let foundNothing = false;
  return (event) => {
    switch (event.type) {
      case 'passStarted':
        outage.over();
        lookedFor = { namespace: event.namespace, selector: event.labelSelector };
        log.debug({ namespace: event.namespace, selector: event.labelSelector, dryRun: event.dryRun }, 'pass started');
        return;
      case 'looked':
        log.debug({ look: event.look, leases: event.leases, pages: event.pages }, 'listed the leases');
        return;
      case 'clockDistance':
        if (event.exceeded) {
          log.warn(
            { ahead: seconds(event.distanceMs) },
            "this machine's clock is far from the API server's: sweeping goes by that one, other programs may not",
          );
        }
        return;
      case 'futureRenewals':
        log.warn(
          {
            count: event.count,
            leases: event.examples.map(({ name, hostname, aheadMs }) => ({ name, hostname, ahead: seconds(aheadMs) })),
          },
          'leases were renewed in the future: the clocks of their hosts are wrong, and so is their expiry',
        );
        return;
      case 'wouldDelete':
        log.info(about(event.lease), `dry run: would delete ${what(event.lease)}`);
        return;
      case 'deleted':
        if (event.lease.finalizers.length === 0) log.info(about(event.lease), `deleted ${what(event.lease)}`);
        else {
          const { finalizers } = event.lease;
          log.info(
            { ...about(event.lease), finalizers },
            `marked ${what(event.lease)} for deletion: its finalizers hold it`,
          );
        }
        return;
      case 'leftAlone':
        if (event.because === 'changed') log.info(about(event.lease), 'left alone: written since it was looked at');
        else log.debug(about(event.lease), 'gone already');
        return;
      case 'deleteFailed': {
        const text = event.error.mayHaveCommitted
          ? `deleting ${what(event.lease)}: no answer, the next pass looks again`
          : `deleting ${what(event.lease)} failed`;
        outage.failed(event.error, text, { what: 'delete', fields: about(event.lease), about: event.lease.name });
        return;
      }
      case 'throttled':
        log.warn({ wait: seconds(event.waitMs) }, 'the API server asks for fewer requests: pausing');
        return;
      case 'tickSkipped':
        log.debug('a pass is still running: this turn of the schedule is left out');
        return;
      case 'passFinished':
        finished(log, event.result);
        // Once: a mistyped namespace or selector finds nothing for ever.
        if (event.result.outcome === 'completed' && event.result.seen === 0 && !foundNothing)
          log.warn(lookedFor, 'no lease found: are namespace and selector right?');
        foundNothing = event.result.seen === 0;
        return;
    }
  };
}

const VOID = {
  noDate: 'pass void: the API server sent no time (no Date header), so nothing is known to be expired',
  noneUnexpired:
    'pass void: no unexpired lease would be left: renewals are probably failing, not every server dead; --allow-all deletes them all the same',
  noneRenewed:
    'pass void: no lease was renewed since these expired, so perhaps renewals fail; a later pass looks again, --allow-all deletes them all the same',
  noNodes:
    'pass void: there is no Node at all: they are probably not to be seen, not all gone; --allow-all deletes the heartbeats all the same',
  recovering:
    'pass void: servers whose leases were as old have just come back, so the API is recovering from an outage; the next pass looks again',
  listFailed: 'pass void: listing failed; the next pass starts again',
} as const;
const STOPPED = {
  throttled: 'pass ended early: the API server keeps asking for fewer requests; the next pass goes on',
  failing: 'pass ended early: deletions keep failing; the next pass tries again',
} as const;

function finished(log: Logger, result: PassResult): void {
  const { outcome, because, error } = result;
  const fields = counts(result);
  const failure = error && { code: error.code, err: error };
  if (outcome === 'void') {
    const level = because === 'noneUnexpired' || (error && !error.retryable) ? 'error' : 'warn';
    log[level]({ ...fields, ...failure }, VOID[because as keyof typeof VOID]);
  } else if (outcome === 'stopped') {
    log.warn({ ...fields, ...failure }, STOPPED[because as keyof typeof STOPPED]);
  } else if (outcome === 'aborted') log.info(fields, 'pass ended early: stopping');
  else if (result.kept.recovering + result.kept.unproven > 0) {
    log.warn(
      fields,
      'pass finished, but some expired leases wait for a later one: their servers may be unable to renew',
    );
  } else log.info(fields, result.dryRun ? 'dry run finished' : 'pass finished');
}

/** What is 0 is left out, but for the two that everybody looks for. */
function counts({ seen, deleted, collectable, dryRun, changed, gone, failed, left, kept, tookMs }: PassResult): object {
  const some = Object.entries({ ...(dryRun ? {} : { left }), changed, gone, failed }).filter(([, n]) => n > 0);
  const reasons = Object.entries(kept).filter(([, n]) => n > 0);
  return {
    seen,
    ...(dryRun ? { wouldDelete: collectable } : { deleted }),
    ...Object.fromEntries(some),
    ...(reasons.length > 0 && { kept: reasons.map(([reason, n]) => `${n} ${reason}`).join(', ') }),
    took: seconds(tookMs),
  };
}

const about = ({ name, hostname, holderIdentity, expiredForMs }: Collectable): object => ({
  lease: name,
  hostname: hostname?.slice(0, 300) ?? '(unknown)',
  holder: holderIdentity.slice(0, 300),
  ...(expiredForMs !== undefined && { expiredFor: spanText(expiredForMs) }),
});

const what = ({ ownerGone }: Collectable): string =>
  ownerGone ? 'a heartbeat whose Node is gone' : 'an expired lease';

const seconds = (ms: number): string => `${Math.round(ms / 10) / 100}s`;

/** `2h5m`, `3d4h`, `40s`: two figures are enough. */
export function spanText(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const days = Math.floor(total / 86_400);
  const hours = Math.floor((total % 86_400) / 3_600);
  const minutes = Math.floor((total % 3_600) / 60);
  if (days > 0) return `${days}d${hours}h`;
  if (hours > 0) return `${hours}h${minutes}m`;
  if (minutes > 0) return `${minutes}m${total % 60}s`;
  return `${total}s`;
}
