import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLease } from '../../src/lease/lease.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { CallOptions, LeaseEvent, LeasePage, LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { watchLeases } from '../../src/kube/list-watch.ts';
import type { ByteStream } from '../../src/kube/list-watch.ts';
import { afterEnd as afterEndOf } from '../../src/kube/watch-end.ts';
import type { End } from '../../src/kube/watch-end.ts';
import { MAX_LINE_BYTES } from '../../src/kube/watch-stream.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { leaseJson, statusBody } from './support.ts';

const fault = (code: LeaseStoreErrorCode, retryAfterMs?: number): LeaseStoreError =>
  new LeaseStoreError(code, { message: code, retryAfterMs });
const page = (resourceVersion: string, names: readonly string[] = [], more?: string): LeasePage => ({
  resourceVersion,
  leases: names.map((name) => parseLease(leaseJson(name))),
  ...(more === undefined ? {} : { continue: more }),
});

/** A stream that the test writes to. */
class FakeStream implements ByteStream {
  closed = false;
  #items: (Buffer | Error | undefined)[] = [];
  #wake: (() => void) | undefined;
  reads = 0;
  async read(): Promise<Buffer | undefined> {
    this.reads++;
    while (this.#items.length === 0) {
      if (this.closed) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const item = this.#items.shift();
    if (item instanceof Error) throw item;
    return item;
  }
  close(): void {
    this.closed = true;
    this.#wake?.();
  }
  put(item: Buffer | string | Error | undefined): void {
    this.#items.push(typeof item === 'string' ? Buffer.from(item) : item);
    this.#wake?.();
  }
  event(type: string, object: object): void {
    this.put(`${JSON.stringify({ type, object })}\n`);
  }
  bookmark(resourceVersion: string): void {
    this.event('BOOKMARK', { metadata: { resourceVersion } });
  }
}

type Step<T> = T | Error | ((call: CallOptions) => Promise<T>);

/** The loop with scripted lists and streams; what is not scripted is an empty list at 100 and a silent stream. */
class Rig {
  readonly clock = new ManualClock();
  readonly controller = new AbortController();
  readonly lists: Step<LeasePage>[] = [];
  readonly opens: Step<FakeStream>[] = [];
  readonly asked: string[] = [];
  readonly streams: FakeStream[] = [];
  readonly events: LeaseEvent[] = [];
  /** `running`, `ended`, or the error. */
  done: unknown = 'running';
  start(silenceMs?: number): this {
    void (async () => {
      for await (const event of this.iterate(silenceMs)) this.events.push(event);
    })().then(
      () => (this.done = 'ended'),
      (error: unknown) => (this.done = error),
    );
    return this;
  }
  iterate(silenceMs?: number): AsyncGenerator<LeaseEvent, void, undefined> {
    return watchLeases({
      list: async (query, call) => {
        this.asked.push(`list${query.limit === undefined ? ' all' : ''}${query.continue ? ` ${query.continue}` : ''}`);
        return this.#play(this.lists.shift() ?? page('100'), call);
      },
      open: async (from, call) => {
        this.asked.push(`watch ${from.resourceVersion}`);
        assert.ok(from.timeoutSeconds >= 300 && from.timeoutSeconds <= 600);
        const stream = await this.#play(this.opens.shift() ?? new FakeStream(), call);
        this.streams.push(stream);
        call.signal?.addEventListener('abort', () => stream.put(fault('Aborted')));
        return stream;
      },
      clock: this.clock,
      random: () => 1,
      signal: this.controller.signal,
      silenceMs,
    });
  }
  get stream(): FakeStream {
    return this.streams.at(-1) ?? assert.fail('no stream');
  }
  /** Events since the last call, as words. */
  passedOn(): string[] {
    return this.events.splice(0).map((e) => {
      if (e.type === 'list') return `list ${e.leases.map((l) => l.metadata.name).join('+')}`.trim();
      if (e.type === 'lost') return `lost ${e.error.code}`;
      return e.type === 'fresh' ? 'fresh' : `${e.type} ${e.lease.metadata.name}`;
    });
  }
  requests(): string[] {
    return this.asked.splice(0);
  }
  async stop(): Promise<void> {
    this.controller.abort();
    await settle();
    assert.equal(this.done, 'ended');
    assert.equal(this.clock.pending, 0);
    const { length } = this.asked;
    await this.clock.advance(3_600_000);
    assert.equal(this.asked.length, length, 'requested after the abort');
    assert.ok(this.streams.every((s) => s.closed));
  }
  async #play<T>(step: Step<T>, call: CallOptions): Promise<T> {
    if (step instanceof Error) throw step;
    return typeof step === 'function' ? (step as (call: CallOptions) => Promise<T>)(call) : step;
  }
}

const until = (call: CallOptions): Promise<never> =>
  new Promise((_, reject) => call.signal?.addEventListener('abort', () => reject(fault('Aborted'))));

test('list, then events and bookmarks; an orderly end is renewed from the last version, without list or pause', async () => {
  const rig = new Rig();
  rig.lists.push(page('5', ['a', 'b']));
  rig.start();
  await settle();
  assert.deepEqual(rig.passedOn(), ['list a+b']);
  rig.stream.event('ADDED', leaseJson('c', '6'));
  rig.stream.event('DELETED', leaseJson('a', '7'));
  rig.stream.bookmark('9');
  await rig.clock.advance(5_000);
  assert.deepEqual(rig.passedOn(), ['added c', 'deleted a', 'fresh']);
  rig.stream.put(undefined);
  await settle();
  assert.deepEqual(rig.passedOn(), ['fresh']);
  assert.deepEqual(rig.requests(), ['list', 'watch 5', 'watch 9']);
  await rig.stop();
});

test('all pages make one list; a continue token that expires means that it begins again', async () => {
  const rig = new Rig();
  rig.lists.push(page('5', ['a'], 't1'), page('5', ['b'], 't2'), fault('Expired'));
  rig.lists.push(page('8', ['a', 'b'], 't1'), page('8', ['c']));
  rig.start();
  await settle();
  assert.deepEqual(rig.passedOn(), ['list a+b+c']);
  assert.deepEqual(rig.requests(), ['list', 'list t1', 'list t2', 'list', 'list t1', 'watch 8']);
  await rig.stop();
});

test('silence: the connection is given up within the bound and taken up again from the last version', async () => {
  const rig = new Rig().start(75_000);
  await rig.clock.advance(60_000);
  rig.stream.bookmark('120');
  await rig.clock.advance(74_999);
  assert.deepEqual(rig.passedOn(), ['list', 'fresh']);
  await rig.clock.advance(1);
  assert.deepEqual(rig.passedOn(), ['lost Timeout', 'fresh']);
  assert.deepEqual(rig.requests(), ['list', 'watch 100', 'watch 120']);
  assert.ok(rig.streams[0]?.closed);
  await rig.stop();
});

test('a cut, also in the middle of a line: lost, a pause, and on from the last whole event', async () => {
  const rig = new Rig().start();
  await settle();
  rig.stream.event('MODIFIED', leaseJson('a', '101'));
  rig.stream.put('{"type":"MODIF');
  await rig.clock.advance(2_000);
  rig.stream.put(fault('Unavailable'));
  await settle();
  assert.deepEqual(rig.passedOn(), ['list', 'modified a', 'lost Unavailable']);
  await rig.clock.advance(499);
  assert.deepEqual(rig.requests(), ['list', 'watch 100']);
  await rig.clock.advance(1);
  assert.deepEqual(rig.requests(), ['watch 101']);
  assert.deepEqual(rig.passedOn(), ['fresh']);
  await rig.stop();
});

test('410, as a status and as an event: a new list at once, with a pause only when it comes right after a list', async () => {
  const rig = new Rig().start();
  await settle();
  rig.lists.push(page('200', ['x']));
  await rig.clock.advance(1_000);
  rig.stream.bookmark('150');
  rig.stream.event('ERROR', statusBody(410, 'Expired', 'too old'));
  await settle();
  assert.deepEqual(rig.passedOn(), ['list', 'fresh', 'lost Expired', 'list x']);
  assert.deepEqual(rig.requests(), ['list', 'watch 100', 'list', 'watch 200']);
  rig.opens.push(fault('Expired'));
  await rig.clock.advance(5_000);
  rig.stream.put(undefined);
  await settle();
  assert.deepEqual(rig.requests(), ['watch 200', 'list', 'watch 100']);
  rig.stream.event('ERROR', statusBody(410, 'Expired', 'too old'));
  await settle();
  assert.deepEqual(rig.requests(), []);
  await rig.clock.advance(500);
  assert.deepEqual(rig.requests(), ['list', 'watch 100']);
  await rig.stop();
});

test('a bad line: lost, and a list after a pause, for nobody knows what it said', async () => {
  for (const bad of [
    '{"type":\n',
    '{"type":"NEW","object":{}}\n',
    '{"type":"ADDED","object":{}}\n',
    Buffer.alloc(MAX_LINE_BYTES + 1, 97),
  ]) {
    const rig = new Rig().start();
    await settle();
    rig.stream.put(bad);
    await settle();
    assert.deepEqual(rig.passedOn(), ['list', 'lost BadAnswer']);
    assert.ok(rig.stream.closed);
    await rig.clock.advance(500);
    assert.deepEqual(rig.passedOn(), ['list']);
    assert.deepEqual(rig.requests(), ['list', 'watch 100', 'list', 'watch 100']);
    await rig.stop();
  }
});

test('a server at fault: pauses grow to 4 s, Retry-After counts, and a good life resets them', async () => {
  const rig = new Rig();
  rig.lists.push(
    fault('Unauthorized'),
    fault('ServerError'),
    fault('Unavailable'),
    fault('TooManyRequests', 7_000),
    fault('Credentials'),
  );
  rig.start();
  const pauses: number[] = [];
  await settle();
  for (let before = rig.requests().length; before > 0; before = rig.requests().length) {
    if (rig.streams.length > 0) break;
    pauses.push(rig.clock.next ?? assert.fail('no pause'));
    await rig.clock.step();
  }
  assert.deepEqual(pauses, [500, 1000, 2000, 7000, 4000]);
  assert.deepEqual(rig.passedOn(), [
    'lost Unauthorized',
    'lost ServerError',
    'lost Unavailable',
    'lost TooManyRequests',
    'lost Credentials',
    'list',
  ]);
  await rig.clock.advance(1_000);
  rig.stream.bookmark('101');
  await settle();
  rig.stream.put(fault('Unavailable'));
  await settle();
  assert.equal(rig.clock.next, 500);
  await rig.stop();
});

test('a server that ends each watch at once is not asked in a circle', async () => {
  const rig = new Rig();
  for (let i = 0; i < 50; i++) {
    const stream = new FakeStream();
    stream.event('MODIFIED', leaseJson('a', String(200 + i)));
    stream.put(undefined);
    rig.opens.push(stream);
  }
  rig.start();
  await rig.clock.advance(60_000);
  assert.ok(rig.requests().length <= 60_000 / 2_000 + 5);
  assert.ok(rig.passedOn().includes('lost Unavailable'));
  await rig.stop();
});

test('Forbidden ends it with the error, from the list or the watch', async () => {
  for (const from of ['lists', 'opens'] as const) {
    const rig = new Rig();
    rig[from].push(fault('Forbidden'));
    rig.start();
    await settle();
    assert.ok(rig.done instanceof LeaseStoreError && rig.done.code === 'Forbidden');
    assert.equal(rig.clock.pending, 0);
  }
});

test('stops when asked, at any moment of its life', async () => {
  const before = new Rig();
  before.controller.abort();
  await before.start().stop();
  assert.deepEqual(before.requests(), []);

  const listing = new Rig();
  listing.lists.push(until);
  listing.start();
  await settle();
  await listing.stop();
  assert.deepEqual(listing.requests(), ['list']);
  assert.deepEqual(listing.passedOn(), []);

  const pausing = new Rig();
  pausing.lists.push(fault('ServerError'));
  pausing.start();
  await settle();
  await pausing.stop();
  assert.deepEqual(pausing.passedOn(), ['lost ServerError']);

  const opening = new Rig();
  opening.opens.push(until);
  opening.start();
  await settle();
  await opening.stop();
  assert.deepEqual(opening.passedOn(), ['list']);

  const between = new Rig().start();
  await settle();
  between.stream.event('ADDED', leaseJson('a', '101'));
  await settle();
  await between.stop();
  assert.deepEqual(between.passedOn(), ['list', 'added a']);
});

test('aborting inside an event ends it there; breaking out closes the connection', async () => {
  const rig = new Rig();
  const seen: string[] = [];
  const stream = new FakeStream();
  // In one piece: what follows in it is not passed on any more.
  stream.put(`${JSON.stringify({ type: 'ADDED', object: leaseJson('a', '101') })}\n`.repeat(3));
  rig.opens.push(stream);
  for await (const event of rig.iterate()) {
    seen.push(event.type);
    if (event.type === 'added') rig.controller.abort();
  }
  assert.deepEqual(seen, ['list', 'added']);
  assert.ok(stream.closed);

  const other = new Rig();
  const second = new FakeStream();
  second.event('ADDED', leaseJson('a', '101'));
  other.opens.push(second);
  for await (const event of other.iterate()) if (event.type === 'added') break;
  assert.ok(second.closed);
  assert.equal(other.clock.pending, 0);
});

test('a consumer that is slow: nothing is read meanwhile, and that is no silence', async () => {
  const rig = new Rig();
  const iterator = rig.iterate(75_000);
  const stream = new FakeStream();
  rig.opens.push(stream);
  await iterator.next();
  for (let i = 0; i < 10; i++) stream.event('ADDED', leaseJson(`l${i}`, `${101 + i}`));
  await iterator.next();
  const { reads } = stream;
  await rig.clock.advance(600_000);
  assert.equal(stream.reads, reads);
  const next = await iterator.next();
  assert.equal(!next.done && next.value.type, 'added');
  await iterator.return();
  assert.ok(stream.closed);
});

test('a store that was closed ends it', async () => {
  const rig = new Rig();
  rig.opens.push(fault('Aborted'));
  rig.start();
  await settle();
  assert.equal(rig.done, 'ended');
  assert.equal(rig.clock.pending, 0);
});

test('what comes next, by table', () => {
  const afterEnd = (end: End) => afterEndOf(end, 'leases');
  const failed = (code: LeaseStoreErrorCode, afterList = false) =>
    afterEnd({ kind: 'failed', error: fault(code), afterList });
  const brief = ({ from, pause, fatal }: ReturnType<typeof afterEnd>): string =>
    `${from}${pause ? ' pause' : ''}${fatal ? ' fatal' : ''}`;
  assert.equal(brief(afterEnd({ kind: 'closed', livedMs: 1000 })), 'version');
  assert.equal(afterEnd({ kind: 'closed', livedMs: 1000 }).lost, undefined);
  assert.equal(brief(afterEnd({ kind: 'closed', livedMs: 999 })), 'version pause');
  assert.equal(brief(afterEnd({ kind: 'silent', silenceMs: 1 })), 'version');
  assert.equal(brief(afterEnd({ kind: 'bad', why: '' })), 'list pause');
  assert.equal(brief(failed('Forbidden')), 'list fatal');
  assert.equal(brief(failed('Expired')), 'list');
  assert.equal(brief(failed('Expired', true)), 'list pause');
  for (const code of [
    'Timeout',
    'Unavailable',
    'ServerError',
    'TooManyRequests',
    'BadAnswer',
    'Unauthorized',
    'Credentials',
  ] as const) {
    assert.equal(brief(failed(code)), 'version pause', code);
  }
  for (const code of ['Invalid', 'NotFound', 'Conflict', 'NamespaceTerminating'] as const) {
    assert.equal(brief(failed(code)), 'list pause', code);
  }
});
