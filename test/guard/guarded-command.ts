/**
 * A process that stands for leasekeeper, for tests: `node guarded-command.ts PATH COMMAND…` guards the command, which finds
 * that PATH, for 20 seconds; prints its own pid and the command's as JSON once that was started.
 */
import { Guard } from '../../src/guard/guard.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';

const [PATH, command = '', ...args] = process.argv.slice(2);
const clock = createSystemClock();
const until = clock.monotonic() + 20_000;
const guard = new Guard({
  clock,
  onStarted: (pid, bound) => console.log(JSON.stringify({ leasekeeper: process.pid, command: pid, bound })),
});
await guard.run({ command, args, env: { ...process.env, PATH }, graceMs: 500 }, { deadline: until, expires: until });
await guard.close();
