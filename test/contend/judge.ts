/**
 * Judges what the commands of all contenders have done, once it is over. Pure.
 *
 * No two commands ran at one time, and each later one has a greater token. Where all of a contender was stopped together
 * nothing on its machine could end its command before it ran on: there a sink judges that takes no step with a lower token
 * than the greatest it has seen.
 */

/** One sign of life of a command. */
export interface Step {
  /** The contender. */
  readonly who: string;
  readonly token: number;
  readonly pid: number;
  /** The machine's monotonic milliseconds. */
  readonly at: number;
}

/** All of a contender stood still, and went on at the end of this. */
export interface Frozen {
  readonly who: string;
  readonly from: number;
  readonly to: number;
}

export interface Verdict {
  readonly problems: readonly string[];
  /** Commands that ran. */
  readonly terms: number;
  /** Steps that the sink refused, all of contenders that were frozen. */
  readonly refused: number;
  /** Milliseconds from the end of one command to the beginning of the next, in order. */
  readonly gaps: readonly number[];
}

interface Span {
  readonly who: string;
  readonly token: number;
  readonly from: number;
  to: number;
}

/** How long a command that goes on after a stop may run before it is killed, in milliseconds. */
const THAW_MS = 2_000;

/** The steps that a contender's file holds; the last line may still be under way. */
export function readSteps(who: string, text: string): Step[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [, token, pid, at] = line.split(' ');
      return { who, token: Number(token), pid: Number(pid), at: Number(at) };
    });
}

/** @param epochs instants at which the server was set back: tokens of before and after are not compared */
export function judge(steps: readonly Step[], frozen: readonly Frozen[], epochs: readonly number[] = []): Verdict {
  const problems: string[] = [];
  const thawed = (who: string, at: number): boolean =>
    frozen.some((one) => one.who === who && at >= one.from && at <= one.to + THAW_MS);
  const ordered = steps.toSorted((a, b) => a.at - b.at);
  let refused = 0;
  let highest = -1;
  let epoch = 0;
  const spans = new Map<number, Span>();
  for (const { who, token, pid, at } of ordered) {
    while ((epochs[epoch] ?? Infinity) <= at) [epoch, highest] = [epoch + 1, -1];
    if (token < highest && thawed(who, at)) {
      refused++;
      continue;
    }
    const span = spans.get(pid) ?? { who, token, from: at, to: at };
    spans.set(pid, span);
    span.to = at;
    // What began before goes on for a while with its token of before.
    if (span.from < (epochs[epoch - 1] ?? -Infinity)) continue;
    if (token < highest) problems.push(`${who} stepped with token ${token} after ${highest}`);
    highest = Math.max(highest, token);
  }
  const terms = [...spans.values()].sort((a, b) => a.from - b.from);
  const gaps: number[] = [];
  for (const [i, term] of terms.entries()) {
    const last = terms[i - 1];
    if (!last) continue;
    gaps.push(term.from - last.to);
    if (term.from <= last.to) {
      problems.push(`two at once: ${show(last)} and ${show(term)}, for ${Math.round(last.to - term.from)} ms`);
    }
    const setBack = epochs.some((at) => at > last.from && at <= term.from);
    if (term.token <= last.token && !setBack) problems.push(`tokens: ${show(term)} came after ${show(last)}`);
  }
  return { problems: [...new Set(problems)], terms: terms.length, refused, gaps };
}

const show = ({ who, token, from }: Span): string => `${who} (token ${token}, from ${Math.round(from)} on)`;
