import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { commandProblem } from '../../src/guard/find-command.ts';

test('a command is looked for as execvp does', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-find-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, 'runs'), '');
  await chmod(join(dir, 'runs'), 0o755);
  await writeFile(join(dir, 'text'), '', { mode: 0o644 });
  await mkdir(join(dir, 'folder'));
  const path = `/nowhere:${dir}`;
  assert.equal(commandProblem('runs', path), undefined);
  assert.equal(commandProblem(join(dir, 'runs'), '/nowhere'), undefined);
  assert.equal(commandProblem('runs', '/nowhere'), 'not found in PATH');
  assert.equal(commandProblem('folder', path), 'not found in PATH');
  assert.equal(commandProblem('text', path), 'permission denied: it may not be executed');
  assert.equal(commandProblem(join(dir, 'none'), path), 'no such file');
  assert.equal(commandProblem('', path), 'must not be empty');
  assert.equal(commandProblem('a\0b', path), 'must not hold a zero byte');
  assert.equal(commandProblem('anything', undefined), undefined);
  for (const [first, problem] of [
    ['#!/bin/sh', undefined],
    ['#! /bin/sh -e', undefined],
    ['#!/no/such/interpreter', 'its interpreter "/no/such/interpreter" cannot be executed'],
    ['#!/bin/sh\r', 'its interpreter "/bin/sh\\r" cannot be executed'],
  ] as const) {
    await writeFile(join(dir, 'runs'), `${first}\n`);
    assert.equal(commandProblem('runs', path), problem);
  }
});
