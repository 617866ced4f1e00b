/**
 * `leasekeeper lock`: runs a command while this process holds a lock, as flock does, but across machines.
 *
 * Guarantees: the command runs once, while nobody else holds the lock, and has ended before anybody else can; its exit code
 * is this program's (75 when the lock was not free in time). One that lost the lock before it ended is a failure, and so is
 * a lock of which requests failed before anybody was seen to hold it.
 */
import { constants, hostname } from 'node:os';
import { v4 as uuid } from 'uuid';
import type { OptionValues } from '../config/option-spec.ts';
import { LOCK_TABLE, lockRules, recipeSettings } from '../config/recipe-flags.ts';
import { KILL_MARGIN_MS } from '../guard/guard.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { createEventsApi } from '../kube/events-api.ts';
import { LeaseEvents } from '../observe/lease-events.ts';
import { logRecipe } from '../observe/recipe-log.ts';
import { Lock, isTaken } from '../recipes/lock.ts';
import type { RecipeOptions } from '../recipes/lock.ts';
import { runServices } from '../runtime/services.ts';
import { readChecked } from '../config/bindings.ts';
import type { RecipeSettings } from '../config/recipe-flags.ts';
import { CommandError, EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { GuardedCommand, commandProblems, ending } from './guarded-command.ts';
import { onEvents, onLeases, permitted } from './permissions.ts';
import type { Grant } from './permissions.ts';
import { runService } from './service.ts';
import type { ServiceWorld } from './service.ts';
import type { FeatureGates, GateName } from '../features/gates.ts';
import { observers } from '../runtime/observer.ts';

const settingsOf = (values: OptionValues<typeof LOCK_TABLE>): RecipeSettings =>
  recipeSettings(LOCK_TABLE, values, ['recipeLease', values.recipeLease], hostname(), KILL_MARGIN_MS);

export async function run({ given, args, io }: CommandInput): Promise<number> {
  const rules = (values: OptionValues<typeof LOCK_TABLE>) => [...settingsOf(values).wrong, ...lockRules(values)];
  const { values, problems } = await readChecked(LOCK_TABLE, given, rules);
  const [command = '', ...rest] = args;
  const wrong = [...problems, ...commandProblems('lock', command, io.env['PATH'])];
  if (wrong.length > 0) throw new UsageError(wrong);
  const settings = settingsOf(values);
  const waitMs = values.lockNoWait ? 0 : values.lockWait;
  return runService(values, io, {}, (world) =>
    withGuard(world, settings, values.featureGates, { command, args: rest, env: io.env }, async (parts, guarded) => {
      let taken = false;
      let failure: LeaseStoreError | undefined;
      const see = (event: ElectionEvent): void => {
        if (event.type === 'failed') failure = event.error.code === 'Aborted' ? failure : event.error;
        else taken ||= isTaken(event);
      };
      const lock = new Lock({ ...parts, observe: observers(parts.observe, see) });
      const use = lock.tryUse(async (term) => ending(await guarded.run(term)).code, { waitMs, signal: world.stop });
      const outcome = await use.catch((error: unknown) => {
        if (error === world.stop.reason) return { ran: false } as const;
        throw error;
      });
      await lock.idle();
      if (outcome.ran) return outcome.value;
      const received = world.received();
      if (received) return 128 + constants.signals[received];
      if (!taken && failure) {
        throw new CommandError(`the lock was not had, and nobody is known to hold it: ${failure.message}`);
      }
      world.log.warn({ waitMs }, `the lock was not ${taken ? 'free' : 'had'} in time: the command was not run`);
      return EXIT.notAcquired;
    }),
  );
}

/** The parts of a recipe whose work is a command under its guard, with log and Events as for elections. */
export async function withGuard(
  { log, clock, connection, received }: ServiceWorld,
  { ref, id, stopTimeoutMs: graceMs, election }: RecipeSettings,
  gates: FeatureGates<GateName>,
  command: {
    readonly command: string;
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string | undefined>>;
  },
  use: (parts: RecipeOptions, guarded: GuardedCommand) => Promise<number>,
): Promise<number> {
  const guarded = new GuardedCommand({ ...command, clock, log, graceMs, received });
  const events = new LeaseEvents({
    post: createEventsApi(connection.transport),
    clock,
    instance: id,
    log,
    enabled: () => gates.enabled('LeaseEvents'),
  });
  const parts: RecipeOptions = {
    store: connection.store,
    clock,
    random: Math.random,
    lease: ref(connection.namespace),
    id,
    newId: uuid,
    ...election,
    onDeadline: guarded.onDeadline,
    observe: observers(logRecipe(log, 'info'), events.recipe),
  };
  try {
    guarded.prepare();
    let code: number = EXIT.ok;
    const over = new AbortController();
    const work = {
      name: 'recipe',
      async run() {
        code = await use(parts, guarded).finally(() => over.abort());
      },
    };
    await runServices([events.service, work], over.signal);
    return code;
  } finally {
    await guarded.close();
  }
}

/** What a contender for one lease needs. */
export const contenderGrants = (
  settings: RecipeSettings,
  gates: FeatureGates<GateName>,
  more: readonly Grant[] = [],
): Grant[] => {
  const { namespace, name } = settings.ref(undefined);
  return [
    onLeases(namespace, ['create'], 'makes the lease where there is none'),
    onLeases(
      namespace,
      ['get', 'watch', 'update'],
      'waits, holds and renews; add list before Kubernetes 1.32 and in 1.33',
      [name],
    ),
    ...more,
    ...onEvents(namespace, gates),
  ];
};

export const grants = permitted(
  LOCK_TABLE,
  (values) => settingsOf(values).wrong,
  (values) => contenderGrants(settingsOf(values), values.featureGates),
);
