/**
 * A publisher behind a feature gate that is switched while it runs.
 *
 * Guarantees: one claim at a time, always with the process's same holder, because there is one Publisher for its life:
 * what it remembers of newer processes holds across switches, so switching on never starts a fight with one. Switched
 * off, our lease is deleted, and only while we hold it; when the API does not answer, for as long as the gate stays off.
 * Of several switches during a request only the last one counts. A stop is bounded as the publisher's own is.
 */
import type { ShutdownOutcome } from '../identity/events.ts';
import type { Publisher } from '../identity/publisher.ts';
import { Latest } from '../runtime/latest.ts';
import type { Service } from '../runtime/services.ts';

export class GatedPublisher implements Service {
  readonly name = 'publisher';
  readonly #publisher: Publisher;
  readonly #gate: Latest<boolean>;
  #stopping: AbortSignal | undefined;
  #outcome: ShutdownOutcome | undefined;

  constructor(publisher: Publisher, enabled: boolean) {
    this.#publisher = publisher;
    this.#gate = new Latest('publisher', enabled, (wish, signal) =>
      wish ? this.#publish(signal) : this.#leave(signal),
    );
  }

  get enabled(): boolean {
    return this.#gate.wish;
  }

  /** How the publisher left its lease when it last stopped; undefined before. */
  get outcome(): ShutdownOutcome | undefined {
    return this.#outcome;
  }

  /** True while the gate is off: healthy, and not publishing, though perhaps still giving the lease up. */
  get disabled(): boolean {
    return !this.enabled;
  }

  /** Switches it on or off, at once or once what is under way has ended. */
  set(enabled: boolean): void {
    this.#gate.set(enabled);
  }

  run(signal: AbortSignal): Promise<void> {
    this.#stopping = signal;
    return this.#gate.run(signal);
  }

  async #publish(signal: AbortSignal): Promise<void> {
    this.#outcome = await this.#publisher.run(signal, () => {
      if (!this.enabled) return 'delete';
      // Off and on again while it was stopping: it goes on with the lease that it has.
      return this.#stopping?.aborted ? this.#publisher.options.shutdownPolicy : 'keep';
    });
  }

  async #leave(signal: AbortSignal): Promise<void> {
    if (this.#outcome === 'unknown') this.#outcome = await this.#publisher.withdraw(signal);
  }
}
