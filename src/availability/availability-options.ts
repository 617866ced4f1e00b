/**
 * What a monitor of Nodes can be told: defaults and rules, stated once.
 */
import { objectNameProblem } from '../lease/names.ts';
import { positive } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';

/** A monitor's options. */
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
