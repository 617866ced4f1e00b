/**
 * Who leads, asked and changed.
 *
 * - Step-down: from the request until the successor's work begins, with three candidates in this process whose work ends at
 *   once: 20 times on the embedded server, 5 on the real one. Then with `--to`, alike: how often that one got it.
 * - `/leader`: two sidecars as processes, each behind a proxy, and a client that asks both for two minutes while they are
 *   cut off, held up and stopped in turn. A sidecar led, with a fencing token, from when its first 200 with it came until
 *   the last question with that answer was sent; two that led at once are an overlap.
 *
 *   node test/bench/leaders.ts [--seconds N (120)]
 *
 * alone; `npm run bench` calls it with its own server.
 */
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { LeaderElector } from '../../src/election/elector.ts';
import { stepDown } from '../../src/election/step-down.ts';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { leaveNothing } from '../support/children.ts';
import { startTcpProxy } from '../support/fault-proxy.ts';
import type { TcpProxy } from '../support/fault-proxy.ts';
import type { RealApi } from '../support/real-api.ts';
import { startRealApi } from '../support/real-api.ts';
import { median, table } from './measure.ts';

const clock = createSystemClock();
const CLI = resolve(import.meta.dirname, '../../src/cli.ts');
/** Anything waited for. */
const PATIENCE_MS = 60_000;

async function until<T>(read: () => T | undefined, what: string): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = read();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`waited without success for ${what}`);
    await wait(1);
  }
}

/** Milliseconds from each request until the next one begins. */
async function stepDowns(kubeconfig: string, times: number, named: boolean): Promise<{ ms: number[]; meant: number }> {
  const lease = { namespace: 'default', name: `step-${randomUUID()}` };
  const connection = await connect({ clock, random: Math.random, kubeconfig });
  const stop = new AbortController();
  let leads: { id: string; at: number } | undefined;
  const electors = ['a', 'b', 'c'].map((id) => {
    const work = (term: { signal: AbortSignal }): Promise<void> => {
      leads = { id, at: performance.now() };
      return new Promise((done) => term.signal.addEventListener('abort', () => done(), { once: true }));
    };
    const { store } = connection;
    return new LeaderElector({ store, clock, random: Math.random, lease, id, uuid: randomUUID(), work });
  });
  const running = electors.map((elector) => elector.run(stop.signal));
  const ms: number[] = [];
  let meant = 0;
  try {
    await until(() => leads, 'a leader');
    for (let i = 0; i < times; i++) {
      const before = leads!.id;
      // Who has just led rests before it contends again.
      await wait(3_000);
      const to = named ? ['a', 'b', 'c'].find((id) => id !== before) : undefined;
      const began = performance.now();
      const { store } = connection;
      const asking = stepDown({ store, clock, random: Math.random, lease, to });
      const next = await until(() => (leads!.at > began ? leads : undefined), 'the successor');
      ms.push(next.at - began);
      if (next.id === to) meant++;
      await asking;
    }
  } finally {
    stop.abort();
    await Promise.all(running);
    await connection.close();
  }
  return { ms, meant };
}

/** One sidecar as a process, behind a proxy of its own. */
interface Sidecar {
  readonly id: string;
  readonly proxy: TcpProxy;
  readonly url: string;
  readonly signal: (name: NodeJS.Signals) => void;
  readonly end: () => Promise<void>;
}

async function startSidecar(api: RealApi, lease: string, id: string): Promise<Sidecar> {
  const proxy = await startTcpProxy(api.url);
  const kubeconfig = await api.kubeconfig({ server: proxy.url });
  const times = ['--lease-duration=3s', '--renew-deadline=2s', '--retry-period=400ms'];
  const args = [CLI, 'elect', '--kubeconfig', kubeconfig, '--lease', lease, '--id', id, '--http', '0', ...times];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  leaveNothing(child);
  let url: string | undefined;
  createInterface({ input: child.stderr }).on('line', (line) => (url ??= /url=(\S+)/.exec(line)?.[1]));
  const exited = new Promise<void>((done) => void child.once('close', () => done()));
  return {
    id,
    proxy,
    url: await until(() => url, `the address of ${id}`),
    signal: (name) => void child.kill(name),
    async end() {
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await exited;
      await proxy.close();
    },
  };
}

/** Asks both as fast as they answer. @returns how often each led, and for how long two did at once */
async function askBoth(
  api: RealApi,
  seconds: number,
): Promise<{ asked: number; led: number; terms: number; overlaps: number[] }> {
  const lease = `asked-${randomUUID()}`;
  const sidecars: Sidecar[] = [];
  const over = new AbortController();
  const spans = new Map<string, { readonly id: string; readonly from: number; to: number }>();
  let [asked, led] = [0, 0];
  let last = '';
  try {
    for (const id of ['a', 'b']) sidecars.push(await startSidecar(api, lease, id));
    const client = async ({ id, url }: Sidecar): Promise<void> => {
      while (!over.signal.aborted) {
        await wait(2);
        const sent = performance.now();
        const answer = await fetch(new URL('/leader', url), { signal: AbortSignal.timeout(500) }).catch(
          () => undefined,
        );
        const body = (await answer?.json().catch(() => undefined)) as { fencingToken?: number } | undefined;
        asked++;
        if (answer?.status !== 200) continue;
        led++;
        last = id;
        const key = `${id} ${body?.fencingToken}`;
        const span = spans.get(key);
        if (span) span.to = sent;
        else spans.set(key, { id, from: performance.now(), to: sent });
      }
    };
    const faults = async (): Promise<void> => {
      const end = performance.now() + seconds * 1000;
      for (let i = 0; performance.now() < end; i++) {
        await wait(3_000);
        const victim = sidecars.find(({ id }) => id === last) ?? sidecars[0]!;
        const kind = (['swallow', 'refuse', 'stop', 'pause', 'cut'] as const)[i % 5]!;
        if (kind === 'stop') victim.signal('SIGSTOP');
        else if (kind === 'cut') victim.proxy.cut();
        else victim.proxy.set(kind);
        await wait(5_000);
        victim.signal('SIGCONT');
        victim.proxy.set('pass');
      }
      over.abort();
    };
    await Promise.all([...sidecars.map(client), faults()]);
    const all = [...spans.values()];
    const overlaps = all.flatMap((a, i) =>
      all.slice(i + 1).flatMap((b) => {
        const ms = Math.min(a.to, b.to) - Math.max(a.from, b.from);
        return a.id !== b.id && ms > 0 ? [ms] : [];
      }),
    );
    return { asked, led, terms: all.length, overlaps };
  } finally {
    over.abort();
    for (const sidecar of sidecars) await sidecar.end();
  }
}

export async function benchLeaders(api: RealApi, seconds: number): Promise<string> {
  const embedded = await startEmbeddedServer();
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-bench-'));
  const kubeconfig = join(dir, 'kubeconfig');
  await writeFile(kubeconfig, embedded.kubeconfig());
  const rows: string[][] = [];
  try {
    for (const [server, config, times] of [
      ['embedded', kubeconfig, 20],
      ['real', await api.kubeconfig(), 5],
    ] as const)
      for (const named of [false, true]) {
        const { ms, meant } = await stepDowns(config, times, named);
        const got = named ? `${meant} of ${times}` : '';
        rows.push([
          `${server}${named ? ', --to' : ''}`,
          `${times}`,
          `${median(ms).toFixed(0)} ms`,
          `${Math.max(...ms).toFixed(0)} ms`,
          got,
        ]);
      }
  } finally {
    await embedded.close();
    await rm(dir, { recursive: true });
  }
  const { asked, led, terms, overlaps } = await askBoth(api, seconds);
  return (
    `Step-down until the successor begins; budget: 100 ms at the median.\n\n` +
    `${table(['', 'times', 'median', 'most', 'got it'], rows)}\n\n` +
    `/leader of two sidecars for ${seconds} s under faults: asked ${asked} times, 200 ${led} times, ${terms} terms, ` +
    `${overlaps.length} overlaps${overlaps.length > 0 ? ` of up to ${Math.max(...overlaps).toFixed(0)} ms` : ''}.`
  );
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '120' } } });
  const api = await startRealApi();
  try {
    console.log(await benchLeaders(api, Number(values.seconds)));
  } finally {
    await api.stop();
  }
}
