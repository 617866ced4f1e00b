/** Which safety rules the exploration would miss, where, and which are out of its reach, and why. */
import { MUTANTS } from '../simulation/mutants.ts';
import { change } from '../simulation/mutation.ts';
import type { Mutant } from '../simulation/mutation.ts';
import type { Bounds } from './explore.ts';
import type { MutantTask } from './hunt.ts';

const SCENARIOS_OF: Readonly<Record<string, readonly string[]>> = {
  publisher: ['publishers', 'rivals', 'leaving'],
  election: ['election', 'step down', 'late release'],
  'step down': ['step down'],
  lock: ['lock'],
  once: ['once'],
  semaphore: ['semaphore'],
  shards: ['shards', 'old views', 'heard late', 'by hand'],
};

/** Rules that only the exploration misses. */
const EXPLORED: readonly Mutant[] = [
  {
    rule: 'step down: the work is asked to end',
    replace: [change('src/election/lead.ts', "if (this.#began) this.held.askToEnd('SteppingDown');", '')],
  },
  {
    rule: 'step down: the one for whom it is comes first',
    replace: [
      change(
        'src/election/decide.ts',
        'return next === undefined || isCalled(holder, next) ? 0 : retryPeriodMs;',
        'return isCalled(holder, String(next)) ? 0 : 0 * retryPeriodMs;',
      ),
    ],
  },
  {
    rule: 'step down: others wait for the one for whom it is, and no longer',
    replace: [
      change(
        'src/election/decide.ts',
        'return next === undefined || isCalled(holder, next) ? 0 : retryPeriodMs;',
        'return next === undefined || isCalled(holder, next) ? 0 : 1_000 * retryPeriodMs;',
      ),
    ],
  },
  {
    rule: 'step down: the work ends before the release',
    replace: [
      change(
        'src/election/lead.ts',
        'while (!this.#ended && !this.#givenUp && held.holds()) {',
        'while (!this.#ended && !this.#givenUp && held.holds()) {\n        if (held.term.signal.aborted) this.#ended = {};',
      ),
    ],
  },
];

const NO_SERVER = 'no kube-apiserver takes part';
const PREFERRED = 'a request to step down is an annotation here';
const NOTHING_LEFT = 'nobody deletes the Lease that it leaves';
/** The simulation misses them; a search by hand needs more deviations, or more time than a minute. */
const MORE = 'two deviations of a minute do not show it: more have to come together';
/** See ring-drills.ts. */
const DRILLED = "it takes three things in one order: the simulation's drills of rings do them";

/** Rules whose harm no scenario can show, by their names or what their names begin with; and why. */
export const OUT_OF_REACH: Readonly<Record<string, string>> = {
  'sweeper:': 'no sweeper takes part: its rules need more leases and longer times than a bounded search can try',
  'owner gone:': 'no Nodes take part',
  'release:': 'no lease of a host that is said to be gone is deleted',
  'members:': 'what a list of members shows is not judged',
  'heartbeat:': 'no Nodes take part',
  'nodes:': 'no Nodes take part',
  'census:': 'no census takes part',
  'freshness:': 'no census takes part',
  'clock:': "clocks are the scenario's own: they know no suspend",
  'cron:': 'a claim is one write that is compared: the simulation tries it with all clocks',
  'publisher: a server that keeps our holder is known for one': NO_SERVER,
  "publisher: a server's lease is claimed only after silence": NO_SERVER,
  'publisher: what a server deletes at its start is left to it': NO_SERVER,
  'publisher: holds no lease beside a server that takes part in peer proxying': NO_SERVER,
  'publisher: a lease without our label is left alone': "nobody else's Lease has the name",
  'publisher: waits between attempts': 'it costs requests only',
  'publisher: no renewal for a server that does not answer': 'no server is asked for its health',
  'publisher: a take-over counts one transition more': 'what readers of transitions make of them is not judged',
  'publisher: switched off it writes nothing': 'nobody is switched off',
  'publisher: switched off it holds no lease': 'nobody is switched off',
  'publisher: switched off while it looks, it claims nothing': 'nobody is switched off',
  'publisher: what was made of a lease that was put back is no older state': MORE,
  'publisher: a hostname that is no label value stands whole beside it': 'all hosts have short names',
  "publisher: another host's name is taken off": 'nobody writes another name on a Lease',
  'publisher: a PUT names the uid': MORE,
  'publisher: our own time put back is no second writer': MORE,
  'publisher: a lost answer is known again by its renewTime': MORE,
  'election: an adopted renewal counts from before it was sent': MORE,
  'election: an adopted acquisition counts from before it was sent': MORE,
  'election: a request to step down names one term': MORE,
  'election: silence lasts the whole duration': MORE,
  'election: a record is ours only by its renewTime': MORE,
  'election: a leader beside whom another is preferred steps down': PREFERRED,
  'election: the preferred holder comes first': PREFERRED,
  'election: a new term prefers nobody': PREFERRED,
  'election: what was put back to fewer transitions is no release': 'who leads beside what was put back is not judged',
  'election: a leaver deletes only what nobody holds, in the version seen': NOTHING_LEFT,
  'election: what a leaver deletes others may have first': NOTHING_LEFT,
  'election: the DELETE of a leaver names the version': NOTHING_LEFT,
  'election: every term has more transitions': 'what readers of transitions make of them is not judged',
  'election: tokens grow over deletions': 'tokens are not judged',
  'election: allowance for clock rates': 'all clocks run equally fast',
  'shards: what was put back is waited for': MORE,
  'shards: what is not there is waited for from each list': MORE,
  'shards: a key ends when the ring was not seen for a term': MORE,
  'shards: no check passes when the ring was not seen for a term': MORE,
  'shards: no work begins under a release that is under way': MORE,
  'shards: what is created out of nothing waits for the view': DRILLED,
  'shards: what was created after another that came and went is waited for': DRILLED,
  'shards: an old record of our own that was put back is waited for': DRILLED,
  "shards: a member's own term counts only once it is proved": DRILLED,
  'lock: a success in a term that was lost is none': 'what is returned is not judged',
};

export const reasonOutOfReach = ({ rule }: Mutant): string | undefined =>
  OUT_OF_REACH[rule] ?? OUT_OF_REACH[Object.keys(OUT_OF_REACH).find((start) => rule.startsWith(start)) ?? ''];

/**
 * Tasks for each rule within reach: one for each scenario that may show it; the first of each rule come first.
 * @param text what its name contains
 */
export function huntTasks(bounds: Bounds, text = ''): MutantTask[] {
  const mutants = [...MUTANTS, ...EXPLORED].filter(
    (mutant) => mutant.rule.includes(text) && reasonOutOfReach(mutant) === undefined,
  );
  const scenarios = mutants.map(({ rule }) => SCENARIOS_OF[rule.split(':')[0]!] ?? []);
  const most = Math.max(0, ...scenarios.map(({ length }) => length));
  return Array.from({ length: most }, (_, turn) =>
    mutants.flatMap((mutant, i) =>
      scenarios[i]!.slice(turn, turn + 1).map((scenario) => ({ scenario, bounds, mutant })),
    ),
  ).flat();
}

/** The rules that are out of reach, by the reason. */
export const outOfReach = (): Map<string, readonly string[]> =>
  new Map(
    [...Map.groupBy(MUTANTS, (mutant) => reasonOutOfReach(mutant))].flatMap(([reason, mutants]) =>
      reason === undefined ? [] : [[reason, mutants.map(({ rule }) => rule)] as const],
    ),
  );
