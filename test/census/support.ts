/**
 * Leases to count, and a watch that tells what a test says, when it says it.
 */
import { publishedCensus, summary } from '../../src/census/census.ts';
import type { Census, ReadLease } from '../../src/census/census.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { parseLease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import type { LeaseEvent, LeaseQuery } from '../../src/lease/store.ts';
import { HOSTNAME_LABEL, leaseName } from '../../src/lease/names.ts';

export const NOW = Date.UTC(2026, 0, 1);

export interface Sketch {
  name?: string;
  hostname?: string | null;
  holder?: string | null;
  /** Milliseconds before NOW. */
  renewedAgoMs?: number | null;
  durationSeconds?: number | null;
  /** Milliseconds before NOW; default a day. */
  createdAgoMs?: number | null;
  acquiredAgoMs?: number;
  uid?: string;
  terminating?: boolean;
  annotations?: Record<string, string>;
}

export const at = (ms: number): MicroTime => MicroTime.fromEpochMs(NOW + ms);

export function lease(sketch: Sketch = {}): Lease {
  const hostname = sketch.hostname === undefined ? 'a' : sketch.hostname;
  const name = sketch.name ?? leaseName(hostname ?? 'none');
  const text = (ago: number | null | undefined, preset?: number): string | undefined => {
    const ms = ago === undefined ? preset : ago;
    return ms === undefined || ms === null ? undefined : at(-ms).toString();
  };
  return parseLease({
    metadata: {
      name,
      namespace: 'kube-system',
      uid: sketch.uid ?? `uid-${name}`,
      resourceVersion: '1',
      labels: hostname === null ? {} : { [HOSTNAME_LABEL]: hostname },
      annotations: sketch.annotations,
      creationTimestamp: text(sketch.createdAgoMs, 86_400_000),
      deletionTimestamp: sketch.terminating ? text(1000) : undefined,
    },
    spec: {
      holderIdentity: sketch.holder === undefined ? `${name}_1` : sketch.holder,
      leaseDurationSeconds: sketch.durationSeconds === undefined ? 3600 : sketch.durationSeconds,
      renewTime: text(sketch.renewedAgoMs, 5_000),
      acquireTime: text(sketch.acquiredAgoMs),
    },
  });
}

/** A lease as a census reads it. */
export const read = (source: Lease): ReadLease => ({ ...summary(source), source });

/** The census of one list of these. */
export const published = (leases: readonly Lease[], frame: Parameters<typeof publishedCensus>[1]): Census =>
  publishedCensus(leases.map(read), frame);

/** A store whose watches tell what the test puts in. */
export class ScriptedWatch {
  /** How often a watch was opened. */
  opened = 0;
  /** Watches whose iteration has not ended. */
  open = 0;
  /** Called first by each watch that is opened, if set. */
  onOpen: (() => readonly LeaseEvent[]) | undefined;
  #inbox: (LeaseEvent | Error)[] = [];
  #wake = (): void => {};

  tell(...events: (LeaseEvent | Error)[]): void {
    this.#inbox.push(...events);
    this.#wake();
  }

  async *watch(_query: LeaseQuery, signal: AbortSignal): AsyncGenerator<LeaseEvent, void, undefined> {
    this.opened += 1;
    this.open += 1;
    const wake = (): void => this.#wake();
    signal.addEventListener('abort', wake);
    try {
      this.#inbox = [...(this.onOpen?.() ?? [])];
      while (!signal.aborted) {
        const event = this.#inbox.shift();
        if (event instanceof Error) throw event;
        if (event) yield event;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', wake);
      this.open -= 1;
    }
  }
}
