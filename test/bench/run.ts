/**
 * npm run bench: what leasekeeper costs, each figure beside its baselines, measured in the same run on the same server.
 *
 * KUBEBUILDER_ASSETS names a directory with etcd and kube-apiserver (else ../shared/envtest is tried); GO_PEER a program
 * that does the same writes with the Go client (else ../shared/peers/go-peer is tried). Without them, what needs them
 * says that it was skipped. Talks to loopback only. Flags: --rounds N (3), --seconds N (8), --workers N (16),
 * --only renewals,collect,failover,heartbeats,built,herd,urgent,electors,recipes,leaders,
 * leases (all).
 */
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { benchBuilt } from './built.ts';
import { benchCollect } from './collect.ts';
import { benchElectors, benchHerd, benchUrgent } from './crowds.ts';
import { benchFailover } from './failover.ts';
import { benchHeartbeats } from './heartbeats.ts';
import { benchLeaders } from './leaders.ts';
import { benchLeases } from './leases.ts';
import { benchRecipes } from './recipes.ts';
import { median, runJson, table } from './measure.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '8' },
    workers: { type: 'string', default: '16' },
    only: {
      type: 'string',
      default: 'renewals,collect,failover,heartbeats,built,herd,urgent,electors,recipes,leaders,leases',
    },
  },
});
const root = resolve(import.meta.dirname, '../..');
process.env['KUBEBUILDER_ASSETS'] ??= resolve(root, '../shared/envtest');
const goPeer = process.env['GO_PEER'] ?? resolve(root, '../shared/peers/go-peer');

interface Report {
  readonly renewals: number;
  readonly seconds: number;
  readonly cpuMilliseconds: number;
  readonly maxResidentMegabytes: number;
}

const skip = realApiSkip();
if (skip) {
  console.log(`skipped: renewals against a real API server (${skip})`);
  process.exit(0);
}

const writer = resolve(import.meta.dirname, 'writer.ts');
const { rounds, seconds, workers } = values;
const wanted = new Set(values.only.split(','));
const api = await startRealApi();
try {
  const kubeconfig = await api.kubeconfig();
  if (wanted.has('renewals')) await benchRenewals(kubeconfig);
  if (wanted.has('collect') && existsSync(goPeer))
    console.log(`\n${await benchCollect({ api, goPeer, rounds: Number(rounds) })}`);
  if (wanted.has('failover'))
    console.log(`\n${await benchFailover({ api, goPeer: existsSync(goPeer) ? goPeer : undefined })}`);
  const heartbeats = { nodes: '10000', seconds: '30', interval: '10', peerLeases: '1000' };
  if (wanted.has('heartbeats')) console.log(`\n${await benchHeartbeats(heartbeats)}`);
  if (wanted.has('built')) await benchBuilt(kubeconfig);
  if (wanted.has('recipes')) console.log(`\n${await benchRecipes()}`);
  if (wanted.has('leaders')) console.log(`\n${await benchLeaders(api, 120)}`);
  if (wanted.has('leases')) console.log(`\n${await benchLeases(Number(rounds))}`);
  if (wanted.has('herd')) console.log(`\n${await benchHerd([3, 30, 300, 1_000], 20)}`);
  if (wanted.has('urgent')) console.log(`\n${await benchUrgent()}`);
  if (wanted.has('electors')) console.log(`\n${await benchElectors(600, 300, 30)}`);
} finally {
  await api.stop();
}

/** By our transport, by the stock client, and by the Go client. */
async function benchRenewals(kubeconfig: string): Promise<void> {
  const node = (kind: string): Promise<Report> =>
    runJson(process.execPath, [writer, kind, kubeconfig, seconds, workers]);
  const contenders: [name: string, run: (round: number) => Promise<Report>][] = [
    ['leasekeeper', () => node('ours')],
    ['stock client-node', () => node('client-node')],
  ];
  if (existsSync(goPeer)) {
    const go = (protobuf: boolean) => (): Promise<Report> =>
      runJson(goPeer, [
        'write',
        '--kubeconfig',
        kubeconfig,
        '--for',
        `${seconds}s`,
        '--workers',
        workers,
        `--protobuf=${protobuf}`,
      ]);
    contenders.push(['go client, JSON', go(false)], ['go client, protobuf', go(true)]);
  } else console.log('skipped: the Go client (GO_PEER names no file)');

  console.log(
    `Renewals as fast as they go: ${workers} writers, ${seconds} s each, ${rounds} rounds in turn, one API server over TLS.\n` +
      `Node.js ${process.versions.node}, ${cpus().length} cores that the server shares.\n`,
  );
  const results = new Map<string, Report[]>(contenders.map(([name]) => [name, []]));
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, run] of contenders) {
      results.get(name)?.push(await run(round));
      await api.request('DELETE', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases');
    }
  }
  const figures = contenders.map(([name]) => {
    const all = results.get(name) ?? [];
    return {
      name,
      cpu: median(all.map((r) => r.cpuMilliseconds / r.renewals)),
      rate: median(all.map((r) => r.renewals / r.seconds)),
      memory: median(all.map((r) => r.maxResidentMegabytes)),
    };
  });
  const ours = figures[0]?.cpu ?? NaN;
  console.log(
    table(
      ['', 'CPU a renewal', 'renewals a second', 'resident memory', 'CPU, ours = 1'],
      figures.map((f) => [
        f.name,
        `${f.cpu.toFixed(3)} ms`,
        f.rate.toFixed(0),
        `${f.memory.toFixed(0)} MB`,
        (f.cpu / ours).toFixed(2),
      ]),
    ),
  );
}
