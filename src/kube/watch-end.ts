/**
 * How a watch ends, and what to do then. Pure.
 */
import { LeaseStoreError, isStoreError } from '../lease/store.ts';

/** A watch that was shorter than this, in milliseconds, is not renewed without a pause. */
export const SHORT_LIFE_MS = 1_000;

/** How one list or one connection ended. */
export type End =
  | { readonly kind: 'closed'; readonly livedMs: number }
  | { readonly kind: 'silent'; readonly silenceMs: number }
  | { readonly kind: 'bad'; readonly why: string }
  | {
      readonly kind: 'failed';
      readonly error: LeaseStoreError;
      /** True when nothing, or less than a second, came after a list (or the list itself failed): no other list at once. */
      readonly afterList: boolean;
    };

interface Next {
  /** Where to go on: the version last seen, or a new list. */
  readonly from: 'version' | 'list';
  readonly pause: boolean;
  /** To be reported before. */
  readonly lost?: LeaseStoreError;
  readonly fatal?: boolean;
}

/** What to do after an end. Pure. */
export function afterEnd(end: End, name: string): Next {
  switch (end.kind) {
    case 'closed':
      if (end.livedMs >= SHORT_LIFE_MS) return { from: 'version', pause: false };
      return { from: 'version', pause: true, lost: lost(name, 'Unavailable', 'the server ended the watch at once') };
    case 'silent':
      return {
        from: 'version',
        pause: false,
        lost: lost(name, 'Timeout', `no word from the server for ${end.silenceMs} ms`),
      };
    case 'bad':
      return { from: 'list', pause: true, lost: lost(name, 'BadAnswer', `the server sent ${end.why}`) };
    case 'failed': {
      const { error } = end;
      if (error.code === 'Forbidden') return { from: 'list', pause: false, lost: error, fatal: true };
      if (error.code === 'Expired') return { from: 'list', pause: end.afterList, lost: error };
      const sameAgain = error.retryable || isStoreError(error, 'Unauthorized', 'Credentials');
      return { from: sameAgain ? 'version' : 'list', pause: true, lost: error };
    }
  }
}

/** The server answered and sent nothing; a network that is away says nothing about the version. */
export const isFruitless = (end: End): boolean =>
  end.kind === 'closed'
    ? end.livedMs < SHORT_LIFE_MS
    : end.kind === 'failed' && isStoreError(end.error, 'ServerError', 'BadAnswer');

const lost = (name: string, code: 'Unavailable' | 'Timeout' | 'BadAnswer', why: string): LeaseStoreError =>
  new LeaseStoreError(code, { message: `watch ${name}: ${why}` });
