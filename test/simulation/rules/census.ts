/**
 * What must hold of a census at every moment: whatever it says is known leaves out no host that has had a lease, renewed
 * again and again, since before the moment that the census shows. So 0 is never said for what is not known. And it calls no
 * more hosts live than have written their leases within the freshness window, whatever times they wrote.
 *
 * Left out: the first seconds of a census, and after a loss (of its watch, or of the API server) those hosts that wrote with
 * a wrong wall clock, or whose writes were under way for long: the age of what was there before it looked comes from what
 * publishers say, until they are seen to renew; the census marks it as an estimate. So does that of a lease which is
 * created by a wrong clock, or late.
 */
import { CENSUS_ROWS } from '../../../src/census/census-options.ts';
import { fillOptions } from '../../../src/runtime/options.ts';
import { hostnameOf } from '../../../src/lease/names.ts';
import { recordOf, sameRecord } from '../../../src/lease/record.ts';
import type { Commit } from '../../support/memory-api.ts';
import { CensusActor } from '../actors.ts';
import type { Actor } from '../actors.ts';
import type { Judge } from '../judge.ts';
import { WATCH_LATE_MS } from '../network.ts';
import { aheadMs, isIdentity } from './identity.ts';
import type { IdentityRules } from './identity.ts';

const { freshForMs, maxAgeMs } = fillOptions(CENSUS_ROWS, {});
const MAX_AGE_MS = maxAgeMs + 10;
/** A census that runs, and whose watch works, has seen every living publisher renew by then. */
const SETTLED_MS = 20_000;
/** Who renews has done so within this. */
const RENEWS_MS = 15_000;
/** What a watch may have under way, and what a census takes to act on it. */
const SLACK_MS = WATCH_LATE_MS + 2_000;
/** The freshness window by a clock that is slow, and what a list and a watch may have under way. */
const LONGEST_LIFE_MS = freshForMs * 1.02 + 15_000;

export class CensusRules {
  readonly #judge: Judge;
  readonly #actors: ReadonlyMap<string, Actor>;
  readonly #identity: IdentityRules;
  /**
   * When the record of each identity lease was last written, in true milliseconds, when it says that it was, and of which
   * host it is.
   */
  readonly #written = new Map<
    string,
    { readonly host: string | undefined; readonly at: number; readonly said: number }
  >();
  judged = 0;

  constructor(judge: Judge, actors: ReadonlyMap<string, Actor>, identity: IdentityRules) {
    this.#judge = judge;
    this.#actors = actors;
    this.#identity = identity;
  }

  commit({ name, before, after, at }: Commit): void {
    // What is deleted is known to a census only later.
    if (!after || !isIdentity(after)) return;
    if (!before || !sameRecord(recordOf(before), recordOf(after)))
      this.#written.set(name, { host: hostnameOf(after), at, said: at + aheadMs(after, at) });
  }

  verify(now: number): void {
    for (const actor of this.#actors.values()) {
      if (actor instanceof CensusActor && actor.living && actor.process.state === 'running') this.#judgeOne(actor, now);
    }
  }

  #judgeOne(actor: CensusActor, now: number): void {
    const snapshot = actor.census.snapshot();
    if (!snapshot.known) return;
    const { answer } = snapshot;
    if (answer.ageMs > MAX_AGE_MS)
      this.#judge.fail('an old answer is no answer', `${actor.name}'s is ${answer.ageMs} ms old`);
    // What comes late may be as old as the standstill, or the silence, that held it back, and nothing tells.
    const { runningSince, stoodStillAt } = actor.process;
    const { from, until } = actor.link.silence;
    let shownAt = now - answer.ageMs;
    const heardAll = shownAt >= Math.max(runningSince, until) + LONGEST_LIFE_MS;
    if (shownAt < runningSince + SLACK_MS) shownAt = Math.min(shownAt, stoodStillAt);
    if (shownAt < until + SLACK_MS) shownAt = Math.min(shownAt, from);
    const { instances, live } = answer.counts;
    const fresh = new Set<string | undefined>();
    const { caughtUpAt } = actor.link;
    for (const { host, at, said } of this.#written.values()) {
      // What was there when it looked again is as old as it says; a time that has not come says nothing.
      const believed = at < caughtUpAt && said < caughtUpAt + SLACK_MS;
      if ((believed ? Math.max(at, Math.min(said, caughtUpAt)) : at) >= shownAt - LONGEST_LIFE_MS) fresh.add(host);
    }
    if (heardAll && live > fresh.size) {
      const message = `${actor.name} says ${live} are live, where ${fresh.size} hosts wrote their leases`;
      this.#judge.fail('who is silent is not live', message);
    }
    // It has seen who renews by the moment that it shows, not while it stood still or heard nothing.
    if (shownAt - actor.syncedAt < SETTLED_MS) return;
    this.judged++;
    let sure = 0;
    const justListed = shownAt - caughtUpAt < SETTLED_MS;
    for (const { since, renewedAt = Infinity, lastAt, sentAt, wrongAt } of this.#identity.present.values()) {
      if (wrongAt >= since && renewedAt > shownAt - SLACK_MS) continue;
      if (justListed && (wrongAt > caughtUpAt - SLACK_MS - RENEWS_MS || now - sentAt > RENEWS_MS)) continue;
      if (since <= shownAt - SLACK_MS && now - lastAt <= RENEWS_MS) sure++;
    }
    if (instances < sure || live < sure) {
      const message = `${actor.name} says ${instances}, ${live} of them live, where ${sure} hosts renew`;
      this.#judge.fail('a census never leaves out who is there', message);
    }
  }
}
