/**
 * npm run bench: what leasekeeper costs, each figure beside its baselines, measured in the same run on the same server. Ends
 * with the table of all figures that have a budget, and says of each whether it was kept.
 *
 * KUBEBUILDER_ASSETS names a directory with etcd and kube-apiserver (else ../shared/envtest is tried); GO_PEER a program
 * that does the same writes with the Go client (else ../shared/peers/go-peer is tried). Without them, what needs them
 * says that it was skipped. Talks to loopback only. Linux with bash.
 *
 * Flags: --only NAME,… (all that have a budget; besides them there are urgent,electors,leaders,leases), --rounds N (5),
 * --seconds N (6) of renewals, --workers N (16), --minutes N (10) until memory is looked at, --write (puts the table into
 * docs/performance.md).
 */
import { existsSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { RealApi } from '../support/real-api.ts';
import { buildAll, installedSize } from './built.ts';
import type { Built } from './built.ts';
import { census } from './census.ts';
import { coldStart } from './cold-start.ts';
import { benchCollect } from './collect.ts';
import { benchElectors, benchHerd, benchUrgent } from './crowds.ts';
import { benchFailover } from './failover.ts';
import { figure, missing, page, writePage } from './figures.ts';
import { benchHeartbeats } from './heartbeats.ts';
import { benchInProcess } from './in-process.ts';
import { benchLeaders } from './leaders.ts';
import { benchLeases } from './leases.ts';
import { median, runJson, spread, table } from './measure.ts';
import { startMemory } from './memory.ts';
import { benchRecipes } from './recipes.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '6' },
    workers: { type: 'string', default: '16' },
    minutes: { type: 'string', default: '10' },
    only: {
      type: 'string',
      default: 'memory,installed,cold,renewals,failover,census,recipes,process,heartbeats,collect,herd',
    },
    write: { type: 'boolean', default: false },
  },
});
const root = resolve(import.meta.dirname, '../..');
process.env['KUBEBUILDER_ASSETS'] ??= resolve(root, '../shared/envtest');
const goPeer = process.env['GO_PEER'] ?? resolve(root, '../shared/peers/go-peer');
const hasPeer = existsSync(goPeer);

interface Report {
  readonly renewals: number;
  readonly seconds: number;
  readonly cpuMilliseconds: number;
  readonly maxResidentMegabytes: number;
}

const skip = realApiSkip();
if (skip) {
  console.log(`skipped: it needs a real API server (${skip})`);
  process.exit(0);
}
if (!hasPeer) console.log('skipped: the Go client (GO_PEER names no file)');

const rounds = Number(values.rounds);
const machine = `Node.js ${process.versions.node}, ${cpus().length} cores of ${cpus()[0]?.model ?? '?'} that the API server shares, load ${(loadavg()[0] ?? NaN).toFixed(0)} when it began, Linux, ${new Date().toISOString().slice(0, 10)}.`;

/** In this order: what is short and sensitive to a busy machine first. */
function parts(api: RealApi, built: Built): Readonly<Record<string, () => Promise<string>>> {
  return {
    installed: async () => installedSize(built),
    cold: async () => coldStart(built.dist, await api.kubeconfig(), rounds * 6),
    renewals: async () => benchRenewals(api, await api.kubeconfig()),
    failover: () => benchFailover({ api, goPeer: hasPeer ? goPeer : undefined, releases: rounds * 6 }),
    census: () => census(built.cli),
    recipes: () => benchRecipes(),
    process: () => benchInProcess(),
    heartbeats: () => benchHeartbeats({ nodes: '10000', seconds: '30', interval: '10', peerLeases: '1000' }),
    collect: async () =>
      hasPeer ? benchCollect({ api, cli: built.cli, goPeer, rounds: Math.ceil(rounds / 2) }) : 'skipped: collecting',
    herd: async () =>
      `${await benchHerd([3, 30, 300], 20, ['release'])}\n\n${await benchHerd([1_000], 20, ['release', 'kill'])}`,
    urgent: () => benchUrgent(),
    electors: () => benchElectors(600, 300, 30),
    leaders: () => benchLeaders(api, 120),
    leases: () => benchLeases(built.cli, rounds),
  };
}

const wanted = values.only.split(',');
const built = await buildAll();
const api = await startRealApi();
const began = performance.now();
const memory = wanted.includes('memory') ? await startMemory(built.cli, api) : undefined;
try {
  const all = parts(api, built);
  const unknown = wanted.filter((name) => name !== 'memory' && !(name in all));
  if (unknown.length > 0) throw new Error(`--only: there is no ${unknown.join(', ')}`);
  for (const [name, part] of Object.entries(all)) {
    if (!wanted.includes(name)) continue;
    const from = performance.now();
    console.log(`\n${await part()}\n(${name}: ${((performance.now() - from) / 1000).toFixed(0)} s)`);
  }
  if (memory) console.log(`\n${await memory.finish(Number(values.minutes) * 60)}`);
} finally {
  memory?.end();
  await api.stop();
  await built.end();
}
const text = page(machine);
console.log(`\n${text}\n\n${((performance.now() - began) / 60_000).toFixed(1)} minutes in all.`);
if (missing().length > 0) console.log(`Not measured: ${missing().join('; ')}.`);
if (values.write) await writePage(resolve(root, 'docs/performance.md'), text);

/** As fast as they go, by our transport, by the stock client, and by the Go client. */
async function benchRenewals(api: RealApi, kubeconfig: string): Promise<string> {
  const { seconds, workers } = values;
  const writer = resolve(import.meta.dirname, 'writer.ts');
  const node = (kind: string) => (): Promise<Report> =>
    runJson(process.execPath, [writer, kind, kubeconfig, seconds, workers]);
  const go = (protobuf: boolean) => (): Promise<Report> => {
    const flags = ['--for', `${seconds}s`, '--workers', workers, `--protobuf=${protobuf}`];
    return runJson(goPeer, ['write', '--kubeconfig', kubeconfig, ...flags]);
  };
  const contenders: [name: string, run: () => Promise<Report>][] = [
    ['leasekeeper', node('ours')],
    ['stock client-node', node('client-node')],
    ...(hasPeer
      ? (
          [
            ['go client, JSON', go(false)],
            ['go client, protobuf', go(true)],
          ] as const
        ).map(([name, run]): [string, () => Promise<Report>] => [name, run])
      : []),
  ];
  const results = contenders.map((): Report[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, [, run]] of contenders.entries()) {
      results[i]!.push(await run());
      await api.request('DELETE', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases');
    }
  }
  const cpu = results.map((all) => all.map((r) => r.cpuMilliseconds / r.renewals));
  const [ours = [], , json, protobuf] = cpu;
  const by = (all: readonly number[]): number[] => ours.map((one, round) => one / all[round]!);
  if (json && protobuf)
    figure('cpu', {
      values: by(json),
      beside: `${median(ours).toFixed(2)} ms; with protobuf ${median(by(protobuf)).toFixed(2)} ×`,
    });
  const rows = contenders.map(([name], i) => [
    name,
    `${median(cpu[i]!).toFixed(3)} ms`,
    spread(by(cpu[i]!), 2),
    median(results[i]!.map((r) => r.renewals / r.seconds)).toFixed(0),
    `${median(results[i]!.map((r) => r.maxResidentMegabytes)).toFixed(0)} MB`,
  ]);
  return (
    `Renewals as fast as they go: ${workers} writers, ${seconds} s each, ${rounds} rounds in turn, one API server over TLS.\n\n` +
    table(['', 'CPU a renewal', 'ours, by this', 'renewals a second', 'resident memory'], rows)
  );
}
