/** The times of a member, apart from its code: the command line's help needs no more. */

/** Members renew less often than leaders: a failover of seconds is what they promise, and there are many. */
export const MEMBER_DEFAULTS = { leaseDurationSeconds: 15, renewDeadlineMs: 10_000, retryPeriodMs: 5_000 } as const;
