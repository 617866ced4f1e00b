import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { runServices } from '../../src/runtime/services.ts';
import type { Service } from '../../src/runtime/services.ts';

function recorded() {
  const log: string[] = [];
  const service = (name: string, work?: (signal: AbortSignal) => Promise<unknown>): Service => ({
    name,
    async run(signal) {
      log.push(`${name} starts`);
      if (work) await work(signal);
      else await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      log.push(`${name} ends`);
    },
  });
  return { log, service };
}

describe('runServices', () => {
  it('starts in order and stops in reverse, one after the other', async () => {
    const { log, service } = recorded();
    const stop = new AbortController();
    const done = runServices([service('a'), service('b'), service('c')], stop.signal);
    assert.deepEqual(log, ['a starts', 'b starts', 'c starts']);
    stop.abort();
    await done;
    assert.deepEqual(log.slice(3), ['c ends', 'b ends', 'a ends']);
  });

  it('stops all when one fails, and tells its error', async () => {
    const { log, service } = recorded();
    const failing = service('b', () => Promise.reject(new Error('broken')));
    await assert.rejects(runServices([service('a'), failing, service('c')], new AbortController().signal), /broken/);
    assert.deepEqual(log.slice(3), ['c ends', 'a ends']);
  });

  it('one that throws before it gives a promise has failed like any other', async () => {
    const { log, service } = recorded();
    const throwing: Service = {
      name: 'b',
      run() {
        throw new Error('broken');
      },
    };
    const { signal } = new AbortController();
    await assert.rejects(runServices([service('a'), throwing, service('c')], signal), /broken/);
    assert.deepEqual(log.slice(-2), ['c ends', 'a ends']);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('goes on when one ends by itself, and ends when all have', async () => {
    const { log, service } = recorded();
    const stop = new AbortController();
    const done = runServices([service('a'), service('once', () => Promise.resolve())], stop.signal);
    await new Promise(setImmediate);
    assert.deepEqual(log, ['a starts', 'once starts', 'once ends']);
    stop.abort();
    await done;
    await runServices([service('once', () => Promise.resolve())], new AbortController().signal);
  });

  it('starts nothing when it is too late', async () => {
    const { log, service } = recorded();
    await runServices([service('a')], AbortSignal.abort());
    assert.deepEqual(log, []);
  });
});
