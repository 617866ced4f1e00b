/**
 * What an option is: one row states its unit, its default, its rule and its meaning. Whoever takes the option (a
 * constructor, a flag, a variable, a file, the reference) reads the row.
 *
 * Guarantees: filling in defaults never throws; checking reports every problem at once, each with field, value and rule.
 */

/** One thing that is wrong with the options of a capability: which field, the value it has, and the rule it breaks. */
export interface OptionProblem {
  readonly field: string;
  readonly value: unknown;
  readonly rule: string;
}

/** The options cannot be used; thrown by every constructor, with all that is wrong. */
export class OptionsError extends Error {
  override readonly name = 'OptionsError';
  readonly code = 'InvalidOptions';
  readonly problems: readonly OptionProblem[];

  /** @param subject whose options they are, for the message: `Publisher`, say */
  constructor(subject: string, problems: readonly OptionProblem[]) {
    const texts = problems.map(({ field, value, rule }) => `${field} ${shown(value)}: ${rule}`);
    super(`${subject}: ${texts.join('; ')}`);
    this.problems = problems;
  }
}

/** A value in a message: short, and with its type where JSON has no word for it. */
function shown(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  const text = typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? typeof value);
  return text.length > 82 ? `${text.slice(0, 78)}...` : text;
}

export interface OptionRow<Value, Options = never> {
  /** What a number counts: milliseconds, whole seconds; nothing for counts, texts and choices. */
  readonly unit?: 'ms' | 's';
  /** What stands in when it is left out, perhaps made from the others; an option without one may be missing. */
  readonly default?: Value | ((others: Partial<Options>) => Value);
  /** The values that a choice has. */
  readonly choices?: readonly Value[];
  /** Why a value cannot be used; undefined when it can. Not asked about an option that is missing. */
  readonly rule?: (value: Value) => string | undefined;
  /** One sentence for help and reference. */
  readonly text: string;
}

/** A row for every option of a capability. */
export type OptionRows<Options> = {
  readonly [Key in keyof Options]-?: OptionRow<Exclude<Options[Key], undefined>, Options>;
};

/** Options as callers give them: all may be left out. */
export type Given<Options> = { readonly [Key in keyof Options]?: Options[Key] | undefined };

/** Takes the rows' options from what was given, and fills in what was left out. What else was given is left aside. */
export function fillOptions<Options>(rows: OptionRows<Options>, given: Given<Options>): Options {
  const filled: Partial<Options> = {};
  const keys = Object.keys(rows) as (keyof Options)[];
  for (const key of keys) if (given[key] !== undefined) filled[key] = given[key] as Options[typeof key];
  for (const key of keys) {
    if (filled[key] !== undefined) continue;
    const standard = rows[key].default as unknown;
    if (standard === undefined) continue;
    filled[key] = (
      typeof standard === 'function' ? (standard as (others: Partial<Options>) => unknown)(filled) : standard
    ) as Options[typeof key];
  }
  return filled as Options;
}

/**
 * Everything that is wrong with the options; empty when they can be used.
 * @param between what is wrong between several of them; asked only when each is right by itself
 */
export function optionProblems<Options>(
  rows: OptionRows<Options>,
  options: Options,
  between: (options: Options) => readonly OptionProblem[] = () => [],
): OptionProblem[] {
  const problems: OptionProblem[] = [];
  for (const field of Object.keys(rows) as (keyof Options & string)[]) {
    const { rule, choices } = rows[field] as OptionRow<unknown>;
    const value: unknown = options[field];
    if (value === undefined) continue;
    const broken = choices && !choices.includes(value) ? `must be one of ${choices.join(', ')}` : rule?.(value);
    if (broken !== undefined) problems.push({ field, value, rule: broken });
  }
  return problems.length > 0 ? problems : [...between(options)];
}

/**
 * Options that can be used: filled in and checked.
 * @throws OptionsError with all problems
 */
export function checkedOptions<Options>(
  subject: string,
  rows: OptionRows<Options>,
  given: Given<Options>,
  between?: (options: Options) => readonly OptionProblem[],
): Options {
  const options = fillOptions(rows, given);
  const problems = optionProblems(rows, options, between);
  if (problems.length > 0) throw new OptionsError(subject, problems);
  return options;
}

/** setTimeout's own limit, and the API's bound on its numbers (int32). */
export const INT32_MAX = 2_147_483_647;

/** A time in milliseconds that a timer can wait for. */
export const positiveMs = (value: number): string | undefined =>
  Number.isFinite(value) && value > 0 && value <= INT32_MAX
    ? undefined
    : `must be greater than 0 and at most ${INT32_MAX} milliseconds`;

/** A time in milliseconds, or none. */
export const notNegativeMs = (value: number): string | undefined =>
  Number.isFinite(value) && value >= 0 && value <= INT32_MAX
    ? undefined
    : `must be from 0 to ${INT32_MAX} milliseconds`;

/** A whole number within bounds. */
export const wholeNumber =
  (min: number, max = INT32_MAX, what = 'a whole number') =>
  (value: number): string | undefined =>
    Number.isInteger(value) && value >= min && value <= max ? undefined : `must be ${what} from ${min} to ${max}`;

/** As the API takes a lease's duration. */
export const wholeSeconds = wholeNumber(1, INT32_MAX, 'whole seconds');
