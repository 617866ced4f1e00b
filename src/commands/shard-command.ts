/**
 * `leasekeeper shard`: shares slots with the other members of a ring, and runs one command for each slot that is ours.
 *
 * Guarantees: a slot's command runs in one member at a time: each has ended before the slot may be another's, by a watchdog
 * of its own. A slot that is to move is drained: SIGTERM, then the release, then the next member begins.
 */
import { hostname } from 'node:os';
import { v4 as uuid } from 'uuid';
import { readChecked } from '../config/bindings.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { SHARD_TABLE, recipeSettings, shardRules } from '../config/recipe-flags.ts';
import type { RecipeSettings } from '../config/recipe-flags.ts';
import { parseAddress, securityFiles } from '../config/http-flags.ts';
import { COMMAND_VARIABLES } from '../config/sources.ts';
import { KILL_MARGIN_MS } from '../guard/guard.ts';
import { createEventsApi } from '../kube/events-api.ts';
import { LeaseEvents } from '../observe/lease-events.ts';
import { logRecipe } from '../observe/recipe-log.ts';
import { Shards } from '../recipes/shards.ts';
import type { ShardTerm } from '../recipes/shards.ts';
import { observers } from '../runtime/observer.ts';
import { runServices } from '../runtime/services.ts';
import type { Service } from '../runtime/services.ts';
import { CommandError, EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { GuardedCommand, commandProblems, ending } from './guarded-command.ts';
import { onEvents, permitted } from './permissions.ts';
import { onRing } from './recipe-grants.ts';
import { runService } from './service.ts';

const settingsOf = (values: OptionValues<typeof SHARD_TABLE>): RecipeSettings =>
  recipeSettings(SHARD_TABLE, values, ['recipeRing', values.recipeRing], hostname(), KILL_MARGIN_MS);

export async function run({ given, args, io }: CommandInput): Promise<number> {
  const rules = (values: OptionValues<typeof SHARD_TABLE>) => [...settingsOf(values).wrong, ...shardRules(values)];
  const { values, problems } = await readChecked(SHARD_TABLE, given, rules);
  const [command = '', ...rest] = args;
  const wrong = [...problems, ...commandProblems('shard', command, io.env['PATH'])];
  if (wrong.length > 0) throw new UsageError(wrong);
  const { ref, id, stopTimeoutMs: graceMs, election } = settingsOf(values);
  return runService(values, io, {}, async ({ log, clock, connection, systemd, stop, received }) => {
    using _signals = GuardedCommand.forwardSignals();
    const { transport, store, namespace } = connection;
    const ring = ref(namespace);
    const events = new LeaseEvents({
      post: createEventsApi(transport),
      clock,
      instance: id,
      log,
      enabled: () => values.featureGates.enabled('LeaseEvents'),
    });
    const address = parseAddress(values.shardHttpAddress);
    const frame = { log, clock, transport, security: securityFiles(values), gates: () => values.featureGates };
    const endpoints = address && (await import('./endpoints.ts')).shardEndpoints({ ...frame, address }, ring);
    const guards = new Map<string, GuardedCommand>();
    const shards = new Shards({
      store,
      clock,
      random: Math.random,
      ring,
      id,
      uuid: uuid(),
      ...election,
      keys: values.shardSlots ?? 1,
      onDeadline: (term) => guards.get(term.key)?.onDeadline(term),
      observe: observers(logRecipe(log, 'info'), events.recipe, endpoints?.observe),
      work: async (term: ShardTerm) => {
        const slotLog = log.child({ slot: term.key });
        const guarded = new GuardedCommand({
          command,
          args: rest,
          env: io.env,
          clock,
          log: slotLog,
          graceMs,
          received,
        });
        guards.set(term.key, guarded);
        try {
          const outcome = await guarded.run(term, { [COMMAND_VARIABLES.slot]: term.key });
          const { code, why } = ending(outcome);
          if (code !== EXIT.ok && !(outcome.how === 'ended' && outcome.asked)) throw new CommandError(why);
        } finally {
          guards.delete(term.key);
          await guarded.close();
        }
      },
    });
    const shown = await endpoints?.listen();
    const name = `${ring.namespace}/${ring.name}`;
    log.info({ ring: name, slots: values.shardSlots, id, url: shown?.url }, 'sharing slots with the ring');
    systemd.ready(() => 'sharing slots with the ring');
    const sharing: Service = { name: 'shards', run: (signal) => shards.run(signal) };
    await runServices([...(shown?.services ?? []), events.service, sharing], stop);
    return EXIT.ok;
  });
}

export const grants = permitted(
  SHARD_TABLE,
  (values) => settingsOf(values).wrong,
  (values) => {
    const { namespace } = settingsOf(values).ref(undefined);
    return [onRing(namespace), ...onEvents(namespace, values.featureGates)];
  },
);
