/** Completion as people have it: Tab in a bash on a terminal; and what kubectl asks of a plugin. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { CLI, runProgram } from '../support/process.ts';
import { embedded, scratch } from './support.ts';

/** util-linux's: runs a command on a terminal of its own. */
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') ?? false;
const hasBash = spawnSync('bash', ['-c', '(( BASH_VERSINFO[0] >= 4 ))']).status === 0;
const skip = !hasScript ? 'no script of util-linux here' : !hasBash ? 'no bash 4 here' : false;

/** A bash on a terminal. @returns what it makes of keys after `leasekeeper `: the whole line */
async function bash(t: TestContext, env: Record<string, string>): Promise<(keys: string) => Promise<string>> {
  const dir = await scratch(t);
  const program = join(dir, 'leasekeeper');
  await writeFile(program, `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n`);
  await chmod(program, 0o755);
  const shell = spawn('script', ['-qec', 'bash --noprofile --norc -i', '/dev/null'], {
    env: { ...process.env, ...env, PATH: `${dir}${delimiter}${process.env['PATH']}`, TERM: 'dumb', PS1: '$ ' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => void shell.kill('SIGKILL'));
  let seen = '';
  let check = (): void => {};
  shell.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
    check();
  });
  const until = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`not seen within 20 s: ${pattern}, but: ${seen}`)), 20_000);
      check = () => {
        const found = pattern.exec(seen);
        if (!found) return;
        clearTimeout(late);
        resolve(found);
      };
      check();
    });
  shell.stdin.write('source <(leasekeeper completion bash); echo REA""DY\n');
  await until(/^READY/m);
  return async (keys) => {
    seen = '';
    // The line is printed in place of being run.
    shell.stdin.write(`leasekeeper ${keys}\x01echo "<\x05>"\n`);
    const [, line = ''] = await until(/^<(.*)>\r?$/m);
    return line;
  };
}

test('Tab in bash', { skip }, async (t) => {
  const server = await embedded(t);
  const made = await fetch(`${server.server.url}/apis/coordination.k8s.io/v1/namespaces/default/leases`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ metadata: { name: 'my-job' }, spec: {} }),
  });
  assert.equal(made.status, 201);
  const typed = await bash(t, { KUBECONFIG: server.kubeconfig });
  for (const [keys, line] of [
    ['pub\t', 'publish '],
    ['sw\t--confi\trm\t', 'sweep --confirm-after '],
    ['get -o y\t', 'get -o yaml '],
    ['get --output=y\t', 'get --output=yaml '],
    ['get --cont\te\t', 'get --context embedded '],
    // A namespace goes on with its leases.
    ['elect --lease d\tm\t', 'elect --lease default/my-job '],
  ] as const) {
    assert.equal(await typed(keys), `leasekeeper ${line}`, JSON.stringify(keys));
  }
});

test('kubectl asks the plugin by the name of a program beside it', async (t) => {
  const dir = await scratch(t);
  const script = join(dir, 'kubectl_complete-leasekeeper');
  await symlink(CLI, script);
  const { code, stdout, stderr } = await runProgram(['count', '--li'], { script });
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(stdout.trimEnd(), '--live\tcount only the instances renewed within --fresh-for\n:4');
});
