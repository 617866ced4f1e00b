import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LeadershipError } from '../../src/election/term.ts';
import type { Term } from '../../src/election/term.ts';
import { withChanges } from '../../src/lease/lease.ts';
import { TERM_ANNOTATION } from '../../src/lease/marks.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { REF, Scene, obedient, passes } from './actors.ts';
import type { Actor } from './actors.ts';
import type { Fault } from '../support/memory-store.ts';

const wall = (scene: Scene): MicroTime => MicroTime.fromEpochMicros(scene.clock.wallMicros());
const version = (scene: Scene): number => Number(scene.peek()!.metadata.resourceVersion);
/** A lease that somebody else holds, as client-go would write it. */
function hold(scene: Scene, holder: string, spec: object = {}): void {
  const now = wall(scene);
  scene.api.put({
    name: REF.name,
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: 15,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 6,
      ...spec,
    },
  });
}
async function play(fn: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = new Scene();
  try {
    await fn(scene);
  } finally {
    await scene.close();
  }
  assert.equal(scene.clock.pending, 0, 'no timer is left behind');
}
const code = (error: unknown): string => (error instanceof LeadershipError ? error.code : String(error));
const checkError = (term: Term): LeadershipError => {
  try {
    term.check();
  } catch (error) {
    if (error instanceof LeadershipError) return error;
  }
  throw new assert.AssertionError({ message: 'check() did not throw a LeadershipError' });
};
/** Stops answering, as a crashed process does. */
const crash = (actor: Actor): void => void (actor.store.faults = () => ({ hang: true }));

describe('acquiring', () => {
  test('creates an absent lease, written as client-go writes it', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      assert(a.leads);
      const { spec } = scene.peek()!;
      assert.equal(spec.holderIdentity, 'a_1');
      assert.equal(spec.leaseDurationSeconds, 15);
      assert.equal(spec.leaseTransitions, 0);
      assert(spec.renewTime!.equals(wall(scene)) && spec.acquireTime!.equals(wall(scene)));
      assert.equal(a.terms[0]!.fencingToken, version(scene));
      assert.equal(a.terms[0]!.holder, 'a_1');
      assert.equal(a.elector.leader, 'a_1');
      assert.equal(a.elector.term, a.terms[0]);
    }));

  test('takes a released lease at once, with one transition more, and keeps what others put on it', () =>
    play(async (scene) => {
      scene.api.put({ name: REF.name, labels: { team: 'x' }, spec: { holderIdentity: '', leaseTransitions: 6 } });
      const a = scene.actor('a');
      await scene.clock.advance(0);
      assert(a.leads);
      assert.equal(scene.peek()!.spec.leaseTransitions, 7);
      assert.equal(a.terms[0]!.fencingToken, version(scene));
      assert.equal(scene.peek()!.metadata.labels['team'], 'x');
    }));

  test('takes a lease that expired long ago only after its own duration of silence', () =>
    play(async (scene) => {
      hold(scene, 'b_9', { renewTime: MicroTime.fromEpochMs(0), leaseDurationSeconds: 20 });
      const a = scene.actor('a');
      await scene.clock.advance(19_999);
      assert(!a.leads);
      await scene.clock.advance(1);
      assert(a.leads);
      assert.equal(scene.peek()!.spec.leaseTransitions, 7);
    }));

  test('one of two with the same id leads', () =>
    play(async (scene) => {
      scene.actor('same');
      scene.actor('same');
      for (let i = 0; i < 600; i++) {
        await scene.clock.advance(100);
        assert.equal(scene.leaders.length, 1);
      }
      assert.equal(scene.actors.flatMap((a) => a.terms).length, 1);
    }));

  test('one of two leads even when the whole holder identity is the same', () =>
    play(async (scene) => {
      scene.actor('same', { uuid: 'u' });
      scene.actor('same', { uuid: 'u' });
      for (let i = 0; i < 600; i++) {
        await scene.clock.advance(100);
        assert.equal(scene.leaders.length, 1);
      }
    }));

  test('an answer lost while acquiring is found again, counted from its sending', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      a.store.next('create', { lose: 'Timeout' });
      await scene.clock.advance(0);
      assert(!a.leads);
      const took = await scene.until(() => a.leads, 9_000);
      assert(took !== undefined);
      assert.equal(a.of('leading')[0]!.deadline, 10_000);
      assert.equal(a.of('leading')[0]!.why, 'adopted');
      assert.equal(a.terms[0]!.fencingToken, Number(scene.api.history[0]!.resourceVersion));
    }));

  test('losing the race costs a wait of random length, and no other wait is random', () =>
    play(async (scene) => {
      hold(scene, 'crashed');
      const faults = (call: { verb: string }): Fault | undefined =>
        call.verb === 'update' ? { delayMs: 5 } : undefined;
      const actors = ['a', 'b', 'c'].map((id) => scene.actor(id, { faults }));
      await scene.clock.advance(15_005);
      assert.equal(scene.leaders.length, 1);
      const losers = actors.filter((actor) => !actor.leads);
      for (const loser of losers) {
        assert.deepEqual(
          loser.of('raceLost').map((event) => event.retryInMs),
          [1_000],
        );
      }
      await scene.clock.advance(5_000);
      // The watch showed the losers who won: no read was needed.
      for (const loser of losers) assert.deepEqual([loser.store.count('get'), loser.store.count('update')], [0, 1]);
    }));
});

describe('handing over', () => {
  test('a release is acted on at once', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(33_333);
      a.stop();
      await scene.clock.advance(0);
      assert(b.leads && !a.leads);
      assert.equal(scene.peek()!.spec.leaseTransitions, 1);
      assert(b.terms[0]!.fencingToken > a.terms[0]!.fencingToken);
      assert.equal(a.settled, 'done');
    }));

  test('a release is written as client-go writes it', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(5_000);
      a.stop();
      await scene.clock.advance(0);
      const { spec } = scene.peek()!;
      assert.equal(spec.holderIdentity, '');
      assert.equal(spec.leaseDurationSeconds, 1);
      assert.equal(spec.leaseTransitions, 0);
      assert(spec.renewTime!.equals(wall(scene)) && spec.acquireTime!.equals(wall(scene)));
    }));

  test('a crash is acted on exactly when the last renewal has been silent for its duration', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(7_000);
      crash(a);
      const renewed = 6_000;
      await scene.clock.advance(renewed + 15_000 - 7_000 - 1);
      assert(!b.leads);
      await scene.clock.advance(1);
      assert(b.leads);
      assert.equal(b.store.count('update'), 1, 'the take-over is the only write');
    }));

  test('a lease deleted under its leader is not taken before the leader has ended', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(5_000);
      crash(a);
      scene.api.remove(REF);
      for (let i = 0; i < 300; i++) {
        await scene.clock.advance(100);
        assert(scene.leaders.length <= 1);
      }
      assert(b.leads);
      assert(b.terms[0]!.fencingToken > a.terms[0]!.fencingToken);
    }));
});

describe('renewing', () => {
  test('is one PUT each retry period, and nothing else', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const before = a.store.count();
      await scene.clock.advance(60_000);
      assert.equal(a.store.count('update'), 30);
      assert.equal(a.store.count() - before, 30);
      assert.equal(a.of('renewed').length, 30);
    }));

  test('a standby makes one watch and nothing else for minutes', () =>
    play(async (scene) => {
      scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(300_000);
      assert.deepEqual(
        b.store.journal.map((call) => call.verb),
        ['watch'],
      );
    }));

  for (const lose of ['Timeout', 'Unavailable'] as const) {
    test(`a lost answer (${lose}) to each renewal in turn: the deadline never moves past what others observe`, async () => {
      for (let nth = 0; nth < 8; nth++) {
        await play(async (scene) => {
          const a = scene.actor('a');
          await scene.clock.advance(0);
          a.store.next('update', ...Array<undefined>(nth).fill(undefined), { lose });
          for (let i = 0; i < 400; i++) {
            await scene.clock.advance(100);
            const committed = scene.api.history.at(-1)!.at;
            assert(a.leads, `answer ${nth} lost: still leading`);
            assert(a.terms[0]!.deadline <= committed + 10_000);
            assert(a.terms[0]!.expires <= committed + 15_000);
          }
          assert.equal(a.terms.length, 1);
          assert.equal(a.of('renewed').filter((event) => event.adopted).length, 1);
        });
      }
    });
  }

  test('a renewal that something on the way sends twice: the conflict with itself costs no leadership', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      a.store.next('update', { repeat: { afterMs: 5, answer: 'last' } });
      await scene.clock.advance(30_000);
      assert(a.leads);
      assert.equal(a.terms.length, 1);
      assert.equal(a.of('slowPath').length, 1);
      assert.equal(a.of('renewed').filter((event) => event.adopted).length, 1);
      assert(a.terms[0]!.deadline <= scene.api.history.at(-1)!.at + 10_000);
    }));

  test('a slow answer counts from its sending, to acquire and to renew', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      a.store.next('create', { delayMs: 10, answerDelayMs: 3_000 });
      a.store.next('update', { delayMs: 10, answerDelayMs: 3_000 });
      await scene.clock.advance(3_010);
      const [leading] = a.of('leading');
      assert.deepEqual([leading!.deadline, leading!.expires], [10_000, 14_750]);
      await scene.clock.advance(3_010);
      const sentAt = a.store.journal.filter((call) => call.verb === 'update')[0]!.at;
      const [renewed] = a.of('renewed');
      assert.deepEqual([renewed!.deadline, renewed!.expires], [sentAt + 10_000, sentAt + 14_750]);
      assert.equal(renewed!.latencyMs, 3_010);
    }));

  test('every answer lost: leads on, each deadline counted from a sending', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      a.store.faults = (call) => (call.verb === 'update' ? { lose: 'Unavailable' } : undefined);
      for (let i = 0; i < 600; i++) {
        await scene.clock.advance(100);
        assert(a.leads);
        assert(a.terms[0]!.deadline <= scene.api.history.at(-1)!.at + 10_000);
      }
      a.store.faults = undefined;
    }));

  test('a label that somebody sets costs nothing: the watch has shown it', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      scene.api.put({ name: REF.name, labels: { x: 'y' }, spec: scene.peek()!.spec });
      await scene.clock.advance(2_000);
      assert(a.leads);
      assert.equal(a.store.count('get'), 0);
      assert.equal(a.terms.length, 1);
      await scene.clock.advance(10_000);
      assert.equal(scene.peek()!.metadata.labels['x'], 'y');
    }));

  test('a lease that is changed before each renewal arrives is neither given up nor hammered', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      let i = 0;
      a.store.faults = (call) => {
        const spec = scene.peek()!.spec;
        if (call.verb === 'update') scene.api.put({ name: REF.name, annotations: { i: String(i++) }, spec });
        return undefined;
      };
      await scene.clock.advance(8_900);
      assert(a.leads);
      assert(i >= 4 && i < 30, `${i} tries`);
      a.store.faults = undefined;
      await scene.clock.advance(30_000);
      assert.equal(a.terms.length, 1 + Number(!a.leads || a.of('stopped').length > 0));
    }));

  test('a holder that somebody writes over ends the term at the next renewal', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      hold(scene, 'usurper');
      await scene.clock.advance(1_000);
      assert(!a.leads);
      assert.equal(checkError(a.terms[0]!).reason, 'taken');
      assert.equal(a.elector.leader, 'usurper');
      assert.equal(a.elector.term, undefined);
    }));

  test('a deleted lease ends the term; it is won again, with a higher token', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      scene.api.remove(REF);
      await scene.clock.advance(1_000);
      assert.equal(a.of('stopped')[0]!.reason, 'deleted');
      assert.equal(a.terms.length, 2);
      assert(a.terms[1]!.fencingToken > a.terms[0]!.fencingToken);
      assert(a.leads);
    }));
});

describe('an API that is gone', () => {
  test('ends the term at its deadline and not before, and every comeback is a new term', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      for (let cycle = 1; cycle <= 10; cycle++) {
        await scene.clock.advance(7_777);
        assert(a.leads);
        const { deadline } = a.terms.at(-1)!;
        a.store.faults = () => ({ fail: 'Unavailable' });
        await scene.clock.advance(deadline - scene.clock.monotonic() - 1);
        assert(a.leads, 'leads to the last millisecond');
        assert(!a.terms.at(-1)!.signal.aborted);
        await scene.clock.advance(1);
        assert(!a.leads);
        assert(a.terms.at(-1)!.signal.aborted);
        assert.equal(code(a.terms.at(-1)!.signal.reason), 'LeadershipLost');
        assert.equal(a.of('stopped').at(-1)!.reason, 'deadline');
        await scene.clock.advance(20_000 * cycle);
        a.store.faults = undefined;
        assert((await scene.until(() => a.leads, 5_000)) !== undefined, `elected again, cycle ${cycle}`);
        assert.equal(a.terms.length, cycle + 1);
      }
      const tokens = a.terms.map((term) => term.fencingToken);
      assert.deepEqual(
        tokens,
        [...tokens].sort((x, y) => x - y),
      );
      assert.equal(new Set(tokens).size, tokens.length);
    }));

  test('is tried until shortly before the deadline', () =>
    play(async (scene) => {
      for (const back of [1_000, 200, 60]) {
        const a = scene.actor('a');
        await scene.until(() => a.leads, 20_000);
        const { deadline } = a.terms[0]!;
        a.store.faults = (call) => (call.at < deadline - back ? { fail: 'Unavailable' } : undefined);
        await scene.clock.advance(deadline + 1_000 - scene.clock.monotonic());
        assert.equal(a.terms.length, 1, `back ${back} ms before the deadline: renewed`);
        assert(a.leads);
        a.stop();
        await scene.clock.advance(0);
      }
    }));

  test('that hangs once is tried again in time', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      a.store.next('update', { hang: true }, { hang: true });
      await scene.clock.advance(30_000);
      assert.equal(a.terms.length, 1);
      assert(a.leads);
    }));

  test('leaves the lead to another candidate: never two', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(3_000);
      a.store.faults = () => ({ fail: 'Unavailable' });
      const end = a.terms[0]!.deadline;
      let gap = 0;
      while (!b.leads) {
        await scene.clock.advance(100);
        assert(scene.leaders.length <= 1);
        if (scene.leaders.length === 0) gap += 100;
      }
      assert(scene.clock.monotonic() >= end && gap <= 5_100);
    }));
});

describe('a process that stood still', () => {
  test('finds its term over by check() before any timer or answer had its turn', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(3_000);
      const term = a.terms[0]!;
      scene.clock.jump(20_000);
      assert(!term.signal.aborted, 'nothing has run yet');
      const error = checkError(term);
      assert.deepEqual([error.code, error.reason], ['LeadershipLost', 'deadline']);
      assert(term.signal.aborted, 'and the signal tells the same from then on');
      assert.equal(term.remainingMs, 0);
      assert.equal(a.elector.term, undefined);
    }));

  test('does not get its term back by a renewal that succeeds afterwards', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(3_000);
      const term = a.terms[0]!;
      // The deadline is over, the published duration is not: nobody took the lease.
      scene.clock.jump(10_500);
      await scene.clock.advance(1_000);
      assert.equal(passes(term), false);
      assert(a.leads, 'it is a new term');
      assert.equal(a.terms.length, 2);
      assert.equal(scene.peek()!.spec.leaseTransitions, 1);
      assert(a.terms[1]!.fencingToken > a.terms[0]!.fencingToken);
    }));

  test('with an answer under way meanwhile: the answer counts from its sending', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      a.store.next('update', { answerDelayMs: 500 });
      await scene.clock.advance(2_100);
      const term = a.terms[0]!;
      scene.clock.jump(30_000);
      await scene.clock.advance(0);
      assert.equal(passes(term), false);
      assert.equal(a.of('renewed').length, 0);
    }));

  test('as a standby: takes nothing that was renewed meanwhile', () =>
    play(async (scene) => {
      hold(scene, 'other');
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      a.store.watches.silence();
      hold(scene, 'other', { leaseTransitions: 7 });
      scene.clock.jump(60_000);
      await scene.clock.advance(10_000);
      assert.equal(a.terms.length, 0);
      assert.equal(scene.peek()!.spec.holderIdentity, 'other');
      a.store.watches.resume();
    }));

  test('the wall clock stepped both ways changes nothing', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      for (const step of [86_400_000, -2 * 86_400_000, 3_600_000]) {
        scene.clock.stepWall(step);
        await scene.clock.advance(40_000);
        assert(a.leads && !b.leads);
      }
      assert.equal(a.terms.length, 1);
      assert.equal(a.store.count('get'), 0);
      crash(a);
      scene.clock.stepWall(-86_400_000);
      assert(await scene.until(() => b.leads, 15_000));
    }));

  test('a wall clock that stands still does not hide renewals', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      for (let i = 0; i < 30; i++) {
        await scene.clock.advance(1_000);
        scene.clock.stepWall(-1_000);
      }
      assert(a.leads && !b.leads);
      assert.equal(a.terms.length, 1);
    }));
});

describe('work', () => {
  /** Work that takes so long to end once it is asked to. */
  const slow =
    (scene: Scene, ms: number) =>
    async (term: Term): Promise<void> => {
      await obedient(term);
      await new Promise<void>((resolve) => void scene.clock.schedule(ms, resolve));
    };

  test('ends before the lease is released, and the lease is renewed until then', () =>
    play(async (scene) => {
      const a = scene.actor('a', { work: slow(scene, 18_000) });
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(5_000);
      a.stop();
      await scene.clock.advance(17_999);
      assert.equal(scene.peek()!.spec.holderIdentity, 'a_1');
      assert.equal(code(a.terms[0]!.signal.reason), 'ShuttingDown');
      assert(a.leads && !b.leads, 'what ends the work may still be guarded');
      await scene.clock.advance(1);
      assert(!a.leads && b.leads);
      assert.equal(code(checkError(a.terms[0]!)), 'TermEnded');
      assert.equal(a.of('stopped')[0]!.reason, 'shutdown');
    }));

  test('that never ends is bounded, and its lease left to expire', () =>
    play(async (scene) => {
      const a = scene.actor('a', { work: () => new Promise(() => {}), workTimeoutMs: 8_000 });
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(5_000);
      a.stop();
      await scene.clock.advance(7_999);
      assert.equal(a.settled, undefined);
      await scene.clock.advance(1);
      assert.equal(code(a.settled), 'WorkNotEnded');
      assert.equal(scene.peek()!.spec.holderIdentity, 'a_1', 'not released');
      const last = scene.api.history.at(-1)!.at;
      await scene.clock.advance(last + 15_000 - scene.clock.monotonic() - 1);
      assert(!b.leads && !a.leads);
      await scene.clock.advance(1);
      assert(b.leads);
      assert.equal(a.of('released').length, 0);
      assert.equal(a.of('leftToExpire').length, 1);
    }));

  test('that throws: released, and contended for again after a wait', () =>
    play(async (scene) => {
      let throws = 3;
      const a = scene.actor('a', {
        work: async (term) => {
          if (throws-- > 0) throw new Error('boom');
          await obedient(term);
        },
      });
      await scene.clock.advance(0);
      assert.equal(scene.peek()!.spec.holderIdentity, '');
      const stopped = a.of('stopped')[0]!;
      assert.equal(stopped.reason, 'workFailed');
      assert.match(String(stopped.error), /boom/);
      const waits: number[] = [];
      for (let i = 0; i < 3; i++) waits.push((await scene.until(() => a.terms.length === i + 2, 60_000))!);
      assert.deepEqual(waits, [1_500, 3_000, 6_000]);
      assert(a.leads);
    }));

  test('that throws at once, without a promise, is no different', () =>
    play(async (scene) => {
      const a = scene.actor('a', {
        work: () => {
          throw new Error('boom');
        },
      });
      await scene.clock.advance(0);
      assert.equal(a.of('stopped')[0]!.reason, 'workFailed');
      assert.equal(scene.peek()!.spec.holderIdentity, '');
    }));

  test('while one rests after a failure, another leads', () =>
    play(async (scene) => {
      const a = scene.actor('a', { work: () => Promise.reject(new Error('boom')) });
      const b = scene.actor('b');
      await scene.clock.advance(1_000);
      assert(b.leads);
      await scene.clock.advance(60_000);
      assert.equal(a.terms.length, 1);
      assert.equal(b.terms.length, 1);
    }));

  test('that returns by itself: nothing is held any more, and its leftovers are asked to end', () =>
    play(async (scene) => {
      const a = scene.actor('a', { work: async () => {} });
      await scene.clock.advance(0);
      assert.equal(scene.peek()!.spec.holderIdentity, '');
      assert.equal(a.of('stopped')[0]!.reason, 'workEnded');
      assert(a.terms[0]!.signal.aborted);
    }));

  test('that outlives its leadership is waited for before the next term', () =>
    play(async (scene) => {
      let running = 0;
      let most = 0;
      const a = scene.actor('a', {
        workTimeoutMs: 90_000,
        work: async (term) => {
          most = Math.max(most, ++running);
          await slow(scene, 60_000)(term);
          running--;
        },
      });
      await scene.clock.advance(1_000);
      a.store.next('update', ...Array.from({ length: 30 }, () => ({ fail: 'ServerError' as const })));
      assert(await scene.until(() => !a.leads, 30_000));
      a.store.faults = undefined;
      await scene.clock.advance(30_000);
      assert.equal(a.of('workOverdue').length, 1);
      assert.equal(a.terms.length, 1);
      await scene.clock.advance(60_000);
      assert(a.terms.length >= 2);
      assert.equal(most, 1);
    }));

  test('ends while a renewal is under way: released all the same', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      a.store.next('update', { delayMs: 300, answerDelayMs: 300 });
      await scene.clock.advance(2_100);
      a.stop();
      await scene.clock.advance(1_000);
      assert.equal(scene.peek()!.spec.holderIdentity, '');
      assert.equal(a.settled, 'done');
    }));
});

describe('releasing', () => {
  test('again after a conflict, while the holder is us', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      scene.api.put({ name: REF.name, labels: { x: 'y' }, spec: scene.peek()!.spec });
      a.stop();
      await scene.clock.advance(0);
      assert.equal(scene.peek()!.spec.holderIdentity, '');
      assert.equal(scene.peek()!.metadata.labels['x'], 'y');
    }));

  test("never a successor's", () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      hold(scene, 'successor');
      a.stop();
      await scene.clock.advance(0);
      assert.equal(scene.peek()!.spec.holderIdentity, 'successor');
      assert.equal(a.settled, 'done');
      assert.equal(a.of('released').length, 0);
    }));

  test('a lost answer is no reason to release twice', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      a.store.next('update', { lose: 'Unavailable' });
      a.stop();
      await scene.clock.advance(1_000);
      assert.equal(a.settled, 'done');
      assert.equal(a.of('released').length, 1);
      assert.equal(scene.peek()!.spec.holderIdentity, '');
    }));

  test('ends within a renew deadline when the API hangs', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(1_000);
      crash(a);
      a.stop();
      await scene.clock.advance(10_000);
      assert.equal(a.settled, 'done');
      assert.equal(a.of('leftToExpire').length, 1);
    }));

  test('a standby that is stopped while it acquires holds nothing afterwards', () =>
    play(async (scene) => {
      for (const fault of [{ delayMs: 500 }, { answerDelayMs: 500 }, { lose: 'Timeout' as const }]) {
        scene.api.remove(REF);
        const a = scene.actor('a');
        a.store.next('create', fault);
        await scene.clock.advance(100);
        a.stop();
        await scene.clock.advance(12_000);
        assert.equal(a.settled, 'done');
        assert.equal(a.terms.length, 0);
        assert.equal(scene.peek()?.spec.holderIdentity ?? '', '');
      }
    }));

  test('run may be called again afterwards, but not twice at a time', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      await assert.rejects(a.elector.run(new AbortController().signal), TypeError);
      a.stop();
      await scene.clock.advance(0);
      const again = new AbortController();
      const done = a.elector.run(again.signal);
      await scene.clock.advance(0);
      assert.equal(a.terms.length, 2);
      again.abort();
      await scene.clock.advance(0);
      await done;
    }));
});

describe('hostile records', () => {
  const records: [string, object, number][] = [
    ['a duration of 0', { leaseDurationSeconds: 0 }, 15_000],
    ['a negative duration', { leaseDurationSeconds: -1 }, 15_000],
    ['the longest duration', { leaseDurationSeconds: 2_147_483_647 }, 3_600_000],
    ['no duration', { leaseDurationSeconds: undefined }, 15_000],
    ['no times', { renewTime: undefined, acquireTime: undefined }, 15_000],
    ['a renewTime in the future', { renewTime: MicroTime.fromEpochMs(Date.UTC(9000, 0)) }, 15_000],
    ['a holder of 10 kB', { holderIdentity: 'x'.repeat(10_240) }, 15_000],
    ['transitions at their end', { leaseTransitions: 2_147_483_647 }, 15_000],
  ];
  for (const [name, spec, expected] of records) {
    test(`${name}: taken after ${expected / 1000} s of silence, neither before nor never`, () =>
      play(async (scene) => {
        hold(scene, 'hostile', spec);
        const a = scene.actor('a');
        await scene.clock.advance(expected - 1);
        assert.equal(a.terms.length, 0);
        await scene.clock.advance(1);
        assert(a.leads);
        await scene.clock.advance(10_000);
        assert(a.leads);
      }));
  }

  test('a lease that somebody annotates all the time still expires', () =>
    play(async (scene) => {
      hold(scene, 'crashed');
      const a = scene.actor('a');
      for (let i = 1; i < 15; i++) {
        await scene.clock.advance(1_000);
        scene.api.put({ name: REF.name, annotations: { i: String(i) }, spec: scene.peek()!.spec });
      }
      await scene.clock.advance(1_000);
      assert(a.leads);
    }));
});

describe('events', () => {
  test('leading and stopped come in pairs, and say which lease', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(2_000);
      scene.api.remove(REF);
      await scene.clock.advance(5_000);
      a.store.faults = () => ({ fail: 'Unavailable' });
      await scene.clock.advance(30_000);
      a.store.faults = undefined;
      await scene.clock.advance(5_000);
      a.stop();
      await scene.clock.advance(1_000);
      const pairs = a.events.filter(({ type }) => type === 'leading' || type === 'stopped').map(({ type }) => type);
      assert.deepEqual(pairs, ['leading', 'stopped', 'leading', 'stopped', 'leading', 'stopped']);
      for (const event of a.events) {
        assert.deepEqual(event.lease, REF);
        assert.equal(event.holder, 'a_1');
      }
      assert(a.of('failed').some(({ operation, remainingMs }) => operation === 'renew' && remainingMs! > 0));
    }));

  test('a new leader is reported once', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(20_000);
      a.stop();
      await scene.clock.advance(20_000);
      assert.deepEqual(
        b.of('leaderObserved').map((event) => event.leader),
        ['a_1', undefined, 'b_2'],
      );
    }));
});

test('one that led, was cut off, and finds the lease put back, waits: its successor may not have heard', () =>
  play(async (scene) => {
    const { clock, api } = scene;
    api.put({ name: REF.name, spec: { holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 3 } });
    const { spec } = scene.peek()!;
    const a = scene.actor('a');
    await clock.advance(1_000);
    assert.ok(a.leads);
    const b = scene.actor('b');
    await clock.advance(1_000);
    a.store.faults = () => ({ fail: 'Unavailable' });
    a.store.watches.silence();
    assert.notEqual(await scene.until(() => b.leads, 40_000), undefined);
    await clock.advance(30_000);
    b.store.watches.silence();
    api.edit(REF, (now) => withChanges(now, { spec, annotations: { [TERM_ANNOTATION]: undefined } }));
    a.store.faults = undefined;
    a.store.watches.resume('relist');
    for (let i = 0; i < 300; i++) {
      await clock.advance(10);
      assert.ok(!(a.leads && b.leads), 'two lead');
    }
  }));
