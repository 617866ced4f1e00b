/** Every service works on, and ends in time, while nobody reads its log: for longer than any lease there lasts. */
import { describeStall } from './stalled-log.ts';

/** The shortest renew deadline is 10 s. */
describeStall({ stallMs: 15_000, silenceMs: 10_000, concurrency: 16 });
