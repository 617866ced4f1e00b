/** Scenarios, and mutants of safety rules, explored in processes of their own: as many at once as there are processors for. */
import { fork } from 'node:child_process';
import { resolve } from 'node:path';
import type { Mutant } from '../simulation/mutation.ts';
import { PARALLEL } from '../simulation/pool.ts';
import type { Bounds, Explored, Found } from './explore.ts';

const WORKER = resolve(import.meta.dirname, 'worker.ts');
const MUTATE = resolve(import.meta.dirname, '../simulation/mutate.ts');

export interface Task {
  readonly scenario: string;
  readonly bounds: Bounds;
  readonly mutant?: Mutant | undefined;
}

export interface MutantTask extends Task {
  readonly mutant: Mutant;
}

/** Which part of its time each task of a hunt gets first. */
const FIRST_PART = 15;

/** Explores each; the answers come in the order of the tasks. @throws Error when a process fails */
export async function exploreAll<T extends Task>(
  tasks: readonly T[],
  onDone: (task: T, explored: Explored) => void = () => {},
): Promise<Explored[]> {
  const answers = new Map<T, Explored>();
  await inTurn(tasks, async (task) => {
    answers.set(task, await inProcess(task));
    onDone(task, answers.get(task)!);
  });
  return tasks.map((task) => answers.get(task)!);
}

/**
 * Takes each rule out until one of its tasks misses it: all of them for a moment first, as most are missed soon, in one
 * scenario or another; then each that is left for its whole time.
 */
export async function hunt(
  tasks: readonly MutantTask[],
  onMissed: (task: MutantTask, explored: Explored & { found: Found }) => void,
): Promise<void> {
  const missed = new Set<string>();
  const first = tasks.map((task) => ({ ...task, bounds: { ...task.bounds, ms: task.bounds.ms / FIRST_PART } }));
  await inTurn([...first, ...tasks], async (task) => {
    const { rule } = task.mutant;
    if (missed.has(rule)) return;
    const { found, ...explored } = await inProcess(task);
    if (!found || missed.has(rule)) return;
    missed.add(rule);
    onMissed(task, { ...explored, found });
  });
}

async function inTurn<T>(tasks: readonly T[], each: (task: T) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < tasks.length) await each(tasks[next++]!);
  };
  await Promise.all(Array.from({ length: PARALLEL }, one));
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
