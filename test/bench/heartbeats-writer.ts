/**
 * One measured process that keeps the heartbeats of every Node of an API: prints one line of JSON at its end.
 *
 *   node test/bench/heartbeats-writer.ts KUBECONFIG SECONDS INTERVAL_SECONDS
 *
 * CPU and lateness are counted once every node has its lease: from the second interval on.
 */
import { Heartbeat, connect, createNodesApi, createSystemClock } from '../../src/index.ts';
import { forgetStart, staySmall } from '../../src/commands/memory.ts';

// As `leasekeeper heartbeat` does.
staySmall();
forgetStart();
const [, , kubeconfig = '', seconds = '60', interval = '10'] = process.argv;
const clock = createSystemClock();
const options = { renewIntervalMs: Number(interval) * 1000, concurrency: 64 };
const { store, transport, close } = await connect({
  kubeconfig,
  clock,
  random: Math.random,
  maxConnections: options.concurrency,
});
const nodes = createNodesApi({ transport, clock, random: Math.random });
/** Renewals by how late they were sent, in milliseconds; the last place holds all beyond. */
const late = new Uint32Array(20_001);
let measuring = false;
let renewals = 0;
let failures = 0;
let claimed = 0;
let latest = 0;
let slowest = 0;
const heartbeat = new Heartbeat({
  store,
  nodes,
  clock,
  random: Math.random,
  ...options,
  observe: (event) => {
    if (event.type === 'claimed') claimed++;
    if (event.type === 'failed') failures++;
    if (event.type !== 'renewed' || !measuring) return;
    renewals++;
    const ms = Math.min(late.length - 1, Math.floor(event.lateMs));
    late[ms] = (late[ms] ?? 0) + 1;
    latest = Math.max(latest, event.lateMs);
    slowest = Math.max(slowest, event.latencyMs);
  },
});
const stop = new AbortController();
const running = heartbeat.run(stop.signal);
await new Promise((resolve) => setTimeout(resolve, options.renewIntervalMs * 1.5));
const cpu = process.cpuUsage();
const began = clock.monotonic();
measuring = true;
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));
measuring = false;
const used = process.cpuUsage(cpu);
const ended = clock.monotonic();
const { nodes: count, held } = heartbeat.status;
stop.abort();
await running;
await close();
const quantile = (share: number): number => {
  let left = renewals * share;
  return late.findIndex((n) => (left -= n) <= 0);
};
console.log(
  JSON.stringify({
    nodes: count,
    held,
    claimed,
    renewals,
    failures,
    seconds: (ended - began) / 1000,
    cpuMilliseconds: (used.user + used.system) / 1000,
    maxResidentMegabytes: process.resourceUsage().maxRSS / 1024,
    lateMs: { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999), max: Math.round(latest) },
    slowestMs: Math.round(slowest),
  }),
);
