/**
 * To be imported before a test file (`node --import`): counts the inputs of its fast-check properties for the proof, by
 * file. Properties that count theirs themselves (test/fuzz) have a reporter of their own.
 */
import { relative } from 'node:path';
import fc from './fast-check.ts';
import { record } from './proof.ts';

fc.configureGlobal({
  reporter(run) {
    const file = relative(process.cwd(), process.argv[1] ?? '');
    record({ kind: 'property', file, inputs: run.numRuns, survived: !run.failed });
    if (run.failed) throw new Error(fc.defaultReportMessage(run) ?? 'failed', { cause: run.errorInstance });
  },
});
