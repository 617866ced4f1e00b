/**
 * Metrics of the recipes: what is held, how it ended, what failed, and what became of the fires of a cron.
 *
 * Guarantees: one set for a kind and a Lease, however many uses of it there are in the process.
 */
import type { Registry } from 'prom-client';
import type { LeaseRef } from '../lease/store.ts';
import type { Observe } from '../runtime/observer.ts';
import type { RecipeKind } from './lease-observers.ts';
import { meter } from './metrics.ts';
import type { RecipeEvent } from './recipe-log.ts';

const OF = ['recipe', 'lease_namespace', 'name'] as const;

/**
 * To be called once for a registry.
 * @returns makes the observer of one recipe
 */
export function recipeMetrics(registry: Registry): (kind: RecipeKind, lease: LeaseRef) => Observe<RecipeEvent> {
  const { counter, gauges } = meter(registry);
  const held = new Map<string, { readonly labels: Record<(typeof OF)[number], string>; count: number }>();
  gauges(
    'leasekeeper_recipe_held',
    'What this process holds: locks, slots of a semaphore, keys of a ring, its place as a member',
    OF,
    function* () {
      for (const { labels, count } of held.values()) yield [labels, count] as const;
    },
  );
  const terms = counter('leasekeeper_recipe_terms_total', 'How often this process began to hold something', ...OF);
  const ended = counter(
    'leasekeeper_recipe_terms_ended_total',
    'How often this process stopped holding something, by reason',
    ...OF,
    'reason',
  );
  const failures = counter(
    'leasekeeper_recipe_request_failures_total',
    'Requests about the leases of a recipe that failed, by operation and code',
    ...OF,
    'operation',
    'code',
  );
  const fires = counter(
    'leasekeeper_cron_fires_total',
    'Fires of a cron by what became of them here: ours, claimed (by another), running (the one before still was), ahead, old, full, lost, badRecord',
    'lease_namespace',
    'name',
    'outcome',
  );
  return (recipe, { namespace, name }) => {
    const labels = { recipe, lease_namespace: namespace, name };
    const fire = (outcome: string): void => fires.inc({ lease_namespace: namespace, name, outcome });
    if (recipe === 'cron')
      for (const outcome of ['ours', 'claimed', 'lost']) fires.inc({ lease_namespace: namespace, name, outcome }, 0);
    const id = `${recipe} ${namespace}/${name}`;
    const own = held.get(id) ?? { labels, count: 0 };
    if (recipe !== 'cron') {
      held.set(id, own);
      terms.inc(labels, 0);
    }
    const begin = (): void => {
      own.count++;
      terms.inc(labels);
    };
    const end = (reason: string): void => {
      own.count--;
      ended.inc({ ...labels, reason });
    };
    const fail = (operation: string, code: string): void => failures.inc({ ...labels, operation, code });
    return (event) => {
      switch (event.type) {
        case 'leading':
          // Of shards the keys are counted, not the Lease by which this process takes part.
          return recipe === 'shards' ? undefined : begin();
        case 'stopped':
          return recipe === 'shards' ? undefined : end(event.reason);
        case 'keyHeld':
          return begin();
        case 'keyReleased':
          return end('released');
        case 'keyLost':
          return end(event.why);
        case 'failed':
          return fail(event.operation, event.error.code);
        case 'keyFailed':
          return fail('key', event.error.code);
        case 'ringLost':
          return event.error && fail('watch', event.error.code);
        case 'tidyFailed':
          return fail('delete', event.error.code);
        case 'claimed':
          return fire('ours');
        case 'refused':
          return fire(event.reason);
        case 'lost':
          return fire('lost');
        case 'badRecord':
          return fire('badRecord');
        default:
          return;
      }
    };
  };
}
