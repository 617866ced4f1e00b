/** Cron: each fire runs at most once, whatever gets lost and whatever clocks say. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { Cron } from '../../src/recipes/cron.ts';
import type { CronEvent, CronOptions } from '../../src/recipes/cron.ts';
import { FIRES_ANNOTATION } from '../../src/recipes/fires.ts';
import { OptionsError } from '../../src/runtime/options.ts';
import { Cluster, REF } from './support.ts';

const at = (cluster: Cluster, seconds = 0): Date =>
  new Date(Math.floor(cluster.clock.wallMicros() / 1e6) * 1000 + seconds * 1000);

function cron(cluster: Cluster, id: string, more: Partial<CronOptions> = {}) {
  const events: CronEvent[] = [];
  const parts = cluster.process(id);
  return {
    cron: new Cron({ ...parts, ...more, observe: (event) => void events.push(event) }),
    events,
    store: parts.store,
  };
}

test('of five replicas one gets each fire; other jobs under the same Lease are other fires', async () => {
  const cluster = new Cluster();
  const replicas = Array.from({ length: 5 }, (_, i) => cron(cluster, `r${i}`));
  for (let fire = 0; fire < 20; fire++) {
    const time = at(cluster);
    const jobs = await cluster.until(
      Promise.all(replicas.flatMap(({ cron: c }) => ['a', 'b'].map((job) => c.claimFire(job, time)))),
    );
    assert.equal(jobs.filter((term) => term !== undefined).length, 2, `fire ${fire}`);
    await cluster.clock.advance(5_000);
  }
  assert.equal(cluster.peek()?.metadata.labels['leasekeeper.dev/kind'], 'cron');
});

test('a claim whose answer is lost is recognised as ours; one that nobody knows of is said to be lost', async () => {
  const cluster = new Cluster();
  const a = cron(cluster, 'a');
  a.store.next('create', { lose: 'Unavailable' });
  assert.ok(await cluster.until(a.cron.claimFire('job', at(cluster))));
  await cluster.clock.advance(1_000);
  a.store.next('update', { lose: 'Unavailable' });
  const time = at(cluster);
  const claiming = a.cron.claimFire('job', time);
  a.store.faults = ({ verb }) => (verb === 'list' && a.store.count('update') > 0 ? { fail: 'Unavailable' } : undefined);
  assert.equal(await cluster.until(claiming), undefined);
  const event = a.events.at(-1);
  assert.ok(event?.type === 'lost' && event.stored === undefined);
  const b = cron(cluster, 'b');
  assert.equal(await cluster.until(b.cron.claimFire('job', time)), undefined, 'it was stored');
});

test('a claim that was never sent says so, and why', async () => {
  const cluster = new Cluster();
  const a = cron(cluster, 'a');
  a.store.faults = ({ verb }) => (verb === 'list' ? { fail: 'Forbidden' } : undefined);
  assert.equal(await cluster.until(a.cron.claimFire('job', at(cluster))), undefined);
  const event = a.events.at(-1);
  assert.ok(event?.type === 'lost');
  assert.deepEqual([event.stored, event.error.code], [false, 'Forbidden']);
});

test('a fire that lies ahead of the server, or far behind it, is refused; nobody else is disturbed', async () => {
  const cluster = new Cluster();
  const [wrong, right] = [cron(cluster, 'a'), cron(cluster, 'b')];
  assert.equal(await cluster.until(wrong.cron.claimFire('job', at(cluster, 10 * 365 * 86_400))), undefined);
  assert.deepEqual(
    wrong.events.map((e) => (e.type === 'refused' ? e.reason : e.type)),
    ['ahead'],
  );
  assert.equal(await cluster.until(wrong.cron.claimFire('job', at(cluster, -121))), undefined);
  assert.ok(await cluster.until(right.cron.claimFire('job', at(cluster))));
  assert.ok(await cluster.until(right.cron.claimFire('job', at(cluster, -60))), 'a clock a minute behind');
  assert.ok(await cluster.until(wrong.cron.claimFire('job', at(cluster, 60))), 'a clock a minute ahead');
});

test('a record that cannot be read, or comes without the time of the server: nothing is claimed, and it is said', async () => {
  const cluster = new Cluster();
  const a = cron(cluster, 'a');
  const annotations = { [FIRES_ANNOTATION]: '{"claimed":7}' };
  cluster.store.put({ ...REF, labels: {}, annotations, spec: {} });
  assert.equal(await cluster.until(a.cron.claimFire('job', at(cluster))), undefined);
  assert.deepEqual(
    a.events.map(({ type }) => type),
    ['badRecord'],
  );
  assert.equal(cluster.peek()?.metadata.annotations[FIRES_ANNOTATION], annotations[FIRES_ANNOTATION]);
  cluster.store.remove(REF);
  const b = cron(cluster, 'b');
  const list = b.store.list.bind(b.store);
  b.store.list = async (...asked) => ({ ...(await list(...asked)), serverDate: undefined });
  assert.equal(await cluster.until(b.cron.claimFire('job', at(cluster))), undefined);
  const event = b.events.at(-1);
  assert.ok(event?.type === 'lost' && event.stored === false && event.error.code === 'BadAnswer');
  assert.equal(cluster.peek(), undefined);
});

test('the term of a fire can be asked for while it runs; the stop asks it to end, and no further fire is claimed', async () => {
  const cluster = new Cluster();
  const { cron: c } = cron(cluster, 'a');
  const time = at(cluster);
  const term = await cluster.until(c.claimFire('job', time));
  assert.equal(c.term('job', time), term);
  assert.ok((term?.fencingToken ?? 0) > 0);
  await cluster.until(c.close());
  assert.equal(term?.signal.aborted, true);
  assert.equal(await c.claimFire('job', at(cluster, 1)), undefined);
  c.complete('job', time);
  assert.equal(c.term('job', time), undefined);
});

test("overlap 'skip' leaves a fire out while the one before runs anywhere, and takes the next once it has ended", async () => {
  const cluster = new Cluster();
  const [a, b] = [cron(cluster, 'a', { overlap: 'skip' }), cron(cluster, 'b', { overlap: 'skip' })];
  const first = at(cluster);
  assert.ok(await cluster.until(a.cron.claimFire('job', first)));
  await cluster.clock.advance(20_000);
  assert.equal(await cluster.until(b.cron.claimFire('job', at(cluster))), undefined);
  assert.equal(
    b.events.some((e) => e.type === 'refused' && e.reason === 'running'),
    true,
  );
  assert.ok(await cluster.until(b.cron.claimFire('other job', at(cluster))), 'another job is not held up');
  a.cron.complete('job', first);
  await cluster.clock.advance(2_000);
  assert.ok(await cluster.until(b.cron.claimFire('job', at(cluster))));
  b.cron.complete('job', at(cluster));
  await cluster.until(Promise.all([a.cron.close(), b.cron.close()]));
});

test('two replicas with one fire each see it once, also when it had to wait for the overlap', async () => {
  const cluster = new Cluster();
  const replicas = ['a', 'b', 'c'].map((id) => cron(cluster, id, { overlap: 'skip' }));
  const time = at(cluster);
  let ran = 0;
  for (const { cron: c } of replicas) {
    // One after another, as with clocks apart: the lock is free again each time.
    const term = await cluster.until(c.claimFire('job', time));
    if (term) ran++;
    c.complete('job', time);
    await cluster.clock.advance(3_000);
  }
  assert.equal(ran, 1);
});

test("node-cron's keys are read: the name of the task, whatever is in it, and the fire time", async () => {
  const cluster = new Cluster();
  const [a, b] = [cron(cluster, 'a'), cron(cluster, 'b')];
  const time = at(cluster);
  const key = `backup: nightly:${time.toISOString()}`;
  assert.equal(await cluster.until(a.cron.shouldRun(key)), true);
  assert.equal(await cluster.until(b.cron.shouldRun(key)), false);
  assert.ok(a.cron.term('backup: nightly', time));
  a.cron.onComplete(key);
  assert.equal(a.cron.term('backup: nightly', time), undefined);
  await assert.rejects(a.cron.shouldRun('no time'), OptionsError);
});

test('bad input is refused in words', async () => {
  const cluster = new Cluster();
  const { cron: c } = cron(cluster, 'a');
  await assert.rejects(
    c.claimFire('', new Date(NaN)),
    (error) => error instanceof OptionsError && error.problems.length === 2,
  );
  assert.throws(() => cron(cluster, 'a', { maxSkewMs: 0 }), OptionsError);
});

test("overlap 'skip' after a runner died: the next fire runs, once the Lease of the job was silent for its duration", async () => {
  const cluster = new Cluster();
  const a = cron(cluster, 'a', { overlap: 'skip' });
  assert.ok(await cluster.until(a.cron.claimFire('job', at(cluster))));
  a.store.faults = () => ({ hang: true });
  await cluster.clock.advance(3_600_000);
  const replicas = ['b', 'c', 'd'].map((id) => cron(cluster, id, { overlap: 'skip' }));
  const time = at(cluster);
  const terms = await cluster.until(Promise.all(replicas.map(({ cron: c }) => c.claimFire('job', time))));
  assert.equal(terms.filter((term) => term !== undefined).length, 1);
});

test("overlap 'skip': jobs whose names look alike are different jobs, and every name is one", async () => {
  const cluster = new Cluster();
  const a = cron(cluster, 'a', { overlap: 'skip' });
  for (const job of ['Backup', 'backup', 'a_b', 'a-b', 'a b', 'a..b', 'x'.repeat(253)])
    assert.ok(await cluster.until(a.cron.claimFire(job, at(cluster))), job);
});

test("overlap 'skip': an API that does not answer is no run that goes on; a mistake comes back", async () => {
  const cluster = new Cluster();
  const a = cron(cluster, 'a', { overlap: 'skip' });
  a.store.faults = () => ({ hang: true });
  assert.equal(await cluster.until(a.cron.claimFire('job', at(cluster))), undefined);
  assert.deepEqual(
    a.events.map(({ type }) => type),
    ['lost'],
  );
  a.store.faults = undefined;
  const mistake = new TypeError('a mistake of the program');
  a.store.list = () => Promise.reject(mistake);
  const claiming = a.cron.claimFire('job', at(cluster));
  claiming.catch(() => {});
  await assert.rejects(cluster.until(claiming), mistake);
});

test("overlap 'skip': a runner whose clock is years ahead lives all the same: no fire runs beside it", async () => {
  const cluster = new Cluster();
  const ahead = cluster.process('a');
  const clock = {
    monotonic: () => cluster.clock.monotonic(),
    schedule: (ms: number, callback: () => void) => cluster.clock.schedule(ms, callback),
    wallMicros: () => cluster.clock.wallMicros() + 3e14,
  };
  const a = new Cron({ ...ahead, clock, overlap: 'skip' });
  assert.ok(await cluster.until(a.claimFire('job', at(cluster))));
  await cluster.clock.advance(60_000);
  const b = cron(cluster, 'b', { overlap: 'skip' });
  assert.equal(await cluster.until(b.cron.claimFire('job', at(cluster))), undefined);
  assert.deepEqual(
    b.events.map((event) => (event.type === 'refused' ? event.reason : event.type)),
    ['running'],
  );
});

test('closed while a claim is answered: the term that comes of it is asked to end', async () => {
  for (let ticks = 0; ticks < 60; ticks++) {
    const cluster = new Cluster();
    const { cron: c } = cron(cluster, 'a');
    const claiming = c.claimFire('job', at(cluster));
    for (let i = 0; i < ticks; i++) await Promise.resolve();
    void c.close();
    const term = await cluster.until(claiming);
    assert.equal(term?.signal.aborted ?? true, true, `after ${ticks} turns`);
  }
});

test('a claim whose answer never comes is looked for while there is time: what was stored runs', async () => {
  for (const verb of ['create', 'update', 'list'] as const) {
    const cluster = new Cluster();
    const a = cron(cluster, 'a');
    if (verb === 'update') assert.ok(await cluster.until(a.cron.claimFire('earlier', at(cluster))));
    a.store.next(verb, { lose: 'Timeout' });
    assert.ok(await cluster.until(a.cron.claimFire('job', at(cluster))), verb);
    assert.ok(!a.events.some(({ type }) => type === 'lost'));
  }
});

test("overlap 'skip' with names of any length", async () => {
  const cluster = new Cluster();
  const lease = { namespace: 'default', name: 'x'.repeat(253) };
  const c = new Cron({ ...cluster.process('a'), lease, overlap: 'skip' });
  for (const job of ['a', 'b', 'j'.repeat(253)]) assert.ok(await cluster.until(c.claimFire(job, at(cluster))), job);
});

test("overlap 'skip' after a standstill: a fire whose term is over does not begin, and is said to be lost", async () => {
  const cluster = new Cluster();
  const parts = cluster.process('a');
  let stoodStillMs = 0;
  const clock = {
    monotonic: () => cluster.clock.monotonic() + stoodStillMs,
    schedule: (ms: number, callback: () => void) => cluster.clock.schedule(ms, callback),
    wallMicros: () => cluster.clock.wallMicros() + stoodStillMs * 1_000,
  };
  const create = parts.store.create.bind(parts.store);
  parts.store.create = async (lease, call) => {
    const answer = await create(lease, call);
    if (lease.metadata.name === parts.lease.name) stoodStillMs = 60_000;
    return answer;
  };
  const events: CronEvent[] = [];
  const a = new Cron({ ...parts, clock, overlap: 'skip', observe: (event) => void events.push(event) });
  assert.equal(await cluster.until(a.claimFire('job', at(cluster))), undefined);
  assert.deepEqual(
    events.map((event) => (event.type === 'lost' ? event.stored : event.type)),
    [true],
  );
});

/** Replica `a` has run the first fire, a second ago; `late` comes to it only now. */
async function oneCompleteElsewhere() {
  const cluster = new Cluster();
  const [a, late] = [cron(cluster, 'a', { overlap: 'skip' }), cron(cluster, 'b', { overlap: 'skip' })];
  const first = at(cluster);
  assert.ok(await cluster.until(a.cron.claimFire('job', first)));
  a.cron.complete('job', first);
  await cluster.clock.advance(1_000);
  return { cluster, a, late, first };
}

test("overlap 'skip': a fire that is claimed already takes no turn, and one that is complete gives its own back first", async () => {
  const { cluster, late, first } = await oneCompleteElsewhere();
  assert.equal(await cluster.until(late.cron.claimFire('job', first)), undefined);
  assert.deepEqual(
    late.events.map((e) => (e.type === 'refused' ? e.reason : e.type)),
    ['claimed'],
  );
  // The next fire is due at once, here and there.
  const second = at(cluster);
  assert.ok(await cluster.until(late.cron.claimFire('job', second)), 'nothing runs');
  late.cron.complete('job', second);
  const third = at(cluster, 1);
  assert.ok(await cluster.until(late.cron.claimFire('job', third)), 'the one before is complete');
});

test("overlap 'skip': who waits for the release of the fire before is free as soon as its signal aborts, or at the close", async () => {
  for (const end of ['signal', 'close'] as const) {
    const cluster = new Cluster();
    const a = cron(cluster, 'a', { overlap: 'skip' });
    const first = at(cluster);
    assert.ok(await cluster.until(a.cron.claimFire('job', first)));
    await cluster.clock.advance(1_000);
    a.store.faults = ({ verb }) => (verb === 'update' ? { hang: true } : undefined);
    a.cron.complete('job', first);
    const stop = new AbortController();
    const claiming = a.cron.claimFire('job', at(cluster), stop.signal);
    await cluster.clock.advance(100);
    if (end === 'signal') stop.abort();
    else void a.cron.close();
    assert.equal(await cluster.until(claiming, 100), undefined, end);
    assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
    assert.deepEqual(
      a.events.map(({ type }) => type),
      ['claimed'],
    );
  }
});

test('a signal that has aborted before: nothing is asked, claimed or reported', async () => {
  for (const overlap of ['allow', 'skip'] as const) {
    const cluster = new Cluster();
    const { cron: c, store, events } = cron(cluster, 'a', { overlap });
    let asked = 0;
    store.faults = () => void asked++;
    assert.equal(await cluster.until(c.claimFire('job', at(cluster), AbortSignal.abort()), 100), undefined);
    assert.equal(asked, 0, overlap);
    assert.deepEqual(events, [], overlap);
  }
});

test("overlap 'skip': a work that was given up and ends at last is no release that the next fire waits for", async () => {
  const cluster = new Cluster();
  const { cron: c, store } = cron(cluster, 'a', { overlap: 'skip', workTimeoutMs: 1_000 });
  const stop = new AbortController();
  const first = at(cluster);
  assert.ok(await cluster.until(c.claimFire('job', first, stop.signal)));
  stop.abort();
  await cluster.clock.advance(60_000);
  const second = at(cluster);
  assert.ok(await cluster.until(c.claimFire('job', second)), 'the one before is given up');
  store.faults = ({ verb }) => (verb === 'update' ? { delayMs: 500 } : undefined);
  c.complete('job', second);
  c.complete('job', first);
  assert.ok(await cluster.until(c.claimFire('job', at(cluster, 1))), 'the release of the one before was waited for');
});

test("overlap 'skip': however often a fire waits for the release of the one before, listeners do not add up", async (t) => {
  const signals = new Set<EventTarget>();
  const add = EventTarget.prototype.addEventListener;
  t.mock.method(
    EventTarget.prototype,
    'addEventListener',
    function (this: EventTarget, ...args: Parameters<typeof add>) {
      if (this instanceof AbortSignal) signals.add(this);
      add.apply(this, args);
    },
  );
  const cluster = new Cluster();
  const a = cron(cluster, 'a', { overlap: 'skip' });
  a.store.faults = ({ verb }) => (verb === 'update' ? { answerDelayMs: 100 } : undefined);
  for (let fire = 0; fire < 20; fire++) {
    const time = at(cluster, fire);
    assert.ok(await cluster.until(a.cron.claimFire('job', time)), `fire ${fire}`);
    a.cron.complete('job', time);
  }
  await cluster.clock.advance(1_000);
  assert.ok(Math.max(...[...signals].map((signal) => getEventListeners(signal, 'abort').length)) < 5);
});

test("overlap 'skip': a replica that is late with a fire, and slow to learn that it is claimed, leaves the next one to others", async () => {
  const { cluster, a, late, first } = await oneCompleteElsewhere();
  late.store.faults = ({ verb }) => (verb === 'list' ? { answerDelayMs: 1_000 } : undefined);
  const claiming = late.cron.claimFire('job', first);
  await cluster.clock.advance(500);
  assert.ok(await cluster.until(a.cron.claimFire('job', at(cluster))), 'nothing runs');
  assert.equal(await cluster.until(claiming), undefined);
});

test('a Lease whose name is too long, and a time that no record can say, are refused', async () => {
  const cluster = new Cluster();
  const lease = { namespace: 'default', name: 'x'.repeat(254) };
  assert.throws(() => new Cron({ ...cluster.process('a'), lease }), OptionsError);
  const { cron: c } = cron(cluster, 'a');
  for (const ms of [8.64e15, -8.64e15]) await assert.rejects(c.claimFire('job', new Date(ms)), OptionsError);
});
