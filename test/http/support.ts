/**
 * A census that a test moves by hand, behind a real socket.
 */
import { LiveCensus } from '../../src/census/live-census.ts';
import type { LeaseEvent } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { NOW, ScriptedWatch, at } from '../census/support.ts';
import type { Lease } from '../../src/lease/lease.ts';

export class World {
  readonly clock = new ManualClock(NOW);
  readonly watch = new ScriptedWatch();
  readonly census = new LiveCensus({
    store: this.watch,
    query: { namespace: 'kube-system' },
    clock: this.clock,
    random: () => 1,
  });
  readonly #stop = new AbortController();
  readonly #running = this.census.run(this.#stop.signal);

  list(...leases: Lease[]): Promise<void> {
    return this.tell({ type: 'list', leases, serverDate: at(this.clock.monotonic()) });
  }

  async tell(...events: LeaseEvent[]): Promise<void> {
    await settle();
    this.watch.tell(...events);
    await settle();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
