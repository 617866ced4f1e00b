/**
 * What the capabilities under a fault share: where they are, and how long things may take.
 */
import { availableParallelism, loadavg } from 'node:os';
import type { Connection } from '../../src/kube/connection.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import type { RealApi } from '../support/real-api.ts';

/**
 * How many times slower all is done on a machine that is overloaded: half a second for a request is no outage where every
 * process waits for seconds. 1 up to some nine processes a processor that want to run, at the most 3.
 */
export const PACE = Math.min(3, Math.max(1, Math.round((loadavg()[0] ?? 0) / availableParallelism() / 6)));

/** Renewals are quick here, so that the tests are. */
export const INTERVAL_MS = 600 * PACE;
export const TIMEOUT_MS = 500 * PACE;
/** What a busy machine may add to any bound. */
export const SLACK_MS = 2_500 * PACE;
/** The longest until all is well at the start. */
export const STEADY_MS = 20_000 * PACE;

export interface FaultCase {
  readonly name: string;
  /** The kubeconfigs of those whom the fault hits, and of those beside it. */
  readonly through: string;
  readonly beside: string;
  /** Begins it; what it gives ends it, and settles when the way to the server is free again. */
  readonly begin: () => Promise<() => Promise<void>> | (() => Promise<void>);
  /** Nobody is hit but those behind it: default true. */
  readonly local?: boolean;
  /** Nothing is heard of the server while it lasts: the census has to say so. Default true. */
  readonly deaf?: boolean;
  /** Leases can still be read and deleted while it lasts, but not written. Default false. */
  readonly readOnly?: boolean;
  /** Milliseconds, times PACE; default 3200: longer than any lease here lasts, a Date's uncertainty included. */
  readonly holdMs?: number;
}

export interface World {
  readonly api: RealApi;
  readonly fault: FaultCase;
  readonly namespace: string;
  readonly clock: Clock;
  /** Aborts at the end. */
  readonly signal: AbortSignal;
  /** A connection through the fault; beside it, too, when the fault hits everybody. */
  readonly through: () => Promise<Connection>;
  readonly beside: () => Promise<Connection>;
  /** Follows what runs until the end; its failure fails the test. */
  readonly runs: (service: Promise<unknown>) => void;
}

export interface Capability {
  readonly name: string;
  /** Just before the fault: all is well. */
  readonly ready: () => Promise<void>;
  /** While it lasts. */
  readonly during?: () => Promise<void>;
  /** All is well again; throws when it is not within its bound, or when anything was not kept meanwhile. */
  readonly recovered: (healedAt: number) => Promise<void>;
}
