/**
 * What an option is: one row states its unit, its default, its rule and its meaning. Anyone who takes the option (a
 * constructor, a flag, a variable, a file, the reference) reads the row.
 *
 * Guarantees: filling in defaults never throws; checking reports every problem at once, each with field, value and rule.
 */
import { inWords } from './printable.ts';

/** One thing that is wrong with the options of a capability: which field, the value it has, and the rule it breaks. */
export interface OptionProblem {
  readonly field: string;
  readonly value: unknown;
  readonly rule: string;
  /** The options that it was compared with. */
  readonly beside?: readonly string[];
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
  if (typeof value === 'function') return 'a function';
  const text = typeof value === 'string' ? JSON.stringify(value) : inWords(value);
  return text.length > 82 ? `${text.slice(0, 78)}...` : text;
}

export interface OptionRow<Value, Options = never> {
  /** What a number counts: milliseconds, whole seconds; nothing for counts, texts and choices. */
  readonly unit?: 'ms' | 's';
  /** Of the value, where neither a unit nor the default says it. */
  readonly type?: OptionType;
  /** True: it cannot be left out. */
  readonly required?: boolean;
  /** What stands in when it is left out, perhaps made from the others; an option without one may be missing. */
  readonly default?: Value | ((others: Partial<Options>) => Value);
  /** The values that a choice has. */
  readonly choices?: readonly Value[];
  /** Why a value cannot be used; undefined when it can. Not asked about an option that is missing. */
  readonly rule?: (value: Value) => string | undefined;
  /** One sentence for help and reference. */
  readonly text: string;
}

type OptionType = 'string' | 'number' | 'boolean' | 'object';

/** A rule that compares several options; asked when each of them is right by itself. */
export interface RuleBetween<Options> {
  /** The options that it compares: the first is the one to blame. */
  readonly of: readonly [keyof Options & string, ...(keyof Options & string)[]];
  readonly rule: (options: Options) => string | undefined;
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

/** The type of an option's value; undefined: the row does not say. */
export function optionType({ unit, type, default: standard }: OptionRow<unknown>): OptionType | undefined {
  if (unit !== undefined) return 'number';
  const known = typeof standard;
  return type ?? (known === 'string' || known === 'number' || known === 'boolean' ? known : undefined);
}

/** The rule that an option breaks by itself. */
function brokenRule(row: OptionRow<unknown>, value: unknown): string | undefined {
  if (value === undefined) return row.required ? 'is required' : undefined;
  if (row.choices) return row.choices.includes(value) ? undefined : `must be one of ${row.choices.join(', ')}`;
  const type = optionType(row);
  if (type === 'boolean' && typeof value !== type) return 'must be true or false';
  if (type !== undefined && (typeof value !== type || value === null)) return `must be of type ${type}`;
  return row.rule?.(value);
}

/**
 * Everything that is wrong with the options; empty when they can be used.
 * @param between what must hold between several of them
 */
export function optionProblems<Options>(
  rows: OptionRows<Options>,
  options: Options,
  between: readonly RuleBetween<Options>[] = [],
): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const say = (field: keyof Options & string, rule: string | undefined, beside: readonly string[] = []): void => {
    if (rule !== undefined) problems.push({ field, value: options[field], rule, ...(beside.length > 0 && { beside }) });
  };
  for (const field of Object.keys(rows) as (keyof Options & string)[]) {
    say(field, brokenRule(rows[field] as OptionRow<unknown>, options[field]));
  }
  const broken = new Set(problems.map(({ field }) => field));
  for (const { of, rule } of between) {
    const [field, ...beside] = of;
    if (!of.some((one) => broken.has(one))) say(field, rule(options), beside);
  }
  return problems;
}

/**
 * Options that can be used: filled in and checked.
 * @throws OptionsError with all problems
 */
export function checkedOptions<Options>(
  subject: string,
  rows: OptionRows<Options>,
  given: Given<Options>,
  between?: readonly RuleBetween<Options>[],
): Options {
  const options = fillOptions(rows, given);
  const problems = optionProblems(rows, options, between);
  // A default that was made from a bad value is nobody's mistake.
  const mistakes = problems.filter(
    ({ field, value }) => value === undefined || given[field as keyof Options] !== undefined,
  );
  if (problems.length > 0) throw new OptionsError(subject, mistakes.length > 0 ? mistakes : problems);
  return options;
}

/** setTimeout's own limit, and the API's bound on its numbers (int32). */
export const INT32_MAX = 2_147_483_647;

/** Any number above 0. */
export const positive = (value: number): string | undefined =>
  Number.isFinite(value) && value > 0 ? undefined : 'must be greater than 0';

// Rules write times as `<number> ms`: what reads durations shows them as such.

/** A time in milliseconds within bounds. */
export const msWithin =
  (min: number, max: number) =>
  (value: number): string | undefined =>
    value >= min && value <= max ? undefined : `must be from ${min} ms to ${max} ms`;

/** A time in milliseconds that a timer can wait for. */
export const positiveMs = (value: number): string | undefined =>
  value > 0 && value <= INT32_MAX ? undefined : `must be greater than 0 and at most ${INT32_MAX} ms`;

/** A time in milliseconds, or none. */
export const notNegativeMs = msWithin(0, INT32_MAX);

/** A whole number within bounds. */
export const wholeNumber =
  (min: number, max = INT32_MAX, what = 'a whole number') =>
  (value: number): string | undefined =>
    Number.isInteger(value) && value >= min && value <= max ? undefined : `must be ${what} from ${min} to ${max}`;

/** As the API takes a lease's duration. */
export const wholeSeconds = wholeNumber(1, INT32_MAX, 'whole seconds');
