/** What the shells ask: the words so far, answered from the rows of the options, a kubeconfig and an API. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { COMMANDS } from '../../src/commands/commands.ts';
import { main } from '../../src/commands/main.ts';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const output = { out: '', err: '' };
  const out = (text: string): void => void (output.out += text);
  const err = (text: string): void => void (output.err += text);
  const code = await main(args, { env, terminal: false, out, err });
  return { code, ...output };
}

/** The candidates, without what is said about them, and the directive. */
async function asked(words: readonly string[], env?: Record<string, string>): Promise<string[]> {
  const { code, out, err } = await run(['__complete', ...words], env);
  assert.deepEqual([code, err], [0, ''], words.join(' '));
  return out
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t')[0] ?? '');
}

/** An API with leases in two namespaces, and its kubeconfig. */
async function api(t: TestContext): Promise<string> {
  const server = await startEmbeddedServer();
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-completion-'));
  t.after(async () => {
    await server.close();
    await rm(dir, { recursive: true, force: true });
  });
  for (const [namespace, name] of [
    ['default', 'my-job'],
    ['default', 'other'],
    ['kube-node-lease', 'node-1'],
  ] as const) {
    const { status } = await fetch(`${server.url}/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ metadata: { name }, spec: {} }),
    });
    assert.equal(status, 201);
  }
  const kubeconfig = join(dir, 'kubeconfig');
  await writeFile(kubeconfig, server.kubeconfig());
  return kubeconfig;
}

test('commands, flags and choices', async () => {
  for (const [words, ...expected] of [
    [['pub'], 'publish', ':4'],
    [['help', 'el'], 'elect', ':4'],
    [['sweep', '--con'], '--confirm-after', '--concurrency', '--context', '--config', ':4'],
    [['sweep', '--confirm-after', '1m', '--confirm'], ':4'],
    [['sweep', '--once', '--dry'], '--dry-run', ':4'],
    [['get', '--output', ''], 'wide', 'json', 'yaml', 'name', ':4'],
    [['get', '-o', 'y'], 'yaml', ':4'],
    [['get', '--output=y'], '--output=yaml', ':4'],
    [['rbac', 'sw'], 'sweep', ':4'],
    [['rbac', 'sweep', '--na'], '--namespace', '--name', ':4'],
    [['completion', ''], 'bash', 'zsh', 'fish', ':4'],
    [
      ['publish', '--feature-gates', 'LeaseEvents=true,API'],
      ...['true', 'false'].map((on) => `LeaseEvents=true,APIServerIdentity=${on}`),
      ':4',
    ],
    [['publish', '--config', ''], ':0'],
    [['elect', '--lease', 'a/b', '--', 'l'], ':0'],
    [['nonsense', ''], ':4'],
  ] as const satisfies readonly (readonly [readonly string[], ...string[]])[]) {
    assert.deepEqual(await asked(words), expected, words.join(' '));
  }
  assert.deepEqual((await asked([''])).slice(0, -1), [...COMMANDS.map(({ name }) => name), 'help']);
});

test('contexts, namespaces, leases and nodes', async (t) => {
  const kubeconfig = await api(t);
  const env = { KUBECONFIG: kubeconfig };
  assert.deepEqual(await asked(['get', '--context', ''], env), ['embedded', ':4']);
  assert.deepEqual(await asked(['get', '--kubeconfig', kubeconfig, '--context=e']), ['--context=embedded', ':4']);
  assert.deepEqual(await asked(['get', '-n', ''], env), ['default', 'kube-node-lease', ':4']);
  assert.deepEqual(await asked(['elect', '--lease', ''], env), ['default/', 'kube-node-lease/', ':6']);
  assert.deepEqual(await asked(['elect', '--lease', 'default/m'], env), ['default/my-job', ':4']);
  assert.deepEqual(await asked(['nodes', '--node', ''], env), ['node-1', ':4']);
});

test('what cannot be asked is left out, without a word', async () => {
  for (const words of [
    ['get', '--context', ''],
    ['elect', '--lease', ''],
    ['get', '--config', '/nowhere', '-n', ''],
  ]) {
    assert.deepEqual(await asked(words, { KUBECONFIG: '/nowhere' }), [':4'], words.join(' '));
  }
});

test('a script for each shell parses, where the shell is there', async (t) => {
  for (const [shell, ...args] of [
    ['bash', '-n'],
    ['zsh', '-n'],
    ['fish', '--no-execute'],
  ] as const) {
    await t.test(shell, async (sub) => {
      const { code, out } = await run(['completion', shell]);
      assert.equal(code, 0);
      assert.match(out, /__complete/);
      // A file: fish reads no script from the socket that Node gives it for its stdin.
      const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-completion-'));
      sub.after(() => rm(dir, { recursive: true, force: true }));
      const script = join(dir, 'script');
      await writeFile(script, out);
      const { error, status, stderr } = spawnSync(shell, [...args, script], { encoding: 'utf8' });
      if (error) return sub.skip(`no ${shell} here`);
      assert.deepEqual([status, stderr], [0, '']);
    });
  }
  const { code, err } = await run(['completion', 'tcsh']);
  assert.deepEqual([code, err], [2, 'leasekeeper: SHELL "tcsh": must be one of bash, zsh, fish\n']);
});
