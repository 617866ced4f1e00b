/**
 * A publisher behind a feature gate that is switched while it runs.
 *
 * Guarantees: one claim at a time, always with the process's same holder, because there is one Publisher for its life:
 * what it remembers of newer processes holds across switches, so switching on never starts a fight with one. Switched
 * off, our lease is deleted, and only while we hold it; when the API does not answer, for as long as the gate stays off.
 * Of several switches during a request only the last one counts. A stop is bounded as the publisher's own is: a lease that
 * is being given up goes on being so for as long as that allows.
 */
import type { ShutdownOutcome } from '../identity/publisher-events.ts';
import type { Publisher } from '../identity/publisher.ts';
import { Stop } from '../identity/stop.ts';
import type { Clock } from '../runtime/clock.ts';
import { Latest } from '../runtime/latest.ts';
import type { Service } from '../runtime/services.ts';

export interface GatedPublisherOptions {
  readonly publisher: Publisher;
  readonly clock: Clock;
  /** Whether the gate is on at first. */
  readonly enabled: boolean;
}

export class GatedPublisher implements Service {
  readonly name = 'publisher';
  readonly #publisher: Publisher;
  readonly #gate: Latest<boolean>;
  readonly #clock: Clock;
  #stop: Stop | undefined;
  #outcome: ShutdownOutcome | undefined;

  constructor({ publisher, clock, enabled }: GatedPublisherOptions) {
    this.#publisher = publisher;
    this.#clock = clock;
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

  async run(signal: AbortSignal): Promise<void> {
    const stop = new Stop(this.#clock, signal, 0, this.#publisher.options.shutdownTimeoutMs);
    this.#stop = stop;
    try {
      await this.#gate.run(signal);
      // Switched off so shortly before the stop that the publisher's own withdrawal ended without an answer.
      if (!this.enabled && !stop.end.aborted) await this.#withdraw(stop.end);
    } finally {
      stop.dispose();
    }
  }

  async #publish(signal: AbortSignal): Promise<void> {
    this.#outcome = await this.#publisher.run(signal, () => {
      if (!this.enabled) return 'delete';
      // Off and on again while it was stopping: it goes on with the lease that it has.
      return this.#stop?.begun.aborted ? this.#publisher.options.shutdownPolicy : 'keep';
    });
  }

  /** @param signal aborts when the gate is switched on, and when the service stops: then there is some time left */
  async #leave(signal: AbortSignal): Promise<void> {
    const end = new AbortController();
    const onAbort = (): void => {
      if (!this.#stop?.begun.aborted) end.abort();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const ends = this.#stop ? [end.signal, this.#stop.end] : [end.signal];
    await this.#withdraw(AbortSignal.any(ends));
    signal.removeEventListener('abort', onAbort);
  }

  async #withdraw(signal: AbortSignal): Promise<void> {
    if (this.#outcome === 'unknown') this.#outcome = await this.#publisher.withdraw(signal);
  }
}
