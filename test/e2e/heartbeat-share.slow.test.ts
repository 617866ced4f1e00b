/** A fleet that two processes keep in common: one dies, and no Node turns Unknown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runProgram, startProgram } from '../support/process.ts';
import { embedded, until } from './support.ts';

/** `NODES=5000` for a fleet. */
const NODES = Number(process.env['NODES'] ?? 200);
const WAIT_MS = 120_000;

test(
  'one of two dies: its Nodes are renewed by the other before they turn Unknown',
  { timeout: 600_000 },
  async (t) => {
    const { server, kubeconfig } = await embedded(t);
    const env = { KUBECONFIG: kubeconfig };
    const headers = { 'content-type': 'application/json' };
    for (let i = 0; i < NODES; i++) {
      const status = { conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '' }] };
      const body = JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: `node-${i}` }, status });
      assert.equal(server.handle({ method: 'POST', url: '/api/v1/nodes', headers, body }).status, 201);
    }
    const start = () =>
      startProgram(['heartbeat', '--nodes-selector=', '--share=default/fleet', '--log-level=warn'], { env, t });
    const [dies] = [start(), start()];
    const holders = async (): Promise<number[]> => {
      const { stdout } = await runProgram(['shards', 'default/fleet', '-o', 'json'], { env });
      const keys = (JSON.parse(stdout) as { keys: { state: string; holder: string }[] }).keys;
      const held = keys.filter(({ state }) => state === 'Held').map(({ holder }) => holder);
      return [...new Set(held)].map((holder) => held.filter((one) => one === holder).length);
    };
    await until('an even share', async () => (await holders()).join() === '64,64', WAIT_MS);
    const all = { ready: NODES, notReady: 0, unknown: 0, pending: 0 };
    const tally = async (): Promise<Record<string, number>> => {
      const { stdout } = await runProgram(['nodes', '-o', 'json'], { env, timeoutMs: WAIT_MS });
      return (JSON.parse(stdout) as { counts: Record<string, number> }).counts;
    };
    assert.deepEqual(await tally(), all);
    // From now on each Node has to be seen renewed, within the 50 s of the node lifecycle controller.
    await dies.kill();
    assert.deepEqual(await tally(), all);
    await until('all with the other', async () => (await holders()).join() === '128', WAIT_MS);
  },
);
