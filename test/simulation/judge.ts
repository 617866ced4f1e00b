/**
 * Writes down what happens, and stops the run at the first thing that must not be.
 */
import { Digest } from './chance.ts';
import type { World } from './world.ts';

/** A promise that was broken: `rule` names it, the message says how. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly rule: string;
  constructor(rule: string, message: string) {
    super(message);
    this.rule = rule;
  }
}

export class Judge {
  readonly #world: World;
  readonly #digest = new Digest();
  /** The last lines, or all of them. */
  readonly log: string[] = [];
  readonly #keep: number;
  /** The first; also where it was noticed within a service, which might catch it. */
  failure: Violation | undefined;
  /** True while nothing is broken on purpose. */
  calm = false;
  #lines = 0;

  constructor(world: World, keep: number) {
    this.#world = world;
    this.#keep = keep;
  }

  note(who: string, what: string): void {
    const line = `${this.#world.now.toFixed(1).padStart(10)} ${who}: ${what}`;
    this.#digest.add(line);
    this.#lines++;
    this.log.push(line);
    if (this.log.length > 2 * this.#keep) this.log.splice(0, this.#keep);
  }

  /** The same for the same history. */
  get digest(): string {
    return `${this.#digest.toString()}-${this.#lines}`;
  }

  fail(rule: string, message: string): never {
    this.note('JUDGE', `${rule}: ${message}`);
    throw (this.failure ??= new Violation(rule, message));
  }

  verify(): void {
    if (this.failure) throw this.failure;
  }
}
