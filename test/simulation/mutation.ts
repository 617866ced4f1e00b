/** A source with a safety rule taken out: exact texts, each replaced by another. */

export interface Replacement {
  /** Path from the root of the project. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export const change = (file: string, from: string, to: string): Replacement => ({ file, from, to });

/** A safety rule, and how to take it out. */
export interface Mutant {
  readonly rule: string;
  /** Where it is missed; default: in those of the services. */
  readonly worlds?: 'services' | 'recipes';
  readonly replace: readonly Replacement[];
}

/** @throws Error when a text is not there exactly once: then nobody knows what was taken out */
export function mutated(name: string, source: string, replacements: readonly Replacement[]): string {
  let text = source;
  for (const { from, to } of replacements) {
    const found = text.split(from).length - 1;
    if (found !== 1) throw new Error(`${name}: ${JSON.stringify(from)} is there ${found} times, not once`);
    text = text.replace(from, () => to);
  }
  return text;
}
