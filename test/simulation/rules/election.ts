/**
 * What must hold of electors at every moment: one leader, tokens that grow, writes only within a term, a release only after
 * the work and only of one's own record, a take-over only after silence. An empty holder beside the mark of the term that it
 * ends is no release: it was somebody else who emptied it. A request to step down ends the term that it names, and no other;
 * the one for whom a term was released comes first. A sweeper leaves alone what has a record to keep.
 *
 * Left out, because DESIGN says so: who deletes the lease begins a new era, and so does client-go where it takes a lease
 * that only somebody else had emptied. The leader before may go on until its deadline. Tokens grow over eras too; within an
 * era nothing is left out. client-go's own terms are not judged.
 */
import type { Commit } from '../../support/memory-api.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import { stepDownMark, termMark } from '../../../src/lease/marks.ts';
import { isCalled } from '../../../src/lease/names.ts';
import { ClientGoActor, ELECTION, ElectorActor, SweeperActor } from '../actors.ts';
import type { Actor, ElectionWitness, LedTerm } from '../actors.ts';
import type { Judge } from '../judge.ts';
import type { World } from '../world.ts';
import { historyProblems } from './history.ts';
import type { TermRecord, WriteRecord } from './history.ts';

/** Another's record may be taken when it has been silent for its duration by a clock that is up to 1 % off. */
const RATE = 0.985;
/** For so long others wait for the one for whom a term was released: the default between two attempts. */
const RETRY_MS = 2_000;
/** For so long the last one that leaves waits for others: 2.2 times the pause between two attempts. */
const FREE_MS = 2.2 * RETRY_MS;
/** As electors write it. */
const KIND = 'leasekeeper.dev/kind';
const STEP_DOWN = 'leasekeeper.dev/step-down';
/** The longest term any elector here may hold without a renewal, in true milliseconds. */
const LONGEST_TERM_MS = 15_100;
/** The longest that news of the lease is under way on a fair network, in true milliseconds. */
const NEWS_MS = 200;
/**
 * Two readers of one machine's clocks may differ by this after a suspend: the time since boot comes in steps of 10 ms, and
 * each asks for it at moments of its own.
 */
const READERS_DIFFER_MS = 10;

/** A record that began a term. */
interface Opening {
  readonly version: number;
  readonly transitions: number;
  readonly era: number;
}

export class ElectionRules implements ElectionWitness {
  readonly #world: World;
  readonly #judge: Judge;
  readonly #actors: ReadonlyMap<string, Actor>;
  readonly terms: LedTerm[] = [];
  readonly #openings = new Map<string, Opening[]>();
  readonly #openingOf = new WeakMap<LedTerm, Opening>();
  readonly #writes: WriteRecord[] = [];
  /** Terms that were asked to end: holder and transitions. */
  readonly #asked = new Set<string>();
  #open: LedTerm[] = [];
  #era = 0;
  /** Who holds the lease, and since when, in true milliseconds. */
  #holder = { name: '', since: 0 };
  /** When the record that is there was written, in true milliseconds. */
  #recordAt = 0;
  #highest = -1;
  #highestEra = -1;
  guarded = 0;

  constructor(world: World, judge: Judge, actors: ReadonlyMap<string, Actor>) {
    this.#world = world;
    this.#judge = judge;
    this.#actors = actors;
  }

  /** What the clock of its process, and nothing else, says of a term. Asking changes nothing. */
  holds({ over, term, elector }: LedTerm, slackMs = 0): boolean {
    return !over && elector.process.alive && elector.process.peek() - slackMs < term.deadline;
  }

  leading(): LedTerm[] {
    return this.#open.filter((led) => this.holds(led));
  }

  began(led: LedTerm): void {
    const { elector, token } = led;
    const opening = this.#openings.get(elector.name)?.findLast(({ version }) => version <= token);
    if (!opening) return this.#judge.fail('a term begins with its record', `${elector.name} leads with token ${token}`);
    this.#openingOf.set(led, opening);
    this.terms.push(led);
    this.#open.push(led);
    this.#judge.note(elector.name, `leads with token ${token} in era ${opening.era}`);
    this.#grows(led);
    this.verify();
  }

  #eraOf(led: LedTerm): number {
    return this.#openingOf.get(led)!.era;
  }

  #grows(led: LedTerm): void {
    const era = this.#eraOf(led);
    if (era < this.#highestEra) return;
    if (led.token < this.#highest) {
      this.#judge.fail('fencing tokens grow', `${led.elector.name} has token ${led.token} after ${this.#highest}`);
    }
    [this.#highest, this.#highestEra] = [led.token, era];
  }

  stepped(led: LedTerm): void {
    this.guarded++;
    this.#grows(led);
    if (!this.holds(led, READERS_DIFFER_MS)) this.#judge.fail('no check passes after the deadline', led.elector.name);
  }

  stopped(led: LedTerm): void {
    led.over = true;
    led.endedAt ??= this.#world.now;
  }

  released(elector: ElectorActor): void {
    if (elector.working > 0)
      this.#judge.fail('work ends before the release', `${elector.name} released while it works`);
  }

  stepsDown({ name, holder }: ElectorActor): void {
    const transitions = this.#openings.get(name)?.at(-1)?.transitions;
    if (!this.#asked.has(`${holder} ${transitions}`))
      this.#judge.fail('only the term that is asked ends', `${name} steps down from term ${transitions}`);
  }

  verify(): void {
    if (this.#open.length === 0) return;
    const leading: LedTerm[] = [];
    for (const led of this.#open) {
      if (this.holds(led)) leading.push(led);
      else led.endedAt ??= this.#world.now;
    }
    for (const led of this.#open) {
      const other = leading.find((l) => l !== led && this.#eraOf(l) === this.#eraOf(led));
      if (!other) continue;
      const names = `${led.elector.name} (token ${led.token}) and ${other.elector.name} (token ${other.token})`;
      if (led.endedAt === undefined) this.#judge.fail('one leader at a time', `${names} lead at once`);
      const protectedByCheck = led.stoodStill || !led.elector.process.alive || other.elector === led.elector;
      if (led.working && !protectedByCheck) this.#judge.fail('one leader at a time', `${names}: the first still works`);
    }
    for (const { elector } of leading) {
      if (
        elector.holder !== this.#holder.name &&
        this.#world.now > this.#holder.since + NEWS_MS &&
        this.#sees(elector)
      ) {
        this.#judge.fail('a leader ends with the news', `${elector.name} leads ${NEWS_MS} ms after its lease was lost`);
      }
      if (elector.holder !== this.#holder.name && this.#world.now > this.#holder.since + LONGEST_TERM_MS) {
        const now = this.#holder.name || 'nobody';
        this.#judge.fail(
          'a leader notices a lost lease',
          `${elector.name} leads ${LONGEST_TERM_MS} ms after ${now} was written`,
        );
      }
    }
    this.#open = this.#open.filter((led) => led.endedAt === undefined || (led.working && led.elector.process.alive));
  }

  /** Its watch has shown what there is. */
  #sees({ link, process }: ElectorActor): boolean {
    const since = this.#holder.since;
    const { held, open } = link.store.watches;
    const undisturbed = process.state === 'running' && process.runningSince < since && link.fairSince < since;
    return undisturbed && !held && open > 0 && link.silence.until < since && link.caughtUpAt < since;
  }

  commit({ verb, by, before, after, request, at }: Commit): void {
    const recordBefore = this.#recordAt;
    const changed = !before || !after || !sameRecord(before, after);
    if (changed) this.#recordAt = at;
    const was = before?.spec.holderIdentity ?? '';
    const is = after?.spec.holderIdentity ?? '';
    if (was !== is || !before || !after) this.#holder = { name: is, since: at };
    const [from, to] = [before?.spec.leaseTransitions ?? 0, after?.spec.leaseTransitions ?? 0];
    const mark = before && was === '' ? termMark(before) : undefined;
    const emptied = mark && mark.transitions >= from ? mark : undefined;
    if (by === 'somebody') {
      const asked = after && stepDownMark(after);
      if (asked) this.#asked.add(`${asked.holder} ${asked.transitions}`);
      if (after?.spec.preferredHolder) this.#asked.add(`${is} ${to}`);
      // A mark that is older than the record is no longer that of who holds it: nothing tells this from client-go's release.
      const unmarked = after && was !== '' && is === '' && (termMark(after)?.transitions ?? Infinity) < to;
      if ((before && !after) || unmarked) this.#era++;
      return;
    }
    const actor = this.#actors.get(by);
    if (actor instanceof ClientGoActor) {
      if (emptied && is !== '') this.#era++;
      return;
    }
    const fail = (rule: string, message: string): void => this.#judge.fail(rule, message);
    if (actor instanceof SweeperActor) {
      const { [KIND]: kind } = before?.metadata.labels ?? {};
      if (kind !== undefined || from > 0) fail("an election's record outlives its holders", `${by} swept it`);
      if (was === '' || at - recordBefore < actor.sweeps.confirmAfterMs * RATE)
        fail(
          "no living leader's lease is swept",
          `${by} swept that of ${was}, ${at - recordBefore} ms after its renewal`,
        );
      // Nothing tells of one that client-go made, and nobody took over, what it is.
      this.#era++;
      return;
    }
    if (!(actor instanceof ElectorActor)) return fail('only electors write', `${by} wrote the election's lease`);
    if (verb === 'delete' || !after) {
      if (!actor.slot.deletes) fail('nobody deletes an election lease', by);
      if (was !== '' || emptied || at - recordBefore < FREE_MS * RATE)
        fail('what is deleted is free, and nobody wanted it', `${by} deleted the lease of ${was || 'nobody'}`);
      return;
    }
    if (verb === 'create' && request?.verb === 'update') fail('a PUT never makes a lease', by);
    if (before && to < from) fail('leaseTransitions never fall', `${by} wrote ${to} over ${from}`);
    if (is === '') {
      if (was !== actor.holder) fail('release by compare-and-swap', `${by} emptied the lease of ${was || 'nobody'}`);
      if (actor.working > 0 && actor.process.alive)
        fail('work ends before the release', `${by} released while it works`);
      return;
    }
    if (is !== actor.holder) fail('electors write their own holder', `${by} wrote ${is}`);
    if (before && was !== actor.holder && (was !== '' || emptied)) {
      const silentMs = at - recordBefore;
      const seconds = emptied ? emptied.durationSeconds : (before.spec.leaseDurationSeconds ?? 15);
      if (silentMs < seconds * 1000 * RATE)
        fail('take over only after silence', `${by} took ${was || emptied!.holder}'s lease after ${silentMs} ms`);
    }
    if (before && was === '' && !emptied) this.#inTurn(actor, before, at - recordBefore);
    if (before && was !== is && to === from) fail('every term has more transitions', `${by} wrote ${to} again`);
    if (!before || from !== to || was !== is) {
      if (after.spec.preferredHolder) fail('a term begins with nobody preferred', by);
      const opening = { version: Number(after.metadata.resourceVersion), transitions: to, era: this.#era };
      this.#openings.set(by, [...(this.#openings.get(by) ?? []), opening]);
      return;
    }
    this.#writes.push({ elector: by, transitions: to, sentAt: request?.at ?? at, at });
  }

  /** Others wait for the one for whom it was released. */
  #inTurn({ name, holder }: ElectorActor, { metadata, spec }: Lease, releasedMs: number): void {
    const { to, transitions } = JSON.parse(metadata.annotations[STEP_DOWN] ?? '{}') as {
      to?: string;
      transitions?: number;
    };
    const next = spec.preferredHolder || (transitions === (spec.leaseTransitions ?? 0) ? to : undefined);
    if (next !== undefined && !isCalled(holder, next) && releasedMs < RETRY_MS * RATE)
      this.#judge.fail('whom it was released for comes first', `${name}, ${releasedMs} ms after, ${next} was meant`);
  }

  /** What only the whole history shows. */
  check(): void {
    const terms = this.terms.map((led): TermRecord => {
      const { elector, token, beganAt, endedAt = Infinity } = led;
      const { era, transitions } = this.#openingOf.get(led)!;
      return { elector: elector.name, token, transitions, era, beganAt, endedAt };
    });
    const [problem] = historyProblems(terms, this.#writes);
    if (problem) this.#judge.fail(problem.rule, problem.message);
  }
}

export const isElection = ({ namespace, name }: Commit): boolean =>
  name === ELECTION.name && namespace === ELECTION.namespace;

function sameRecord(a: Lease, b: Lease): boolean {
  const [s, t] = [a.spec, b.spec];
  const same = (x: Lease['spec']['renewTime'], y: Lease['spec']['renewTime']): boolean => (x ? x.equals(y) : !y);
  return (
    s.holderIdentity === t.holderIdentity &&
    s.leaseDurationSeconds === t.leaseDurationSeconds &&
    s.leaseTransitions === t.leaseTransitions &&
    same(s.renewTime, t.renewTime) &&
    same(s.acquireTime, t.acquireTime)
  );
}
