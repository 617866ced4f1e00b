/**
 * Options as they are written: in a table, in a log, in a configuration file.
 */
import type { FeatureGates } from '../features/gates.ts';
import { formatDuration } from './duration.ts';
import { API_VERSION, KIND } from './config-file.ts';
import type { Given, OptionSpec, Origin, Table } from './option-spec.ts';

/** One line; `undefined` for what is not set. */
export function valueText(spec: OptionSpec, value: unknown): string | undefined {
  const written = fileValue(spec, value);
  if (written === undefined) return undefined;
  if (spec.kind === 'gates') return (value as FeatureGates).toString();
  return Array.isArray(written) ? written.join(',') : String(written as string | number | boolean);
}

/** As a configuration file holds it; `undefined` for what is not set. */
function fileValue(spec: OptionSpec, value: unknown): unknown {
  if (value === undefined) return undefined;
  if (spec.kind === 'duration') return formatDuration(value as number);
  if (spec.kind === 'gates') {
    const pairs = (value as FeatureGates).metrics().filter(({ name }) => !name.startsWith('All'));
    return Object.fromEntries(pairs.map(({ name, enabled }) => [name, enabled]));
  }
  return value;
}

export interface Shown {
  readonly key: string;
  /** `undefined`: not set, and no default to tell. */
  readonly text: string | undefined;
  readonly origin: Origin;
  /** As its user wrote it there; empty for a default. */
  readonly name: string;
}

/** Every value in force and where it comes from, sorted by key; of gates each by itself. */
export function shownValues(table: Table, values: Readonly<Record<string, unknown>>, given: Given): Shown[] {
  return Object.entries(table)
    .flatMap(([key, spec]): Shown[] => {
      const sources = given.options[key] ?? [];
      if (spec.kind !== 'gates') {
        const last = sources.at(-1);
        const text = valueText(spec, values[key]);
        return [{ key, text, origin: last?.origin ?? 'default', name: last?.name ?? '' }];
      }
      const gates = values[key] as FeatureGates;
      return gates
        .metrics()
        .filter(({ name }) => !name.startsWith('All'))
        .map(({ name, enabled }) => {
          const last = sources.findLast(({ raw }) => names(raw, name));
          return {
            key: `${key}.${name}`,
            text: String(enabled),
            origin: last?.origin ?? 'default',
            name: last?.name ?? '',
          };
        });
    })
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Whether a source says something of this gate, by its name or with all of its stage. */
function names(raw: unknown, gate: string): boolean {
  if (Array.isArray(raw)) return raw.some((item) => names(item, gate));
  const keys =
    typeof raw === 'string' ? raw.split(',').map((item) => item.split('=')[0]?.trim()) : Object.keys(raw as object);
  return keys.includes(gate) || keys.includes('AllBeta') || keys.includes('AllAlpha');
}

/** A configuration file that says the same, but for what has neither value nor default. */
export function configFile(table: Table, values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(table)
    .map(([key, spec]) => [key, fileValue(spec, values[key])] as const)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return { apiVersion: API_VERSION, kind: KIND, ...Object.fromEntries(entries) };
}
