/** /v1/changes: what a page is sent that follows the leases, and how much that is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CensusChanges } from '../../src/http/census-changes.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { lease } from '../census/support.ts';
import { World } from './support.ts';

interface Answer {
  readonly next: string;
  readonly all: boolean;
  readonly known: boolean;
  readonly message: string | null;
  readonly counts: { readonly instances: number; readonly expired: number } | null;
  readonly ageSeconds: number | null;
  readonly leases: readonly (readonly [id: number, ...unknown[]])[];
  readonly renewed: readonly number[];
  readonly gone: readonly number[];
  readonly lately?: { readonly passes: Record<string, unknown>[]; readonly removed: Record<string, unknown>[] };
}

function world(t: TestContext): World & { changes: CensusChanges } {
  const made = new World();
  t.after(() => made.close());
  return Object.assign(made, { changes: new CensusChanges(made.census, made.clock) });
}

/** A page, as it asks and keeps what it was sent. */
class Reader {
  readonly #changes: CensusChanges;
  readonly leases = new Map<number, unknown[]>();
  #next = '';
  bytes = 0;

  constructor(changes: CensusChanges) {
    this.#changes = changes;
  }

  async ask(since = this.#next): Promise<Answer> {
    const { body } = await this.#changes.answer(new URLSearchParams({ since }));
    this.bytes += gzipSync(String(body)).length;
    const answer = JSON.parse(String(body)) as Answer;
    this.#next = answer.next;
    if (answer.all) this.leases.clear();
    for (const [id, ...row] of answer.leases) this.leases.set(id, row);
    // The tenths of a second since its renewal stand in the last column but one.
    for (let i = 0; i < answer.renewed.length; i += 2) {
      const row = this.leases.get(answer.renewed[i]!);
      if (row) row[row.length - 2] = answer.renewed[i + 1];
    }
    for (const id of answer.gone) this.leases.delete(id);
    return answer;
  }
}

const named = (hostname: string, more: Parameters<typeof lease>[0] = {}): Lease => lease({ hostname, ...more });

test('all of it at first, then what has changed: a renewal is two numbers, one that left is its number', async (t) => {
  const w = world(t);
  await w.list(named('a', { acquiredAgoMs: 3_600_000 }), named('b', { holder: 'x' }));
  const reader = new Reader(w.changes);
  const first = await reader.ask();
  assert.deepEqual([first.all, first.known, first.leases.length, first.renewed], [true, true, 2, []]);
  const of = (host: string) => first.leases.find(([, one]) => one === host)!;
  const [, host, state, name, namespace, holder, , since, ago] = of('a');
  assert.deepEqual(
    [host, state, name, namespace, holder, since, ago],
    ['a', 'live', named('a').metadata.name, 'kube-system', `${named('a').metadata.name}_1`, '2025-12-31T23:00:00', 50],
  );
  const b = of('b')[0];

  await w.clock.advance(1_000);
  await w.tell({ type: 'modified', lease: named('b', { holder: 'x', renewedAgoMs: -1_000 }) });
  const second = await reader.ask();
  assert.deepEqual([second.all, second.leases, second.gone], [false, [], []]);
  assert.deepEqual([second.renewed.length, second.renewed[0]], [2, b]);

  await w.clock.advance(1_000);
  await w.tell({ type: 'modified', lease: named('a', { holder: 'y' }) });
  await w.tell({ type: 'deleted', lease: named('b') });
  await w.tell({ type: 'added', lease: named('c') });
  const third = await reader.ask();
  assert.deepEqual([third.leases.map(([, host]) => host).sort(), third.gone], [['a', 'c'], [b]]);
  assert.equal(third.lately, undefined, 'it had not expired');
  assert.ok(
    third.leases.every(([id]) => id !== b),
    'no lease gets the number of another',
  );
});

test('who follows knows what who has just come is sent, whatever happens', async (t) => {
  const w = world(t);
  const hosts = ['a', 'b', 'c', 'd', 'e'];
  await w.list(...hosts.map((host) => named(host)));
  const [often, rarely] = [new Reader(w.changes), new Reader(w.changes)];
  let seed = 7;
  const chance = (n: number): number => (seed = (seed * 48_271) % 2_147_483_647) % n;
  for (let step = 1; step <= 300; step++) {
    await w.clock.advance(chance(3_000));
    const host = hosts[chance(hosts.length)]!;
    const uid = `uid-${host}-${chance(2)}`;
    const renewedAgoMs = chance(5) === 0 ? 4e6 : -w.clock.monotonic();
    const type = (['added', 'modified', 'modified', 'deleted'] as const)[chance(4)]!;
    await w.tell({ type, lease: named(host, { uid, renewedAgoMs, holder: `h${chance(2)}` }) });
    if (chance(2) === 0) await often.ask();
    if (chance(100) === 0) await rarely.ask();
    if (chance(4) !== 0) continue;
    const fresh = new Reader(w.changes);
    await fresh.ask();
    // Tenths of a second go on by themselves.
    const kept = ({ leases }: Reader) => [...leases].map(([id, row]) => [id, ...row.slice(0, -2), row.at(-1)]).sort();
    for (const reader of [often, rarely]) {
      await reader.ask();
      assert.deepEqual(kept(reader), kept(fresh), `step ${step}`);
    }
  }
});

test('a `since` of another process, of nobody or of the future gets everything', async (t) => {
  const w = world(t);
  await w.list(named('a'));
  const reader = new Reader(w.changes);
  const { next } = await reader.ask();
  for (const since of ['', 'x', 'other.1', `${next}9`, `${next.split('.')[0]}.-1`, '.', `${next}.1`.repeat(50)])
    assert.equal((await reader.ask(since)).all, true, since);
  assert.equal((await reader.ask(next)).all, false);
});

test('in an outage the last known leases are reported with their age, and why; they come back', async (t) => {
  const w = world(t);
  const reader = new Reader(w.changes);
  const never = await reader.ask();
  assert.deepEqual([never.known, never.counts, never.leases, never.ageSeconds], [false, null, [], null]);
  await w.list(named('a'));
  await w.clock.advance(1_000);
  await reader.ask();
  await w.tell({ type: 'lost', error: new LeaseStoreError('Unavailable', { message: 'no connection' }) });
  await w.clock.advance(60_000);
  const old = await reader.ask();
  assert.deepEqual([old.known, old.counts?.instances, old.gone], [false, 1, []]);
  assert.match(old.message ?? '', /nothing was heard of the leases/);
  assert.ok(old.ageSeconds! >= 60);
  await w.list(named('a'));
  await w.clock.advance(1_000);
  assert.equal((await reader.ask()).known, true);
});

test('passes of a sweeper in this process, and leases that went after they had expired', async (t) => {
  const w = world(t);
  await w.list(named('a'), named('dead', { renewedAgoMs: 4e6 }));
  const reader = new Reader(w.changes);
  const first = await reader.ask();
  assert.deepEqual([first.counts?.expired, first.lately], [1, undefined]);
  await w.tell({ type: 'deleted', lease: named('dead') });
  w.changes.passed({ outcome: 'completed', seen: 2, deleted: 1, dryRun: false });
  await w.clock.advance(2_000);
  const { lately } = await reader.ask();
  assert.deepEqual(lately?.passes, [
    { secondsAgo: 2, outcome: 'completed', because: null, seen: 2, deleted: 1, dryRun: false },
  ]);
  assert.deepEqual(
    lately?.removed.map(({ name }) => name),
    ['dead'],
  );
  await w.clock.advance(1_000);
  assert.equal((await reader.ask()).lately, undefined, 'reported once');
});

test('2,000 leases that are all renewed every 10 s: under 20 kB a second, compressed', async (t) => {
  const w = world(t);
  const of = (i: number, renewedAgoMs: number): Lease =>
    named(`host-${i}.example.internal`, { renewedAgoMs, holder: `kube-apiserver-${i}_${'0123456789'.repeat(3)}` });
  await w.list(...Array.from({ length: 2_000 }, (_, i) => of(i, 10_000 - 5 * i)));
  const reader = new Reader(w.changes);
  await reader.ask();
  t.diagnostic(`all at first: ${reader.bytes} bytes`);
  reader.bytes = 0;
  const SECONDS = 20;
  for (let second = 0; second < SECONDS; second++) {
    await w.clock.advance(1_000);
    const turn = (second % 10) * 200;
    await w.tell(
      ...Array.from({ length: 200 }, (_, i) => ({
        type: 'modified' as const,
        lease: of(turn + i, -w.clock.monotonic() + i * 5),
      })),
    );
    assert.equal((await reader.ask()).renewed.length, 400);
  }
  t.diagnostic(`then ${Math.round(reader.bytes / SECONDS)} bytes a second`);
  assert.ok(reader.bytes / SECONDS < 20_000);
});
