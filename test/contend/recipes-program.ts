/**
 * One contender of recipes.ts: `node recipes-program.ts FILE KUBECONFIG ID SLOTS` takes a lock and a slot of a semaphore again
 * and again, claims each fire of a cron by its own wall clock, and runs each key once. SIGTERM ends it in order.
 */
import { openLeases } from '../../src/leases.ts';
import { Works, now, sleep } from './works.ts';

/** Between two fires, and between two keys, in milliseconds. */
const FIRE_MS = 500;
const KEY_MS = 2_000;

const [file = '', kubeconfig = '', id = '', slots = ''] = process.argv.slice(2);
const works = new Works(file);
const leases = await openLeases({ kubeconfig, requestTimeoutMs: 1_500 });
const stop = new AbortController();
const { signal } = stop;
const times = { id, leaseDurationSeconds: 3, renewDeadlineMs: 2_000, retryPeriodMs: 400 };

/** Again and again until the end; what fails is tried again. */
async function forever(name: string, turn: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await turn().catch((error: unknown) => {
      if (!signal.aborted) works.note(name, 'failed', String(error).replaceAll(' ', '_'));
      return sleep(100, signal);
    });
    await sleep(Math.random() * 100, signal);
  }
}

const lock = leases.lock('contended-lock', times);
const semaphore = leases.semaphore('contended-slots', Number(slots), times);
const cron = leases.cron('contended-cron', { ...times, observe: (event) => event.type !== 'claimed' && reason(event) });
function reason(event: { type: string; fireTime?: Date; reason?: string }): void {
  if (event.fireTime) works.note('fire', event.type, event.fireTime.getTime(), event.reason ?? '');
}

async function fire(at: number): Promise<void> {
  works.note('fire', 'try', at);
  const fireTime = new Date(at);
  const term = await cron.claimFire('job', fireTime);
  // What was claimed while it stopped is lost, as is what nobody knows of.
  if (term && !signal.aborted) await works.run(`fire-${at}`, term, 50 + Math.random() * 200);
  else if (signal.aborted) works.note('fire', 'stopped', at);
  cron.complete('job', fireTime);
}

async function fires(): Promise<void> {
  for (let next = 0; !signal.aborted;) {
    const wall = Date.now();
    if (next === 0) next = (Math.floor(wall / FIRE_MS) + 1) * FIRE_MS;
    await sleep(next - wall, signal);
    if (signal.aborted || Date.now() < next) continue;
    void fire(next);
    next += FIRE_MS;
  }
}

async function keys(): Promise<void> {
  const key = Math.floor(now() / KEY_MS);
  const outcome = await leases.once(
    'contended-once',
    `key-${key}`,
    (term) => works.run('once', term, 300, { note: String(key) }),
    {
      ...times,
      signal,
    },
  );
  works.note('key', outcome.ran ? 'done' : 'known', key);
  await sleep((key + 1) * KEY_MS - now(), signal);
}

process.on('SIGTERM', () => {
  stop.abort();
  void leases.close().then(() => process.exit(0));
});
await Promise.all([
  forever('lock', async () => {
    await lock.use((term) => works.run('lock', term, 50 + Math.random() * 400), { signal });
  }),
  forever('semaphore', async () => {
    const work = (term: Parameters<Parameters<typeof semaphore.use>[0]>[0]): Promise<void> =>
      works.run(`slot-${term.slot}`, term, 200 + Math.random() * 1_000, { note: slots });
    await semaphore.use(work, { signal });
  }),
  forever('once', keys),
  fires(),
]);
