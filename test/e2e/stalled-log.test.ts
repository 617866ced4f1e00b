/** Every service works on, and ends in time, while nobody reads its log. Much longer: stalled-log.slow.test.ts. */
import { describeStall } from './stalled-log.ts';

describeStall({ stallMs: 1_000, concurrency: 3 });
