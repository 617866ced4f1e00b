/**
 * How a command states what it may do at the API, and why: from that `rbac` prints Roles, and deploy/ has its own.
 *
 * Guarantees: with these permissions a command does all that it promises, and none of them can be taken away without a
 * loss that it tells (but the one for Events, which are best effort). They are those of the options as they are given:
 * after a change of options they are asked again.
 */
import { readChecked } from '../config/bindings.ts';
import type { Rules } from '../config/bindings.ts';
import type { Given, OptionValues, Problem, Table } from '../config/option-spec.ts';
import type { FeatureGates, GateName } from '../features/gates.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'delete';
export type Resource = 'leases' | 'nodes' | 'events';

export interface Grant {
  readonly resource: Resource;
  readonly verbs: readonly Verb[];
  /** Undefined: of the whole cluster. */
  readonly namespace?: string | undefined;
  /** Only these objects. Never for create, list and watch without a field selector: the API cannot check it there. */
  readonly names?: readonly string[] | undefined;
  /** One line: what it is for. */
  readonly why: string;
}

/**
 * The grants, and what is wrong with the options.
 * @param args what stands after the command's name
 */
export type Grants = (
  given: Given,
  args?: readonly string[],
) => Promise<{ grants: readonly Grant[]; problems: readonly Problem[] }>;

/** The permissions of a command whose options keep these rules. */
export const permitted =
  <T extends Table>(
    table: T,
    rules: Rules<T>,
    grantsOf: (values: OptionValues<T>, given: Given, args: readonly string[]) => readonly Grant[],
  ): Grants =>
  async (given, args = []) => {
    const { values, problems } = await readChecked(table, given, rules);
    return { grants: problems.length > 0 ? [] : grantsOf(values, given, args), problems };
  };

export const onEvents = (namespace: string, gates: FeatureGates<GateName>): Grant[] =>
  gates.enabled('LeaseEvents')
    ? [
        {
          resource: 'events',
          verbs: ['create'],
          namespace,
          why: 'Events about the leases; everything else works without them',
        },
      ]
    : [];

/** @param namespace undefined: every one */
export const onLeases = (
  namespace: string | undefined,
  verbs: readonly Verb[],
  why: string,
  names?: readonly string[],
): Grant => ({
  resource: 'leases',
  verbs,
  namespace,
  names,
  why,
});

/** A field selector names one object, and then `resourceNames` holds for list and watch as well. */
export const onNodes = (names: readonly string[] | undefined): Grant => ({
  resource: 'nodes',
  verbs: ['list', 'watch'],
  names: names?.length === 1 ? names : undefined,
  why: 'which Nodes there are, and their uids',
});
