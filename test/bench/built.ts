/**
 * What the built program costs to start, to keep and to ask: the parts of `npm run bench` that measure dist/ as installed.
 *
 *   node test/bench/built.ts KUBECONFIG [ROUNDS] [SECONDS]
 *
 * alone; `npm run bench` calls it with a real API server.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { census } from './census.ts';
import { coldStart } from './cold-start.ts';
import { memory } from './memory.ts';

/** @param seconds until resident memory is read for the last time */
export async function benchBuilt(kubeconfig: string, rounds = 15, seconds = 60): Promise<void> {
  const root = resolve(import.meta.dirname, '../..');
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-built-'));
  try {
    // As in an installed package: Node asks it what kind of module a file is.
    await writeFile(join(dir, 'package.json'), '{"type":"module"}');
    execFileSync(process.execPath, [join(root, 'scripts/build.ts'), join(dir, 'dist')], { stdio: 'inherit' });
    const cli = join(dir, 'dist/cli.js');
    console.log(`\n${coldStart(cli, kubeconfig, rounds)}`);
    console.log(`\n${await memory(cli, kubeconfig, seconds)}`);
    console.log(`\n${await census(cli)}`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const [, , kubeconfig = '', rounds = '15', seconds = '60'] = process.argv;
  await benchBuilt(kubeconfig, Number(rounds), Number(seconds));
}
