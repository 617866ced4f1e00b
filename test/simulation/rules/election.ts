/**
 * What must hold of electors at every moment: one leader, tokens that grow, writes only within a term, a release only after
 * the work and only of one's own record, a take-over only after silence.
 *
 * Left out, because DESIGN says so: an operator who deletes the lease, or edits its spec, begins a new era. Whoever led
 * before may go on until its deadline, and tokens of two eras are not compared. Within an era nothing is left out.
 */
import type { Commit } from '../../support/memory-api.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import { ELECTION, ElectorActor } from '../actors.ts';
import type { Actor, ElectionWitness, Reign } from '../actors.ts';
import type { Judge } from '../judge.ts';
import type { World } from '../world.ts';
import { historyProblems } from './history.ts';
import type { TermRecord, WriteRecord } from './history.ts';

/** Another's record may be taken when it has been silent for its duration by a clock that is up to 1 % off. */
const RATE = 0.985;
/** The longest term any elector here may hold without a renewal, in true milliseconds. */
const LONGEST_TERM_MS = 15_100;
/**
 * Two readers of one machine's clocks may differ by this after a suspend: the time since boot comes in steps of 10 ms, and
 * each asks for it at moments of its own.
 */
const READERS_DIFFER_MS = 10;

export class ElectionRules implements ElectionWitness {
  readonly #world: World;
  readonly #judge: Judge;
  readonly #actors: ReadonlyMap<string, Actor>;
  readonly reigns: Reign[] = [];
  readonly #eras = new WeakMap<Reign, number>();
  readonly #writes: WriteRecord[] = [];
  #open: Reign[] = [];
  #era = 0;
  #eraAt = -Infinity;
  /** The era in which a holder wrote the record that began a term. */
  readonly #opened = new Map<string, number>();
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
  holds({ over, term, elector }: Reign, slackMs = 0): boolean {
    return !over && elector.process.alive && elector.process.peek() - slackMs < term.deadline;
  }

  leading(): Reign[] {
    return this.#open.filter((reign) => this.holds(reign));
  }

  began(reign: Reign): void {
    const era = this.#opened.get(`${reign.elector.holder}/${reign.token}`) ?? this.#era;
    this.#eras.set(reign, era);
    this.reigns.push(reign);
    this.#open.push(reign);
    this.#judge.note(reign.elector.name, `leads with token ${reign.token} in era ${era}`);
    this.look();
  }

  stepped(reign: Reign): void {
    this.guarded++;
    const era = this.#eras.get(reign)!;
    const { name } = reign.elector;
    if (era === this.#highestEra && reign.token < this.#highest) {
      this.#judge.fail(
        'fencing tokens grow',
        `${name} passed its check with token ${reign.token} after ${this.#highest}`,
      );
    }
    if (era >= this.#highestEra) [this.#highest, this.#highestEra] = [reign.token, era];
    if (!this.holds(reign, READERS_DIFFER_MS)) this.#judge.fail('no check passes after the deadline', name);
  }

  stopped(reign: Reign): void {
    reign.over = true;
    reign.endedAt ??= this.#world.now;
  }

  released(elector: ElectorActor): void {
    if (elector.working > 0)
      this.#judge.fail('work ends before the release', `${elector.name} released while it works`);
  }

  look(): void {
    if (this.#open.length === 0) return;
    const leading: Reign[] = [];
    for (const reign of this.#open) {
      if (this.holds(reign)) leading.push(reign);
      else reign.endedAt ??= this.#world.now;
    }
    for (const reign of this.#open) {
      const era = this.#eras.get(reign)!;
      const other = leading.find((l) => l !== reign && this.#eras.get(l) === era);
      if (!other) continue;
      const names = `${reign.elector.name} (token ${reign.token}) and ${other.elector.name} (token ${other.token})`;
      if (reign.endedAt === undefined) this.#judge.fail('one leader at a time', `${names} lead at once`);
      const protectedByCheck = reign.stoodStill || !reign.elector.process.alive || other.elector === reign.elector;
      if (reign.working && !protectedByCheck)
        this.#judge.fail('one leader at a time', `${names}: the first still works`);
    }
    for (const reign of leading) {
      if (this.#eras.get(reign)! < this.#era && this.#world.now > this.#eraAt + LONGEST_TERM_MS) {
        this.#judge.fail(
          'a leader notices a lost lease',
          `${reign.elector.name} leads ${LONGEST_TERM_MS} ms after an operator's change`,
        );
      }
    }
    this.#open = this.#open.filter(
      (reign) => reign.endedAt === undefined || (reign.working && reign.elector.process.alive),
    );
  }

  commit({ verb, by, before, after, request, at }: Commit): void {
    const recordBefore = this.#recordAt;
    const changed = !before || !after || !sameRecord(before, after);
    if (changed) this.#recordAt = at;
    if (by === 'somebody') {
      if (changed && before) [this.#era, this.#eraAt] = [this.#era + 1, at];
      return;
    }
    const elector = this.#actors.get(by);
    const { fail } = this.#bind();
    if (!(elector instanceof ElectorActor)) return fail('only electors write', `${by} wrote the election's lease`);
    if (verb === 'delete' || !after) return fail('nobody deletes an election lease', by);
    if (verb === 'create' && request?.verb === 'update') fail('a PUT never makes a lease', by);
    const was = before?.spec.holderIdentity ?? '';
    const is = after.spec.holderIdentity ?? '';
    const [from, to] = [before?.spec.leaseTransitions ?? 0, after.spec.leaseTransitions ?? 0];
    if (before && to < from) fail('leaseTransitions never fall', `${by} wrote ${to} over ${from}`);
    if (is === '') {
      if (was !== elector.holder) fail('release by compare-and-swap', `${by} emptied the lease of ${was || 'nobody'}`);
      if (elector.working > 0 && elector.process.alive)
        fail('work ends before the release', `${by} released while it works`);
      return;
    }
    if (is !== elector.holder) fail('electors write their own holder', `${by} wrote ${is}`);
    if (before && was !== '' && was !== elector.holder) {
      const silentMs = at - recordBefore;
      const neededMs = (before.spec.leaseDurationSeconds ?? 15) * 1000 * RATE;
      if (silentMs < neededMs) fail('take over only after silence', `${by} took ${was}'s lease after ${silentMs} ms`);
    }
    if (!before || from !== to || was !== is) {
      this.#opened.set(`${is}/${to}`, this.#era);
      return;
    }
    this.#writes.push({ elector: by, token: to, sentAt: request?.at ?? at, at });
  }

  /** What only the whole history shows. */
  check(): void {
    const terms = this.reigns.map((reign): TermRecord => {
      const { elector, token, beganAt, endedAt = Infinity } = reign;
      return { elector: elector.name, token, era: this.#eras.get(reign)!, beganAt, endedAt };
    });
    const [problem] = historyProblems(terms, this.#writes);
    if (problem) this.#judge.fail(problem.rule, problem.message);
  }

  #bind(): { fail: (rule: string, message: string) => void } {
    return { fail: (rule, message) => this.#judge.fail(rule, message) };
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
