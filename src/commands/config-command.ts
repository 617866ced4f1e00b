/**
 * `leasekeeper config`: the configuration in force, and where each value comes from. Nothing is sent to anybody.
 */
import { hostname } from 'node:os';
import { formatDuration } from '../config/duration.ts';
import { OFF } from '../config/http-flags.ts';
import { CONFIG_PRINT_OPTIONS } from '../config/shared-flags.ts';
import { readOptions } from '../config/option-spec.ts';
import type { Table as Options } from '../config/option-spec.ts';
import { PUBLISH_TABLE, publishSettings } from '../config/publish-flags.ts';
import type { PublishValues } from '../config/publish-flags.ts';
import { sweepSettings } from '../config/sweep-flags.ts';
import { configFile, shownValues } from '../config/written-values.ts';
import type { Shown } from '../config/written-values.ts';
import { EXIT, UsageError, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { Table } from './output/text-table.ts';
import { publishRules } from './publish-command.ts';

export async function run({ table: own, given, io }: CommandInput): Promise<number> {
  const { output: _, ...options } = own;
  const table: Options = { ...options, ...PUBLISH_TABLE };
  // The sweeper's options count for the command sweep, whether or not publish is to sweep; but only in publish is there a
  // renew interval to compare them with.
  const all = await readValues(table, given, async (read) => {
    const { sweep, ...rest } = read as unknown as PublishValues;
    const wrong = await publishRules({ ...rest, sweep: true });
    return sweep ? wrong : wrong.filter(({ key, beside = [] }) => key !== 'sweepConfirmAfter' || beside.length === 0);
  });
  const values = all as unknown as PublishValues;
  const output = readOptions(CONFIG_PRINT_OPTIONS, given);
  if (output.problems.length > given.problems.length) throw new UsageError(output.problems);
  // Where the file lies is no part of what it says.
  const { config: __, ...inFile } = table;
  const shown = shownValues(inFile, all, given);
  if (output.values.output === 'json') io.out(`${JSON.stringify(configFile(inFile, all), undefined, 2)}\n`);
  else if (output.values.output === 'yaml') io.out(await yaml(configFile(inFile, all), shown));
  else io.out(print(shown, derived(values)));
  return EXIT.ok;
}

/** What stands in for options that have no default of their own, in `publish`. */
function derived(values: PublishValues): ReadonlyMap<string, string> {
  const { identity, health } = publishSettings(values, hostname());
  return new Map([
    ['hostname', identity.hostname],
    ['httpAddress', OFF],
    ['requestTimeout', formatDuration(identity.requestTimeoutMs)],
    ['serverHealthTimeout', formatDuration(health.timeoutMs)],
    ['sweepSelector', sweepSettings(values).options.labelSelector],
  ]);
}

function print(shown: readonly Shown[], inFor: ReadonlyMap<string, string>): string {
  return new Table<Shown>([
    { header: 'KEY', cell: ({ key }) => key },
    { header: 'VALUE', cell: ({ key, text }) => text ?? inFor.get(key) ?? '-' },
    {
      header: 'SOURCE',
      cell: ({ key, text, origin, name }) => (text === undefined && inFor.has(key) ? 'derived' : name || origin),
    },
  ]).print(shown);
}

/** Each value that is no default says where it comes from, in a comment. */
async function yaml(file: Record<string, unknown>, shown: readonly Shown[]): Promise<string> {
  const { Document, isMap, isScalar } = await import('yaml');
  const document = new Document(file);
  const from = new Map(shown.filter(({ origin }) => origin !== 'default').map(({ key, name }) => [key, name]));
  const comment = (map: unknown, prefix: string): void => {
    if (!isMap(map)) return;
    for (const { key, value } of map.items) {
      const path = `${prefix}${isScalar(key) ? String(key.value) : ''}`;
      if (isMap(value)) comment(value, `${path}.`);
      const name = from.get(path);
      if (name !== undefined && isScalar(value)) value.comment = ` ${name}`;
    }
  };
  comment(document.contents, '');
  return document.toString({ lineWidth: 0 });
}
