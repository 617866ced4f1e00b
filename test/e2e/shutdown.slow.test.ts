/**
 * `leasekeeper publish` asked to stop: in every situation that can arise, within 10 s, and with the lease left as the
 * policy says. On the embedded server, for its faults.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { leaseName } from '../../src/lease/names.ts';
import { startHttpProxy } from '../support/fault-proxy.ts';
import type { Program } from '../support/process.ts';
import { AT_ONCE_MS, claimed, embedded, lines, noTraces, publish, terminate, until } from './support.ts';
import type { World } from './situations.ts';
import { HOST, QUICK, SITUATIONS, theirs } from './situations.ts';

const DELETE = '--shutdown-policy=delete';

describe('SIGTERM ends publish within 10 s', { concurrency: 6 }, () => {
  for (const { what, args = [], policy = 'delete', before, during, shows, code, leaves } of SITUATIONS) {
    it(`when ${what}`, async (t) => {
      const { server, kubeconfig, at } = await embedded(t);
      let started: Program | undefined;
      const world: World = { server, at, t, program: () => started! };
      await before?.(world);
      const program = publish(t, kubeconfig, HOST, ...QUICK, `--shutdown-policy=${policy}`, ...args);
      started = program;
      const ours = during && (await claimed(program, at, HOST));
      await during?.(world);
      if (shows) await program.waitForLine(shows);
      await terminate(program, code);
      const left = await at.lease(HOST);
      if (leaves === 'nothing') assert.equal(left, undefined);
      if (leaves === 'ours') assert.equal(left?.spec.holderIdentity, ours?.spec.holderIdentity);
      if (leaves === 'theirs') assert.equal(left?.spec.holderIdentity, 'somebody');
      const last = program.stderr.at(-1);
      assert.match(last!, code === 0 ? / INFO  stopped: / : / WARN  stopped .*may still be there/, program.output());
      assert.ok(program.stderr.length < 12, program.output());
    });
  }

  it('when the server beside us is dead, or never lived', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    let healthy = true;
    const neighbour = createServer((request) => healthy || request.socket.destroy());
    neighbour.on('request', (_request, answer) => healthy && answer.end());
    await new Promise<void>((resolve) => void neighbour.listen(0, '127.0.0.1', resolve));
    t.after(() => (neighbour.closeAllConnections(), void neighbour.close()));
    const url = `http://127.0.0.1:${(neighbour.address() as AddressInfo).port}/`;
    const args = [...QUICK, '--server-health-timeout=200ms', '--server-health-threshold=1'];
    const beside = publish(t, kubeconfig, HOST, ...args, '--server-health-url', url);
    const never = publish(t, kubeconfig, 'never', ...args, '--server-health-url', 'http://127.0.0.1:9/');
    await claimed(beside, at, HOST);
    healthy = false;
    await Promise.all([beside, never].map((p) => p.waitForLine(/does not answer/)));
    await Promise.all([terminate(beside), terminate(never)]);
    assert.deepEqual([await at.lease(HOST), await at.lease('never')], [undefined, undefined]);
  });

  it('and a second SIGTERM at once, by that signal', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const program = publish(t, kubeconfig, HOST, ...QUICK, DELETE);
    await claimed(program, at, HOST);
    const hung = server.faults.add({ match: { method: 'DELETE' }, fault: { type: 'hang' } });
    program.signal('SIGTERM');
    await program.waitForLine(/stopping; a second signal ends at once/);
    await until('the attempt to delete', () => hung.hits >= 1);
    assert.ok(program.running);
    program.signal('SIGTERM');
    const exit = await program.exitWithin(120_000);
    assert.deepEqual([exit.code, exit.signal], [null, 'SIGTERM']);
    noTraces(program);
  });
});

describe('the lease that publish leaves', { concurrency: 3 }, () => {
  it('is gone with policy delete, stays with keep, and stays with auto when no server is watched', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const left = async (policy: string): Promise<boolean> => {
      const program = publish(t, kubeconfig, policy, ...QUICK, `--shutdown-policy=${policy}`);
      await claimed(program, at, policy);
      const ms = await terminate(program);
      assert.ok(ms < AT_ONCE_MS, `${ms} ms`);
      return (await at.lease(policy)) !== undefined;
    };
    assert.deepEqual(await Promise.all(['delete', 'keep', 'auto'].map(left)), [false, true, true]);
  });

  it('no renewal that was stored although nobody answered', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const proxy = await startHttpProxy(server.url);
    t.after(() => proxy.close());
    const { writeFile, readFile } = await import('node:fs/promises');
    await writeFile(kubeconfig, (await readFile(kubeconfig, 'utf8')).replace(server.url, proxy.url));
    const program = publish(t, kubeconfig, HOST, '--renew-interval=1500ms', '--lease-duration=60s', DELETE);
    await claimed(program, at, HOST);
    proxy.rule({ method: 'PUT', times: 1, fault: { hang: 'answer' } });
    await until('the PUT to be stored', () => proxy.log.some((r) => r.method === 'PUT' && r.status === 200));
    await terminate(program);
    assert.equal(await at.lease(HOST), undefined);
    const deletes = proxy.log.filter((r) => r.method === 'DELETE').map((r) => r.status);
    assert.deepEqual(deletes, [409, 200], 'the version before it was not the one to delete');
  });

  it('no lease whose creation comes through only after we gave up waiting for it', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const held = server.faults.add({
      match: { method: 'POST', resource: 'leases' },
      times: 1,
      fault: { type: 'hang' },
    });
    const args = ['--renew-interval=5s', '--lease-duration=60s', '--request-timeout=1500ms', DELETE];
    const program = publish(t, kubeconfig, HOST, ...args);
    await until('the POST', () => held.hits === 1);
    program.signal('SIGTERM');
    const name = leaseName(HOST);
    await until('a look after it was given up', () => server.requests.count({ verb: 'get', name }) >= 3);
    assert.ok(program.running, 'it waits for what may still come');
    held.release();
    const exit = await program.exitWithin(120_000);
    assert.equal(exit.code, 0, program.output());
    assert.equal(server.requests.matching({ method: 'POST', resource: 'leases' })[0]?.status, 201);
    assert.equal(await at.lease(HOST), undefined);
  });

  it('no renewal that comes through after the deletion recreates the lease', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const args = ['--renew-interval=1s', '--lease-duration=60s', '--request-timeout=900ms', DELETE];
    const program = publish(t, kubeconfig, HOST, ...args);
    await claimed(program, at, HOST);
    const held = server.faults.add({ match: { method: 'PUT' }, times: 1, fault: { type: 'hang' } });
    await until('the PUT', () => held.hits === 1);
    await terminate(program);
    assert.equal(await at.lease(HOST), undefined);
    held.release();
    const put = await until('the PUT to come through', () => server.requests.matching({ method: 'PUT' })[0]);
    assert.equal(put.status, 409);
    assert.equal(await at.lease(HOST), undefined);
  });

  it('a successor’s is not touched, although we did not know of it', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    server.faults.silenceWatches();
    const program = publish(t, kubeconfig, HOST, '--renew-interval=60s', '--lease-duration=90s', DELETE);
    await claimed(program, at, HOST);
    const successor = await at.edit(HOST, { spec: theirs });
    await terminate(program);
    assert.deepEqual(await at.lease(HOST), successor);
    assert.equal(lines(program, /belongs to another process and was left alone/).length, 1, program.output());
    assert.equal(server.requests.matching({ method: 'DELETE' })[0]?.status, 409);
  });
});
