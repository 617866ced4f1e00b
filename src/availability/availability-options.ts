/**
 * What a monitor of Nodes can be told: defaults and rules, stated once.
 */
import { objectNameProblem } from '../lease/names.ts';
import type { OptionProblem } from '../runtime/options.ts';

/** A monitor's options: `availabilityOptions` fills in the defaults, `availabilityProblems` checks the rules. */
export interface AvailabilityOptions {
  /** Namespace of the leases; default `kube-node-lease`. */
  readonly namespace: string;
  /**
   * Milliseconds since a node's lease was last seen to be renewed, after which the node is Unknown; default 50000:
   * `--node-monitor-grace-period` of kube-controller-manager.
   */
  readonly graceMs: number;
}

/** What stands in for options that are left out: the node lifecycle controller's own numbers. */
export const AVAILABILITY_DEFAULTS = {
  namespace: 'kube-node-lease',
  graceMs: 50_000,
} as const satisfies AvailabilityOptions;

type Given<Options> = { readonly [Key in keyof Options]?: Options[Key] | undefined };

/** Fills in what was left out. */
export function availabilityOptions(given: Given<AvailabilityOptions> = {}): AvailabilityOptions {
  return {
    namespace: given.namespace ?? AVAILABILITY_DEFAULTS.namespace,
    graceMs: given.graceMs ?? AVAILABILITY_DEFAULTS.graceMs,
  };
}

const positive = (n: number): string | undefined =>
  Number.isFinite(n) && n > 0 ? undefined : 'must be longer than nothing';

/** Everything that is wrong with the options; empty when they can be used. */
export function availabilityProblems(o: AvailabilityOptions): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const rule = objectNameProblem(o.namespace);
  if (rule !== undefined) problems.push({ field: 'namespace', value: o.namespace, rule });
  const grace = positive(o.graceMs);
  if (grace !== undefined) problems.push({ field: 'graceMs', value: o.graceMs, rule: grace });
  return problems;
}
