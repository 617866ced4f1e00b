/**
 * Node heartbeats: many nodes from one process against the embedded server in a process of its own, and upstream's lease
 * controller in Go with fewer leases on the same server afterwards.
 *
 *   node test/bench/heartbeats.ts
 *
 * alone; `npm run bench` calls it for half a minute. Flags: --nodes N (10000), --seconds N (60), --interval N (10),
 * --peer-leases N (1000; 0: without the Go client), --together (the Go client at the same time, not afterwards), --real (a
 * real API server in place of the embedded one), --kubeconfig FILE (another server, whose Nodes are taken as they are).
 *
 * KUBEBUILDER_ASSETS names a directory with etcd and kube-apiserver (else ../shared/envtest is tried); GO_PEER names the Go client (else ../shared/peers/go-peer is tried). Loopback only, but for --kubeconfig.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { bundleOptions } from '../../scripts/build.ts';
import { startRealApi } from '../support/real-api.ts';
import { figure } from './figures.ts';
import { runJson, table } from './measure.ts';

interface Ours {
  readonly nodes: number;
  readonly held: number;
  readonly renewals: number;
  readonly failures: number;
  readonly seconds: number;
  readonly cpuMilliseconds: number;
  readonly maxResidentMegabytes: number;
  readonly lateMs: Readonly<Record<'p50' | 'p99' | 'p999' | 'max', number>>;
  readonly slowestMs: number;
}
type Peer = Pick<Ours, 'seconds' | 'cpuMilliseconds' | 'maxResidentMegabytes'>;

export interface HeartbeatsBench {
  readonly nodes: string;
  readonly seconds: string;
  readonly interval: string;
  /** `0`: without the Go client. */
  readonly peerLeases: string;
  /** The Go client runs at the same time, on what the machine has left. */
  readonly together?: boolean | undefined;
  /** A real API server. */
  readonly real?: boolean | undefined;
  /** Another server, whose Nodes are taken as they are. */
  readonly kubeconfig?: string | undefined;
}

interface Server {
  readonly kubeconfig: string;
  stop(): Promise<void>;
}

const script = (name: string): string => resolve(import.meta.dirname, name);

/** Our writer, built as the command is: Node would compile TypeScript in the measured process, 50 MB more. */
async function builtWriter(directory: string): Promise<string> {
  const outExtension = { '.js': '.mjs' };
  await build({ ...bundleOptions, entryPoints: [script('heartbeats-writer.ts')], outdir: directory, outExtension });
  return join(directory, 'heartbeats-writer.mjs');
}

/** The embedded server in a process of its own. */
async function embeddedServer(nodes: string): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), 'leasekeeper-bench-'));
  const server = spawn(process.execPath, [script('heartbeats-server.ts'), nodes, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [kubeconfig] = (await once(createInterface(server.stdout), 'line')) as [string];
  return {
    kubeconfig,
    async stop() {
      server.stdin.end();
      if (server.exitCode === null) await once(server, 'exit');
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function realServer(nodes: number): Promise<Server> {
  process.env['KUBEBUILDER_ASSETS'] ??= resolve(import.meta.dirname, '../../../shared/envtest');
  const api = await startRealApi();
  let next = 0;
  const make = async (): Promise<void> => {
    while (next < nodes) {
      const metadata = { name: `node-${String(next++).padStart(5, '0')}` };
      const { status, text } = await api.request('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata });
      if (status !== 201) throw new Error(`a Node was refused with ${status}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, make));
  return { kubeconfig: await api.kubeconfig(), stop: () => api.stop() };
}

/** The figures as text. */
export async function benchHeartbeats(given: HeartbeatsBench): Promise<string> {
  const { nodes, seconds, interval, peerLeases } = given;
  const goPeer = process.env['GO_PEER'] ?? resolve(import.meta.dirname, '../../../shared/peers/go-peer');
  const boundMs = (Number(seconds) + Number(interval) * 2 + 60) * 1000;
  const server: Server =
    given.kubeconfig !== undefined
      ? { kubeconfig: given.kubeconfig, stop: async () => {} }
      : await (given.real ? realServer(Number(nodes)) : embeddedServer(nodes));
  const { kubeconfig } = server;
  const directory = await mkdtemp(join(tmpdir(), 'leasekeeper-bench-'));
  const runOurs = async (): Promise<Ours> =>
    runJson(process.execPath, [await builtWriter(directory), kubeconfig, seconds, interval], boundMs);
  const runPeer = async (): Promise<Peer | undefined> => {
    if (peerLeases === '0' || !existsSync(goPeer)) return undefined;
    const times = ['--interval', `${interval}s`, '--for', `${seconds}s`];
    return runJson(goPeer, ['renew', '--kubeconfig', kubeconfig, '--count', peerLeases, ...times], boundMs);
  };
  try {
    const besides = given.together ? runPeer() : undefined;
    besides?.catch(() => {});
    const ours = await runOurs();
    const peer = await (besides ?? runPeer());
    const rows = [row('leasekeeper', ours.nodes, ours.renewals, ours)];
    if (peer) {
      // It does not count them: one at the start and one an interval, its jitter (2 % on average) taken off.
      const renewals = Number(peerLeases) * (1 + peer.seconds / Number(interval) / 1.02);
      rows.push(row("upstream's controller, Go", Number(peerLeases), renewals, peer));
    }
    const { lateMs } = ours;
    figure('fleet', { values: [ours.maxResidentMegabytes], beside: `the latest ${lateMs.max} ms late` });
    return (
      `Heartbeats of ${ours.nodes} nodes every ${interval} s from one process, for ${seconds} s, on ${given.real ? 'a real API server' : 'the embedded server'}: ` +
      `${ours.held} hold their lease, ${ours.renewals} renewals, ${ours.failures} failures.\n` +
      `Sent after they were due: half within ${lateMs.p50} ms, 99 % ${lateMs.p99} ms, 99.9 % ${lateMs.p999} ms, all ${lateMs.max} ms; slowest answer ${ours.slowestMs} ms.\n\n` +
      table(['', 'leases', 'CPU a renewal', 'renewals a second', 'resident memory'], rows)
    );
  } finally {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

function row(name: string, leases: number, renewals: number, r: Peer): string[] {
  return [
    name,
    String(leases),
    `${(r.cpuMilliseconds / renewals).toFixed(3)} ms`,
    (renewals / r.seconds).toFixed(0),
    `${r.maxResidentMegabytes.toFixed(0)} MB`,
  ];
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '10000' },
      seconds: { type: 'string', default: '60' },
      interval: { type: 'string', default: '10' },
      'peer-leases': { type: 'string', default: '1000' },
      together: { type: 'boolean' },
      real: { type: 'boolean' },
      kubeconfig: { type: 'string' },
    },
  });
  console.log(await benchHeartbeats({ ...values, peerLeases: values['peer-leases'] }));
}
