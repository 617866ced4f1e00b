/**
 * Metrics of sweepers: their passes, and what became of expired leases. Made with the first pass: a process that does not
 * sweep shows none of them.
 */
import type { Registry } from 'prom-client';
import type { Observe } from '../runtime/observer.ts';
import type { SweepEvent } from '../sweep/sweep-events.ts';
import { LEASES, leasesOf, meter } from './metrics.ts';

/** Seconds: a pass waits 30 s by default. */
const PASS_BUCKETS = [0.1, 0.5, 1, 5, 10, 30, 31, 35, 45, 60, 120, 300, 600];

/** To be called once for a registry. @returns makes the observer of one sweeper */
export function sweepMetrics(registry: Registry): () => Observe<SweepEvent> {
  let made: ReturnType<typeof collectors> | undefined;
  return () => {
    let labels = leasesOf('');
    return (event) => {
      const { passes, duration, leases, skipped } = (made ??= collectors(registry));
      switch (event.type) {
        case 'passStarted':
          labels = leasesOf(event.namespace, event.labelSelector);
          // From its first pass on it shows that it sweeps.
          passes.inc({ ...labels, outcome: 'completed', reason: '' }, 0);
          return;
        case 'passFinished': {
          const { outcome, because, tookMs, deleted, changed, gone, failed, left, dryRun } = event.result;
          passes.inc({ ...labels, outcome, reason: because ?? '' });
          duration.observe(labels, tookMs / 1000);
          if (dryRun) return;
          for (const [result, n] of Object.entries({ deleted, changed, gone, failed, left }))
            leases.inc({ ...labels, result }, n);
          return;
        }
        case 'tickSkipped':
          skipped.inc(labels);
          return;
        default:
          return;
      }
    };
  };
}

function collectors(registry: Registry) {
  const { counter, histogram } = meter(registry);
  return {
    passes: counter(
      'leasekeeper_sweep_passes_total',
      'Passes of the sweeper, by outcome and the reason for it',
      ...LEASES,
      'outcome',
      'reason',
    ),
    duration: histogram(
      'leasekeeper_sweep_duration_seconds',
      'Time that a pass took, its wait between the two looks included',
      PASS_BUCKETS,
      ...LEASES,
    ),
    leases: counter(
      'leasekeeper_sweep_leases_total',
      'Expired leases by what became of their deletion',
      ...LEASES,
      'result',
    ),
    skipped: counter(
      'leasekeeper_sweep_ticks_skipped_total',
      'Ticks of the schedule dropped because a pass was running',
      ...LEASES,
    ),
  };
}
