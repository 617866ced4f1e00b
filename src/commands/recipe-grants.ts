/**
 * What the library's recipes need that no command of this program is: for `rbac cron`, `rbac semaphore`, `rbac member`.
 */
import {
  RBAC_CRON_TABLE,
  RBAC_MEMBER_TABLE,
  RBAC_SEMAPHORE_TABLE,
  refRules,
  ringRules,
} from '../config/recipe-flags.ts';
import { optionsOf, wrong } from '../config/bindings.ts';
import { parseRef } from '../lease/names.ts';
import { SEMAPHORE_ROWS } from '../recipes/recipe-options.ts';
import { onLeases, permitted } from './permissions.ts';
import type { Grants } from './permissions.ts';

const refOf = (text: string | undefined) => parseRef(text ?? '', 'default');
const CREATES = 'makes the lease where there is none';

export const RECIPE_GRANTS: Readonly<Record<'cron' | 'semaphore' | 'member', Grants>> = {
  cron: permitted(
    RBAC_CRON_TABLE,
    ({ recipeLease }) => refRules(recipeLease),
    ({ recipeLease, cronOverlap }) => {
      const { namespace, name } = refOf(recipeLease);
      const own = 'holds a lease for each job that runs; its name is that of the job';
      return [
        onLeases(namespace, ['create'], CREATES),
        onLeases(namespace, ['list', 'update'], 'claims fires; the list names the one lease', [name]),
        ...(cronOverlap === 'skip' ? [onLeases(namespace, ['get', 'list', 'watch', 'update'], own)] : []),
      ];
    },
  ),
  semaphore: permitted(
    RBAC_SEMAPHORE_TABLE,
    (values) => [
      ...refRules(values.recipeLease),
      ...optionsOf({ rows: SEMAPHORE_ROWS }, RBAC_SEMAPHORE_TABLE, values).wrong,
    ],
    ({ recipeLease, semaphoreCount = 1 }) => {
      const { namespace, name } = refOf(recipeLease);
      const slots = Array.from({ length: semaphoreCount }, (_, slot) => `${name}-${slot}`);
      return [
        onLeases(namespace, ['create'], CREATES),
        onLeases(namespace, ['list', 'watch'], 'sees which slots are held, and is woken when one is free'),
        onLeases(namespace, ['get', 'update'], 'waits, holds and renews', slots),
      ];
    },
  ),
  member: permitted(
    RBAC_MEMBER_TABLE,
    ({ recipeRing }) => {
      const rule = ringRules(recipeRing ?? '');
      return wrong('recipeRing', recipeRing, rule);
    },
    ({ recipeRing }) => [onRing(refOf(recipeRing).namespace)],
  ),
};

/** Of a member of a ring: names of members are many, and no rule can say them. */
export const onRing = (namespace: string) =>
  onLeases(
    namespace,
    ['get', 'list', 'watch', 'create', 'update', 'delete'],
    "the ring's leases: its own, the keys', and those of members that died",
  );
