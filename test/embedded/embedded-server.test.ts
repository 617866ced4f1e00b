import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { request as httpRequest } from 'node:http';
import { after, beforeEach, test } from 'node:test';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import type { EmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { LEASES, lease, until } from './support.ts';
import type { Json } from './support.ts';

let server: EmbeddedServer;
let clock: ManualClock;
beforeEach(async () => {
  await server?.close();
  clock = new ManualClock();
  server = await startEmbeddedServer({ clock, tokens: undefined });
});
after(() => server.close());

const call = async (
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: Json }> => {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await fetch(server.url + path, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(text !== undefined && { body: text }),
  });
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Json };
};

/** Opens a watch; collects the lines that it receives. */
function watch(path: string): {
  lines: Json[];
  text: () => string;
  state: { open: boolean; ended: boolean; broken: boolean };
  stop: () => void;
} {
  let text = '';
  const state = { open: false, ended: false, broken: false };
  const req = httpRequest(server.url + path, (res) => {
    state.open = true;
    res.setEncoding('utf8');
    res.on('data', (chunk: string) => {
      text += chunk;
      lines.splice(
        0,
        lines.length,
        ...text
          .split('\n')
          .slice(0, -1)
          .filter((l) => l.endsWith('}}'))
          .map((l) => JSON.parse(l) as Json),
      );
    });
    res.on('end', () => (state.ended = true));
    res.on('error', () => (state.broken = true));
  });
  const lines: Json[] = [];
  req.on('error', () => (state.broken = true));
  req.end();
  return { lines, text: () => text, state, stop: () => req.destroy() };
}

test('the Date header and creation times are those of its own clock', async () => {
  clock.stepWall(3_600_000);
  const answer = await call('POST', LEASES, lease('a'));
  assert.equal(answer.headers.get('date'), 'Thu, 01 Jan 2026 01:00:00 GMT');
  assert.equal(answer.body['metadata'].creationTimestamp, '2026-01-01T01:00:00Z');
});

test('a body over 3 MiB gets 413, one just below it is read', async () => {
  const padded = (size: number): string => JSON.stringify(lease('a', { nope: 'x'.repeat(size) }));
  assert.equal((await call('POST', LEASES, padded(3 * 1024 * 1024))).status, 413);
  assert.equal((await call('POST', LEASES, padded(3 * 1024 * 1024 - 1000))).status, 201);
});

test('what is no HTTP gets 400 and leaves the server alone', async () => {
  const socket = connect(server.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (d) => (answer += d.toString()));
  socket.end('what is this\r\n\r\n');
  await until(() => answer !== '', 'an answer');
  assert.match(answer, /^HTTP\/1.1 400/);
  assert.equal((await call('GET', LEASES)).status, 200);
});

test('YAML bodies are read, malformed ones refused', async () => {
  const yaml = { 'content-type': 'application/yaml' };
  const made = await call('POST', LEASES, 'metadata: {name: yy}\nspec:\n  holderIdentity: h\n', yaml);
  assert.deepEqual([made.status, made.body['spec']], [201, { holderIdentity: 'h' }]);
  assert.equal((await call('POST', LEASES, 'a: [', yaml)).status, 400);
});

test('a protobuf body, as Go clients send it', async () => {
  // What kubectl 1.32 sends for `create ns foo`.
  const hex =
    '6b3873000a0f0a02763112094e616d657370616365121b0a130a03666f6f12001a0022002a0032003800420012001a020a001a002200';
  const send = (bytes: Buffer): Promise<Response> =>
    fetch(`${server.url}/api/v1/namespaces`, {
      method: 'POST',
      body: new Uint8Array(bytes),
      headers: { 'content-type': 'application/vnd.kubernetes.protobuf' },
    });
  assert.equal((await send(Buffer.from(hex, 'hex'))).status, 201);
  assert.equal((await call('GET', '/api/v1/namespaces/foo')).body['status'].phase, 'Active');
  for (let cut = 1; cut < hex.length / 2; cut++) {
    const { status } = await send(Buffer.from(hex, 'hex').subarray(0, cut));
    assert.ok([400, 409, 415, 422].includes(status), `cut to ${cut} bytes: ${status}`);
  }
});

test('a watch over HTTP: lines as things happen; its end leaves nothing behind', async () => {
  const seen = watch(`${LEASES}?watch=1&timeoutSeconds=5`);
  await until(() => seen.state.open, 'the watch to open');
  await call('POST', LEASES, lease('a'));
  await until(() => seen.lines.length === 1, 'an event');
  assert.equal(seen.lines[0]?.['object'].metadata.name, 'a');
  await clock.advance(5000);
  await until(() => seen.state.ended, 'the end');
  assert.equal(clock.pending, 0);
  const left = watch(`${LEASES}?watch=1`);
  await until(() => left.state.open, 'the second watch');
  left.stop();
  await until(() => server.faults.openWatches === 0, 'the server to notice');
  assert.equal(clock.pending, 0);
});

test('close ends watches cleanly, drops what hangs, and leaves no timer', async () => {
  const seen = watch(`${LEASES}?watch=1&allowWatchBookmarks=1`);
  server.faults.add({ match: { name: 'hang' }, fault: { type: 'hang' } });
  server.faults.add({ match: { name: 'slow' }, fault: { type: 'delay', ms: 1000 } });
  const failures = ['hang', 'slow'].map((name) => call('GET', `${LEASES}/${name}`).catch(() => 'broken'));
  await until(() => seen.state.open && clock.pending >= 3, 'all to be under way');
  await Promise.all([server.close(), server.close()]);
  assert.deepEqual(await Promise.all(failures), ['broken', 'broken']);
  await until(() => seen.state.ended, 'the end of the watch');
  assert.equal(clock.pending, 0);
  await assert.rejects(call('GET', '/readyz'));
});

test('requests are logged: what, by whom, with which status', async () => {
  await call('GET', `${LEASES}/none`, undefined, { 'user-agent': 'tester/1' });
  await call('POST', LEASES, lease('a'));
  assert.deepEqual(
    server.requests.entries.map((r) => [r.verb, r.resource, r.name, r.status]),
    [
      ['get', 'leases', 'none', 404],
      ['create', 'leases', '', 201],
    ],
  );
  assert.deepEqual(
    [
      server.requests.count({ userAgent: 'tester/1' }),
      server.requests.count({ method: 'POST' }),
      server.requests.count(),
    ],
    [1, 1, 2],
  );
});

test('a port that is taken is an error with its code', async () => {
  await assert.rejects(startEmbeddedServer({ port: server.port }), { code: 'EADDRINUSE' });
});

test('faults: each does what it says, as often as it says', async () => {
  const { faults } = server;
  faults.add({
    match: { name: 'a', verb: 'get' },
    times: 2,
    fault: { type: 'too-many-requests', retryAfterSeconds: 7 },
  });
  const throttled = await call('GET', `${LEASES}/a`);
  assert.deepEqual([throttled.status, throttled.headers.get('retry-after')], [429, '7']);
  assert.equal((await call('GET', `${LEASES}/a`)).status, 429);
  assert.equal((await call('GET', `${LEASES}/a`)).status, 404);

  const conflict = faults.add({ match: { method: 'POST' }, fault: { type: 'conflict' } });
  assert.equal((await call('POST', LEASES, lease('a'))).body['reason'], 'Conflict');
  conflict.remove();
  assert.equal(conflict.hits, 1);

  for (const [code, reason] of [
    [401, 'Unauthorized'],
    [403, 'Forbidden'],
    [410, 'Expired'],
    [500, 'InternalError'],
    [503, 'ServiceUnavailable'],
  ] as const) {
    faults.add({ times: 1, fault: { type: 'status', code } });
    assert.deepEqual(
      [(await call('GET', LEASES)).status, server.requests.entries.at(-1)?.status],
      [code, code],
      reason,
    );
  }
  faults.add({ times: 1, fault: { type: 'drop' } });
  await assert.rejects(call('POST', LEASES, lease('dropped')));
  faults.add({ times: 1, fault: { type: 'lose-answer' } });
  await assert.rejects(call('POST', LEASES, lease('lost')));
  const names = server.store
    .collection('leases')
    .objects()
    .map((o) => o.metadata.name);
  assert.deepEqual(names, ['lost'], 'the dropped one was not done, the lost one was');
});

test('delay and hang hold a request back; it is carried out when let go', async () => {
  server.faults.add({ match: { method: 'POST' }, times: 1, fault: { type: 'delay', ms: 500 } });
  const delayed = call('POST', LEASES, lease('delayed'));
  await until(() => clock.pending === 1, 'the delay');
  assert.equal(server.store.collection('leases').size, 0);
  await clock.advance(500);
  assert.equal((await delayed).status, 201);

  const hang = server.faults.add({ match: { method: 'POST' }, fault: { type: 'hang' } });
  const gone = new AbortController();
  const hung = fetch(server.url + LEASES, {
    method: 'POST',
    body: JSON.stringify(lease('hung')),
    headers: { 'content-type': 'application/json' },
    signal: gone.signal,
  });
  await until(() => hang.hits === 1, 'the request');
  await new Promise((resolve) => setTimeout(resolve, 20));
  gone.abort();
  await assert.rejects(hung);
  hang.remove();
  await until(() => server.store.collection('leases').get('kube-system', 'hung') !== undefined, 'the late write');
});

test('no space left: writes are refused, deletes and reads go on', async () => {
  await call('POST', LEASES, lease('a'));
  const full = server.faults.refuseWrites();
  assert.equal((await call('PUT', `${LEASES}/a`, lease('a'))).status, 500);
  assert.equal((await call('GET', LEASES)).status, 200);
  assert.equal((await call('DELETE', `${LEASES}/a`)).status, 200);
  full.remove();
  assert.equal((await call('POST', LEASES, lease('a'))).status, 201);
});

test('watches can be silenced, cut, made to say nonsense, and their versions expired', async () => {
  const { faults } = server;
  const open = async (query = ''): Promise<ReturnType<typeof watch>> => {
    const seen = watch(`${LEASES}?watch=1${query}`);
    await until(() => seen.state.open, 'the watch to open');
    return seen;
  };
  const first = await open();
  const speak = faults.silenceWatches();
  await call('POST', LEASES, lease('a'));
  const second = await open('&resourceVersion=1');
  assert.deepEqual([first.lines.length, second.lines.length], [0, 0]);
  speak();
  await until(() => first.lines.length === 1 && second.lines.length >= 1, 'what was withheld');

  assert.equal(faults.writeToWatches('{"type":\n'), 2);
  await until(() => first.text().endsWith('{"type":\n'), 'the bad line');

  assert.equal(faults.cutWatches(), 2);
  await until(() => first.state.broken && second.state.broken, 'the cut');
  const third = await open();
  faults.cutWatches({ clean: true });
  await until(() => third.state.ended, 'the clean end');

  const version = (await call('GET', LEASES)).body['metadata'].resourceVersion as string;
  faults.expireVersions();
  const late = await open(`&resourceVersion=${version}`);
  await until(() => late.state.ended, 'the refusal');
  assert.equal(late.lines[0]?.['object'].code, 410);
});

test('a kubeconfig that a client can use', async () => {
  const text = server.kubeconfig();
  assert.match(text, new RegExp(`server: ${server.url}\n`));
  await server.close();
  server = await startEmbeddedServer({ tokens: { secret: { user: 'u' } } });
  assert.match(server.kubeconfig(), /token: "secret"/);
});
