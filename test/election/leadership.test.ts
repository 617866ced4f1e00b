/** What ends a term, what counts as a release, and what the work and its program learn of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LeaderElector } from '../../src/election/elector.ts';
import { LeadershipError } from '../../src/election/term.ts';
import type { Term } from '../../src/election/term.ts';
import { withChanges } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import {
  KIND_LABEL,
  STEP_DOWN_ANNOTATION,
  TERM_ANNOTATION,
  stepDownMarkText,
  termMark,
} from '../../src/lease/marks.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import type { LeaseEvent, LeaseStore } from '../../src/lease/store.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { chance } from '../simulation/chance.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { REF, Scene, obedient } from './actors.ts';
import type { Actor } from './actors.ts';

async function play(fn: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = new Scene();
  try {
    await fn(scene);
  } finally {
    await scene.close();
  }
  assert.equal(scene.clock.pending, 0, 'no timer is left behind');
}
const now = (scene: Scene): MicroTime => MicroTime.fromEpochMicros(scene.clock.wallMicros());
/** As client-go empties a lease, also another's. */
const empty = (scene: Scene): Lease =>
  scene.api.edit(REF, () => ({
    spec: { holderIdentity: '', leaseDurationSeconds: 1, renewTime: now(scene), acquireTime: now(scene) },
  }));
const reason = ({ signal }: Term): unknown => (signal.reason as LeadershipError).reason ?? (signal.reason as Error);
const cutOff = (actor: Actor): void => {
  actor.store.faults = () => ({ hang: true });
  actor.store.watches.silence();
};

describe('a release is the holder’s own or it is none', () => {
  test('emptied by somebody else: the leader ends with the news, and nobody begins before its duration has passed', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const standbys = [scene.actor('b'), scene.actor('c')];
      await scene.clock.advance(5_000);
      empty(scene);
      await scene.clock.advance(0);
      assert(!a.leads);
      assert.equal(reason(a.terms[0]!), 'released');
      await scene.clock.advance(14_999);
      assert.equal(scene.leaders.length, 0);
      await scene.clock.advance(1);
      assert.equal(scene.leaders.length, 1);
      assert.equal(scene.peek()!.spec.leaseTransitions, 1);
      assert(standbys.length === 2);
    }));

  test('a leader that is cut off meanwhile ends at its deadline, before anybody begins; also who has just started waits', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(6_500);
      cutOff(a);
      empty(scene);
      await scene.clock.advance(800);
      const late = scene.actor('late');
      assert(await scene.until(() => !a.leads, 10_000));
      let waited = 0;
      while (!b.leads && !late.leads) {
        await scene.clock.advance(100);
        waited += 100;
        assert(scene.leaders.length <= 1);
      }
      assert(b.leads, 'who has seen it first');
      assert(waited > 3_000);
      a.store.watches.resume();
    }));

  test("client-go's own release of a later term is acted on at once", () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      a.stop();
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(0);
      // client-go keeps what stands on a lease, and counts a transition.
      const spec = { holderIdentity: 'go', leaseDurationSeconds: 15, leaseTransitions: 5, renewTime: now(scene) };
      scene.api.edit(REF, () => ({ spec }));
      await scene.clock.advance(0);
      assert(!b.leads);
      assert.equal(termMark(scene.peek()!)?.holder, 'b_2');
      await scene.clock.advance(3_000);
      empty(scene);
      await scene.clock.advance(0);
      assert(b.leads);
      assert.equal(scene.peek()!.spec.leaseTransitions, 6);
    }));

  test('the write that begins a term marks the lease, also one that client-go made; the release takes the mark off', () =>
    play(async (scene) => {
      scene.api.put({
        name: REF.name,
        annotations: { note: 'x' },
        spec: { holderIdentity: '', leaseTransitions: 6 },
      });
      const a = scene.actor('a', { leaseDurationSeconds: 20 });
      await scene.clock.advance(0);
      const { metadata } = scene.peek()!;
      assert.deepEqual(JSON.parse(metadata.annotations[TERM_ANNOTATION]!), {
        holder: 'a_1',
        transitions: 7,
        durationSeconds: 20,
      });
      assert.equal(metadata.labels[KIND_LABEL], undefined, 'who creates a lease says what it is for');
      scene.api.edit(REF, (lease) => withChanges(lease, { annotations: { note: 'y', [TERM_ANNOTATION]: undefined } }));
      await scene.clock.advance(2_000);
      assert(scene.peek()!.metadata.annotations[TERM_ANNOTATION], 'a renewal puts it back');
      a.stop();
      await scene.clock.advance(0);
      assert.deepEqual(scene.peek()!.metadata.annotations, { note: 'y' });
    }));

  test('a lease that an elector creates says what it is for', () =>
    play(async (scene) => {
      scene.actor('a');
      await scene.clock.advance(0);
      assert.deepEqual(scene.peek()!.metadata.labels, { [KIND_LABEL]: 'election' });
    }));
});

describe('the leader follows its lease', () => {
  const changes: [string, (scene: Scene) => void][] = [
    [
      'taken',
      (scene) => void scene.api.edit(REF, () => ({ spec: { holderIdentity: 'other', renewTime: now(scene) } })),
    ],
    ['released', (scene) => void empty(scene)],
    ['deleted', (scene) => void scene.api.remove(REF)],
  ];
  for (const [what, change] of changes) {
    test(`${what}: ends the term with the news, even while a renewal hangs`, () =>
      play(async (scene) => {
        const a = scene.actor('a');
        await scene.clock.advance(1_000);
        a.store.next('update', { hang: true });
        await scene.clock.advance(1_500);
        change(scene);
        await scene.clock.advance(0);
        assert.equal(a.terms[0]!.remainingMs, 0);
        assert.equal(reason(a.terms[0]!), what);
        assert.equal(a.of('stopped')[0]!.reason, what);
        assert.equal(a.terms[0]!.lost, what);
        assert.equal(a.of('failed').length, 0);
      }));
  }

  test('what it is shown late is older than its own writes, and says nothing', () =>
    play(async (scene) => {
      const store = new MemoryStore({ clock: scene.clock, api: scene.api, by: 'a', watchDelayMs: () => 5_000 });
      const a = scene.actor('a', { store });
      await scene.clock.advance(60_000);
      assert(a.leads);
      assert.equal(a.terms.length, 1);
      assert.deepEqual([a.store.count('get'), a.of('slowPath').length], [0, 0]);
    }));

  test('a renewal whose answer was lost is known by the watch, without a read', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      a.store.next('update', { lose: 'Unavailable' });
      await scene.clock.advance(1_010);
      scene.api.edit(REF, (lease) => withChanges(lease, { labels: { x: 'y' } }));
      await scene.clock.advance(0);
      assert.equal(a.of('renewed').filter(({ adopted }) => adopted).length, 1);
      assert.equal(a.store.count('get'), 0);
    }));

  test('shown that its lease was lost before the answer to its own write came: no work begins', () =>
    play(async (scene) => {
      scene.api.put({ name: REF.name, spec: { holderIdentity: '' } });
      const a = scene.actor('a', { faults: ({ verb }) => (verb === 'update' ? { answerDelayMs: 50 } : undefined) });
      await scene.clock.advance(0);
      empty(scene);
      await scene.clock.advance(100);
      assert.equal(a.terms.length, 0);
      assert.deepEqual(
        a.events.map(({ type }) => type).filter((type) => type === 'leading' || type === 'stopped'),
        ['leading', 'stopped'],
      );
    }));

  test('each move of the end is passed on in the same turn, before the observer hears of it', () =>
    play(async (scene) => {
      const moves: unknown[] = [];
      const a = scene.actor('a', {
        onDeadline: (term) => moves.push([term.lost ?? term.deadline, a.events.at(-1)!.type]),
      });
      await scene.clock.advance(4_000);
      empty(scene);
      await scene.clock.advance(0);
      assert.deepEqual(moves, [
        [12_000, 'leading'],
        [14_000, 'renewed'],
        ['released', 'leaderObserved'],
      ]);
    }));

  test('a watch with a bug ends the elector, once its work has ended and the lease is released', () =>
    play(async (scene) => {
      const a = scene.actor('a', {
        async *watch(): AsyncGenerator<LeaseEvent> {
          await new Promise<void>((resolve) => void scene.clock.schedule(5_000, resolve));
          throw new TypeError('a bug');
        },
      });
      await scene.clock.advance(4_900);
      assert(a.leads);
      await scene.clock.advance(200);
      assert.match(String(a.settled), /a bug/);
      assert.equal(scene.peek()!.spec.holderIdentity, '');
    }));
});

describe('fencing tokens', () => {
  test('grow over deletions, and over a lease that is recreated with transitions 0', () =>
    play(async (scene) => {
      const tokens: number[] = [];
      for (let i = 0; i < 3; i++) {
        const a = scene.actor(`a${i}`);
        await scene.clock.advance(10);
        tokens.push(a.terms[0]!.fencingToken);
        assert.equal(scene.peek()!.spec.leaseTransitions, 0);
        await scene.clock.advance(5_000);
        assert.equal(a.terms[0]!.fencingToken, tokens[i], 'chosen once');
        a.stop();
        await scene.clock.advance(10);
        scene.api.remove(REF);
      }
      assert(tokens[0]! < tokens[1]! && tokens[1]! < tokens[2]!);
    }));

  test('are the transitions where versions are no numbers; it is said once', async () => {
    const clock = new ManualClock();
    const store = opaque(new MemoryStore({ clock }));
    const events: string[] = [];
    const tokens: number[] = [];
    const stop = new AbortController();
    const elector = new LeaderElector({
      ...{ store, clock, random: () => 0.5, lease: REF, id: 'a', uuid: '1' },
      observe: ({ type }) => events.push(type),
      work: async ({ fencingToken }) => void tokens.push(fencingToken),
    });
    const run = elector.run(stop.signal);
    await clock.advance(10_000);
    stop.abort();
    await clock.advance(100);
    await run;
    assert.deepEqual(tokens.slice(0, 3), [0, 1, 2]);
    assert.equal(events.filter((type) => type === 'tokensFromTransitions').length, 1);
  });
});

describe('work and its program', () => {
  test('work that returns while its signal has not aborted is reported each time; work that was asked to end is not', () =>
    play(async (scene) => {
      const a = scene.actor('a', { work: async () => {} });
      await scene.clock.advance(2_000);
      assert.equal(a.of('workReturned').length, 2);
      const b = scene.actor('b', { lease: { ...REF, name: 'other' } });
      await scene.clock.advance(100);
      b.stop();
      await scene.clock.advance(100);
      assert.deepEqual([b.of('workReturned').length, b.settled], [0, 'done']);
    }));

  test('an error of the work rejects run where that is wanted, once the lease is released', () =>
    play(async (scene) => {
      const boom = new TypeError('undefined is not a function');
      const a = scene.actor('a', { onWorkError: 'reject', work: () => Promise.reject(boom) });
      await scene.clock.advance(0);
      assert.equal(a.settled, boom);
      assert.equal(scene.peek()!.spec.holderIdentity, '');
      const b = scene.actor('b', { work: () => Promise.reject(boom) });
      await scene.clock.advance(10_000);
      assert.equal(b.settled, undefined);
      assert(b.terms.length > 1);
    }));

  test('what the work throws because its term was lost, or because it was asked to end, rejects nothing', () =>
    play(async (scene) => {
      const work = async (term: Term): Promise<void> => {
        await obedient(term);
        throw term.signal.reason;
      };
      const a = scene.actor('a', { onWorkError: 'reject', work });
      await scene.clock.advance(1_000);
      scene.api.remove(REF);
      await scene.clock.advance(1_000);
      assert.equal(a.terms.length, 2);
      a.stop();
      await scene.clock.advance(0);
      assert.equal(a.settled, 'done');
    }));

  test('an observer that throws, or rejects, changes nothing', async () => {
    const warned: Error[] = [];
    const listen = (warning: Error): void => void warned.push(warning);
    process.on('warning', listen);
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const stop = new AbortController();
    const who = { store, clock, random: () => 0.5, lease: REF, uuid: '1', work: obedient };
    const electors = [
      new LeaderElector({
        ...who,
        id: 'throws',
        observe() {
          throw new Error('a bug');
        },
      }),
      new LeaderElector({ ...who, id: 'rejects', observe: (() => Promise.reject(new Error('a bug'))) as () => void }),
    ];
    const runs = electors.map((elector) => elector.run(stop.signal));
    await clock.advance(30_000);
    assert.equal(electors.filter(({ term }) => term !== undefined).length, 1);
    stop.abort();
    await clock.advance(100);
    await Promise.all(runs);
    assert.equal(store.peek(REF)!.spec.holderIdentity, '');
    await new Promise((resolve) => setImmediate(resolve));
    process.removeListener('warning', listen);
    assert.equal(warned.length, 2);
  });

  test('a coordinated lease that prefers another: the work is asked to end, the lease is released, the preferred goes first', () =>
    play(async (scene) => {
      const work = async (term: Term): Promise<void> => {
        await obedient(term);
        await new Promise<void>((resolve) => void scene.clock.schedule(3_000, resolve));
      };
      const a = scene.actor('a', { work });
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(1_000);
      scene.api.edit(REF, ({ spec }) => ({ spec: { ...spec, preferredHolder: 'b_2' } }));
      await scene.clock.advance(0);
      assert.equal((a.terms[0]!.signal.reason as LeadershipError).code, 'SteppingDown');
      assert.equal(a.of('steppingDown')[0]!.to, 'b_2');
      await scene.clock.advance(2_999);
      assert(a.leads, 'the term holds until the work has ended');
      await scene.clock.advance(1);
      assert(!a.leads && b.leads);
      assert.equal(a.of('stopped')[0]!.reason, 'steppedDown');
      assert.equal(scene.peek()!.spec.preferredHolder, undefined, 'the acquiring write clears it');
      await scene.clock.advance(60_000);
      assert.equal(a.terms.length, 1);
    }));

  test('asked to step down before the answer to the acquiring write has come: the work begins, and then is asked', () =>
    play(async (scene) => {
      const memory = new MemoryStore({ clock: scene.clock, api: scene.api, by: 'a' });
      memory.next('create', { answerDelayMs: 500 });
      const a = scene.actor('a', { memory });
      await scene.clock.advance(100);
      scene.api.edit(REF, ({ spec }) => ({ spec: { ...spec, preferredHolder: 'b' } }));
      await scene.clock.advance(1_000);
      assert.equal(a.of('stopped')[0]?.reason, 'steppedDown');
      assert.equal(scene.peek()!.spec.holderIdentity, '');
    }));

  test('a preferred holder that leads already, by its whole name or the part before the uuid, goes on', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      for (const preferredHolder of ['a', 'a_1']) {
        scene.api.edit(REF, ({ spec }) => ({ spec: { ...spec, preferredHolder } }));
        await scene.clock.advance(30_000);
      }
      assert.equal(a.terms.length, 1);
      assert(a.leads);
    }));

  test('a preferred holder that does not come: another takes the lease after a retry period', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(1_000);
      scene.api.edit(REF, ({ spec }) => ({ spec: { ...spec, preferredHolder: 'nobody' } }));
      await scene.clock.advance(1_999);
      assert(!a.leads && !b.leads);
      await scene.clock.advance(1);
      assert(b.leads || a.leads);
    }));

  const put = (scene: Scene, text: string): void =>
    void scene.api.edit(REF, (lease) => withChanges(lease, { annotations: { [STEP_DOWN_ANNOTATION]: text } }));
  const ask = (scene: Scene, to?: string): void => {
    const { holderIdentity: holder = '', leaseTransitions: transitions = 0 } = scene.peek()!.spec;
    put(scene, stepDownMarkText({ holder, transitions, to }));
  };

  test('asked to step down: the work ends, then the lease is released, and another begins at once', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(1_000);
      ask(scene);
      await scene.clock.advance(0);
      assert.equal((a.terms[0]!.signal.reason as LeadershipError).code, 'SteppingDown');
      assert.equal(a.of('steppingDown')[0]!.to, undefined);
      assert.equal(a.of('stopped')[0]!.reason, 'steppedDown');
      assert(b.leads && !a.leads);
      assert.equal(
        scene.peek()!.metadata.annotations[STEP_DOWN_ANNOTATION],
        undefined,
        'the acquiring write clears it',
      );
      await scene.clock.advance(60_000);
      assert.equal(b.terms.length, 1, 'the next leader is not asked again');
      assert.equal(a.terms.length, 1);
    }));

  test('asked to step down while the answer to the acquiring write is lost: the term is found again, and ends', () =>
    play(async (scene) => {
      const memory = new MemoryStore({ clock: scene.clock, api: scene.api, by: 'a' });
      memory.next('create', { lose: 'Timeout' });
      const a = scene.actor('a', { memory });
      await scene.clock.advance(100);
      assert(scene.peek()!.spec.holderIdentity !== '' && !a.leads);
      ask(scene);
      await scene.clock.advance(8_000);
      assert.equal(a.of('leading')[0]?.why, 'adopted');
      assert.equal(a.of('stopped')[0]?.reason, 'steppedDown');
    }));

  test('asked to step down while the answer to a renewal is under way: heeded when that comes, not a renewal later', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_900);
      a.store.next('update', { answerDelayMs: 500 });
      await scene.clock.advance(200);
      ask(scene);
      await scene.clock.advance(100);
      assert(a.leads, 'the answer has not come');
      await scene.clock.advance(400);
      assert.equal(a.of('stopped')[0]?.reason, 'steppedDown');
    }));

  for (const to of ['d_4', 'd'])
    test(`asked to step down for ${to}: it leads each time, against any others`, () =>
      play(async (scene) => {
        const actors = ['a', 'b', 'c', 'd'].map((id) => scene.actor(id));
        const d = actors[3]!;
        await scene.clock.advance(1_000);
        for (let round = 0; round < 8; round++) {
          const leader = actors.find(({ leads }) => leads)!;
          ask(scene, leader === d ? undefined : to);
          await scene.clock.advance(500);
          if (leader !== d) assert(d.leads, `round ${round}`);
          await scene.clock.advance(20_000);
          if (leader !== d) assert(d.leads, `round ${round}: not asked again`);
        }
        assert(d.terms.length >= 4);
      }));

  test('asked again and again, each contends again after a retry period', () =>
    play(async (scene) => {
      const actors = ['a', 'b'].map((id) => scene.actor(id));
      await scene.clock.advance(1_000);
      for (let round = 0; round < 10; round++) {
        const before = actors.find(({ leads }) => leads)!;
        const to = actors.find((actor) => actor !== before)!;
        ask(scene, to.elector.holder);
        await scene.clock.advance(2_500);
        assert(to.leads && !before.leads, `round ${round}`);
      }
    }));

  test('asked to step down for somebody who does not contend: another leads after a retry period', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(1_000);
      ask(scene, 'nobody');
      await scene.clock.advance(1_999);
      assert(!a.leads && !b.leads);
      await scene.clock.advance(1);
      assert(b.leads || a.leads);
    }));

  test('a request that names another term, or cannot be read, changes nothing', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      const { holderIdentity: holder = '', leaseTransitions = 0 } = scene.peek()!.spec;
      for (const text of [
        stepDownMarkText({ holder, transitions: leaseTransitions + 1 }),
        stepDownMarkText({ holder: 'b_2', transitions: leaseTransitions }),
        stepDownMarkText({ holder, transitions: leaseTransitions, to: 'a' }),
        '{',
        'null',
        JSON.stringify({ holder, transitions: leaseTransitions, to: 'x'.repeat(3_000) }),
      ]) {
        put(scene, text);
        await scene.clock.advance(5_000);
        assert(a.leads, text.slice(0, 80));
      }
      assert.equal(a.terms.length, 1);
      assert.equal(a.of('steppingDown').length, 0);
    }));

  test('after a long stop the work is not called overdue before what came meanwhile was read', () =>
    play(async (scene) => {
      let end = (): void => {};
      const a = scene.actor('a', { work: () => new Promise<void>((resolve) => (end = resolve)) });
      await scene.clock.advance(1_000);
      // The word that the work ended long ago is read 20 ms after the process goes on.
      scene.clock.jump(60_000);
      scene.clock.schedule(20, () => end());
      await scene.clock.advance(1_000);
      assert.equal(a.of('workOverdue').length, 0);
      await scene.clock.advance(1_000);
      assert(a.leads);
      scene.clock.jump(60_000);
      await scene.clock.advance(1_000);
      assert.equal(a.of('workOverdue').length, 1);
      end();
      await scene.clock.advance(100);
      a.stop();
      end();
      await scene.clock.advance(100);
      end();
    }));

  test('a standby whose answer comes when the term is over does not begin it', () =>
    play(async (scene) => {
      scene.api.put({ name: REF.name, spec: { holderIdentity: '' } });
      const a = scene.actor('a', { faults: ({ verb }) => (verb === 'update' ? { answerDelayMs: 100 } : undefined) });
      await scene.clock.advance(50);
      // The published duration is not over yet: nobody took the lease.
      scene.clock.jump(11_000);
      a.store.faults = undefined;
      await scene.clock.advance(1_000);
      assert.deepEqual([a.terms.length, a.of('leading').length], [1, 1]);
      assert.equal(scene.peek()!.spec.leaseTransitions, 2);
      assert(a.terms[0]!.deadline > scene.clock.monotonic());
    }));
});

test('renewals, take-overs, looks and releases never wait for requests of others', () =>
  play(async (scene) => {
    const a = scene.actor('a');
    await scene.clock.advance(5_000);
    a.store.watches.silence();
    a.store.faults = ({ verb }) => (verb === 'update' ? { lose: 'Unavailable' } : undefined);
    await scene.clock.advance(3_000);
    a.store.faults = undefined;
    const b = scene.actor('b');
    await scene.clock.advance(5_000);
    a.stop();
    await scene.clock.advance(5_000);
    assert(b.leads);
    const sent = [...a.store.journal, ...b.store.journal].filter(({ verb }) => verb !== 'watch');
    assert.deepEqual([...new Set(sent.map(({ verb }) => verb))].sort(), ['create', 'get', 'update']);
    assert.deepEqual(
      sent.filter(({ urgent }) => !urgent),
      [],
    );
  }));

test('of a hundred candidates a few write at a failover, once they know of each other', () =>
  play(async (scene) => {
    const random = chance(7);
    const faults = (): { delayMs: number; answerDelayMs: number } => ({
      delayMs: 5 + random() * 20,
      answerDelayMs: 5 + random() * 20,
    });
    const watchDelayMs = (): number => 20 + random() * 60;
    for (let i = 0; i < 100; i++) {
      const store = new MemoryStore({ clock: scene.clock, api: scene.api, by: `c${i}`, faults, watchDelayMs });
      scene.actor(`c${i}`, { store, random });
    }
    await scene.clock.advance(5_000);
    const writes: number[] = [];
    for (let k = 0; k < 9; k++) {
      const [leader] = scene.leaders;
      const before = scene.actors.map(({ store }) => store.journal.length);
      leader!.stop();
      const took = await scene.until(() => scene.leaders.some((one) => one !== leader), 2_000);
      assert(took !== undefined);
      await scene.clock.advance(1_000);
      const calls = scene.actors.flatMap(({ store }, i) =>
        (store.journal as { verb: string; outcome?: string }[]).slice(before[i]),
      );
      writes.push(calls.filter(({ verb, outcome }) => verb === 'update' && outcome === 'Conflict').length + 1);
    }
    assert(writes.sort((a, b) => a - b)[4]! <= 12, writes.join(' '));
  }));

/** A store whose versions are no numbers. */
function opaque(store: MemoryStore): LeaseStore {
  const version = (lease: Lease, change: (text: string) => string): Lease => ({
    ...lease,
    metadata: { ...lease.metadata, resourceVersion: change(lease.metadata.resourceVersion) },
  });
  const out = (lease: Lease): Lease => version(lease, (text) => `v${text}`);
  const back = (lease: Lease): Lease => version(lease, (text) => text.slice(1));
  return {
    get: async (...args) => out(await store.get(...args)),
    create: async (...args) => out(await store.create(...args)),
    update: async (lease, call) => out(await store.update(back(lease), call)),
    delete: (...args) => store.delete(...args),
    list: (...args) => store.list(...args),
    async *watch(...args) {
      for await (const event of store.watch(...args)) {
        if (event.type === 'list') yield { ...event, leases: event.leases.map(out) };
        else if (event.type === 'lost' || event.type === 'fresh') yield event;
        else yield { ...event, lease: out(event.lease) };
      }
    },
  };
}
