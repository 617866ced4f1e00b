/**
 * `leasekeeper once`: of many replicas that start at once one runs the command for a key; all end with 0 once it has
 * succeeded.
 *
 * Guarantees: a key that has succeeded is never run again, by anybody; a command that fails ends only its own replica, with
 * its exit code, and the next one tries. One that ends with 0 after it was asked to end has not succeeded: most programs
 * do so wherever they are. At least once by nature: where a process dies between the end of its command and
 * the record, the next one runs it again.
 */
import { constants, hostname } from 'node:os';
import { readChecked } from '../config/bindings.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { ONCE_TABLE, onceRules, recipeSettings } from '../config/recipe-flags.ts';
import type { RecipeSettings } from '../config/recipe-flags.ts';
import { KILL_MARGIN_MS } from '../guard/guard.ts';
import { Once } from '../recipes/once.ts';
import { EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { commandProblems, ending } from './guarded-command.ts';
import { contenderGrants, withGuard } from './lock-command.ts';
import { permitted } from './permissions.ts';
import { runService } from './service.ts';

const settingsOf = (values: OptionValues<typeof ONCE_TABLE>): RecipeSettings =>
  recipeSettings(ONCE_TABLE, values, ['recipeLease', values.recipeLease], hostname(), KILL_MARGIN_MS);

/** The command did not succeed: nothing is recorded. */
class CommandFailed extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`the command ended with ${exitCode}`);
    this.exitCode = exitCode;
  }
}

export async function run({ given, args, io }: CommandInput): Promise<number> {
  const rules = (values: OptionValues<typeof ONCE_TABLE>) => [...settingsOf(values).wrong, ...onceRules(values)];
  const { values, problems } = await readChecked(ONCE_TABLE, given, rules);
  const [command = '', ...rest] = args;
  const wrong = [...problems, ...commandProblems('once', command, io.env['PATH'])];
  if (wrong.length > 0) throw new UsageError(wrong);
  const key = values.onceKey ?? '';
  return runService(values, io, {}, (world) =>
    withGuard(
      world,
      settingsOf(values),
      values.featureGates,
      { command, args: rest, env: io.env },
      async (parts, guarded) => {
        const once = new Once(parts);
        try {
          const { ran } = await once.run(
            key,
            async (term) => {
              const outcome = await guarded.run(term);
              const { code } = ending(outcome);
              if (code !== EXIT.ok) throw new CommandFailed(code);
              if (outcome.how !== 'ended' || !outcome.asked) return;
              world.log.warn(
                { key },
                'the command was asked to end, and ended with 0: that is no success, and not recorded',
              );
              throw new CommandFailed(128 + constants.signals[world.received() ?? 'SIGTERM']);
            },
            world.stop,
          );
          world.log.info(
            { key },
            ran ? 'the key has succeeded, and is recorded' : 'the key has succeeded already: nothing was run',
          );
          return EXIT.ok;
        } catch (error) {
          if (error instanceof CommandFailed) return error.exitCode;
          const received = world.received();
          if (received && error === world.stop.reason) return 128 + constants.signals[received];
          throw error;
        } finally {
          await once.idle();
        }
      },
    ),
  );
}

export const grants = permitted(
  ONCE_TABLE,
  (values) => settingsOf(values).wrong,
  (values) => contenderGrants(settingsOf(values), values.featureGates),
);
