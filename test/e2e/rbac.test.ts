/**
 * deploy/rbac.yaml on a real API server: each Role is enough for its command.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { runProgram, startProgram } from '../support/process.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { PolicyRule } from '../support/real-api.ts';

interface Role {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly rules: PolicyRule[];
}

describe('with the Roles of deploy/rbac.yaml and no other permission', { skip: realApiSkip() }, () => {
  it('publish, sweep, get and count work', async (t) => {
    const users = {
      'leasekeeper-publisher': ['sidecars'],
      'leasekeeper-sweeper': ['sweepers'],
      'leasekeeper-census': ['readers'],
    };
    const api = await startRealApi({ users });
    t.after(() => api.stop());
    const text = await readFile(new URL('../../deploy/rbac.yaml', import.meta.url), 'utf8');
    const roles = parseAllDocuments(text).map((document) => document.toJS() as Role);
    assert.deepEqual(roles.map((role) => role.metadata.name).sort(), Object.keys(users).sort());
    for (const { metadata, rules } of roles) await api.allow(metadata.name, { namespace: metadata.namespace, rules });
    const kubeconfig = (user: string): Promise<string> => api.kubeconfig({ user });

    const publish = [
      'publish',
      '--kubeconfig',
      await kubeconfig('leasekeeper-publisher'),
      '--hostname-override=master-1',
    ];
    const program = startProgram([...publish, '--renew-interval=1s', '--shutdown-policy=delete', '--log-level=debug'], {
      t,
    });
    await program.waitForLine(/created the lease/);
    await program.waitForLine(/renewed/);
    const reader = await kubeconfig('leasekeeper-census');
    const count = await runProgram(['count', '--kubeconfig', reader]);
    assert.deepEqual([count.stdout, count.code], ['1\n', 0], count.stderr);
    const sweep = ['sweep', '--once', '--confirm-after=0s', '--kubeconfig', await kubeconfig('leasekeeper-sweeper')];
    const swept = await runProgram(sweep);
    assert.equal(swept.code, 0, swept.stderr);
    program.signal('SIGTERM');
    assert.equal((await program.exited).code, 0);
    assert.doesNotMatch(program.output(), /forbidden/i);
    const get = await runProgram(['get', '--kubeconfig', reader]);
    assert.deepEqual([get.stdout, get.code], ['', 0]);
  });
});
