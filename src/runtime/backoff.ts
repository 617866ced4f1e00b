/**
 * Waits between attempts: exponential, jittered, capped. Pure but for the injected chance; it holds no timer.
 */
interface BackoffOptions {
  /** First wait in milliseconds, before jitter. */
  readonly firstMs: number;
  /** No wait is longer, jitter and what a server asks for included. */
  readonly capMs: number;
  /** 0 to 1, uniformly: Math.random, or a test's own. */
  readonly random: () => number;
}

export interface Backoff {
  /**
   * The next wait in milliseconds: doubles each time from `firstMs`, of which a random half is taken away.
   * @param askedMs what the server asked for (Retry-After); taken instead where it is longer, but never past the cap
   */
  next(askedMs?: number): number;
  /** After a success. */
  reset(): void;
  /** Waits given since the last reset. */
  readonly attempts: number;
}

export function createBackoff({ firstMs, capMs, random }: BackoffOptions): Backoff {
  let attempts = 0;
  return {
    next(askedMs = 0) {
      const full = Math.min(capMs, firstMs * 2 ** Math.min(attempts++, 30));
      return Math.min(capMs, Math.max(full * (0.5 + random() / 2), askedMs));
    },
    reset() {
      attempts = 0;
    },
    get attempts() {
      return attempts;
    },
  };
}
