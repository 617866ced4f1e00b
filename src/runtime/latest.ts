/**
 * Work for a setting that changes while it runs: a feature that is switched on and off, a service with new options.
 *
 * Guarantees: at most one piece of work runs at a time; when the setting changes the work is asked to stop, and the next one
 * begins only once it has ended, with the setting of then: of several settings in between only the last one counts. Nothing
 * runs any more when `run` settles.
 */
import { aborted } from './clock.ts';
import type { Service } from './services.ts';

export class Latest<Setting> implements Service {
  readonly name: string;
  readonly #work: (setting: Setting, signal: AbortSignal) => Promise<unknown>;
  readonly #same: (a: Setting, b: Setting) => boolean;
  #setting: Setting;
  #changed = new AbortController();

  /**
   * @param work for one setting, until its signal aborts; when it ends by itself, nothing is done until the next setting. What
   *   it throws ends `run`
   * @param same a setting like the one before disturbs nothing; default Object.is
   */
  constructor(
    name: string,
    setting: Setting,
    work: (setting: Setting, signal: AbortSignal) => Promise<unknown>,
    same: (a: Setting, b: Setting) => boolean = Object.is,
  ) {
    this.#same = same;
    this.name = name;
    this.#setting = setting;
    this.#work = work;
  }

  get setting(): Setting {
    return this.#setting;
  }

  set(setting: Setting): void {
    if (this.#same(setting, this.#setting)) return;
    this.#setting = setting;
    this.#changed.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#changed = new AbortController();
      const stop = AbortSignal.any([signal, this.#changed.signal]);
      await this.#work(this.#setting, stop);
      await aborted(stop);
    }
  }
}
