/** Memory and resources of a publisher after ten thousand renewals. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startTcpProxy } from '../support/fault-proxy.ts';
import { startProgram } from '../support/process.ts';
import { embedded, until } from './support.ts';

interface Report {
  readonly heap: readonly [number, number];
  readonly idle: string[];
  readonly left: string[];
  readonly listeners: string[];
  readonly renewals: number;
  readonly connections: number;
  readonly outcome: string;
}

it('after 10,000 renewals the heap is as after 2,000, and the end leaves nothing', async (t) => {
  const { kubeconfig, server } = await embedded(t, { logSize: 10, historySize: 100 });
  const proxy = await startTcpProxy(server.url);
  t.after(() => proxy.close());
  await writeFile(kubeconfig, (await readFile(kubeconfig, 'utf8')).replace(server.url, proxy.url));
  const script = fileURLToPath(new URL('./fixtures/many-renewals.ts', import.meta.url));
  const program = startProgram([kubeconfig], { script, nodeArgs: ['--expose-gc'], t });
  const line = await program.waitForLine(/^\{/, { from: 'stdout', timeoutMs: 90_000 });
  const { heap, idle, left, listeners, renewals, connections, outcome } = JSON.parse(line) as Report;
  t.diagnostic(`heap after 2,000 renewals ${heap[0]}, after 10,000 ${heap[1]}`);
  assert.ok(heap[1] - heap[0] < 2_000_000, `${heap[0]} bytes after 2,000 renewals, ${heap[1]} after 10,000`);
  assert.deepEqual([renewals, outcome], [10_000, 'deleted']);
  // The first GET and the first list go out together; the watch has its own.
  assert.ok(connections <= 3 && proxy.accepted === connections, `${connections} connections, ${proxy.accepted} made`);
  // Idle sockets do not count as active in Node: only the other end tells.
  await until('its sockets to be closed', () => proxy.open === 0, 5_000);
  assert.ok(program.running);
  assert.deepEqual([left.sort(), listeners], [idle.sort(), []]);
  assert.equal(server.requests.total, 10_000 + ['get', 'create', 'list', 'watch', 'delete'].length);
  program.endInput();
  assert.equal((await program.exitWithin(10_000)).code, 0, program.output());
});
