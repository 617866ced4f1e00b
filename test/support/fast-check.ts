/**
 * fast-check, with the same inputs in every run: what a test says depends on the code alone.
 *
 * FUZZ_SEED chooses other inputs: a whole number, or `random` for fresh ones in every run. A failure prints its seed.
 */
import fc from 'fast-check';

const { FUZZ_SEED: asked = '1' } = process.env;
if (asked !== 'random') {
  const seed = Number(asked);
  if (!Number.isInteger(seed)) throw new Error(`FUZZ_SEED=${asked}: must be a whole number, or random`);
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
}

export { default } from 'fast-check';
