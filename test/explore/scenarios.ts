/** What is explored: few processes, little time, the shipped code; and what must hold of them. */
import { LeaderElector } from '../../src/election/elector.ts';
import { LeadershipError } from '../../src/election/term.ts';
import type { Term } from '../../src/election/term.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { KIND_LABEL, stepDownMark, termMark } from '../../src/lease/marks.ts';
import { holderIdentity, isCalled, leaseName } from '../../src/lease/names.ts';
import { DONE_ANNOTATION, parseDone } from '../../src/recipes/done-keys.ts';
import { Lock } from '../../src/recipes/lock.ts';
import { Once } from '../../src/recipes/once.ts';
import { RecipeError } from '../../src/recipes/recipe-error.ts';
import { RING_LABEL } from '../../src/recipes/ring-member.ts';
import { Semaphore } from '../../src/recipes/semaphore.ts';
import { Shards } from '../../src/recipes/shards.ts';
import { sleep } from '../../src/runtime/clock.ts';
import { ClientGoElector } from '../simulation/client-go.ts';
import { Violation } from '../simulation/judge.ts';
import { NAMESPACE } from './scene.ts';
import type { Process, Rules, Scenario, Scene, Trouble } from './scene.ts';

const ref = (name: string): { namespace: string; name: string } => ({ namespace: NAMESPACE, name });
const MESSAGES: readonly Trouble[] = ['lose', 'hold', 'stall', 'cut'];
const PROCESSES: readonly Trouble[] = ['crash', 'restart', 'leave', 'pause', 'step'];
const PEOPLE: readonly Trouble[] = ['delete', 'restore'];

type OnCommit = NonNullable<Rules['commit']>;

/** Nothing else goes otherwise. */
const only = (scene: Scene, ...kinds: readonly string[]): boolean =>
  [...scene.made].every((kind) => kinds.includes(kind));

interface Hand {
  readonly process: Process;
  readonly term: Term;
  readonly what: string;
  readonly most: number;
  readonly beganAt: number;
  working: boolean;
  /** It stood still meanwhile: only its checks protect then. */
  stoodStill: boolean;
}

/** Who works in which term: as many at once as may, by the clocks of their processes and by what really runs. */
class Hands {
  readonly #scene: Scene;
  readonly #rule: string;
  readonly #eras: number[] = [];
  readonly #reads: boolean;
  open: Hand[] = [];

  /** @param reads works begin by what was read after their term had begun, too */
  constructor(scene: Scene, rule: string, { reads = false } = {}) {
    this.#scene = scene;
    this.#rule = rule;
    this.#reads = reads;
  }

  /** Work of so many milliseconds, or until it is asked to end; then it takes a second. */
  async work(process: Process, term: Term, what: string, ms = Infinity, most = 1): Promise<void> {
    const hand: Hand = { process, term, what, most, beganAt: this.#scene.now, working: true, stoodStill: false };
    this.open.push(hand);
    this.#scene.tell(process.name, `works on ${what}, token ${term.fencingToken}`);
    this.verify();
    const until = this.#scene.now + ms;
    while (!term.signal.aborted && this.#scene.now < until) {
      try {
        term.check();
      } catch {
        break;
      }
      await sleep(process, Math.min(until - this.#scene.now, 4_000), term.signal);
    }
    if (term.signal.aborted) await sleep(process, 1_000);
    hand.working = false;
    this.#scene.tell(process.name, `has ended its work on ${what}`);
  }

  /** From this version on, a term that is found in it among them, nothing is compared with what was before: who held it may not know yet. */
  era(version: string): void {
    this.#eras.push(Number(version));
  }

  /** Who lets go of a Lease has ended its work, and it was its own. */
  commit({ by, name, before, after }: Parameters<OnCommit>[0]): void {
    // What client-go does is its own.
    const process = this.#scene.processes.find((one) => one.name === by && one.slot !== 'go');
    const was = before?.spec.holderIdentity;
    if (!process || !was || after?.spec.holderIdentity) return;
    const own = was.split('#')[0] === holderIdentity(process.slot, by);
    if (!own) return this.#scene.fail('only what is its own is released', `${by} released ${name} of ${was}`);
    if (
      this.open.some(({ working, term }) => working && term.holder === was && term.lease.name === name) &&
      process.alive
    )
      this.#scene.fail('work ends before the release', `${by} released ${name} while it works`);
  }

  #sameEra(one: Hand, other: Hand): boolean {
    const eraOf = ({ term }: Hand): number => this.#eras.filter((version) => version <= term.fencingToken).length;
    if (!this.#reads) return eraOf(one) === eraOf(other);
    // What the later one has read may be of before, or of after: nothing is promised of who held a slot when that came.
    const first = Math.min(one.term.fencingToken, other.term.fencingToken);
    return this.#eras.every((version) => version <= first);
  }

  holds({ process, term, working }: Hand): boolean {
    return working && process.alive && term.lost === undefined && process.monotonic() < term.deadline;
  }

  verify(): void {
    this.open = this.open.filter(({ working, process }) => working && process.alive);
    for (const hand of this.open) hand.stoodStill ||= hand.process.paused;
    for (const hand of this.open) {
      if (hand.stoodStill && !this.holds(hand)) continue;
      const others = this.open.filter(
        (other) => other !== hand && other.what === hand.what && this.holds(other) && this.#sameEra(other, hand),
      );
      if (others.length < Math.min(hand.most, ...others.map(({ most }) => most))) continue;
      const names = [hand, ...others].map(({ process, term }) => `${process.name} (token ${term.fencingToken})`);
      this.#scene.fail(this.#rule, `${names.join(' and ')} work on ${hand.what} at once`);
    }
  }
}

/** What an elector of ours may be excused for: its Lease was deleted, or put back to where it was before. */
const judged =
  (hands: Hands): OnCommit =>
  (commit) => {
    const { by, before, after, resourceVersion } = commit;
    if (by !== 'somebody') return hands.commit(commit);
    if (!after || (before && putBack(before.spec, after.spec))) hands.era(resourceVersion);
  };

/** To another term's record: who empties a holder, or asks it to step down, changes no time. */
const putBack = (before: Lease['spec'], after: Lease['spec']): boolean =>
  (after.leaseTransitions ?? 0) < (before.leaseTransitions ?? 0) ||
  (after.holderIdentity !== before.holderIdentity && !after.renewTime?.equals(before.renewTime));

/** What the work of a recipe may throw at its caller. */
const expected =
  ({ signal }: Process) =>
  (error: unknown): void => {
    const known = error instanceof LeadershipError || error instanceof RecipeError;
    if (!known && !(signal.aborted && error === signal.reason)) throw error;
  };

/** A process that was asked to end has ended once its services have. */
function follow(process: Process, work: Promise<unknown>): void {
  const ended = work.then(() => {
    if (process.leaving) process.alive = false;
  });
  ended.catch((error: unknown) => process.scene.fail('services end without an error', String((error as Error).stack)));
}

/** Milliseconds within which a term that was asked to end has ended, where nothing else goes otherwise: its work takes one second. */
const STEPPED_DOWN_MS = 3_000;

/** Milliseconds within which the next has begun once a leader has released: it was woken by that. */
const SUCCEEDED_MS = 3_000;

/** Who is asked to step down does, once, and the one for whom leads next. */
class StepDowns {
  readonly #scene: Scene;
  #asked:
    | { readonly holder: string; readonly transitions: number; readonly to: string | undefined; readonly at: number }
    | undefined;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  commit({ by, after }: Parameters<OnCommit>[0]): void {
    const { holderIdentity: holder, leaseTransitions: transitions } = after?.spec ?? {};
    const mark = after && stepDownMark(after);
    if (by === 'somebody' && mark?.holder === holder && mark && mark.transitions === transitions)
      this.#asked = { ...mark, to: mark.to, at: this.#scene.now };
    else if (this.#asked && holder && !this.#isIn(holder, transitions)) {
      const { to } = this.#asked;
      const there = this.#scene.processes.some(({ slot }) => slot === to);
      if (to !== undefined && there && only(this.#scene, 'ask') && !isCalled(holder, to))
        this.#scene.fail('the one for whom a leader stepped down leads next', holder);
      this.#asked = undefined;
    }
  }

  verify(): void {
    if (only(this.#scene, 'ask') && this.#asked && this.#scene.now > this.#asked.at + STEPPED_DOWN_MS) this.#missed();
  }

  /** A request that others took off the Lease is none. */
  quiet(lease: Lease | undefined): void {
    const mark = lease && stepDownMark(lease);
    if (mark && this.#isIn(mark.holder, mark.transitions) && lease.spec.holderIdentity === mark.holder) this.#missed();
  }

  #isIn(holder: string, transitions: number | undefined): boolean {
    return this.#asked?.holder === holder && this.#asked.transitions === transitions;
  }

  #missed(): void {
    this.#scene.fail('who is asked to step down does', this.#asked!.holder);
  }
}

/** @param withGo client-go takes part, and comes first */
const election = (name: string, about: string, troubles: readonly Trouble[], withGo = true): Scenario => ({
  name,
  about,
  firstMs: 6_000,
  horizonMs: 34_000,
  quietMs: 40_000,
  troubles,
  start(scene) {
    const hands = new Hands(scene, 'one leader at a time');
    const note = (process: Process) => (what: string) => scene.tell(process.name, what);
    if (withGo) {
      scene.process('go', (process) => {
        const { random, name: identity } = process;
        const parts = { store: process, clock: process, random, ref: ref('election'), identity, note: note(process) };
        follow(process, new ClientGoElector(parts).run(process.signal));
      });
    }
    for (const [id, at] of [['a', 1_000], ['b', 1_500], ...(withGo ? [] : ([['c', 1_600]] as const))] as const) {
      scene.process(
        id,
        (process) => {
          const elector = new LeaderElector({
            ...{ store: process, clock: process, random: process.random, lease: ref('election'), id },
            uuid: process.name,
            work: (term) => hands.work(process, term, 'the election'),
          });
          follow(process, elector.run(process.signal));
        },
        at,
      );
    }
    const judge = judged(hands);
    const stepDowns = new StepDowns(scene);
    const ours = (): Process[] => scene.processes.filter(({ living, slot }) => living && slot !== 'go');
    let leftAt = Infinity;
    return {
      verify() {
        hands.verify();
        stepDowns.verify();
        if (only(scene, 'leave') && scene.now > leftAt + SUCCEEDED_MS && ours().length > 0)
          scene.fail('who leaves lets others begin', 'nobody has');
      },
      commit(commit) {
        judge(commit);
        stepDowns.commit(commit);
        const { before, after, by, resourceVersion } = commit;
        leftAt =
          after?.spec.holderIdentity || !scene.processes.some((p) => p.leaving && p.name === by) ? Infinity : scene.now;
        // client-go acts on any empty holder; nobody can prevent that.
        const mark = before && !before.spec.holderIdentity ? termMark(before) : undefined;
        const emptied = mark !== undefined && mark.transitions >= (before?.spec.leaseTransitions ?? 0);
        if (by.startsWith('go') && emptied && after?.spec.holderIdentity) hands.era(resourceVersion);
      },
      quiet() {
        const holder = scene.api.peek(ref('election'))?.spec.holderIdentity;
        if (ours().length > 0 && !holder) scene.fail('one leads once it is quiet', 'nobody');
        stepDowns.quiet(scene.api.peek(ref('election')));
      },
    };
  },
});

const lock: Scenario = {
  name: 'lock',
  about: 'two processes use a lock, one of them with little time',
  firstMs: 8_000,
  horizonMs: 24_000,
  quietMs: 60_000,
  troubles: [...MESSAGES, ...PROCESSES, ...PEOPLE, 'empty'],
  start(scene) {
    const hands = new Hands(scene, 'no two holders of a lock');
    const waiting = new Set<string>();
    for (const [id, waitMs] of [
      ['a', undefined],
      ['b', 4_500],
    ] as const) {
      scene.process(id, (process) => {
        const options = { store: process, clock: process, random: process.random, lease: ref('lock'), id };
        const using = new Lock({ ...options, newId: process.newId });
        let over = false;
        waiting.add(process.name);
        const work = async (term: Term): Promise<void> => {
          if (over) scene.fail('no work begins after its time is up', process.name);
          await hands.work(process, term, 'the lock', 5_000);
        };
        const used = using.use(work, { waitMs, signal: process.signal }).finally(() => {
          over = true;
          waiting.delete(process.name);
        });
        follow(process, used.catch(expected(process)));
      });
    }
    return {
      verify: () => hands.verify(),
      commit: judged(hands),
      quiet() {
        const left = scene.processes.find(({ alive, name }) => alive && waiting.has(name));
        if (left) scene.fail('nobody waits for ever', left.name);
      },
    };
  },
};

const once: Scenario = {
  name: 'once',
  about: 'two processes run a work once',
  firstMs: 8_000,
  horizonMs: 22_000,
  quietMs: 70_000,
  troubles: [...MESSAGES, ...PROCESSES, ...PEOPLE, 'empty'],
  start(scene) {
    const hands = new Hands(scene, 'no two works under one once');
    const isDone = (lease: Lease | undefined): boolean =>
      parseDone(lease?.metadata.annotations[DONE_ANNOTATION])?.has('v1') ?? false;
    let recorded = false;
    const waiting = new Set<string>();
    for (const id of ['a', 'b']) {
      scene.process(id, (process) => {
        const options = { store: process, clock: process, random: process.random, lease: ref('once'), id };
        const one = new Once({ ...options, newId: process.newId });
        waiting.add(process.name);
        const work = async (term: Term): Promise<void> => {
          if (isDone(scene.api.peek(ref('once')))) scene.fail('no start after a recorded success', process.name);
          await hands.work(process, term, 'v1', 5_000);
        };
        const ended = one
          .run('v1', work, process.signal)
          .then(() => recorded || scene.fail('a success that is reported is recorded', process.name), expected(process))
          .finally(() => waiting.delete(process.name));
        follow(process, ended);
      });
    }
    return {
      verify: () => hands.verify(),
      commit(commit) {
        judged(hands)(commit);
        // Also where somebody deletes it afterwards.
        recorded ||= isDone(commit.after);
      },
      quiet() {
        const left = scene.processes.find(({ alive, name }) => alive && waiting.has(name));
        if (left) scene.fail('nobody waits for ever', left.name);
      },
    };
  },
};

const semaphore: Scenario = {
  name: 'semaphore',
  about: 'the count of a semaphore grows from one to two while it is used',
  firstMs: 6_500,
  horizonMs: 24_000,
  quietMs: 60_000,
  troubles: [...MESSAGES, ...PROCESSES, ...PEOPLE, 'empty'],
  start(scene) {
    const hands = new Hands(scene, 'never more than n', { reads: true });
    for (const [id, count, at] of [
      ['a', 1, 0],
      ['b', 2, 2_900],
      ['c', 1, 3_000],
      ['d', 2, 3_100],
    ] as const) {
      scene.process(
        id,
        (process) => {
          const options = { store: process, clock: process, random: process.random, lease: ref('slots'), id };
          const slots = new Semaphore({ ...options, newId: process.newId, count });
          const ms = id === 'a' ? 2_000 : 6_000;
          const used = slots.use((term) => hands.work(process, term, 'a slot', ms, count), { signal: process.signal });
          follow(process, used.catch(expected(process)));
        },
        at,
      );
    }
    return { verify: () => hands.verify(), commit: judged(hands) };
  },
};

const KEYS = ['x', 'y'];

/** @param always what happens in any case, and when in milliseconds */
const shards = (
  name: string,
  about: string,
  troubles: readonly Trouble[],
  always: Readonly<Record<string, number>> = {},
): Scenario => ({
  name,
  about,
  firstMs: Math.max(9_000, ...Object.values(always)),
  horizonMs: 26_000,
  quietMs: 48_000,
  troubles,
  start(scene) {
    const hands = new Hands(scene, 'one key never in two hands');
    const members = new Map<string, Shards>();
    for (const [what, ms] of Object.entries(always)) scene.happens(ms, what);
    // Somebody held the keys before, and gave them back.
    const labels = { [RING_LABEL]: 'ring', [KIND_LABEL]: 'shard' };
    for (const key of KEYS) scene.api.put({ ...ref(`ring-k-${key}`), labels, spec: { leaseTransitions: 3 } });
    for (const [id, at] of [
      ['a', 0],
      ['b', 2_500],
    ] as const) {
      scene.process(
        id,
        (process) => {
          const member = new Shards({
            ...{ store: process, clock: process, random: process.random, ring: ref('ring'), id, uuid: process.name },
            keys: KEYS,
            work: (term) => hands.work(process, term, `key ${term.key}`),
          });
          members.set(process.name, member);
          follow(process, member.run(process.signal));
        },
        at,
      );
    }
    return {
      verify: () => hands.verify(),
      commit(commit) {
        const { by, name, before, after, resourceVersion } = commit;
        if (name.includes('-k-')) hands.commit(commit);
        // A member that lists again cannot know that a key which was put back to a time without a holder has one.
        const freed = before?.spec.holderIdentity && after && !after.spec.holderIdentity;
        if (by === 'somebody' && name.includes('-k-') && freed) hands.era(resourceVersion);
      },
      quiet() {
        const living = scene.processes.filter(({ living: one }) => one).map(({ name }) => members.get(name)!);
        if (living.length === 0) return;
        const held = living.flatMap((member) => member.held).sort();
        if (held.join() !== KEYS.join()) scene.fail('every key in some hand once quiet', held.join() || 'none');
      },
    };
  },
});

/** A publisher's freshness window: three renewals, and one request. */
const WINDOW_MS = 35_000;
/** A lease that was put back is claimed at the next renewal, and once more where that gets lost. */
const CLAIMED_MS = 26_000;

/** @param lives the first one goes on beside the second. @param leaves what one that is asked to end does with its lease */
const publishers = (name: string, about: string, lives: boolean, leaves: 'keep' | 'delete' = 'keep'): Scenario => ({
  name,
  about,
  firstMs: 25_000,
  horizonMs: 46_000,
  quietMs: 90_000,
  troubles: [...MESSAGES, ...PROCESSES, ...PEOPLE],
  start(scene) {
    const named = leaseName('host');
    const lease = ref(named);
    const holders = new Map<string, string>();
    const claimed = new Set<string>();
    const standing = new Set<string>();
    const outcomes = new Map<string, string>();
    let [renewedAt, restoredAt] = [0, Infinity];
    for (const at of [0, 14_000]) {
      scene.process(
        at === 0 ? 'p' : 'q',
        (process) => {
          // The second one takes the place of the first, as after an update.
          if (process.slot === 'q' && !lives)
            for (const other of scene.processes) if (other !== process) other.alive = false;
          const holder = holderIdentity(named, process.name);
          holders.set(process.name, holder);
          const publisher = new Publisher({
            ...{ store: process, clock: process, random: process.random, holder, hostname: 'host' },
            ...{ namespace: NAMESPACE, leaseDurationSeconds: 3600, renewIntervalMs: 10_000, shutdownPolicy: leaves },
            observe: ({ type }) => {
              scene.tell(process.name, type);
              if (type === 'superseded') standing.add(process.name);
              if (type !== 'claimed' && type !== 'renewed' && type !== 'adopted') return;
              standing.delete(process.name);
              claimed.add(process.name);
            },
          });
          const left = publisher.run(process.signal).then((outcome) => outcomes.set(process.name, outcome));
          follow(process, left);
        },
        at,
      );
    }
    /** Who lives holds it, and what was put back is older beyond doubt: its own record, or one of the very object. */
    const provable = (before: Lease | undefined, { spec }: Lease): boolean => {
      const of = scene.api.history.find(({ after }) => {
        const { holderIdentity, renewTime } = after?.spec ?? {};
        return holderIdentity === spec.holderIdentity && renewTime?.equals(spec.renewTime);
      })!;
      const holder = scene.processes.find(({ alive, name }) => alive && !standing.has(name))?.name;
      return holder !== undefined && (of.by === holder || of.after?.metadata.uid === before?.metadata.uid);
    };
    return {
      commit({ by, verb, before, after }) {
        const [was, is] = [before?.spec.holderIdentity, after?.spec.holderIdentity];
        if (by === 'somebody') {
          restoredAt = after && provable(before, after) ? scene.now : Infinity;
          return;
        }
        // A lease that is kept may yet be renewed by what was under way.
        const outcome = outcomes.get(by);
        if (outcome !== undefined && outcome !== 'unknown' && outcome !== 'kept')
          throw new Violation('nothing of a leaver comes after it has ended', `${by}, ${outcome}: ${verb}`);
        if (verb === 'delete') {
          const leaver = scene.processes.some((one) => one.name === by && one.leaving);
          if (leaver && was === holders.get(by)) return;
          throw new Violation('no lease is lost', `${by} deleted it while ${was} held`);
        }
        const silentMs = scene.now - renewedAt;
        renewedAt = scene.now;
        if (is === holders.get(by)) restoredAt = Infinity;
        if (
          was !== is &&
          was &&
          claimed.has(by) &&
          silentMs < WINDOW_MS - 5_000 &&
          ![...scene.made].includes('restore')
        )
          throw new Violation('the superseded does not fight', `${by} took it back after ${silentMs} ms`);
      },
      verify() {
        const undisturbed = only(scene, 'delete', 'restore');
        const living = scene.processes.filter(({ alive }) => alive);
        if (undisturbed && living.length === 1 && scene.now > restoredAt + CLAIMED_MS)
          scene.fail('a lease that was put back is claimed at once', `not within ${CLAIMED_MS} ms`);
      },
      quiet() {
        const living = scene.processes.filter((process) => process.living).map(({ name }) => holders.get(name));
        const holder = scene.api.peek(lease)?.spec.holderIdentity;
        const left = scene.processes.some((process) => process.leaving && holders.get(process.name) === holder);
        if (leaves === 'delete' && left && only(scene, 'leave'))
          scene.fail('a leaver deletes its lease', `${holder} holds`);
        if (living.length > 0 && !living.includes(holder))
          scene.fail('the living hold their leases', `${holder} holds`);
        if (living.length > 0 && scene.now - renewedAt > 12_000)
          scene.fail('who holds a lease renews it', String(holder));
      },
    };
  },
});

export const SCENARIOS: readonly Scenario[] = [
  election('election', 'client-go and two electors of ours contend for one Lease', [
    ...MESSAGES,
    ...PROCESSES,
    ...PEOPLE,
    'empty',
    'ask',
  ]),
  election(
    'step down',
    'three electors of ours, the leader is asked to step down',
    [...MESSAGES, ...PROCESSES, 'ask'],
    false,
  ),
  election('late release', 'the same, where only connections are bad: client-go releases late', ['cut', 'stall']),
  publishers('publishers', 'a publisher, and the next process under its hostname in its place', false),
  publishers('rivals', 'a publisher, and another one under its hostname beside it', true),
  publishers('leaving', 'the same, where one that is asked to end deletes its lease', true, 'delete'),
  lock,
  once,
  semaphore,
  shards('shards', 'two members share two keys', [...MESSAGES, ...PROCESSES, ...PEOPLE]),
  shards('old views', 'the same, where only connections are bad', ['cut', 'stall']),
  shards(
    'heard late',
    'the same, where one stands still and is then heard for a moment only',
    ['lose', 'hold', 'stall'],
    {
      'pause a1': 5_100,
      'resume a1': 14_500,
      'cut a1': 14_600,
    },
  ),
  shards(
    'by hand',
    'the same, where somebody deletes a key, maybe puts it back, and empties the Lease of a member',
    ['cut', 'stall', 'hold', 'pause', 'restore'],
    { 'delete ring-k-x': 5_100, 'empty ring-m-a': 8_000 },
  ),
];
