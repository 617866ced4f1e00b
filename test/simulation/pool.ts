/** Seeds and mutants, run in processes of their own: as many at once as there are processors for. */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Mutant } from './mutation.ts';
import { addTally, emptyTally } from './tally.ts';
import type { Worlds } from './simulate.ts';
import type { Tally } from './tally.ts';

const WORKER = resolve(import.meta.dirname, 'worker.ts');
const MUTATE = resolve(import.meta.dirname, 'mutate.ts');
/** A batch that takes longer than this, in milliseconds, never ends. */
const HANGS_AFTER_MS = 60_000;
/** The same without a mutant, where nothing is expected to hang: a starved machine is waited for. */
const STARVED_MS = 10 * HANGS_AFTER_MS;

export const PARALLEL = Math.max(1, Math.min(4, availableParallelism()));

/** Runs all seeds of the range, in several processes. */
export async function runSeeds(
  from: number,
  to: number,
  worlds: Worlds = 'services',
  onProgress: (sum: Tally) => void = () => {},
): Promise<Tally> {
  const sum = emptyTally();
  const parts = Array.from({ length: PARALLEL }, async (_, i) => {
    const args = [String(from + i), String(PARALLEL), String(to), worlds];
    const result = await runWorker(args, undefined, (tally) => {
      addTally(sum, tally);
      onProgress(sum);
    });
    if (result !== 'ended') throw new Error(`a process that simulates ${result}`);
  });
  await Promise.all(parts);
  sum.failures.sort((a, b) => a.seed - b.seed);
  return sum;
}

export interface Caught {
  readonly mutant: Mutant;
  /** How many seeds it took; undefined: it was not caught. */
  readonly caughtAfter: number | undefined;
  /** What noticed it. */
  readonly by: string;
}

/** How many seeds it takes until each mutant is caught. */
export async function hunt(
  mutants: readonly Mutant[],
  seeds: number,
  onCaught: (caught: Caught) => void,
): Promise<Caught[]> {
  const caught: Caught[] = [];
  let next = 0;
  const hunter = async (): Promise<void> => {
    for (let mutant = mutants[next++]; mutant; mutant = mutants[next++]) {
      const one = await huntOne(mutant, seeds);
      caught.push(one);
      onCaught(one);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, hunter));
  return mutants.map((mutant) => caught.find((one) => one.mutant === mutant)!);
}

async function huntOne(mutant: Mutant, seeds: number): Promise<Caught> {
  const sum = emptyTally();
  const result = await runWorker(['1', '1', String(seeds), mutant.worlds ?? 'services', 'first'], mutant, (tally) =>
    addTally(sum, tally),
  );
  const [failure] = sum.failures;
  if (failure) return { mutant, caughtAfter: failure.seed, by: failure.rule };
  if (result === 'hangs') return { mutant, caughtAfter: sum.seeds + 1, by: 'the run comes to its end' };
  if (result !== 'ended') throw new Error(`${mutant.rule}: the process ${result}`);
  return { mutant, caughtAfter: undefined, by: '' };
}

/** Resolves with `ended`, `hangs`, or how it failed. */
function runWorker(
  args: readonly string[],
  mutant: Mutant | undefined,
  onTally: (tally: Tally) => void,
): Promise<string> {
  return new Promise((done) => {
    const child = fork(WORKER, args, {
      execArgv: mutant ? ['--import', MUTATE] : [],
      env: { ...process.env, ...(mutant && { LEASEKEEPER_MUTANT: JSON.stringify(mutant.replace) }) },
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    let stderr = '';
    let hangs = false;
    const kill = (): void => {
      hangs = true;
      child.kill('SIGKILL');
    };
    const patience = mutant ? HANGS_AFTER_MS : STARVED_MS;
    let timer = setTimeout(kill, patience);
    child.stderr?.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-4_000)));
    child.on('message', (message) => {
      clearTimeout(timer);
      timer = setTimeout(kill, patience);
      onTally(message as Tally);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      done(hangs ? 'hangs' : code === 0 ? 'ended' : `failed with ${code}: ${stderr}`);
    });
  });
}
