/** As stalled-log.test.ts, for longer than any lease there lasts: renewals come while they count. */
import { describeStall } from './stalled-log.ts';

/** The shortest renew deadline is 10 s. */
describeStall({ stallMs: 15_000, silenceMs: 10_000, concurrency: 16 });
