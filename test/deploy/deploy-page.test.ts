/**
 * What docs/deploy.md says: each command and file that it names is there, as far as it can be looked at here.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/commands/main.ts';
import { version } from '../../src/version.ts';
import { ROOT } from './support.ts';

const PAGE = readFileSync(join(ROOT, 'docs/deploy.md'), 'utf8');
/** Of the machine that is set up, and known to the one who does it. */
const OTHERS = ['podman', 'kubectl', 'kubeadm', 'install', 'sh'];

/** The command lines of a section's blocks. */
function commands(heading: string): string[] {
  const start = PAGE.indexOf(`\n${heading}`);
  assert.ok(start >= 0, heading);
  const level = heading.split(' ')[0]!.length;
  const rest = PAGE.slice(start + 1 + heading.length);
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'));
  const blocks = (end < 0 ? rest : rest.slice(0, end)).matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm);
  return [...blocks].flatMap(([, language, block = '']) =>
    block
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && language === ''),
  );
}

const deploying = [...commands('## As a sidecar of kubeadm'), ...commands('## Into a cluster')];

test('every file of deploy/ that docs/deploy.md names exists', () => {
  const named = [...PAGE.matchAll(/\bdeploy\/[\w./+-]*\w/g)].map(([path]) => path);
  assert.ok(named.length > 12);
  for (const path of named) assert.ok(existsSync(join(ROOT, path)), path);
});

test('no kubeadm command has --config and --patches: it refuses the two together', () => {
  const kubeadm = deploying.filter((line) => line.startsWith('kubeadm '));
  assert.ok(kubeadm.length > 0);
  for (const line of kubeadm) assert.ok(!(line.includes('--config') && line.includes('--patches')), line);
});

test('every command line is one', async () => {
  assert.ok(deploying.length > 8);
  for (const line of deploying) {
    const [program = '', ...args] = line.split(' | ')[0]!.split(' ');
    if (program !== 'leasekeeper') {
      assert.ok(OTHERS.includes(program), line);
      const image = /leasekeeper:(\S+)/.exec(line);
      if (image) assert.equal(image[1], version, line);
      const kustomized = /apply -k (\S+)/.exec(line);
      if (kustomized) assert.ok(existsSync(join(ROOT, kustomized[1]!, 'kustomization.yaml')), line);
      continue;
    }
    let err = '';
    const io = { env: {}, terminal: false, out: () => {}, err: (text: string) => void (err += text) };
    const missing = join(ROOT, 'no-such-kubeconfig');
    const code = await main(args[0] === 'rbac' ? args : [...args, `--kubeconfig=${missing}`], io);
    // Everything but the kubeconfig, which is not there, is in order.
    if (code !== 0)
      assert.ok(
        err
          .trim()
          .split('\n')
          .every((failure) => failure.includes(missing)),
        `${line}\n${err}`,
      );
  }
});
