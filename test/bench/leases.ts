/**
 * All leases at a glance: CPU of `leasekeeper leases -A`, built, beside `kubectl get lease -A`, in interleaved pairs, with
 * 10,000 leases in 200 namespaces on a real API server of its own. KUBECTL names the program (else `kubectl` is tried).
 *
 *   node test/bench/leases.ts [ROUNDS (5)]
 */
import { spawnSync } from 'node:child_process';
import { startRealApi } from '../support/real-api.ts';
import type { RealApi } from '../support/real-api.ts';
import { buildAll } from './built.ts';
import { cpuSeconds, median, table } from './measure.ts';

const NAMESPACES = 200;
const LEASES = 10_000;
const AT_ONCE = 32;

async function fill(api: RealApi): Promise<void> {
  const post = (path: string, body: object): Promise<unknown> => api.json('POST', path, body);
  const all = async (count: number, make: (i: number) => Promise<unknown>): Promise<void> => {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < count) await make(next++);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  };
  await all(NAMESPACES, (i) => post('/api/v1/namespaces', { metadata: { name: `ns-${i}` } }));
  const now = new Date().toISOString().replace('Z', '000Z');
  await all(LEASES, (i) => {
    const election = i % 2 === 0;
    return post(`/apis/coordination.k8s.io/v1/namespaces/ns-${i % NAMESPACES}/leases`, {
      metadata: { name: `lease-${i}` },
      spec: {
        holderIdentity: `pod-${i}_11111111-2222-4333-8444-555555555555`,
        leaseDurationSeconds: 15,
        renewTime: now,
        ...(election && { acquireTime: now, leaseTransitions: i }),
      },
    });
  });
}

/** CPU seconds of one run, and what it printed. */
function measured(command: string, args: readonly string[]): { cpu: number; lines: string[] } {
  const before = cpuSeconds('self', 'ended');
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`);
  return { cpu: cpuSeconds('self', 'ended') - before, lines: stdout.trimEnd().split('\n') };
}

/** @param cli the built program's cli.js */
export async function benchLeases(cli: string, rounds: number): Promise<string> {
  const api = await startRealApi();
  try {
    await fill(api);
    const kubeconfig = ['--kubeconfig', await api.kubeconfig()];
    const kubectl = process.env['KUBECTL'] ?? 'kubectl';
    const contenders: [name: string, run: () => ReturnType<typeof measured>][] = [
      ['leasekeeper leases -A', () => measured(process.execPath, [cli, 'leases', '-A', ...kubeconfig])],
    ];
    if (spawnSync(kubectl, ['version', '--client']).status === 0)
      contenders.push(['kubectl get lease -A', () => measured(kubectl, ['get', 'lease', '-A', ...kubeconfig])]);
    const cpu = contenders.map((): number[] => []);
    let faults = 0;
    for (let round = -1; round < rounds; round++)
      for (const [i, [, run]] of contenders.entries()) {
        const { cpu: used, lines } = run();
        // The first round fills caches.
        if (round >= 0) cpu[i]!.push(used);
        const rows = lines.filter((line) => /^ns-\d+\s+lease-\d+\s/.test(line));
        if (rows.length !== LEASES) faults++;
        if (i === 0)
          faults += rows.filter((row) => {
            const [, name = '', kind] = row.split(/\s+/);
            return kind !== (Number(name.slice('lease-'.length)) % 2 === 0 ? 'election' : 'unknown');
          }).length;
      }
    const rows = contenders.map(([name], i) => {
      const ratio = median(cpu[0]!.map((one, round) => one / cpu[i]![round]!));
      return [name, `${median(cpu[i]!).toFixed(2)} s`, ratio.toFixed(2)];
    });
    return (
      `${LEASES} leases in ${NAMESPACES} namespaces, ${rounds} rounds in turn; rows missing or wrong: ${faults}.\n\n` +
      table(['', 'CPU, median', 'leases -A, this = 1'], rows)
    );
  } finally {
    await api.stop();
  }
}

if (import.meta.main) {
  const built = await buildAll();
  console.log(await benchLeases(built.cli, Number(process.argv[2] ?? '5')));
  await built.end();
}
