import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startHttpProxy, startTcpProxy, statusBody } from './fault-proxy.ts';

const seen: { method: string; path: string; authorization: string | undefined; body: string }[] = [];
/** Answers with 1,000 letters; under /stream with a line every 10 ms for ever. */
const server = createServer((from, back) => {
  let body = '';
  from.on('data', (chunk: Buffer) => (body += chunk.toString()));
  from.on('end', () => {
    const { method = '', url = '', headers } = from;
    seen.push({ method, path: url, authorization: headers.authorization, body });
    if (url !== '/stream') return void back.end('x'.repeat(1_000));
    const timer = setInterval(() => back.write('line\n'), 10);
    back.on('close', () => clearInterval(timer));
  });
});
let target: string;
before(async () => {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  target = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

interface Got {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}
/** One request over a connection of its own; rejects with code ECONNRESET or TIMEOUT. */
function call(url: string, { method = 'GET', body = '', ms = 30_000, onChunk = (): void => {} } = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent: false, headers: { authorization: 'Bearer t' } }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        onChunk();
      });
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
      answer.on('close', () => clearTimeout(timer));
    });
    const timer = setTimeout(() => sent.destroy(Object.assign(new Error('timeout'), { code: 'TIMEOUT' })), ms);
    sent.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    sent.end(body);
  });
}

describe('HTTP proxy', () => {
  const through = (name: string, test: (proxy: Awaited<ReturnType<typeof startHttpProxy>>) => Promise<void>): void => {
    it(name, { timeout: 120_000 }, async () => {
      const proxy = await startHttpProxy(target);
      try {
        await test(proxy);
      } finally {
        await proxy.close();
      }
    });
  };

  through('passes method, path, headers and body, and logs the answer', async (proxy) => {
    assert.equal((await call(`${proxy.url}/a?b=c`, { method: 'PUT', body: 'hello' })).text.length, 1_000);
    assert.deepEqual(seen.at(-1), { method: 'PUT', path: '/a?b=c', authorization: 'Bearer t', body: 'hello' });
    const [entry] = proxy.log;
    assert.deepEqual([entry?.method, entry?.path, entry?.status, entry?.spoiled], ['PUT', '/a?b=c', 200, false]);
  });

  through('loses an answer after the server gave it', async (proxy) => {
    proxy.rule({ method: 'PUT', times: 1, fault: { loseAnswer: true } });
    await assert.rejects(call(`${proxy.url}/lost`, { method: 'PUT' }), { code: 'ECONNRESET' });
    assert.equal(seen.at(-1)?.path, '/lost');
    assert.equal(proxy.log[0]?.status, 200);
    assert.equal((await call(`${proxy.url}/lost`, { method: 'PUT' })).status, 200);
  });

  through('answers by itself', async (proxy) => {
    const before = seen.length;
    const body = statusBody(429, 'TooManyRequests', 'slow down');
    const remove = proxy.rule({
      path: /^\/b/,
      fault: { answer: { status: 429, headers: { 'retry-after': '3' }, body } },
    });
    const got = await call(`${proxy.url}/b`);
    assert.deepEqual([got.status, got.headers['retry-after'], JSON.parse(got.text)], [429, '3', body]);
    assert.equal(seen.length, before);
    remove();
    assert.equal((await call(`${proxy.url}/b`)).status, 200);
    assert.equal(proxy.count('GET', '/b'), 2);
    assert.equal(proxy.count('PUT'), 0);
  });

  through('hangs before or after the server acts', async (proxy) => {
    const before = seen.length;
    proxy.rule({ times: 1, fault: { hang: 'request' } });
    await assert.rejects(call(`${proxy.url}/c`, { ms: 100 }), { code: 'TIMEOUT' });
    assert.equal(seen.length, before);
    proxy.rule({ times: 1, fault: { hang: 'answer' } });
    await assert.rejects(call(`${proxy.url}/c`, { ms: 300 }), { code: 'TIMEOUT' });
    assert.equal(seen.length, before + 1);
  });

  through('cuts an answer short, and delays one', async (proxy) => {
    proxy.rule({ times: 1, fault: { truncateAfter: 500 } });
    await assert.rejects(call(`${proxy.url}/d`), { code: 'ECONNRESET' });
    proxy.rule({ times: 1, fault: { delayMs: 100 } });
    const started = performance.now();
    assert.equal((await call(`${proxy.url}/d`)).status, 200);
    assert.ok(performance.now() - started > 95);
  });

  through('streams, and cuts streams', async (proxy) => {
    let chunks = 0;
    const stream = call(`${proxy.url}/stream`, {
      onChunk: () => {
        if (++chunks === 3) proxy.cut();
      },
    });
    await assert.rejects(stream, { code: 'ECONNRESET' });
    assert.ok(chunks >= 3);
  });
});

describe('TCP proxy', () => {
  const through = (name: string, test: (proxy: Awaited<ReturnType<typeof startTcpProxy>>) => Promise<void>): void => {
    it(name, { timeout: 120_000 }, async () => {
      const proxy = await startTcpProxy(target);
      try {
        await test(proxy);
        proxy.set('pass');
        assert.equal((await call(proxy.url)).text.length, 1_000);
      } finally {
        await proxy.close();
      }
      assert.equal(proxy.open, 0);
    });
  };

  through('passes', async (proxy) => {
    assert.equal((await call(proxy.url)).text.length, 1_000);
    assert.equal(proxy.accepted, 1);
  });

  through('refuses', async (proxy) => {
    proxy.set('refuse');
    await assert.rejects(call(proxy.url), { code: 'ECONNRESET' });
  });

  through('swallows', async (proxy) => {
    const before = seen.length;
    proxy.set('swallow');
    await assert.rejects(call(proxy.url, { ms: 150 }), { code: 'TIMEOUT' });
    assert.equal(proxy.accepted, 1);
    assert.equal(seen.length, before);
  });

  through('pauses, and then passes everything', async (proxy) => {
    proxy.set('pause');
    const answer = call(proxy.url);
    const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 150, 'nothing yet'))]);
    assert.equal(first, 'nothing yet');
    proxy.set('pass');
    assert.equal((await answer).text.length, 1_000);
  });

  through('pauses one direction alone: the server hears it, or does not', async (proxy) => {
    for (const [only, heard] of [
      ['answers', 1],
      ['requests', 0],
    ] as const) {
      const before = seen.length;
      proxy.set({ kind: 'pause', only });
      const answer = call(proxy.url);
      while (seen.length - before < heard) await new Promise((resolve) => setTimeout(resolve, 10));
      const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 150, 'nothing yet'))]);
      assert.deepEqual([first, seen.length - before], ['nothing yet', heard]);
      proxy.set('pass');
      assert.equal((await answer).text.length, 1_000);
    }
  });

  through('turns bits of answers over', async (proxy) => {
    proxy.set('corrupt');
    // In the headers it breaks the answer, in the body the text.
    const text = await call(proxy.url, { ms: 500 }).then(
      (answer) => answer.text,
      () => 'broken',
    );
    assert.notEqual(text, 'x'.repeat(1_000));
  });

  through('is slow', async (proxy) => {
    proxy.set({ kind: 'slow', bytesPerSecond: 5_000 });
    const started = performance.now();
    assert.equal((await call(proxy.url)).text.length, 1_000);
    assert.ok(performance.now() - started > 150);
  });

  through('resets in the middle of a body', async (proxy) => {
    proxy.set({ kind: 'reset', afterBytes: 500 });
    let got = 0;
    await assert.rejects(call(proxy.url, { onChunk: () => got++ }), { code: 'ECONNRESET' });
    assert.equal(got, 1);
  });

  through('cuts what is open, and serves what is new', async (proxy) => {
    let chunks = 0;
    const stream = call(`${proxy.url}/stream`, {
      onChunk: () => {
        if (++chunks === 3) proxy.cut();
      },
    });
    await assert.rejects(stream, { code: 'ECONNRESET' });
  });
});
