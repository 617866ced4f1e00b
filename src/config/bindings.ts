/**
 * Binds the options of capabilities to the program's: a capability's row states unit, default, rule and text; a binding
 * adds the flag, and its key names the variable and the key in a file.
 *
 * Guarantees: what is wrong with an option is reported once, with its name as its user wrote it. What compares an option
 * with one that could not be read is left out: that one stands for its default, and the default is not to blame.
 */
import { fillOptions, optionProblems, optionType } from '../runtime/options.ts';
import type { Given as Filled, OptionRow, OptionRows, RuleBetween } from '../runtime/options.ts';
import { formatDuration } from './duration.ts';
import { readOptions, withDurations } from './option-spec.ts';
import type { Given, OptionSpec, OptionValues, Problem, Table, Typed } from './option-spec.ts';

type Fields<Options> = keyof Options & string;

/** How an option of a capability is written. */
interface Binding<Field extends string> extends Pick<
  OptionSpec,
  'flag' | 'short' | 'arg' | 'alone' | 'weakest' | 'live' | 'completes'
> {
  readonly field: Field;
  /** In place of the row's text. */
  readonly help?: string;
  /** After the row's text. */
  readonly more?: string;
  /** The capability has no default for it, or makes one from its other options. */
  readonly optional?: true;
  /** A number that may have a fraction. */
  readonly fraction?: true;
}

type Bound<Options, B> =
  B extends Binding<infer Field>
    ? Field extends keyof Options
      ? OptionSpec & Typed<NonNullable<Options[Field]> | (B extends { optional: true } ? undefined : never)>
      : never
    : never;

/** The capability's options as the program's, by key. */
export function bind<Options, const B extends Readonly<Record<string, Binding<Fields<Options>>>>>(
  rows: OptionRows<Options>,
  bindings: B,
): { readonly [Key in keyof B]: Bound<Options, B[Key]> } {
  const specs = Object.entries(bindings).map(([key, { help, more = '', optional, fraction, ...binding }]) => {
    const row = rows[binding.field] as OptionRow<unknown>;
    const { unit, choices, text } = row;
    const type = optionType(row) ?? 'string';
    const standard = typeof row.default === 'function' ? undefined : row.default;
    if ((standard === undefined) !== (optional ?? false)) throw new TypeError(`${key}: optional, or with a default`);
    const kind = unit ? 'duration' : type !== 'number' ? type : fraction ? 'number' : 'integer';
    const arg = binding.arg ?? { duration: 'DURATION', integer: 'N', number: 'N' }[kind as string];
    const seconds = unit === 's';
    const spec = {
      kind,
      ...binding,
      ...(arg !== undefined && { arg }),
      help: help ?? `${text}${more}`,
      ...(standard !== undefined && { default: seconds ? Number(standard) * 1000 : standard }),
      ...(choices && { choices }),
      ...(seconds && { seconds }),
    };
    return [key, spec] as const;
  });
  return Object.fromEntries(specs) as never;
}

/** The same options with longer flags, beside those of another command: none of them is shortened there. */
export function prefixed<T extends Table>(table: T, prefix: string, help: string): T {
  const specs = Object.entries(table).map(([key, { short: _, ...spec }]) => {
    return [key, { ...spec, flag: `--${prefix}-${spec.flag.slice(2)}`, help: `${help}: ${spec.help}` }];
  });
  return Object.fromEntries(specs) as T;
}

/** What is wrong with the values of options that can be read one by one. */
export interface Wrong {
  /** The option's key. */
  readonly key: string;
  /** Durations are milliseconds. */
  readonly value: unknown;
  readonly rule: string;
  /** Keys of the options that it is compared with. */
  readonly beside?: readonly string[];
}

/** `[]` where no rule is broken. */
export const wrong = (
  key: string,
  value: unknown,
  rule: string | undefined,
  beside: readonly string[] = [],
): Wrong[] => (rule === undefined ? [] : [{ key, value, rule, beside }]);

/**
 * A capability's options from the values of a command's, and everything that is wrong with them.
 * @param fallback for options that nobody gave, in place of the capability's own defaults
 */
export function optionsOf<Options, T extends Table>(
  { rows, between }: { rows: OptionRows<Options>; between?: readonly RuleBetween<Options>[] },
  table: T,
  values: OptionValues<T>,
  fallback: Filled<Options> = {},
): { options: Options; wrong: Wrong[] } {
  const given: Record<string, unknown> = { ...fallback };
  const keys = new Map<string, string>();
  for (const [key, { field, seconds }] of Object.entries(table) as [string, OptionSpec][]) {
    if (field === undefined || !(field in rows)) continue;
    keys.set(field, key);
    const value: unknown = values[key];
    if (value !== undefined) given[field] = seconds ? Number(value) / 1000 : value;
  }
  const options = fillOptions(rows, given as Filled<Options>);
  const keyOf = (field: string): string => keys.get(field) ?? field;
  const broken = optionProblems(rows, options, between).flatMap(({ field, value, rule, beside = [] }) => {
    const shown = rows[field as Fields<Options>].unit === 's' ? Number(value) * 1000 : value;
    return wrong(keyOf(field), shown, rule, beside.map(keyOf));
  });
  return { options, wrong: broken };
}

/** Everything that is wrong with values that can be read one by one. */
export type Rules<T extends Table> = (
  values: OptionValues<T>,
  given: Given,
) => readonly Wrong[] | Promise<readonly Wrong[]>;

/** What is wrong as its user is to read it: named as its source names it, times as durations. */
export function named(
  wrongs: readonly Wrong[],
  table: Table,
  given: Given,
  broken: ReadonlySet<string> = new Set(),
): Problem[] {
  return wrongs
    .filter(({ key, beside = [] }) => ![key, ...beside].some((one) => broken.has(one)))
    .map(({ key, value, rule }) => {
      const spec = table[key];
      return {
        option: given.options[key]?.at(-1)?.name ?? spec?.flag ?? key,
        value: spec?.kind === 'duration' && typeof value === 'number' ? formatDuration(value) : value,
        rule: withDurations(rule),
      };
    });
}

/** A command's values and everything that is wrong with them, at once. */
export async function readChecked<T extends Table>(
  table: T,
  given: Given,
  rules: Rules<T>,
): Promise<{ values: OptionValues<T>; problems: Problem[] }> {
  const { values, problems, broken } = readOptions(table, given);
  return { values, problems: [...problems, ...named(await rules(values, given), table, given, broken)] };
}
