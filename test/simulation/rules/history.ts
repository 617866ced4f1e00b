/**
 * Checks a history of leadership once it is over: terms do not overlap, tokens are ordered by real time, and who
 * renewed did so within a term of its own. Pure.
 */

/** One term; true milliseconds. */
export interface TermRecord {
  readonly elector: string;
  readonly token: number;
  /** The lease's, in this term. */
  readonly transitions: number;
  /** Terms of two eras are not compared: the lease was deleted, or given away, in between. */
  readonly era: number;
  readonly beganAt: number;
  /** Infinity: it still holds. */
  readonly endedAt: number;
}

/** A renewal that took effect. */
export interface WriteRecord {
  readonly elector: string;
  readonly transitions: number;
  readonly sentAt: number;
  readonly at: number;
}

export interface HistoryProblem {
  readonly rule: string;
  readonly message: string;
}

export function historyProblems(terms: readonly TermRecord[], writes: readonly WriteRecord[]): HistoryProblem[] {
  const problems: HistoryProblem[] = [];
  const eras = new Map<number, TermRecord[]>();
  for (const term of terms) eras.set(term.era, [...(eras.get(term.era) ?? []), term]);
  for (const era of eras.values()) {
    const ordered = era.toSorted((a, b) => a.beganAt - b.beganAt);
    for (const [i, term] of ordered.entries()) {
      const last = ordered[i - 1];
      if (!last) continue;
      if (last.endedAt > term.beganAt) {
        problems.push({ rule: 'one leader at a time', message: `${show(term)} began before ${show(last)} had ended` });
      }
      if (term.token <= last.token) {
        problems.push({ rule: 'fencing tokens grow', message: `${show(term)} came after ${show(last)}` });
      }
    }
  }
  const own = new Map<string, TermRecord[]>();
  for (const term of terms) {
    const key = `${term.elector}/${term.transitions}`;
    own.set(key, [...(own.get(key) ?? []), term]);
  }
  for (const { elector, transitions, sentAt, at } of writes) {
    const within = own.get(`${elector}/${transitions}`)?.some((t) => t.beganAt <= sentAt && sentAt <= t.endedAt);
    if (!within) {
      const message = `${elector} sent a renewal of transitions ${transitions} at ${sentAt} (it took effect at ${at}), in no term of its own`;
      problems.push({ rule: 'renewals lie within their term', message });
    }
  }
  return problems;
}

const show = ({ elector, token, beganAt, endedAt }: TermRecord): string =>
  `${elector}'s term ${token} (${beganAt} to ${endedAt})`;
