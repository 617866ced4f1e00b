/** Who has what in hand, as works of recipes and the clocks of their processes tell it. */
import type { Term } from '../../src/election/term.ts';
import type { Process } from './process.ts';
import type { RecipeSlot } from './plan-types.ts';

/** One work in one term. */
export interface Hand {
  /** The process, as the API's history names it. */
  readonly name: string;
  readonly slot: RecipeSlot;
  readonly process: Process;
  readonly term: Term;
  /** What it holds; how many may hold that at once, as this process believes. */
  readonly what: string;
  readonly most: number;
  /** True milliseconds. */
  readonly beganAt: number;
  /** When it was first seen not to hold any more, in true milliseconds. */
  endedAt: number | undefined;
  working: boolean;
  /** The process stood still meanwhile: then its work may outlive its term, and only the check protects. */
  stoodStill: boolean;
}

export interface RecipeWitness {
  /** The work begins. */
  began(hand: Hand): void;
  /** A guarded step has passed its check. */
  stepped(hand: Hand): void;
  /** The work has ended. */
  ended(hand: Hand): void;
  /** A work begins although the wait for it is over. */
  late(name: string): void;
  /** The work for a key of `once` begins. */
  starts(name: string, key: string): void;
  /** `once` says that this work for this key has ended well. */
  succeeded(name: string, key: string, token: number): void;
  /** A fire, due at this time in milliseconds of the epoch, is run by the claim with this token. */
  fires(name: string, atMs: number, token: number): void;
}
