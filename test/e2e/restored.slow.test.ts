/**
 * etcd's data directory is put back under running programs: three publishers that had taken over from processes before
 * them, two heartbeats and an elector. All is right again within two intervals, and no log says what is not so.
 */
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { startProgram, runProgram } from '../support/process.ts';
import type { Program } from '../support/process.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { heartbeat, makeNode, ownedBy } from './heartbeat-support.ts';
import { claimed, lines, publish, seenReal, terminate, until } from './support.ts';

const HOSTS = ['m-1', 'm-2', 'm-3'];
const INTERVAL_MS = 2_000;
const NODES = ['n-1', 'n-2'];
const SLACK_MS = 6_000;

it('etcd is restored under three publishers, two heartbeats and an elector', { skip: realApiSkip() }, async (t) => {
  const api = await startRealApi();
  t.after(() => api.stop());
  const kubeconfig = await api.kubeconfig();
  const at = seenReal(api);
  const world = { at, kubeconfig };
  const [data, backup] = [join(api.dir, 'etcd'), join(api.dir, 'backup')];
  const down = async (): Promise<void> => {
    await api.apiServer.kill();
    await api.etcd.kill();
  };
  const up = async (): Promise<void> => {
    api.etcd.start();
    api.apiServer.start();
    await api.ready();
  };
  const publishers = async (): Promise<Program[]> => {
    const programs = HOSTS.map((host) => publish(t, kubeconfig, host, '--renew-interval', `${INTERVAL_MS}ms`));
    await Promise.all(programs.map((program, i) => claimed(program, at, HOSTS[i]!)));
    return programs;
  };

  const uids: string[] = [];
  for (const node of NODES) uids.push(await makeNode(world, node));
  for (const program of await publishers()) await terminate(program);
  await down();
  await cp(data, backup, { recursive: true });
  await up();

  const second = await publishers();
  const beats = NODES.map((node) => heartbeat(t, world, '--node', node, '--renew-interval', `${INTERVAL_MS}ms`));
  const elect = startProgram(['elect', '--kubeconfig', kubeconfig, '--lease', 'default/job', '--', 'sleep', '600'], {
    t,
  });
  await elect.waitForLine(/leading/, { from: 'stderr' });
  for (const [i, node] of NODES.entries()) await ownedBy(world, node, uids[i]!);
  const holders = await Promise.all(HOSTS.map(async (host) => (await at.lease(host))?.spec.holderIdentity));

  await down();
  await rm(data, { recursive: true });
  await cp(backup, data, { recursive: true });
  const restoredAt = new Date().toISOString();
  await up();
  // The waits of an outage are no longer than an interval.
  await Promise.all(
    HOSTS.map((host, i) =>
      until(
        `the lease of ${host}`,
        async () => {
          const { spec } = (await at.lease(host)) ?? {};
          return spec?.holderIdentity === holders[i] && (spec?.renewTime ?? '') > restoredAt;
        },
        2 * INTERVAL_MS + SLACK_MS,
      ),
    ),
  );
  for (const [i, node] of NODES.entries()) await ownedBy(world, node, uids[i]!);
  const count = await runProgram(['count', '--live', '--expect', '3', '--kubeconfig', kubeconfig]);
  assert.equal(count.code, 0, count.stderr);
  for (const program of second) {
    assert.equal(lines(program, /Was etcd restored/).length, 1, program.output());
    assert.deepEqual(lines(program, /superseded|another process|without our identity label/), []);
    await terminate(program);
  }
  for (const program of beats) {
    assert.deepEqual(lines(program, /somebody else|another process/), []);
    await terminate(program);
  }
  // The lease of the election was not there then: gone is taken, and one leads again.
  await until('a leader', async () => {
    const { json } = await at.call('GET', '/apis/coordination.k8s.io/v1/namespaces/default/leases/job');
    const { spec } = json as { spec?: { holderIdentity?: string; renewTime?: string } };
    return Boolean(spec?.holderIdentity) && (spec?.renewTime ?? '') > restoredAt && elect.running;
  });
});
