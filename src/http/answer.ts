/**
 * What one endpoint answers, apart from any socket, and how often an answer is made that is costly to make.
 */
import type { Clock } from '../runtime/clock.ts';

export interface HttpAnswer {
  readonly status: number;
  /** The media type of the body. */
  readonly type: string;
  /** In pieces where some of them serve many answers: each is kept once, however many readers it has. */
  readonly body: string | readonly (string | Buffer)[];
  /** Besides those that every answer has. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** For a reader that takes it: compressed once, however many readers the answer has. Not for answers of megabytes. */
  readonly compress?: boolean | undefined;
}

/** An endpoint. Errors it throws are bugs: the client gets 500 and no word of them. */
export type Endpoint = (query: URLSearchParams) => HttpAnswer | Promise<HttpAnswer>;

export const text = (status: number, body: string): HttpAnswer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
});

export const json = (status: number, document: unknown): HttpAnswer => ({
  status,
  type: 'application/json; charset=utf-8',
  body: `${JSON.stringify(document)}\n`,
});

/** For how many times the time that it took to make an answer is given again: it never takes more than a twentieth of it. */
const REUSE_FACTOR = 20;

/** @param leastMs for which an answer is given again, however cheap it is */
export function reuse<T>(clock: Clock, make: () => T, leastMs = 0): () => T {
  let made: { readonly answer: T; readonly until: number } | undefined;
  return () => {
    const began = clock.monotonic();
    if (made && began < made.until) return made.answer;
    const answer = make();
    made = { answer, until: began + Math.max(leastMs, (clock.monotonic() - began) * REUSE_FACTOR) };
    return answer;
  };
}
