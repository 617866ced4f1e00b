/**
 * Node heartbeats: many nodes from one process against the embedded server in a process of its own, and upstream's lease
 * controller in Go with fewer leases on the same server afterwards.
 *
 *   node test/bench/heartbeats.ts
 *
 * alone; `npm run bench` calls it for half a minute. Flags: --nodes N (10000), --seconds N (60), --interval N (10), --peer-leases N (1000; 0: without the Go client),
 * --kubeconfig FILE (another server, whose Nodes are taken as they are).
 * GO_PEER names the Go client (else ../shared/peers/go-peer is tried). Loopback only, but for --kubeconfig.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
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
  /** Another server, whose Nodes are taken as they are. */
  readonly kubeconfig?: string | undefined;
}

/** The figures as text. */
export async function benchHeartbeats(given: HeartbeatsBench): Promise<string> {
  const { nodes, seconds, interval, peerLeases } = given;
  const goPeer = process.env['GO_PEER'] ?? resolve(import.meta.dirname, '../../../shared/peers/go-peer');
  const boundMs = (Number(seconds) + Number(interval) * 2 + 60) * 1000;
  const directory = await mkdtemp(join(tmpdir(), 'leasekeeper-bench-'));
  const script = (name: string): string => resolve(import.meta.dirname, name);
  const server =
    given.kubeconfig === undefined
      ? spawn(process.execPath, [script('heartbeats-server.ts'), nodes, directory], {
          stdio: ['pipe', 'pipe', 'inherit'],
        })
      : undefined;
  try {
    let kubeconfig = given.kubeconfig ?? '';
    if (server) [kubeconfig] = (await once(createInterface(server.stdout), 'line')) as [string];
    const args = [script('heartbeats-writer.ts'), kubeconfig, seconds, interval];
    const ours = await runJson<Ours>(process.execPath, args, boundMs);
    const rows = [row('leasekeeper', ours.nodes, ours.renewals, ours)];
    if (peerLeases !== '0' && existsSync(goPeer)) {
      const times = ['--interval', `${interval}s`, '--for', `${seconds}s`];
      const peer = await runJson<Peer>(
        goPeer,
        ['renew', '--kubeconfig', kubeconfig, '--count', peerLeases, ...times],
        boundMs,
      );
      // It does not count them: one at the start and one an interval, its jitter (2 % on average) taken off.
      const renewals = Number(peerLeases) * (1 + peer.seconds / Number(interval) / 1.02);
      rows.push(row("upstream's controller, Go", Number(peerLeases), renewals, peer));
    }
    const { lateMs } = ours;
    return (
      `Heartbeats of ${ours.nodes} nodes every ${interval} s from one process, for ${seconds} s: ${ours.held} hold their lease, ` +
      `${ours.renewals} renewals, ${ours.failures} failures.\n` +
      `Sent after they were due: half within ${lateMs.p50} ms, 99 % ${lateMs.p99} ms, 99.9 % ${lateMs.p999} ms, all ${lateMs.max} ms; slowest answer ${ours.slowestMs} ms.\n\n` +
      table(['', 'leases', 'CPU a renewal', 'renewals a second', 'resident memory'], rows)
    );
  } finally {
    server?.stdin.end();
    if (server && server.exitCode === null) await once(server, 'exit');
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
      kubeconfig: { type: 'string' },
    },
  });
  console.log(await benchHeartbeats({ ...values, peerLeases: values['peer-leases'] }));
}
