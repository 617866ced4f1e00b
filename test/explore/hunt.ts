/** Scenarios, and mutants of safety rules, explored in processes of their own: as many at once as there are processors for. */
import { fork } from 'node:child_process';
import { resolve } from 'node:path';
import type { Mutant } from '../simulation/mutation.ts';
import { PARALLEL } from '../simulation/pool.ts';
import type { Bounds, Explored } from './explore.ts';

const WORKER = resolve(import.meta.dirname, 'worker.ts');
const MUTATE = resolve(import.meta.dirname, '../simulation/mutate.ts');

export interface Task {
  readonly scenario: string;
  readonly bounds: Bounds;
  readonly mutant?: Mutant | undefined;
}

/** Explores each; the answers come in the order of the tasks. @throws Error when a process fails */
export async function exploreAll<T extends Task>(
  tasks: readonly T[],
  onDone: (task: T, explored: Explored) => void = () => {},
): Promise<Explored[]> {
  const answers: Explored[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < tasks.length) {
      const i = next++;
      const task = tasks[i]!;
      answers[i] = await inProcess(task);
      onDone(task, answers[i]);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, one));
  return answers;
}

function inProcess({ scenario, bounds, mutant }: Task): Promise<Explored> {
  return new Promise((done, fail) => {
    const child = fork(WORKER, [scenario, JSON.stringify(bounds)], {
      execArgv: mutant ? ['--import', MUTATE] : [],
      env: { ...process.env, ...(mutant && { LEASEKEEPER_MUTANT: JSON.stringify(mutant.replace) }) },
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    let stderr = '';
    let explored: Explored | undefined;
    child.stderr?.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-4_000)));
    child.on('message', (message) => (explored = message as Explored));
    child.on('close', (code) =>
      explored
        ? done(explored)
        : fail(new Error(`${mutant?.rule ?? scenario}: the process ended with ${code}: ${stderr}`)),
    );
  });
}
