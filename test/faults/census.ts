/**
 * The census over HTTP under a fault: it says 2, or that it does not know; never another number.
 */
import assert from 'node:assert/strict';
import { LiveCensus } from '../../src/census/live-census.ts';
import type { CensusEvent } from '../../src/census/census-events.ts';
import { countAnswer } from '../../src/http/census-endpoint.ts';
import { listen } from '../../src/http/server.ts';
import { until } from '../e2e/support.ts';
import { COUNTED, selector } from './identity.ts';
import type { Capability, World } from './world.ts';
import { PACE, SLACK_MS, STEADY_MS } from './world.ts';

const RIGHT_AGAIN_MS = 5_000;

interface Count {
  readonly status: number;
  readonly known: boolean;
  readonly instances: number | null;
  readonly live: number | null;
  readonly synced: boolean;
}

export async function censusUnder(world: World): Promise<Capability> {
  const { clock, signal, namespace } = world;
  const events: CensusEvent[] = [];
  const census = new LiveCensus({
    store: (await world.through()).store,
    query: { namespace, labelSelector: selector(COUNTED) },
    clock,
    random: Math.random,
    freshForMs: 1_500 * PACE,
    maxAgeMs: 1_500 * PACE,
    observe: (event) => void events.push(event),
  });
  const server = await listen({ host: '127.0.0.1', port: 0 }, { '/v1/count': () => countAnswer(census) });
  world.runs(census.run(signal));
  world.runs(server.run(signal));
  const ask = async (): Promise<Count> => {
    const answer = await fetch(`${server.url}/v1/count`);
    return { status: answer.status, ...((await answer.json()) as Omit<Count, 'status'>) };
  };
  const right = ({ status, instances, live, synced }: Count): boolean =>
    status === 200 && instances === 2 && live === 2 && synced;
  const wrong: Count[] = [];
  let unknown = 0;
  let watching = false;
  const poll = async (): Promise<void> => {
    while (!signal.aborted) {
      const count = await ask().catch((error: unknown) => {
        if (signal.aborted) return undefined;
        throw error;
      });
      if (!count) return;
      if (watching) {
        if (count.status === 503) unknown++;
        if (count.status === 503 ? count.known || count.instances !== null : count.instances !== 2) wrong.push(count);
      }
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  };
  world.runs(poll());
  return {
    name: 'census',
    ready: async () => {
      await until('a census of two', async () => right(await ask()), STEADY_MS);
      watching = true;
    },
    recovered: async (healedAt) => {
      const bound = RIGHT_AGAIN_MS + SLACK_MS;
      const left = healedAt + bound - clock.monotonic();
      await until(`a census of two within ${bound} ms`, async () => right(await ask()), left);
      assert.deepEqual(wrong, []);
      if (world.fault.deaf !== false) assert.ok(unknown > 0, 'it never said that it did not know');
    },
  };
}
