/** Chance that a seed gives: streams of numbers, one for each who needs them, so that leaving one out changes no other. */

/** mulberry32: 0 to 1, the same for the same seed. */
export function chance(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return Object.assign(next, {
    between: (low: number, high: number): number => low + next() * (high - low),
    /** A whole number, both ends included. */
    whole: (low: number, high: number): number => low + Math.floor(next() * (high - low + 1)),
    pick: <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!,
    hit: (share: number): boolean => next() < share,
  });
}

export interface Chance {
  (): number;
  between(low: number, high: number): number;
  whole(low: number, high: number): number;
  pick<T>(from: readonly T[]): T;
  hit(share: number): boolean;
}

/** The stream of this seed that bears this name. */
export function stream(seed: number, name: string): Chance {
  const digest = new Digest();
  digest.add(`${seed}/${name}`);
  return chance(digest.low);
}

/** A digest of texts in their order, quick rather than safe (two rounds of FNV-1a). */
export class Digest {
  low = 0x811c9dc5;
  #high = 0x9dc5811c;

  add(text: string): void {
    let { low } = this;
    let high = this.#high;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      low = Math.imul(low ^ code, 0x01000193);
      high = Math.imul(high ^ (code + i), 0x01000197);
    }
    this.low = low >>> 0;
    this.#high = high >>> 0;
  }

  toString(): string {
    return this.#high.toString(16).padStart(8, '0') + this.low.toString(16).padStart(8, '0');
  }
}
