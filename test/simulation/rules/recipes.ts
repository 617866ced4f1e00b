/**
 * What must hold of recipes: no two holders of a lock, a fire at most once, no start after a recorded success, never more
 * than a semaphore's count, a key never in two hands; and once it is quiet, every key in some hand, every fire run, every
 * list of members the same.
 *
 * Left out, because it is said of each recipe: deleting a lock's, a semaphore's, a cron's or a once's Lease, or putting it back to
 * an older state, begins a new era: who held it may go on until its deadline, and what was recorded is forgotten. Shards know
 * no eras: whatever comes and goes, a key is never in two hands; but where a key's Lease is put back to a time when nobody held
 * it, a member that has just come, or lists again, cannot know that somebody has held it since.
 */
import type { Commit, MemoryApi } from '../../support/memory-api.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import { KIND_LABEL } from '../../../src/lease/marks.ts';
import { DONE_ANNOTATION, parseDone } from '../../../src/recipes/done-keys.ts';
import { FIRES_ANNOTATION } from '../../../src/recipes/fires.ts';
import { SLOTS_ANNOTATION } from '../../../src/recipes/semaphore.ts';
import { recordOf, sameRecord } from '../../../src/lease/record.ts';
import type { Actor } from '../actors.ts';
import type { Hand, RecipeWitness } from '../hands.ts';
import type { Judge } from '../judge.ts';
import {
  FIRE_EVERY_MS,
  MembersActor,
  OnceActor,
  RECIPES,
  RING_KEYS,
  RecipeActor,
  ShardsActor,
} from '../recipe-actors.ts';
import { EPOCH_MS } from '../world.ts';
import type { World } from '../world.ts';

/** Another's record may be taken when it has been silent for its duration by a clock that is up to 1 % off. */
const RATE = 0.985;
/** Two readers of one machine's clocks may differ by this after a suspend. */
const READERS_DIFFER_MS = 10;
/** Nobody's clock is further off in a world where each fire must run. */
const FAIR_SKEW_MS = 20_000;
/** Once it is quiet: until everybody has found the others again, and until a fire has been claimed; milliseconds. */
const SETTLED_MS = 45_000;
const CLAIMED_MS = 15_000;

/** Five durations and one more until a member looks. */
const MOST_TIDY_MS = 6 * 15_000 * 1.01 + 1_000;

/** A duration, after a list that is asked for again once a request that hung from before has timed out. */
const SILENT_MS = 30_000;

/** The skew allowed, and the second that the server's `Date` is cut off by. */
const MOST_AHEAD_MS = 61_000;

const NAMES: Readonly<Record<string, string>> = {
  lock: 'no two holders of a lock',
  once: 'no two works under one once',
  job: 'no two fires of a job at once',
  slots: 'never more than n',
};

export class RecipeRules implements RecipeWitness {
  readonly #world: World;
  readonly #judge: Judge;
  readonly #api: MemoryApi;
  readonly #actors: ReadonlyMap<string, Actor>;
  #open: Hand[] = [];
  /** By what is held. */
  readonly #highest = new Map<string, { readonly token: number; readonly name: string; readonly era: number }>();
  /** The versions at which eras began. */
  readonly #eras: number[] = [];
  /** Keys' Leases that were put back to a time when nobody held them. */
  readonly #putBack = new Set<string>();
  /** When each Lease's record was written, in true milliseconds. */
  readonly #recordAt = new Map<string, number>();
  /** Who ran each fire, by its time in milliseconds of the epoch. */
  readonly #fires = new Map<number, { readonly name: string; readonly era: number }[]>();
  /** Since when nothing is broken on purpose, in true milliseconds. */
  #calmSince: number | undefined;
  hands = 0;
  steps = 0;
  fired = 0;

  constructor(world: World, judge: Judge, api: MemoryApi, actors: ReadonlyMap<string, Actor>) {
    this.#world = world;
    this.#judge = judge;
    this.#api = api;
    this.#actors = actors;
  }

  /** What the clock of its process, and nothing else, says. Asking changes nothing. */
  #holds({ process, term, working }: Hand, slackMs = 0): boolean {
    return working && process.alive && term.lost === undefined && process.peek() - slackMs < term.deadline;
  }

  began(hand: Hand): void {
    const { name, what, term } = hand;
    const { fencingToken: token } = term;
    this.hands++;
    this.#open.push(hand);
    this.#judge.note(name, `has ${what} with token ${token}`);
    // Of a semaphore each slot counts for itself.
    const resource = `${what} ${term.lease.name}`;
    const highest = this.#highest.get(resource);
    const era = this.#eraOf(token);
    if (highest && era < highest.era) return this.verify();
    if (highest && (token < highest.token || (token === highest.token && name !== highest.name))) {
      this.#judge.fail('tokens of recipes grow', `${name} has ${what} with ${token} after ${highest.token}`);
    }
    this.#highest.set(resource, { token, name, era });
    this.verify();
  }

  stepped(hand: Hand): void {
    this.steps++;
    if (hand.process.peek() - READERS_DIFFER_MS >= hand.term.deadline)
      this.#judge.fail('no check passes after the deadline', `${hand.name} ${hand.what}`);
  }

  ended(hand: Hand): void {
    hand.endedAt ??= this.#world.now;
    this.#judge.note(hand.name, `ends ${hand.what}`);
  }

  starts(name: string, key: string): void {
    const lease = this.#api.peek({ namespace: RECIPES, name: 'once' });
    if (parseDone(lease?.metadata.annotations[DONE_ANNOTATION])?.has(key))
      this.#judge.fail('no start after a recorded success', `${name} starts ${key}`);
  }

  late(name: string): void {
    this.#judge.fail('no work begins after its time is up', name);
  }

  succeeded(name: string, key: string, token: number): void {
    const lease = this.#api.peek({ namespace: RECIPES, name: 'once' });
    const recorded = parseDone(lease?.metadata.annotations[DONE_ANNOTATION])?.has(key);
    if (!recorded && this.#eraOf(token) === this.#eras.length)
      this.#judge.fail('a success that is reported is recorded', `${name} ${key}`);
  }

  fires(name: string, atMs: number, token: number): void {
    this.fired++;
    if (atMs - EPOCH_MS > this.#world.now + MOST_AHEAD_MS)
      this.#judge.fail('no fire ahead of its time', `${name} runs ${atMs - EPOCH_MS}`);
    const era = this.#eraOf(token);
    const before = this.#fires.get(atMs) ?? [];
    const twin = before.find((one) => one.era === era);
    if (twin) this.#judge.fail('a fire at most once', `${name} runs ${atMs - EPOCH_MS} after ${twin.name}`);
    this.#fires.set(atMs, [...before, { name, era }]);
  }

  verify(): void {
    this.#verifyMembers();
    if (this.#open.length === 0) return;
    let gone = false;
    const holding: Hand[] = [];
    for (const hand of this.#open) {
      if (this.#holds(hand)) holding.push(hand);
      else hand.endedAt ??= this.#world.now;
      gone ||= hand.endedAt !== undefined;
    }
    if (this.#open.length > 1) for (const hand of this.#open) this.#checkHand(hand, holding);
    if (gone) this.#open = this.#open.filter((h) => h.endedAt === undefined || (h.working && h.process.alive));
  }

  /** Where nothing hinders the news, nobody is shown as a member whose Lease has been silent for its duration. */
  #verifyMembers(): void {
    const { now } = this.#world;
    if (!this.#judge.calm) this.#calmSince = undefined;
    else this.#calmSince ??= now;
    if (this.#calmSince === undefined || now - this.#calmSince < SILENT_MS) return;
    for (const actor of this.#actors.values()) {
      // Who has just come waits for the whole duration of what it finds.
      if (!(actor instanceof MembersActor) || !actor.living || now - actor.startedAt < SILENT_MS) continue;
      const silent = actor.members.live.find(({ name }) => now - (this.#recordAt.get(name) ?? now) > SILENT_MS);
      if (silent) this.#judge.fail('who is silent is no member', `${actor.name} sees ${silent.holder}`);
    }
  }

  #checkHand(hand: Hand, holding: readonly Hand[]): void {
    const { what } = hand;
    // What has outlived its term counts where nothing but its own end protects.
    if (hand.endedAt !== undefined && (!hand.working || hand.stoodStill || !hand.process.alive)) return;
    const shards = what.startsWith('key ');
    const others = holding.filter(
      (other) =>
        other !== hand &&
        other.what === what &&
        (shards || this.#eraOf(other.term.fencingToken) === this.#eraOf(hand.term.fencingToken)),
    );
    if (shards && others.some((other) => this.#couldNotKnow(hand, other) || this.#couldNotKnow(other, hand))) return;
    const most = Math.min(hand.most, ...others.map((other) => other.most));
    const sameSlot = others.find(({ term }) => term.lease.name === hand.term.lease.name);
    if (others.length < most && !sameSlot) return;
    const rule = shards ? 'one key never in two hands' : (NAMES[what] ?? 'a fire at most once');
    const names = others.map(({ name, term }) => `${name} (${term.fencingToken})`).join(', ');
    const over = hand.endedAt === undefined ? '' : ', whose term is over and which still works';
    this.#judge.fail(rule, `${what}: ${names} and ${hand.name} (${hand.term.fencingToken})${over}`);
  }

  #couldNotKnow(holder: Hand, next: Hand): boolean {
    const caughtUpAt = this.#actors.get(next.name)?.link.caughtUpAt ?? -Infinity;
    return this.#putBack.has(next.term.lease.name) && holder.beganAt < next.beganAt && caughtUpAt > holder.beganAt;
  }

  /** A term belongs to the era in which its record was written. */
  #eraOf(token: number): number {
    return this.#eras.filter((version) => version < token).length;
  }

  commit({ by, name, at, before, after, resourceVersion }: Commit): void {
    const recordBefore = this.#recordAt.get(name) ?? -Infinity;
    if (!before || !after || !sameRecord(recordOf(before), recordOf(after))) this.#recordAt.set(name, at);
    if (by === 'somebody') {
      // What comes back, or goes, is not the recipes' doing.
      if (after && before?.spec.holderIdentity && !after.spec.holderIdentity && putsBack(before, after))
        this.#putBack.add(name);
      if (!after || !before || putsBack(before, after)) this.#eras.push(Number(resourceVersion));
      // Who has seen that record before knows how long it was silent.
      this.#recordAt.delete(name);
      return;
    }
    const was = before?.spec.holderIdentity;
    const done = [before, after].map((lease) => lease?.metadata.annotations[DONE_ANNOTATION]);
    if (before && after && done[0] !== done[1] && !was?.includes(`_${by}#`))
      this.#judge.fail('only the holder records', `${by} recorded ${done[1]} while ${was} held`);
    const actor = this.#actors.get(by);
    if (!was || !(actor instanceof RecipeActor) || after?.spec.holderIdentity === was) return;
    if (was.startsWith(`${actor.slot.name}_${by}#`)) {
      const hand = this.#open.find((h) => h.working && h.name === by && h.term.lease.name === name && h.process.alive);
      if (hand && hand.term.holder === was)
        this.#judge.fail('work ends before the release', `${by} released ${name} while it works`);
    } else if (before.metadata.labels[KIND_LABEL] !== 'shard') {
      const silentMs = at - recordBefore;
      if (silentMs < (before.spec.leaseDurationSeconds ?? 15) * 1000 * RATE)
        this.#judge.fail('take over only after silence', `${by} took ${name} of ${was} after ${silentMs} ms`);
    }
  }

  /** Once it has been quiet for long enough. */
  check(quietSince: number): void {
    const living = [...this.#actors.values()].filter((actor) => actor.living);
    const sharing = living.filter((actor) => actor instanceof ShardsActor);
    if (sharing.length > 0) this.#checkKeys(sharing);
    const lists = living.filter((actor) => actor instanceof MembersActor);
    const names = lists.map(({ slot }) => `chat-m-${slot.name}`).sort();
    for (const { name, members } of lists) {
      const live = members.live.map((member) => member.name);
      if (live.join() !== names.join()) this.#judge.fail('lists of members agree', `${name}: ${live.join()}`);
      for (const { holder, payload } of members.live) {
        if (
          !lists.some((one) => holder.startsWith(`${one.slot.name}_${one.name}#`) && one.start === payload?.['start'])
        )
          this.#judge.fail('a member says who it is', `${name} sees ${holder}: ${JSON.stringify(payload)}`);
      }
    }
    // Those that are dead have been so since then; a write of theirs may have come late.
    for (const { metadata } of this.#api.all()) {
      const { name, labels } = metadata;
      const since = Math.max(quietSince, this.#recordAt.get(name) ?? Infinity);
      const gone = labels[KIND_LABEL] === 'member' && !names.includes(name);
      if (lists.length > 0 && gone && this.#world.now - since > MOST_TIDY_MS)
        this.#judge.fail('who has gone leaves no Lease', name);
    }
    for (const actor of living) {
      if (actor instanceof OnceActor && actor.succeededAt < quietSince)
        this.#judge.fail('every key succeeds once it is quiet', actor.name);
    }
    this.#checkFires(quietSince, living);
  }

  #checkKeys(sharing: readonly ShardsActor[]): void {
    for (const key of RING_KEYS) {
      const hands = sharing.filter(({ shards }) => shards.held.includes(key));
      if (hands.length !== 1) this.#judge.fail('every key in some hand once quiet', `${key}: ${hands.length}`);
    }
    const sizes = sharing.map(({ shards }) => shards.held.length);
    if (Math.max(...sizes) - Math.min(...sizes) > 1) this.#judge.fail('sizes differ by at most one', sizes.join());
  }

  #checkFires(quietSince: number, living: readonly Actor[]): void {
    const crons = living.filter((actor) => actor instanceof RecipeActor && actor.slot.recipe === 'cron');
    const overlapping = crons.some((actor) => actor instanceof RecipeActor && actor.slot.skip);
    const fair = crons.filter(({ process }) => Math.abs(process.wallOffsetMs) < FAIR_SKEW_MS);
    if (fair.length === 0 || overlapping) return;
    const [from, to] = [quietSince + SETTLED_MS, this.#world.now - CLAIMED_MS].map((ms) => EPOCH_MS + ms) as [
      number,
      number,
    ];
    for (let at = Math.ceil(from / FIRE_EVERY_MS) * FIRE_EVERY_MS; at < to - FAIR_SKEW_MS; at += FIRE_EVERY_MS) {
      if ((this.#fires.get(at)?.length ?? 0) !== 1)
        this.#judge.fail('every fire runs once it is quiet', `${at - EPOCH_MS}`);
    }
  }
}

/** Somebody put it back: terms or records of ours are forgotten. */
function putsBack(before: Lease, after: Lease): boolean {
  const [was, is] = [before, after].map(({ metadata }) => metadata.annotations) as [Notes, Notes];
  const earlier =
    before.spec.renewTime && after.spec.renewTime && after.spec.renewTime.compare(before.spec.renewTime) < 0;
  const forgotten = [FIRES_ANNOTATION, DONE_ANNOTATION, SLOTS_ANNOTATION].some((key) => was[key] !== is[key]);
  return forgotten || earlier === true || (after.spec.leaseTransitions ?? 0) < (before.spec.leaseTransitions ?? 0);
}

type Notes = Lease['metadata']['annotations'];
