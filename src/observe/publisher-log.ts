/**
 * What a publisher's events say in the log.
 *
 * Guarantees: an outage is logged once for each kind of failure in it, however many requests it costs, again after every
 * `REMIND_EVERY` attempts, and once when it ends; what lies between is for level debug. What others wrote is cut to `MAX_FOREIGN`.
 */
import type { PublisherEvent } from '../identity/publisher-events.ts';
import type { Lease } from '../lease/lease.ts';
import { hostnameOf } from '../lease/names.ts';
import type { Observe } from '../runtime/observer.ts';
import { Outage } from './log.ts';
import type { Logger } from './log.ts';
import { spanText } from './sweep-log.ts';

/** A second writer shows at every renewal; it is logged again after so many. */
const SECOND_WRITER_EVERY = 360;
/** Attempts after which a failure that lasts is logged again: ten minutes at the default interval. */
const REMIND_EVERY = 60;
/** Of what others wrote: an honest holder or hostname is shorter. */
const MAX_FOREIGN = 300;

const OPERATION = {
  get: 'reading the lease',
  create: 'creating the lease',
  takeOver: 'taking the lease over',
  renew: 'renewing the lease',
  delete: 'deleting the lease',
} as const;

export function logPublisher(log: Logger): Observe<PublisherEvent> {
  const outage = new Outage(log);
  let secondWriters = 0;
  return (event) => {
    switch (event.type) {
      case 'claimed': {
        const { metadata, spec } = event.lease;
        const fields = {
          lease: metadata.name,
          holder: bounded(spec.holderIdentity),
          transitions: spec.leaseTransitions,
        };
        if (event.how === 'takenOver')
          log.info({ ...fields, from: bounded(event.from) || '(nobody)' }, 'took the lease over');
        else if (event.how === 'recreated') log.warn(fields, 'the lease had been deleted: created it again');
        else log.info(fields, 'created the lease');
        return;
      }
      case 'renewed':
        log.debug(
          { latencyMs: Math.round(event.latencyMs * 100) / 100, version: event.lease.metadata.resourceVersion },
          'renewed',
        );
        return;
      case 'adopted':
        log.info(
          { version: event.lease.metadata.resourceVersion },
          'a write whose answer was lost had been stored: going on from it',
        );
        return;
      case 'secondWriter':
        if (secondWriters++ % SECOND_WRITER_EVERY === 0) {
          log.error(
            { ...about(event.lease), times: secondWriters },
            'another process writes this lease with our holder identity: was this process copied or its memory restored?',
          );
        }
        return;
      case 'superseded':
        log.warn(
          about(event.lease),
          'superseded: a newer process with this hostname holds the lease; standing by until it is deleted, or nobody renews it any more. A hostname must be unique in the cluster',
        );
        return;
      case 'restored':
        log.warn(
          about(event.lease),
          'the lease was put back to what it was before our last write: claiming it again. Was etcd restored, or the lease from a backup?',
        );
        return;
      case 'besideServer':
        log.warn(about(event.lease), event.peerProxying ? BESIDE_PEERS : BESIDE_SERVER);
        return;
      case 'terminating':
        log.warn(
          { ...about(event.lease), finalizers: event.lease.metadata.finalizers.slice(0, 3).map(bounded) },
          'the lease is marked for deletion, held by finalizers: it is renewed on, and created again when it goes',
        );
        return;
      case 'clockDistance': {
        const fields = { [event.distanceMs > 0 ? 'ahead' : 'behind']: spanText(Math.abs(event.distanceMs)) };
        if (event.exceeded)
          log.warn(
            fields,
            "this machine's clock is off the API server's: who reads renewTime takes the lease for live or expired at the wrong time. Synchronise the clock",
          );
        else log.info(fields, "this machine's clock is right again");
        return;
      }
      case 'clockSteppedBack':
        log.warn({ by: spanText(event.byMs) }, "this machine's clock was set back: renewTime goes back with it, once");
        return;
      case 'foreign':
        log.error(
          about(event.lease),
          'the lease name is taken by a lease without our identity label: not touching it, looking again later. Rename or delete it, or use --lease-name-prefix',
        );
        return;
      case 'disturbed':
        // What follows from another's write is logged by what comes next.
        if (event.deleted) log.warn(about(event.lease), 'the lease was deleted, or its labels were changed: looking');
        else log.debug(about(event.lease), 'somebody else wrote the lease');
        return;
      case 'failed': {
        const { operation, error, attempt, retryInMs, holdsUntil } = event;
        const remind = attempt % REMIND_EVERY === 0;
        if (operation === 'watch') {
          // Renewals tell of an outage; of the watch alone only what somebody must mend is worth a warning.
          const text =
            'watching the leases of this host failed: the lease is renewed all the same, changes by others are noticed later';
          outage.failed(error, text, { what: 'watch', level: error.retryable ? 'debug' : 'warn', remind });
          return;
        }
        outage.failed(error, `${OPERATION[operation]} failed`, {
          // An outage is one whatever was asked.
          what: error.retryable ? 'lease' : operation,
          fields: {
            attempt,
            retryIn: `${Math.round(retryInMs)}ms`,
            ...(holdsUntil && { leaseHoldsUntil: holdsUntil.toString() }),
          },
          remind,
        });
        return;
      }
      case 'recovered':
        outage.over();
        log.info({ failures: event.failures }, 'requests succeed again');
        return;
      case 'twin':
        log.warn(
          { ...about(event.lease), hostname: bounded(hostnameOf(event.lease)) },
          'another identity lease carries this hostname: its API server probably publishes itself (gate APIServerIdentity); both count as one instance',
        );
        return;
      case 'twinGone':
        log.info({ lease: event.name }, 'the other identity lease of this hostname is gone');
        return;
      case 'serverHealth':
        if (event.healthy) log.info({ reason: event.reason }, 'the server beside us answers: publishing its lease');
        else if (event.refused)
          log.warn(
            { reason: event.reason },
            'the server beside us answers, but refuses our credentials: its lease is not renewed. Renew the token or certificate that the kubeconfig names',
          );
        else log.warn({ reason: event.reason }, 'the server beside us does not answer: its lease is not renewed');
        return;
      case 'stopped':
        log[event.outcome === 'unknown' ? 'warn' : 'info'](
          { lease: event.lease, outcome: event.outcome },
          STOPPED[event.outcome],
        );
        return;
    }
  };
}

const STOPPED = {
  kept: 'stopped: the lease stays for the next start',
  deleted: 'stopped: deleted the lease',
  terminating: 'stopped: the lease is marked for deletion, held by finalizers',
  absent: 'stopped: there was no lease to leave',
  notOurs: 'stopped: the lease belongs to another process and was left alone',
  unknown: 'stopped without knowing whether the lease is gone: it may still be there, and expires by itself',
} as const;

const BESIDE_SERVER =
  'the API server of this host publishes this lease itself: standing by until nobody renews it any more. Remove leasekeeper from this host, or use --lease-name-format sha256, or turn off the gate APIServerIdentity of that server';
const BESIDE_PEERS =
  "the API server of this host publishes itself and takes part in peer proxying: a second lease would disturb its peers, so none is held until the server's own is gone. Remove leasekeeper from this host, or use --beside-server=publish";

const bounded = (text: string | undefined): string | undefined => text?.slice(0, MAX_FOREIGN);

const about = (lease: Lease): object => ({
  lease: lease.metadata.name,
  holder: bounded(lease.spec.holderIdentity),
  renewTime: lease.spec.renewTime?.toString(),
});
