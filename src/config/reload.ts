/**
 * Takes a changed configuration file while a service runs.
 *
 * Guarantees: a new file is taken whole or not at all: one that is broken is reported once, and what was in force stays until
 * it is mended; changes are taken one after another, in the order in which they were made. An option that needs a
 * restart keeps its value and is named.
 */
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Service } from '../runtime/services.ts';
import type { FileText } from './config-file.ts';
import type { Sources } from './sources.ts';
import { named, readChecked } from './bindings.ts';
import type { Rules } from './bindings.ts';
import { problemText } from './option-spec.ts';
import type { OptionValues, Problem, Table } from './option-spec.ts';
import { valueText } from './written-values.ts';
import { FileWatch } from './file-watch.ts';

export interface Change {
  /** The option's key. */
  readonly key: string;
  /** As text; `undefined`: not set. */
  readonly from: string | undefined;
  readonly to: string | undefined;
}

export type ReloadEvent =
  | { readonly type: 'applied'; readonly changes: readonly Change[] }
  /** Reported once for each value that is waiting. */
  | { readonly type: 'restartNeeded'; readonly changes: readonly Change[] }
  /** What was in force stays. */
  | { readonly type: 'broken'; readonly problems: readonly Problem[] }
  /** Read again: by request, or mended to what is in force. */
  | { readonly type: 'unchanged' };

export interface ReloaderOptions<T extends Table> {
  readonly sources: Sources;
  readonly table: T;
  /** The values in force. */
  readonly values: OptionValues<T>;
  /** The file that they were read from. */
  readonly file: FileText;
  readonly clock: Clock;
  readonly rules: Rules<T>;
  /** Puts values in force that have no problems. */
  readonly apply: (values: OptionValues<T>) => void | Promise<void>;
  readonly observe: Observe<ReloadEvent>;
}

export class Reloader<T extends Table> implements Service {
  readonly name = 'configuration';
  readonly #options: ReloaderOptions<T>;
  readonly #watch: FileWatch;
  #values: OptionValues<T>;
  #reported = '';
  #waiting = '';
  #broken = false;

  constructor(options: ReloaderOptions<T>) {
    const { sources, file, clock, values } = options;
    if (sources.path === undefined) throw new TypeError('a reloader needs a configuration file');
    this.#options = options;
    this.#values = values;
    const onChange = (text: FileText, asked: boolean): Promise<void> => this.#take(text, asked);
    this.#watch = new FileWatch({ path: sources.path, known: file, clock, onChange });
  }

  /** Reads the file again although nobody says that it changed: SIGHUP. */
  refresh(): void {
    this.#watch.refresh();
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#watch.run(signal);
  }

  async #take(file: FileText, asked: boolean): Promise<void> {
    const { sources, table, rules, apply, observe } = this.#options;
    const given = await sources.given(file);
    const { values, problems: wrong } = await readChecked(table, given, rules);
    const inForce: Record<string, unknown> = { ...this.#values };
    const changes: Change[] = [];
    const waiting: Change[] = [];
    for (const [key, spec] of Object.entries(table)) {
      const change = { key, from: valueText(spec, this.#values[key]), to: valueText(spec, values[key]) };
      if (change.from === change.to) continue;
      (spec.live ? changes : waiting).push(change);
      if (spec.live) inForce[key] = values[key];
    }
    const next = inForce as OptionValues<T>;
    if (wrong.length === 0 && waiting.length > 0) wrong.push(...named(await rules(next, given), table, given));
    if (wrong.length > 0) return this.#refuse(wrong, asked);
    const mended = this.#broken;
    this.#broken = false;
    this.#reported = '';
    if (changes.length > 0) {
      await apply(next);
      this.#values = next;
      observe({ type: 'applied', changes });
    } else if (asked || mended) observe({ type: 'unchanged' });
    const names = JSON.stringify(waiting);
    if (waiting.length > 0 && (asked || names !== this.#waiting)) observe({ type: 'restartNeeded', changes: waiting });
    this.#waiting = names;
  }

  #refuse(problems: readonly Problem[], asked: boolean): void {
    this.#broken = true;
    const text = problems.map(problemText).join('\n');
    if (text === this.#reported && !asked) return;
    this.#reported = text;
    this.#options.observe({ type: 'broken', problems });
  }
}
