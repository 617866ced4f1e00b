/**
 * Whether the server beside us answers. Not healthy until its first good answer; unhealthy again only after `threshold`
 * bad ones in a row; healthy again with the first good one. While it is unhealthy, `threshold` answers in a row of the
 * other badness (none at all, our credentials refused) are reported too: they need another remedy.
 */
import { sleep, withTimeout } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { checkedOptions } from '../runtime/options.ts';
import { errorText } from '../runtime/printable.ts';
import { HEALTH_ROWS } from './identity-options.ts';
import type { HealthTimes } from './identity-options.ts';

/** The server answers, but does not let us in: that is no dead server. */
export interface HealthRefusal {
  readonly refused: string;
}

/**
 * Asks once. Resolves with `undefined` for a good answer (2xx), else with what was wrong: a text where there is no good
 * answer, a refusal where it is our credentials that are not accepted. Must honour the signal.
 */
export type HealthProbe = (signal: AbortSignal) => Promise<string | HealthRefusal | undefined>;

/** How the server beside us is asked. */
export interface ServerHealthOptions extends HealthTimes {
  readonly probe: HealthProbe;
  readonly clock: Clock;
}

/** Whether the server beside us answers: while it does not, its lease is neither claimed nor renewed. */
export class ServerHealth {
  #options: ServerHealthOptions;
  #healthy = false;
  #failures = 0;
  /** The badness of the last answer, how many in a row have had it, and the one that was reported. */
  #bad: 'none' | 'refused' = 'none';
  #alike = 0;
  #reported: 'none' | 'refused' = 'none';

  /** @throws OptionsError with everything that is wrong */
  constructor(options: ServerHealthOptions) {
    this.#options = { ...options, ...checkedOptions('ServerHealth', HEALTH_ROWS, options) };
  }

  /** False before the first good answer. */
  get healthy(): boolean {
    return this.#healthy;
  }

  /** Takes other times and another threshold, from the next probe on. */
  update(changes: Partial<HealthTimes>): void {
    const options = { ...this.#options, ...changes };
    this.#options = { ...options, ...checkedOptions('ServerHealth', HEALTH_ROWS, options) };
  }

  /** Probes until the signal aborts. `onChange` is called at every change, of the badness too, and once for a first answer that is bad. */
  async run(signal: AbortSignal, onChange: (healthy: boolean, reason: string | HealthRefusal) => void): Promise<void> {
    this.#healthy = false;
    this.#failures = this.#alike = 0;
    do {
      const problem = await this.ask(signal);
      if (signal.aborted) return;
      if (problem === undefined) {
        this.#failures = this.#alike = 0;
        if (!this.#healthy) {
          this.#healthy = true;
          onChange(true, 'it answers');
        }
      } else {
        const { threshold } = this.#options;
        const bad = typeof problem === 'string' ? 'none' : 'refused';
        this.#alike = bad === this.#bad ? this.#alike + 1 : 1;
        this.#bad = bad;
        this.#failures++;
        const gone = this.#healthy && this.#failures >= threshold;
        if (gone) this.#healthy = false;
        const other = !this.#healthy && bad !== this.#reported && this.#alike >= threshold;
        if (gone || other || (!this.#healthy && this.#failures === 1)) {
          this.#reported = bad;
          onChange(false, problem);
        }
      }
    } while (await sleep(this.#options.clock, this.#options.intervalMs, signal));
  }

  /** One probe, bounded in time; what is wrong, or undefined. */
  async ask(signal: AbortSignal): ReturnType<HealthProbe> {
    const { probe, clock, timeoutMs } = this.#options;
    try {
      return await withTimeout(clock, timeoutMs, signal, (s) => probe(s));
    } catch (error) {
      return errorText(error);
    }
  }
}
