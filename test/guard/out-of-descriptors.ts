/** Starts what is started for a lease or for credentials while this process has no file descriptor left; says what came of it. */
import { openSync } from 'node:fs';
import { Guard } from '../../src/guard/guard.ts';
import { askExec } from '../../src/kube/auth/exec-plugin.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';

const clock = createSystemClock();
try {
  for (;;) openSync('/dev/null', 'r');
} catch {
  // None is left.
}
const exec = {
  command: '/bin/true',
  args: [],
  env: {},
  apiVersion: 'client.authentication.k8s.io/v1',
  interactiveMode: 'Never',
} as const;
const settings = { server: 'https://h', insecureSkipTlsVerify: false, source: 'the test', user: {} };
await askExec(exec, settings, clock, new AbortController().signal).catch((error: Error) => {
  console.log(error.message);
});
const guard = new Guard({ clock });
const now = clock.monotonic();
const until = { deadline: now + 60_000, expires: now + 90_000 };
const outcome = await guard.run({ command: '/bin/true', args: [], env: {}, graceMs: 1_000 }, until);
console.log(outcome.how === 'unguarded' ? outcome.why : outcome.how);
await guard.close();
console.log('goes on');
