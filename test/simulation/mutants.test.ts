/** Every rule that the simulation takes out is still there to take out: a renaming that misses a mutant is found here. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MUTANTS } from './mutants.ts';
import { mutated } from './mutation.ts';

test("each mutant's texts stand once in their files", () => {
  const lost = MUTANTS.flatMap(({ rule, replace }) =>
    [...Map.groupBy(replace, ({ file }) => file)].flatMap(([file, changes]) => {
      try {
        mutated(file, readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'), changes);
        return [];
      } catch (error) {
        return [`${rule}: ${(error as Error).message}`];
      }
    }),
  );
  assert.deepEqual(lost, []);
});
