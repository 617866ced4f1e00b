/**
 * CPU from a cold start: one-shot commands beside `node -e 0` and `kubectl get lease`, and an import of the library, in turn
 * in the same run.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { figure } from './figures.ts';
import { cpuOfRun, median, spread, table } from './measure.ts';

/** @param dist the built program's directory */
export function coldStart(dist: string, kubeconfig: string, rounds: number): string {
  const node = process.execPath;
  const cli = join(dist, 'cli.js');
  const library = JSON.stringify(pathToFileURL(join(dist, 'index.js')).href);
  const contenders: [name: string, command: string, args: string[]][] = [
    ['node -e 0', node, ['-e', '0']],
    ['leasekeeper count', node, [cli, 'count', '--kubeconfig', kubeconfig]],
    ['import leasekeeper', node, ['--input-type=module', '-e', `import ${library}`]],
    ['leasekeeper get', node, [cli, 'get', '--kubeconfig', kubeconfig]],
    ['leasekeeper --help', node, [cli, '--help']],
  ];
  if (spawnSync('kubectl', ['version', '--client']).status === 0) {
    const args = ['--kubeconfig', kubeconfig, '-n', 'kube-system', 'get', 'lease'];
    contenders.push(['kubectl get lease', 'kubectl', args]);
  }
  const times = contenders.map((): number[] => []);
  // The first two rounds fill the compile cache and the page cache, and are not counted.
  for (let round = -2; round < rounds; round++) {
    for (const [i, [, command, args]] of contenders.entries()) {
      const used = cpuOfRun(command, args);
      if (round >= 0) times[i]!.push(used);
    }
  }
  const [bare = [], count = [], imported = []] = times;
  const by = (all: readonly number[]): number[] => all.map((one, round) => one / bare[round]!);
  const kubectl = times[5];
  figure('count', {
    values: by(count),
    beside: kubectl && `\`kubectl get lease\` ${median(by(kubectl)).toFixed(2)} ×`,
  });
  figure('import', { values: by(imported) });
  const rows = contenders.map(([name], i) => [
    name,
    `${median(times[i]!).toFixed(0)} ms`,
    `${Math.min(...times[i]!).toFixed(0)} ms`,
    spread(by(times[i]!), 2),
  ]);
  return `CPU from a cold start, ${rounds} rounds in turn.\n\n${table(['', 'median', 'least', 'node -e 0 = 1'], rows)}`;
}
