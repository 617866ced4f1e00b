/**
 * Every capability of the library in one process, at a multiple of its ordinary speed, until it is asked to stop: what a
 * soak looks at. To be run with --expose-gc by run.ts, to whom it speaks over IPC.
 *
 * `{ sample: n }` is answered by the memory and the handles of the moment, after a collection; `{ stop: true }` by
 * `{ stopped }` once every service has ended, with what was left.
 */
import { randomUUID } from 'node:crypto';
import { connect as connectSocket } from 'node:net';
import {
  LiveCensus,
  Heartbeat,
  LeaderElector,
  NodeMonitor,
  Publisher,
  connect,
  createNodesApi,
  Sweeper,
  createSystemClock,
  holderIdentity,
  leaseName,
} from '../../src/index.ts';
import { countAnswer } from '../../src/http/census-endpoint.ts';
import { listen } from '../../src/http/server.ts';

export interface Counters {
  renewals: number;
  beats: number;
  terms: number;
  passes: number;
  swept: number;
  failures: number;
  /** Answers of the census that were neither the right number nor unknown. */
  wrong: number;
  answers: number;
}

export interface Sample {
  readonly sample: number;
  readonly heap: number;
  readonly external: number;
  /** Active handles and requests, by kind. */
  readonly timers: number;
  readonly sockets: number;
  readonly counters: Counters;
  /** Everything is as it should be now. */
  readonly well: boolean;
}

export interface Stopped {
  readonly stopped: true;
  /** Active resources that were not there before anything began. */
  readonly left: readonly string[];
}

const gc = (globalThis as { gc?: () => void }).gc;
if (!gc || !process.send) throw new Error('to be run by run.ts');
const tell = process.send.bind(process) as (message: Sample | Stopped) => boolean;

const { kubeconfig, speed, nodes, hosts, leak, server } = JSON.parse(process.argv[2] ?? '{}') as {
  kubeconfig: string;
  speed: number;
  nodes: readonly string[];
  hosts: readonly string[];
  leak?: 'heap' | 'timers' | 'sockets';
  server: string;
};

const clock = createSystemClock();
const random = Math.random;
process.channel?.ref();
const idle = process.getActiveResourcesInfo();
const stop = new AbortController();
const { signal } = stop;
const counters: Counters = { renewals: 0, beats: 0, terms: 0, passes: 0, swept: 0, failures: 0, wrong: 0, answers: 0 };
/** A wait of the ordinary world, in this one: not below what a request takes. */
const fast = (ms: number, least = 100): number => Math.max(least, ms / speed);

const leaked: unknown[] = [];
/** By hand, so that a soak is seen to fail. */
function leakSome(): void {
  if (leak === 'heap') leaked.push({ kept: 'x'.repeat(4_000).replaceAll('x', 'y') + counters.renewals });
  if (leak === 'timers' && counters.renewals % 5 === 0) leaked.push(setInterval(() => {}, 60_000));
  if (leak === 'sockets' && counters.renewals % 5 === 0) {
    const { hostname, port } = new URL(server);
    leaked.push(connectSocket(Number(port), hostname).on('error', () => {}));
  }
}

const requestTimeoutMs = fast(5_000, 400);
const renewIntervalMs = fast(10_000, 450);
const connection = await connect({ kubeconfig, clock, random, requestTimeoutMs });
const { store, transport } = connection;
const failed = (event: { readonly type: string }): void => {
  if (event.type === 'failed' || event.type === 'lost') counters.failures++;
};

const publishers = hosts.map((hostname) => {
  return new Publisher({
    store,
    clock,
    random,
    holder: holderIdentity(leaseName(hostname), randomUUID()),
    hostname,
    renewIntervalMs,
    requestTimeoutMs: Math.min(requestTimeoutMs, renewIntervalMs * 0.9),
    observe: (event) => {
      failed(event);
      if (event.type !== 'renewed') return;
      counters.renewals++;
      leakSome();
    },
  });
});

const sweeper = new Sweeper({
  store,
  clock,
  random,
  labelSelector: 'apiserver.kubernetes.io/identity in (kube-apiserver, soak-dead)',
  confirmAfterMs: fast(30_000, 1_500),
  requestTimeoutMs: 2_000,
  ticks: (onTick) => {
    const timer = setInterval(onTick, fast(300_000, 1_000));
    return () => clearInterval(timer);
  },
  observe: (event) => {
    if (event.type === 'passFinished') counters.passes++;
    if (event.type === 'deleted') counters.swept++;
  },
});

const census = new LiveCensus({
  store,
  query: { namespace: 'kube-system', labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver' },
  clock,
  random,
  freshForMs: fast(30_000, 2_000),
  maxAgeMs: fast(30_000, 2_000),
  observe: failed,
});

/** Work that ends by itself after a while, so that leadership goes round. */
const work = (term: { readonly signal: AbortSignal }): Promise<void> => {
  counters.terms++;
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      term.signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, 2_500);
    term.signal.addEventListener('abort', end);
  });
};

const electionOptions = { leaseDurationSeconds: 2, renewDeadlineMs: 1_500, retryPeriodMs: 300, workTimeoutMs: 500 };
const electors = ['a', 'b'].map((id) => {
  const lease = { namespace: 'kube-system', name: 'soak-leader' };
  return new LeaderElector({
    store,
    clock,
    random,
    lease,
    id,
    uuid: randomUUID(),
    ...electionOptions,
    work,
    observe: failed,
  });
});
const heartbeat = new Heartbeat({
  store,
  nodes: createNodesApi({ transport, clock, random }),
  clock,
  random,
  renewIntervalMs,
  requestTimeoutMs: Math.min(requestTimeoutMs, renewIntervalMs * 0.9),
  observe: (event) => {
    failed(event);
    if (event.type === 'renewed') counters.beats++;
  },
});
const monitor = new NodeMonitor({
  store,
  nodes: createNodesApi({ transport, clock, random, conditions: true }),
  clock,
  random,
  graceMs: fast(50_000, 4_000),
  observe: failed,
});

const http = await listen({ host: '127.0.0.1', port: 0 }, { '/v1/count': () => countAnswer(census) });
/** A reader that asks for the number all the time. */
async function ask(): Promise<void> {
  while (!signal.aborted) {
    const { status, instances } = await fetch(`${http.url}/v1/count`).then(
      async (answer) => ({ status: answer.status, ...((await answer.json()) as { instances: number | null }) }),
      () => ({ status: 0, instances: null }),
    );
    if (status !== 0) counters.answers++;
    if (status === 200 && instances !== hosts.length) counters.wrong++;
    if (status === 503 && instances !== null) counters.wrong++;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const running: Promise<unknown>[] = [
  ...publishers.map((publisher) => publisher.run(signal)),
  ...electors.map((elector) => elector.run(signal)),
  sweeper.run(signal),
  census.run(signal),
  heartbeat.run(signal),
  monitor.run(signal),
];
function counts(instances: number): boolean {
  const snapshot = census.snapshot();
  return snapshot.known && snapshot.answer.counts.instances === instances;
}
// The number is asked for once it can be known.
while (!counts(hosts.length)) {
  await new Promise((resolve) => setTimeout(resolve, 50));
}
running.push(http.run(signal), ask());

const isWell = (): boolean => {
  const snapshot = census.snapshot();
  return (
    publishers.every(({ status }) => status.phase === 'holding' && status.failures === 0) &&
    snapshot.known &&
    snapshot.answer.counts.live === hosts.length &&
    heartbeat.status.held === nodes.length &&
    heartbeat.status.failing === 0 &&
    monitor.snapshot().counts.Ready === nodes.length
  );
};

process.on('message', (message: { sample?: number; stop?: true }) => {
  if (message.stop) void end();
  if (message.sample === undefined) return;
  // Twice: what the first frees may hold more.
  gc();
  gc();
  const { heapUsed, external } = process.memoryUsage();
  const active = process.getActiveResourcesInfo();
  const count = (kind: RegExp): number => active.filter((name) => kind.test(name)).length;
  tell({
    sample: message.sample,
    heap: heapUsed,
    external,
    timers: count(/Timeout|Immediate/),
    sockets: count(/TCP|Pipe/),
    counters,
    well: isWell(),
  });
});

async function end(): Promise<void> {
  stop.abort();
  await Promise.all(running);
  await connection.close();
  // A socket that was closed is gone one turn later; fetch keeps its own to the endpoints, which have closed them.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const left = process.getActiveResourcesInfo();
  for (const name of idle) {
    const at = left.indexOf(name);
    if (at >= 0) left.splice(at, 1);
  }
  tell({ stopped: true, left });
  process.disconnect();
}
