/**
 * The options of a monitor of Nodes: defaults and rules, stated once.
 */
import { objectNameProblem } from '../lease/names.ts';
import { positive } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';

/** A monitor's options. */
export interface AvailabilityOptions {
  /** Namespace of the leases; default `kube-node-lease`. */
  readonly namespace: string;
  /**
   * Milliseconds since a node's last sign of life that was seen, after which the node is Unknown; default 50000:
   * `--node-monitor-grace-period` of kube-controller-manager.
   */
  readonly graceMs: number;
  /**
   * Milliseconds in which a node that was first seen may post its first status; default 60000:
   * `--node-startup-grace-period` of kube-controller-manager.
   */
  readonly startupGraceMs: number;
}

/** Defaults are the node lifecycle controller's own. */
export const AVAILABILITY_ROWS: OptionRows<AvailabilityOptions> = {
  namespace: { default: 'kube-node-lease', rule: objectNameProblem, text: 'namespace of the heartbeats' },
  graceMs: {
    unit: 'ms',
    default: 50_000,
    rule: positive,
    text: 'a node without a sign of life for so long is Unknown',
  },
  startupGraceMs: {
    unit: 'ms',
    default: 60_000,
    rule: positive,
    text: 'a node that has posted no status for so long is Unknown',
  },
};
