/** What users have in their scripts and files: each command's options as one line each. */
import type { CommandSpec } from '../../src/commands/command.ts';
import { defaultText } from '../../src/config/option-spec.ts';
import type { OptionSpec } from '../../src/config/option-spec.ts';
import { settable, variableName } from '../../src/config/sources.ts';

function line(key: string, spec: OptionSpec): string {
  const table = { [key]: spec };
  const standard = spec.kind === 'boolean' || spec.kind === 'gates' ? String(spec.default) : defaultText(spec);
  return [
    `${key}: ${spec.flag}`,
    spec.short,
    spec.kind,
    spec.choices?.join('|'),
    standard === undefined ? undefined : `default ${standard}`,
    key in settable(table, 'environment') ? variableName(key) : undefined,
    key in settable(table, 'file') ? 'file' : undefined,
    spec.live ? 'live' : undefined,
  ]
    .filter((word) => word !== undefined)
    .join(', ');
}

export const surface = (commands: readonly CommandSpec[]): Record<string, string[]> =>
  Object.fromEntries(
    commands.flatMap(({ name, options, commands: below = [] }) => [
      [name, Object.entries(options).map(([key, spec]) => line(key, spec))],
      ...below.map((one) => [`${name} ${one.name}`, Object.entries(one.options).map(([key, spec]) => line(key, spec))]),
    ]),
  ) as Record<string, string[]>;
