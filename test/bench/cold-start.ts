/**
 * One-shot commands from a cold start, each beside `node -e 0` and `kubectl get lease`, in turn in the same run.
 */
import { spawnSync } from 'node:child_process';
import { median, table } from './measure.ts';

/** Budget of DESIGN: times `node -e 0`. */
const BUDGET = 4;

/** @param cli the built program's cli.js */
export function coldStart(cli: string, kubeconfig: string, rounds: number): string {
  const node = process.execPath;
  const contenders: [name: string, command: string, args: string[]][] = [
    ['node -e 0', node, ['-e', '0']],
    ['leasekeeper count', node, [cli, 'count', '--kubeconfig', kubeconfig]],
    ['leasekeeper get', node, [cli, 'get', '--kubeconfig', kubeconfig]],
    ['leasekeeper --help', node, [cli, '--help']],
  ];
  if (spawnSync('kubectl', ['version', '--client']).status === 0) {
    const args = ['--kubeconfig', kubeconfig, '-n', 'kube-system', 'get', 'lease'];
    contenders.push(['kubectl get lease', 'kubectl', args]);
  }
  const times = contenders.map((): number[] => []);
  // The first round fills the compile cache and the page cache, and is not counted.
  for (let round = -1; round < rounds; round++) {
    for (const [i, [name, command, args]] of contenders.entries()) {
      const began = performance.now();
      const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
      const took = performance.now() - began;
      if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr}`);
      if (round >= 0) times[i]!.push(took);
    }
  }
  const bare = median(times[0]!);
  const rows = contenders.map(([name], i) => {
    const all = times[i]!;
    return [name, `${median(all).toFixed(0)} ms`, `${Math.min(...all).toFixed(0)} ms`, (median(all) / bare).toFixed(2)];
  });
  return `Cold start, ${rounds} rounds in turn; budget for count: ${BUDGET} times node -e 0.\n\n${table(['', 'median', 'least', 'node -e 0 = 1'], rows)}`;
}
