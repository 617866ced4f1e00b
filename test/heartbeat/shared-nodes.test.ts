/** A share of the Nodes: what is taken begins, what is given ends, whatever the source does meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NODE_SLOTS, SharedNodes, nodeSlot } from '../../src/heartbeat/shared-nodes.ts';
import type { NodeEvent, NodeSource } from '../../src/lease/node-source.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';

const node = (name: string) => ({ name, uid: `uid of ${name}` });

function shared() {
  const events: NodeEvent[] = [];
  let wake = (): void => {};
  const source: NodeSource = {
    async *watch(signal) {
      while (!signal.aborted) {
        yield* events.splice(0);
        await new Promise<void>((resolve) => {
          wake = resolve;
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    },
  };
  const nodes = new SharedNodes({ nodes: source, clock: new ManualClock() });
  const seen: string[] = [];
  const stop = new AbortController();
  const reading = (async () => {
    for await (const event of nodes.watch(stop.signal)) {
      const names = event.type === 'list' ? event.nodes : 'node' in event ? [event.node] : [];
      seen.push([event.type, ...names.map(({ name }) => name)].join(' '));
    }
  })();
  const put = async (...more: NodeEvent[]): Promise<void> => {
    events.push(...more);
    wake();
    await settle();
  };
  return { nodes, seen, stop, reading, put };
}

test('only what is in slots of ours is seen; slots come and go', async () => {
  const { nodes, seen, stop, reading, put } = shared();
  const [a, b, c] = [node('a'), node('b'), node('c')];
  nodes.take(nodeSlot('a'));
  await put({ type: 'list', nodes: [a, b] }, { type: 'fresh' });
  await put({ type: 'added', node: c }, { type: 'modified', node: a });
  nodes.take(nodeSlot('b'));
  await settle();
  nodes.give(nodeSlot('a'));
  await settle();
  await put({ type: 'deleted', node: a }, { type: 'deleted', node: b });
  nodes.take(nodeSlot('a'));
  await settle();
  assert.deepEqual(seen, ['list a', 'fresh', 'modified a', 'added b', 'deleted a', 'deleted b']);
  stop.abort();
  await reading;
});

test('a slot that is taken between two watches begins, also when the next brings no Nodes', async () => {
  let opened = 0;
  const source: NodeSource = {
    async *watch() {
      if (++opened === 1) yield { type: 'list', nodes: [node('a'), node('b')] };
    },
  };
  const nodes = new SharedNodes({ nodes: source, clock: new ManualClock() });
  const names: string[] = [];
  const read = async (): Promise<void> => {
    for await (const event of nodes.watch(new AbortController().signal)) {
      names.push([event.type, 'node' in event ? event.node.name : ''].join(' '));
    }
  };
  await read();
  nodes.take(nodeSlot('a'));
  await read();
  assert.deepEqual(names, ['list ', 'added a']);
});

test('ten thousand Nodes lie evenly in the slots', () => {
  const sizes = Array<number>(NODE_SLOTS).fill(0);
  for (let i = 0; i < 10_000; i++) sizes[nodeSlot(`node-${i}`)]! += 1;
  assert.ok(Math.min(...sizes) > 30 && Math.max(...sizes) < 140, sizes.join(' '));
});
