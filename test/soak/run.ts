/**
 * `npm run soak`: every capability in one process for a long time, with faults now and then; its memory and its handles must be
 * flat in the end. Prints a table; exit code 1 when something grows, a number was wrong, or not all is well at the end.
 *
 * `-- --minutes N` (default 5: as many renewals as in an hour), `--speed N` (default 20: a renewal every half second; 1: as in life),
 * `--leak heap|timers|sockets` lets it grow by hand, to be seen to fail. With KUBEBUILDER_ASSETS it runs against a real
 * API server, which is killed and restarted too; else against the embedded one.
 */
import { fork } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { table } from '../bench/measure.ts';
import { leaveNothing } from '../support/children.ts';
import { etcdAt } from '../support/etcd.ts';
import { startTcpProxy } from '../support/fault-proxy.ts';
import type { TcpFault } from '../support/fault-proxy.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { isFlat } from './flat.ts';
import type { Counters, Sample, Stopped } from './worker.ts';
import { ScriptProgress } from '../support/script-progress.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    speed: { type: 'string', default: '20' },
    leak: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const speed = Number(values.speed);
if (!(minutes > 0) || !(speed >= 1)) throw new Error('--minutes must be more than 0, --speed 1 or more');

const HOSTS = ['master-1', 'master-2', 'master-3'];
const NODES = Array.from({ length: 20 }, (_, i) => `node-${i}`);
/** How long a fault lasts, and how long after its end no sample is taken: connections are opened again then. */
const FAULT_MS = 1_500;
const REST_MS = 4_000;
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

interface Server {
  readonly url: string;
  readonly kubeconfig: (url: string) => Promise<string>;
  readonly post: (path: string, body: object) => Promise<void>;
  /** Versions of the past become too old: watches that come back get 410. */
  readonly compact: () => Promise<void>;
  readonly restart: (() => Promise<void>) | undefined;
  readonly close: () => Promise<void>;
}

async function realServer(): Promise<Server> {
  const api = await startRealApi();
  const etcd = etcdAt(api.etcdUrl);
  return {
    url: api.url,
    kubeconfig: (url) => api.kubeconfig({ server: url }),
    post: async (path, body) => void (await api.json('POST', path, body)),
    compact: async () => etcd.compact(await etcd.put('elsewhere')),
    restart: async () => {
      await api.apiServer.kill();
      await wait(FAULT_MS);
      api.apiServer.start();
      await api.ready();
    },
    close: () => api.stop(),
  };
}

async function embeddedServer(): Promise<Server> {
  const server = await startEmbeddedServer({ logSize: 10, historySize: 1_000 });
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-soak-'));
  return {
    url: server.url,
    async kubeconfig(url) {
      const path = join(dir, 'kubeconfig');
      await writeFile(path, server.kubeconfig().replace(server.url, url));
      return path;
    },
    post: (url, body) => {
      const headers = { 'content-type': 'application/json' };
      const { status, body: answer } = server.handle({ method: 'POST', url, headers, body: JSON.stringify(body) });
      return status < 300 ? Promise.resolve() : Promise.reject(new Error(answer));
    },
    compact: () => Promise.resolve(server.faults.expireVersions()),
    restart: undefined,
    close: async () => {
      await server.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const real = realApiSkip() === false;
const server = await (real ? realServer() : embeddedServer());
const proxy = await startTcpProxy(server.url);
const status = { conditions: [{ type: 'Ready', status: 'True' }] };
for (const name of NODES) await server.post('/api/v1/nodes', { metadata: { name }, status });

const net =
  (fault: TcpFault, cut = false) =>
  async (): Promise<void> => {
    proxy.set(fault);
    if (cut) proxy.cut();
    await wait(FAULT_MS);
    proxy.set('pass');
  };
const faults: [name: string, run: () => Promise<void>][] = [
  ['connections cut', net({ kind: 'pass' }, true)],
  ['refused', net({ kind: 'refuse' }, true)],
  ['half-open', net({ kind: 'swallow' })],
  ['silent', net({ kind: 'pause' })],
  [
    'versions too old (410)',
    async () => {
      proxy.set('refuse');
      proxy.cut();
      await wait(FAULT_MS);
      await server.compact();
      proxy.set('pass');
    },
  ],
  ...(server.restart ? ([['API server killed and restarted', server.restart]] as [string, () => Promise<void>][]) : []),
];

const argument = {
  kubeconfig: await server.kubeconfig(proxy.url),
  speed,
  nodes: NODES,
  hosts: HOSTS,
  server: server.url,
  ...(values.leak && { leak: values.leak }),
};
const child = fork(fileURLToPath(new URL('worker.ts', import.meta.url)), [JSON.stringify(argument)], {
  execArgv: ['--expose-gc'],
});
leaveNothing(child);
const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
let stopped: Stopped | undefined;
const answers = new Map<number, (sample: Sample) => void>();
child.on('message', (message: Sample | Stopped) => {
  if ('stopped' in message) stopped = message;
  else answers.get(message.sample)?.(message);
});

let asked = 0;
async function ask(): Promise<Sample | undefined> {
  const n = ++asked;
  const answer = new Promise<Sample>((resolve) => answers.set(n, resolve));
  if (child.exitCode === null) child.send({ sample: n });
  const sample = await Promise.race([answer, exited.then(() => undefined), wait(20_000).then(() => undefined)]);
  answers.delete(n);
  return sample;
}

/** What the system knows of the process. */
function ofSystem(): { rss: number; fds: number } {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return {
    rss: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024,
    fds: readdirSync(`/proc/${child.pid}/fd`).length,
  };
}

type Row = Record<'heap' | 'external' | 'rss' | 'fds' | 'timers' | 'sockets', number>;
const rows: Row[] = [];
let latest: Counters | undefined;
let dead = 0;
const tried = new Map<string, number>();
console.log(
  `soaking for ${minutes} min at ${speed} × against ${real ? 'a real API server' : 'the embedded API server'}`,
);
const progress = new ScriptProgress();
progress.begin('soaking', minutes * 60_000);
const end = performance.now() + minutes * 60_000;
const started = performance.now();
await wait(3_000);
for (let turn = 0; performance.now() < end && child.exitCode === null; turn++) {
  const quietUntil = Math.min(performance.now() + 6_000, end);
  while (performance.now() < quietUntil) {
    const sample = await ask();
    if (!sample) break;
    latest = sample.counters;
    rows.push({
      heap: sample.heap,
      external: sample.external,
      timers: sample.timers,
      sockets: sample.sockets,
      ...ofSystem(),
    });
    await wait(500);
  }
  if (performance.now() + FAULT_MS + REST_MS + 3_000 > end) break;
  const [name, run] = faults[turn % faults.length]!;
  tried.set(name, (tried.get(name) ?? 0) + 1);
  // Something to sweep, which the census does not look at: who appears before its eyes has just been alive.
  await server.post(LEASES, {
    metadata: { name: `dead-${++dead}`, labels: { 'apiserver.kubernetes.io/identity': 'soak-dead' } },
    spec: { holderIdentity: 'dead', leaseDurationSeconds: 1, renewTime: '2026-01-01T00:00:00.000000Z' },
  });
  await run();
  await wait(REST_MS);
}
let well = false;
for (let tries = 0; tries < 20 && !well; tries++) {
  const sample = await ask();
  well = sample?.well ?? false;
  if (!well) await wait(500);
}
progress[Symbol.dispose]();
const seconds = (performance.now() - started) / 1000;
if (child.exitCode === null) child.send({ stop: true });
await Promise.race([exited, wait(15_000)]);
const ended = child.exitCode === 0;
child.kill('SIGKILL');
await proxy.close();
await server.close();

const MB = 1024 * 1024;
const ROOM: Readonly<Record<keyof Row, { share: number; more: number }>> = {
  heap: { share: 0.01, more: 0.3 * MB },
  external: { share: 0.05, more: 0.5 * MB },
  rss: { share: 0.08, more: 8 * MB },
  // Idle connections are kept: how many depends on what the last outage held up.
  fds: { share: 0.25, more: 5 },
  timers: { share: 0, more: 3 },
  sockets: { share: 0, more: 3 },
};
const shown = (key: keyof Row, value: number): string =>
  key === 'heap' || key === 'external' || key === 'rss' ? `${(value / MB).toFixed(2)} MB` : value.toFixed(1);
const verdicts = (Object.keys(ROOM) as (keyof Row)[]).map((key) => ({
  key,
  ...isFlat(
    rows.map((row) => row[key]),
    ROOM[key],
  ),
}));
console.log(
  table(
    ['', 'middle third', 'last third', 'allowed', 'flat'],
    verdicts.map(({ key, middle, last, allowed, flat }) => [
      key,
      shown(key, middle),
      shown(key, last),
      shown(key, allowed),
      flat ? 'yes' : 'NO',
    ]),
  ),
);
const c = latest;
const hours = ((c?.renewals ?? 0) / HOSTS.length / 360).toFixed(1);
console.log(
  `${rows.length} samples in ${seconds.toFixed(0)} s; ${c?.renewals} renewals (of each lease as many as in ${hours} h), ` +
    `${c?.beats} heartbeats, ${c?.terms} terms, ${c?.passes} passes, ${c?.swept} of ${dead} dead leases swept, ` +
    `${c?.answers} answers of the census, ${c?.wrong} wrong, ${c?.failures} failures seen and survived`,
);
console.log(`faults: ${[...tried].map(([name, times]) => `${name} ${times}`).join(', ') || 'none'}`);
const problems = [
  ...verdicts.filter(({ flat }) => !flat).map(({ key }) => `${key} is not flat`),
  ...(well ? [] : ['not all was well at the end']),
  ...(c && c.wrong === 0 ? [] : ['the census reported a wrong number']),
  ...(stopped && ended ? [] : ['it did not end in order']),
  ...[...Map.groupBy(stopped?.left ?? [], (name) => name)].map(([name, of]) => `left at the end: ${of.length} ${name}`),
];
for (const problem of problems) console.log(`FAILED: ${problem}`);
if (problems.length === 0) console.log('flat');
process.exitCode = problems.length === 0 ? 0 : 1;
