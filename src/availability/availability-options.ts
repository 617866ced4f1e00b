/**
 * What a monitor of Nodes can be told: defaults and rules, stated once.
 */
import { objectNameProblem } from '../lease/names.ts';
import { fillOptions, optionProblems, positive } from '../runtime/options.ts';
import type { Given, OptionProblem, OptionRows } from '../runtime/options.ts';

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

/** Defaults are the node lifecycle controller's own. */
export const AVAILABILITY_ROWS: OptionRows<AvailabilityOptions> = {
  namespace: { default: 'kube-node-lease', rule: objectNameProblem, text: 'namespace of the heartbeats' },
  graceMs: {
    unit: 'ms',
    default: 50_000,
    rule: positive,
    text: 'a node whose lease was not seen to be renewed for so long is Unknown',
  },
};

/** Fills in what was left out. */
export const availabilityOptions = (given: Given<AvailabilityOptions> = {}): AvailabilityOptions =>
  fillOptions(AVAILABILITY_ROWS, given);

/** Everything that is wrong with the options; empty when they can be used. */
export const availabilityProblems = (options: AvailabilityOptions): OptionProblem[] =>
  optionProblems(AVAILABILITY_ROWS, options);

/** What stands in for options that are left out: the node lifecycle controller's own numbers. */
export const AVAILABILITY_DEFAULTS = availabilityOptions();
