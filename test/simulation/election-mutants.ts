/** The safety rules of elections, each with the change that takes it out; see mutants.ts. */
import { change } from './mutation.ts';
import type { Mutant } from './mutation.ts';

const ELECTION = 'src/election/decide.ts';
const STANDBY = 'src/election/standby.ts';
const LEAD = 'src/election/lead.ts';
const CANDIDATE = 'src/election/candidate.ts';
const TERM = 'src/election/term.ts';
const UNWANTED = 'src/election/unwanted.ts';

export const ELECTION_MUTANTS: readonly Mutant[] = [
  {
    rule: 'election: a renewal counts from before it was sent',
    replace: [
      change(
        CANDIDATE,
        'return { lease: answer, write };',
        'return { lease: answer, write: { ...write, sentAt: this.now() } };',
      ),
    ],
  },
  {
    rule: 'election: an adopted renewal counts from before it was sent',
    replace: [
      change(
        LEAD,
        'const { lease, write } = action;',
        'const { lease } = action;\n    const write = { ...action.write, sentAt: this.#candidate.now() };',
      ),
    ],
  },
  {
    rule: 'election: an adopted acquisition counts from before it was sent',
    replace: [
      change(
        STANDBY,
        "return { ...action, why: 'adopted' };",
        "return { ...action, write: { ...action.write, sentAt: now }, why: 'adopted' };",
      ),
    ],
  },
  {
    rule: 'election: expiry is observed, not compared',
    replace: [
      change(
        CANDIDATE,
        'this.#seen = observeLease(this, before, lease, now, deleted);',
        `this.#seen = observeLease(this, before, lease,
      now - (lease?.spec.renewTime ? this.clock.wallMicros() / 1000 - lease.spec.renewTime.epochMs : 0), deleted);`,
      ),
    ],
  },
  {
    rule: 'election: a leader that is asked to steps down',
    replace: [change(LEAD, 'this.#steppingDown = true;', 'if (asked) return;')],
  },
  {
    rule: 'election: a request to step down names one term',
    replace: [
      change(ELECTION, 'asked?.holder !== holder || asked.transitions !== transitions', 'asked?.holder !== holder'),
    ],
  },
  {
    rule: 'election: a leader beside whom another is preferred steps down',
    replace: [
      change(
        ELECTION,
        'if (preferredHolder && !isCalled(holder, preferredHolder)) return { to: preferredHolder };',
        'void preferredHolder;',
      ),
    ],
  },
  {
    rule: 'election: the preferred holder comes first',
    replace: [change(ELECTION, 'if (lease.spec.preferredHolder) return lease.spec.preferredHolder;', '')],
  },
  {
    rule: 'election: a new term prefers nobody',
    replace: [change(CANDIDATE, 'preferredHolder: undefined,', '')],
  },
  {
    rule: 'election: silence lasts the whole duration',
    replace: [
      change(
        ELECTION,
        'const until = seen.since + seen.durationMs + (meant ? 0 : headStartMs);',
        'const until = seen.since + seen.durationMs * 0.9 + (meant ? 0 : headStartMs);',
      ),
    ],
  },
  {
    rule: 'election: a take-over carries the version whose silence was observed',
    replace: [
      change(
        STANDBY,
        'await candidate.acquire(base, transitions',
        'await candidate.acquire(base && (await candidate.store.get(candidate.ref)), transitions',
      ),
    ],
  },
  {
    rule: 'election: a record is ours only by its renewTime',
    replace: [
      change(
        ELECTION,
        'const write = writes.find(lease);\n  return write?.transitions === transitionsOf(lease) ? write : undefined;',
        'return writes.all.at(-1);',
      ),
    ],
  },
  {
    rule: 'election: a leader that finds another record stops',
    replace: [
      change(
        ELECTION,
        "if (write?.transitions !== state.transitions) return { do: 'stop', reason: 'taken' };\n  return { do: 'adopt', lease, write };",
        "return { do: 'adopt', lease, write: write ?? state.writes.all.at(-1)! };",
      ),
    ],
  },
  {
    rule: 'election: every term has more transitions',
    replace: [change(ELECTION, 'Math.min(seen.transitions + 1, MAX_TRANSITIONS)', 'seen.transitions')],
  },
  {
    rule: 'election: tokens grow over deletions',
    replace: [change(LEAD, 'versionToken(lease) ?? write.transitions', 'write.transitions')],
  },
  {
    rule: 'election: a term is marked on its lease',
    replace: [change(CANDIDATE, '[TERM_ANNOTATION]: termMarkText(', 'unmarked: termMarkText(')],
  },
  {
    rule: 'election: an empty holder beside its mark is no release',
    replace: [change(ELECTION, 'if (emptied) return published(emptied.durationSeconds);', 'void emptied;')],
  },
  {
    rule: 'election: what was put back to fewer transitions is no release',
    replace: [
      change(
        ELECTION,
        'return sameObject && leaseTransitions < transitionsOf(seen)',
        'return false && sameObject && leaseTransitions < transitionsOf(seen)',
      ),
    ],
  },
  {
    rule: 'election: a release takes the mark off',
    replace: [change(CANDIDATE, '{ spec, annotations: { [TERM_ANNOTATION]: undefined } }', '{ spec }')],
  },
  {
    rule: 'election: the leader follows its lease',
    replace: [change(LEAD, 'this.#candidate.onNews = (seen) => this.#news(seen);', '')],
  },
  {
    rule: 'election: the term is over at its deadline',
    replace: [change(TERM, "if (!this.#over && this.#clock.monotonic() >= this.deadline) this.lose('deadline');", '')],
  },
  {
    rule: 'election: work ends before the release',
    replace: [
      change(
        LEAD,
        'while (!this.#ended && !this.#givenUp && held.holds())',
        'while (!this.#ended && !this.#givenUp && !signal.aborted && held.holds())',
      ),
      change(
        LEAD,
        'async #leave(): Promise<TermOutcome> {\n    const { held } = this;',
        'async #leave(): Promise<TermOutcome> {\n    const { held } = this;\n    if (this.#options.signal.aborted) this.#ended ??= {};',
      ),
    ],
  },
  {
    rule: 'election: the work of one term ends before the next begins',
    replace: [
      change(
        LEAD,
        'if (!this.#ended && held.lost) await this.#outlive();',
        'if (!this.#ended && held.lost) this.#ended = {};',
      ),
    ],
  },
  {
    rule: 'election: release by compare-and-swap',
    replace: [
      change(
        CANDIDATE,
        'await this.store.update(this.#released(held), options)',
        'await this.store.update(this.#released(await this.store.get(this.ref)), options)',
      ),
    ],
  },
  {
    rule: 'election: after a conflict only our own record is released',
    replace: [change(CANDIDATE, '!ownWrite(holder, this.writes, lease)', '!ownWrite')],
  },
  {
    rule: 'election: a leaver deletes only what nobody holds, in the version seen',
    replace: [
      change(UNWANTED, 'if (left.spec.holderIdentity || emptiedTerm(left)) return false;', ''),
      change(UNWANTED, '{ uid, resourceVersion });', "{ uid, resourceVersion: '' });"),
    ],
  },
  {
    rule: 'election: what a leaver deletes others may have first',
    replace: [change(UNWANTED, 'await sleep(clock, retryPeriodMs * (1 + POLL_JITTER));', '')],
  },
  {
    rule: 'election: the DELETE of a leaver names the version',
    replace: [change(UNWANTED, '{ uid, resourceVersion });', "{ uid, resourceVersion: '' });")],
  },
  {
    rule: 'election: allowance for clock rates',
    replace: [change('src/election/election-options.ts', 'const CLOCK_RATE = 0.99;', 'const CLOCK_RATE = 1.01;')],
  },
];
