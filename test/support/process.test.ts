import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import type { Program } from './process.ts';
import { runProgram, startProgram } from './process.ts';

let dir: string;
let script: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'leasekeeper-process-'));
  script = join(dir, 'program.mjs');
  await writeFile(
    script,
    `process.on('SIGTERM', () => { console.log('bye'); process.exitCode = 3; clearInterval(timer); });
     const timer = process.argv[2] === 'stay' ? setInterval(() => {}, 1000) : undefined;
     console.error('to stderr');
     console.log('ready ' + process.env.KUBECONFIG);`,
  );
});
after(() => rm(dir, { recursive: true }));

it('gives lines, code and duration', async (t) => {
  process.env['KUBECONFIG'] = '/nonexistent';
  t.after(() => delete process.env['KUBECONFIG']);
  const program = startProgram(['stay'], { script, t });
  assert.equal(await program.waitForLine(/^ready/), 'ready undefined');
  assert.equal(await program.waitForLine(/./, { from: 'stderr' }), 'to stderr');
  await assert.rejects(program.waitForLine(/never/, { timeoutMs: 50 }), /no line like \/never\/[^]*to stderr/);
  program.signal('SIGTERM');
  const exit = await program.exited;
  assert.equal(exit.code, 3);
  assert.ok(exit.sinceSignalMs !== undefined && exit.sinceSignalMs < exit.durationMs);
  assert.equal(program.stdout.at(-1), 'bye');
  await assert.rejects(program.waitForLine(/never/), /ended without/);
});

it('runs a program to its end', async () => {
  const { code, stdout, stderr } = await runProgram([], { script, env: { KUBECONFIG: 'x' } });
  assert.deepEqual([code, stdout, stderr], [0, 'ready x\n', 'to stderr\n']);
});

it('does not wait for ever', async () => {
  await assert.rejects(runProgram(['stay'], { script, timeoutMs: 300 }), /still running/);
});

it('leaves no program behind when its test ends', async (t) => {
  let left: Program | undefined;
  await t.test('one that stays', async (inner) => {
    left = startProgram(['stay'], { script, t: inner });
    await left.waitForLine(/ready/);
  });
  assert.equal(left?.running, false);
});
