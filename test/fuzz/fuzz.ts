/**
 * Fuzzing: a parser, inputs that are random or nearly right, and what must hold of each.
 *
 * Guarantees: every input that a parser was given is counted, and reported to the proof; an input that takes longer than its
 * bound, three times in a row, is a failure; a failure names fast-check's seed. FUZZ_RUNS multiplies the inputs,
 * FUZZ_SEED chooses them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from '../support/fast-check.ts';
import { record } from '../support/proof.ts';

const TIMES = Math.max(1, Number(process.env['FUZZ_RUNS'] ?? 1));
/** What no input of these sizes may take on an ordinary machine: milliseconds of this process's CPU time. */
const BOUND_MS = 250;
/** What the work in `slowness` takes on one. */
const YARDSTICK_MS = 40;

const cpuMs = (before?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
};

/** How many times longer than on an ordinary machine things take here and now; 1 where they take less. */
function slowness(): number {
  const before = process.cpuUsage();
  let text = '';
  for (let i = 0; i < 200_000; i++) text = JSON.stringify({ i, text: text.slice(0, 20) });
  return Math.max(1, cpuMs(before) / YARDSTICK_MS);
}

export interface FuzzOptions {
  /** Default 500. */
  readonly runs?: number;
  readonly boundMs?: number;
}

/** Registers a test: `holds` throws for an input that is treated wrongly. */
export function fuzz<T>(
  parser: string,
  inputs: fc.Arbitrary<T>,
  holds: (input: T) => void | Promise<void>,
  { runs = 500, boundMs = BOUND_MS }: FuzzOptions = {},
): void {
  test(parser, { timeout: 120_000 * TIMES }, async () => {
    let given = 0;
    const timed = async (input: T): Promise<void> => {
      let took = Infinity;
      given++;
      for (let tries = 0; tries < 3 && took > boundMs; tries++) {
        const before = process.cpuUsage();
        await holds(input);
        took = cpuMs(before);
      }
      if (took <= boundMs) return;
      const bound = boundMs * slowness();
      assert.ok(took <= bound, `${Math.round(took)} ms of ${Math.round(bound)}, three times, for one input`);
    };
    let survived = false;
    try {
      await fc.assert(fc.asyncProperty(inputs, timed), {
        numRuns: runs * TIMES,
        asyncReporter: (run) => Promise.resolve(tell(run)),
      });
      survived = true;
    } finally {
      record({ kind: 'fuzz', parser, inputs: given, survived });
    }
  });
}

type Report = Pick<
  fc.RunDetails<[unknown]>,
  'failed' | 'seed' | 'counterexample' | 'counterexamplePath' | 'errorInstance'
>;

/** fast-check's own report cannot print what is nested deeply. */
function tell({ failed, seed, counterexample, counterexamplePath, errorInstance }: Report): void {
  if (!failed) return;
  const shown = inspect(counterexample?.[0], { depth: 8, maxStringLength: 400 });
  throw new Error(`seed ${seed}, path ${counterexamplePath}: ${shown}`, { cause: errorInstance });
}

/** Throws unless `call` returns, or throws an error of this class. Gives what it returned. */
export function onlyThrows<T>(type: abstract new (...args: never[]) => Error, call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof type) return undefined;
    throw error;
  }
}

const NASTY = [
  '',
  ' ',
  '\0',
  '\n',
  '\r\n',
  '"',
  "'",
  '\\',
  '/',
  '=',
  ',',
  ':',
  '-',
  '.',
  '{',
  '}',
  '[',
  ']',
  '%',
  '\u{202e}',
];
const MORE_NASTY = [
  '𝒳',
  '\ud800',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'NaN',
  '1e999',
  '-1',
  '9'.repeat(25),
  '\u00a0',
  '\ufeff',
];

/** Text: any, and the valid ones with pieces taken out, put in, repeated and turned round. */
export function texts(valid: readonly string[], words: readonly string[] = []): fc.Arbitrary<string> {
  const piece = fc.oneof(
    fc.constantFrom(...NASTY, ...MORE_NASTY, ...words, ...valid),
    fc.string({ unit: 'binary', maxLength: 4 }),
  );
  const edit = fc.record({
    how: fc.constantFrom('cut', 'insert', 'replace', 'repeat', 'reverse', 'upper'),
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(8),
    piece,
    times: fc.constantFrom(2, 3, 50, 5_000),
  });
  const mutated = fc
    .tuple(fc.constantFrom(...valid), fc.array(edit, { minLength: 0, maxLength: 4 }))
    .map(([text, edits]) => edits.reduce(applyEdit, text));
  return fc.oneof(
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }) },
    { weight: 1, arbitrary: fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')) },
    { weight: 4, arbitrary: mutated },
  );
}

interface Edit {
  readonly how: string;
  readonly from: number;
  readonly length: number;
  readonly piece: string;
  readonly times: number;
}

function applyEdit(text: string, { how, from, length, piece, times }: Edit): string {
  const at = Math.floor(from * text.length);
  const [head, here, tail] = [text.slice(0, at), text.slice(at, at + length), text.slice(at + length)];
  if (text.length > 20_000) return text;
  switch (how) {
    case 'cut':
      return head + tail;
    case 'insert':
      return head + piece + here + tail;
    case 'replace':
      return head + piece + tail;
    case 'repeat':
      return head + (here || piece).repeat(times) + tail;
    case 'reverse':
      return head + [...here].reverse().join('') + tail;
    default:
      return head + here.toUpperCase() + tail;
  }
}

/** JSON values: any, and the valid ones with something at some place of them replaced, taken away or nested. */
export function nearly(...valid: readonly unknown[]): fc.Arbitrary<unknown> {
  const stranger = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(...NASTY, ...MORE_NASTY, 0, -1, 1.5, 2 ** 31, 1e308, null, {}, [], true, { toString: '' }),
  );
  const edit = fc.record({
    steps: fc.array(fc.nat(20), { maxLength: 6 }),
    how: fc.constantFrom('replace', 'replace', 'remove', 'add', 'nest'),
    value: stranger,
    key: fc.oneof(fc.constantFrom(...MORE_NASTY, 'name', 'metadata', 'spec'), fc.string({ maxLength: 5 })),
  });
  return fc.oneof(
    { weight: 1, arbitrary: stranger },
    {
      weight: 5,
      arbitrary: fc
        .tuple(fc.constantFrom(...valid), fc.array(edit, { minLength: 1, maxLength: 3 }))
        .map(([value, edits]) => edits.reduce<unknown>(change, structuredClone(value))),
    },
  );
}

/** Deeper than JSON of a hundred levels and more, which a program may recurse into without a bound. */
const NESTED = 1_500;

type Container = Record<string, unknown>;
interface Change {
  readonly steps: readonly number[];
  readonly how: string;
  readonly value: unknown;
  readonly key: string;
}

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;

function change(root: unknown, { steps, how, value, key }: Change): unknown {
  const top: Container = { root };
  let here = top;
  let at = 'root';
  for (const step of steps) {
    const next = here[at];
    if (!isContainer(next) || Object.keys(next).length === 0) break;
    const keys = Object.keys(next);
    here = next;
    at = keys[step % keys.length]!;
  }
  const set = (into: Container, name: string, what: unknown): void =>
    void Object.defineProperty(into, name, { value: what, enumerable: true, configurable: true, writable: true });
  const there = here[at];
  // Its own: the same stranger may be put into itself.
  const own = structuredClone(value);
  if (how === 'remove') delete here[at];
  else if (how === 'add' && Array.isArray(there)) there.push(own);
  else if (how === 'add' && isContainer(there)) set(there, key, own);
  else if (how === 'nest') {
    let deep: unknown = there;
    for (let i = 0; i < NESTED; i++) deep = [deep];
    set(here, at, deep);
  } else set(here, at, own);
  return top['root'];
}
