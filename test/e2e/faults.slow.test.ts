/** `leasekeeper publish` when the API, or the way to it, fails: a real API server behind proxies. */
import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { leaseName } from '../../src/lease/names.ts';
import { startHttpProxy, startTcpProxy, statusBody } from '../support/fault-proxy.ts';
import type { HttpProxy, TcpProxy } from '../support/fault-proxy.ts';
import type { Program } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { LeaseJson, Scope, Seen } from './support.ts';
import { LEASES, claimed, lines, publish, renewedAfter, scratch, seenReal, terminate, until } from './support.ts';

/** Renewals are quick here, so that the tests are. */
const QUICK = ['--renew-interval=600ms', '--lease-duration=60s', '--request-timeout=500ms'];
const LEASE_RULES = (verbs: readonly string[]) => [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs },
];

describe('publish when the API fails', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let at: Seen;
  before(async () => {
    api = await startRealApi({
      users: { second: ['system:masters'], narrow: [], blind: [] },
    });
    at = seenReal(api);
    await api.allow('narrow', {
      namespace: 'kube-system',
      rules: LEASE_RULES(['get', 'create', 'delete', 'list', 'watch']),
    });
    await api.allow('blind', { namespace: 'kube-system', rules: LEASE_RULES(['get', 'create', 'update', 'delete']) });
  });
  after(() => api?.stop());

  async function behindHttp(t: Scope, user = 'admin'): Promise<{ proxy: HttpProxy; kubeconfig: string }> {
    const proxy = await startHttpProxy(api.url, await api.tls());
    t.after(() => proxy.close());
    return { proxy, kubeconfig: await api.kubeconfig({ server: proxy.url, user }) };
  }
  async function behindTcp(t: Scope): Promise<{ proxy: TcpProxy; kubeconfig: string }> {
    const proxy = await startTcpProxy(api.url);
    t.after(() => proxy.close());
    return { proxy, kubeconfig: await api.kubeconfig({ server: proxy.url }) };
  }
  /** The fault is reported once, whatever it costs in attempts, and so is its end. */
  const reportedOnce = (program: Program, problem: RegExp): void => {
    assert.equal(lines(program, problem).length, 1, program.output());
    assert.equal(lines(program, /requests succeed again/).length, 1, program.output());
  };

  describe('and comes back', { concurrency: 3 }, () => {
    it('answer lost after the write: goes on from it, and blames nobody', async (t) => {
      const { proxy, kubeconfig } = await behindHttp(t);
      proxy.rule({ method: 'POST', path: LEASES, times: 1, fault: { loseAnswer: true } });
      const args = ['--renew-interval=1500ms', '--lease-duration=60s', '--request-timeout=1400ms'];
      const program = publish(t, kubeconfig, 'lost', ...args);
      const first = await claimed(program, at, 'lost');
      assert.equal(
        proxy.count('POST', LEASES),
        1,
        `the POST was carried out; it is not sent again\n${program.output()}`,
      );
      proxy.rule({ method: 'PUT', times: 1, fault: { loseAnswer: true } });
      await until('the second lost answer to be noticed', () => lines(program, /had been stored/).length === 2);
      const later = await renewedAfter(at, 'lost', (await at.lease('lost'))!);
      assert.equal(later.metadata.uid, first.metadata.uid);
      assert.equal(later.spec.holderIdentity, first.spec.holderIdentity);
      assert.equal(later.spec.leaseTransitions, 0);
      await terminate(program);
      assert.deepEqual(lines(program, /another process|superseded|ERROR/), []);
    });

    it('409 because somebody edited the lease: looks, keeps the edit, renews at once', async (t) => {
      const { proxy, kubeconfig } = await behindHttp(t);
      const program = publish(t, kubeconfig, 'edited', '--renew-interval=2s', '--lease-duration=60s');
      const before = await claimed(program, at, 'edited');
      await at.edit('edited', { metadata: { annotations: { note: 'mine' } } });
      const after = await renewedAfter(at, 'edited', before);
      assert.equal(after.metadata.annotations?.['note'], 'mine');
      assert.equal(after.spec.holderIdentity, before.spec.holderIdentity);
      const steps = proxy.log
        .filter((r) => r.path.includes(`/${leaseName('edited')}`))
        .map((r) => [r.method, r.status]);
      assert.deepEqual(steps.slice(-3), [
        ['PUT', 409],
        ['GET', 200],
        ['PUT', 200],
      ]);
      await terminate(program);
      assert.deepEqual(lines(program, /WARN|ERROR/), []);
    });

    it('lease deleted by somebody: back at once, with the same holder', async (t) => {
      const program = publish(t, await api.kubeconfig(), 'deleted', '--renew-interval=8s', '--lease-duration=60s');
      const before = await claimed(program, at, 'deleted');
      await at.remove('deleted');
      const after = await until(
        'the lease to be back',
        async () => {
          const lease = await at.lease('deleted');
          return lease && lease.metadata.uid !== before.metadata.uid && lease;
        },
        4_000,
      );
      assert.equal(after.spec.holderIdentity, before.spec.holderIdentity);
      await program.waitForLine(/WARN .*had been deleted: created it again/);
      assert.equal(lines(program, /the lease was deleted, or its labels/).length, 1);
      await terminate(program);
    });

    it('not permitted to watch: says so once, and finds a deletion at the next renewal', async (t) => {
      const kubeconfig = await api.kubeconfig({ user: 'blind' });
      const program = publish(t, kubeconfig, 'blind', ...QUICK);
      const before = await claimed(program, at, 'blind');
      await program.waitForLine(/watching .*cannot watch resource .*leases/);
      await at.remove('blind');
      const after = await until('the lease to be back', async () => at.lease('blind'));
      assert.equal(after.spec.holderIdentity, before.spec.holderIdentity);
      assert.notEqual(after.metadata.uid, before.metadata.uid);
      await renewedAfter(at, 'blind', after);
      await terminate(program);
      assert.equal(lines(program, /watching .*failed/).length, 1, program.output());
    });

    it('connection accepted and never answered: gives up in time, and recovers', async (t) => {
      const { proxy, kubeconfig } = await behindTcp(t);
      const program = publish(t, kubeconfig, 'hung', ...QUICK);
      const before = await claimed(program, at, 'hung');
      proxy.set('swallow');
      await program.waitForLine(/WARN .*renewing the lease failed.*no answer within 500 ms/);
      await until('connections that replace it', () => proxy.accepted >= 4);
      const during = (await at.lease('hung'))!;
      proxy.set('pass');
      const after = await renewedAfter(at, 'hung', during, 3_000);
      assert.equal(after.metadata.uid, before.metadata.uid);
      assert.equal(after.spec.holderIdentity, before.spec.holderIdentity);
      await program.waitForLine(/requests succeed again/);
      reportedOnce(program, /the lease failed/);
      await terminate(program);
    });

    it('429 with Retry-After: waits as long as the server says', async (t) => {
      const { proxy, kubeconfig } = await behindHttp(t);
      const program = publish(t, kubeconfig, 'busy', '--renew-interval=10s', '--lease-duration=60s');
      await claimed(program, at, 'busy');
      const body = statusBody(429, 'TooManyRequests', 'the server has received too many requests');
      proxy.rule({
        method: 'PUT',
        times: 2,
        fault: { answer: { status: 429, headers: { 'retry-after': '1' }, body } },
      });
      await program.waitForLine(
        /WARN .*renewing the lease failed.*429 TooManyRequests: the server has received too many/,
      );
      await program.waitForLine(/requests succeed again.*failures=2/);
      const puts = proxy.log.filter((r) => r.method === 'PUT').map((r) => r.at);
      const waits = puts.slice(1).map((ms, i) => ms - puts[i]!);
      // No wait is shorter than what is asked for, and none lasts until the next renewal is due.
      assert.ok(
        waits.slice(0, 2).every((ms) => ms >= 995 && ms < 9_000),
        String(waits),
      );
      reportedOnce(program, /the lease failed/);
      await terminate(program);
    });

    it('401 until the token file rotates: says what to do, and recovers without a restart', async (t) => {
      const { proxy, kubeconfig } = await behindHttp(t);
      const dir = await scratch(t);
      const file = join(dir, 'token');
      await writeFile(file, api.token());
      const config = JSON.parse(await readFile(kubeconfig, 'utf8')) as { users: { user: object }[] };
      config.users[0]!.user = { tokenFile: file };
      const withFile = join(dir, 'kubeconfig');
      await writeFile(withFile, JSON.stringify(config));
      const program = publish(t, withFile, 'rotated', ...QUICK);
      const before = await claimed(program, at, 'rotated');
      proxy.rule({
        match: ({ headers }) => headers['authorization'] === `Bearer ${api.token()}`,
        fault: { answer: { status: 401, body: statusBody(401, 'Unauthorized', 'Unauthorized') } },
      });
      const line = await program.waitForLine(/ERROR .*renewing the lease failed.*401 Unauthorized/);
      assert.match(line, /renew the token or certificate/);
      await writeFile(join(dir, 'next'), api.token('second'));
      await rename(join(dir, 'next'), file);
      // At the next 401, not only when the file is looked at anyway, every 10 s.
      await program.waitForLine(/requests succeed again/);
      const after = await renewedAfter(at, 'rotated', (await at.lease('rotated'))!);
      assert.equal(after.spec.holderIdentity, before.spec.holderIdentity);
      assert.equal(after.spec.leaseTransitions, 0);
      reportedOnce(program, /the lease failed/);
      assert.ok(!program.output().includes(api.token()), 'no token in the log');
      await terminate(program);
    });

    it('403: names the verb and the resource that RBAC lacks, and goes on once they are granted', async (t) => {
      const program = publish(t, await api.kubeconfig({ user: 'narrow' }), 'narrow', ...QUICK);
      const before = await claimed(program, at, 'narrow');
      const line = await program.waitForLine(/ERROR .*renewing the lease failed.*403 Forbidden/);
      assert.match(line, /cannot update resource \\?"leases\\?" .*kube-system/);
      assert.match(line, /Role/);
      await api.allow('narrow', { namespace: 'kube-system', rules: LEASE_RULES(['update']) });
      await renewedAfter(at, 'narrow', before);
      await program.waitForLine(/requests succeed again/);
      reportedOnce(program, /the lease failed/);
      await terminate(program);
    });

    it('namespaces: one that is being deleted, and one that is not there until it is made', async (t) => {
      await api.createTerminatingNamespace('dying');
      const kubeconfig = await api.kubeconfig();
      const dying = publish(t, kubeconfig, 'dying', ...QUICK, '-n', 'dying');
      const missing = publish(t, kubeconfig, 'missing', ...QUICK, '--namespace=nowhere');
      const line = await dying.waitForLine(/ERROR .*creating the lease failed.*being terminated/, {
        timeoutMs: 60_000,
      });
      assert.doesNotMatch(line, /RoleBinding/, 'a permission would not help');
      assert.match(line, /wait until the namespace is gone/);
      const none = await missing.waitForLine(/ERROR .*creating the lease failed.*namespaces .*nowhere.* not found/);
      assert.match(none, /create the namespace, or use another/);
      await api.createNamespace('nowhere');
      await missing.waitForLine(/created the lease/);
      assert.equal(
        (await at.call('GET', `${LEASES.replace('kube-system', 'nowhere')}/${leaseName('missing')}`)).status,
        200,
      );
      await Promise.all([terminate(missing), terminate(dying)]);
      assert.equal(lines(dying, /failed/).length, 1, dying.output());
    });

    it('422: says the server’s own words, and that the same will be refused again', async (t) => {
      const { proxy, kubeconfig } = await behindHttp(t);
      const message =
        'Lease.coordination.k8s.io "x" is invalid: spec.leaseDurationSeconds: Invalid value: 60: must be 42';
      const allow = proxy.rule({
        method: 'POST',
        path: LEASES,
        fault: { answer: { status: 422, body: statusBody(422, 'Invalid', message) } },
      });
      const program = publish(t, kubeconfig, 'refused', ...QUICK);
      const line = await program.waitForLine(/ERROR .*creating the lease failed.*422 Invalid/);
      assert.match(line, /spec\.leaseDurationSeconds: Invalid value: 60: must be 42/);
      assert.match(line, /correct what is named here/);
      await until('more attempts', () => proxy.count('POST', LEASES) >= 3);
      allow();
      await claimed(program, at, 'refused');
      reportedOnce(program, /the lease failed/);
      await terminate(program);
    });

    it('connections refused: back within an interval once they are taken again', async (t) => {
      const { proxy, kubeconfig } = await behindTcp(t);
      const program = publish(t, kubeconfig, 'refusing', ...QUICK);
      await claimed(program, at, 'refusing');
      proxy.set('refuse');
      proxy.cut();
      await program.waitForLine(/WARN .*renewing the lease failed/);
      await until('failed attempts', () => proxy.accepted >= 8);
      const during = (await at.lease('refusing'))!;
      proxy.set('pass');
      await renewedAfter(at, 'refusing', during, 2_000);
      await program.waitForLine(/requests succeed again/);
      reportedOnce(program, /the lease failed/);
      await terminate(program);
    });
  });

  it('kill -9 of the API server: the same lease is renewed within an interval of its return', async (t) => {
    const program = publish(t, await api.kubeconfig(), 'outage', ...QUICK);
    const before = await claimed(program, at, 'outage');
    await api.apiServer.kill();
    const line = await program.waitForLine(/WARN .*renewing the lease failed.*ECONNREFUSED/);
    assert.match(line, /is the API server running/);
    api.apiServer.start();
    await api.ready();
    const during: LeaseJson = (await at.lease('outage'))!;
    const after = await renewedAfter(at, 'outage', during, 2_000);
    assert.deepEqual(
      [after.metadata.uid, after.spec.holderIdentity, after.spec.leaseTransitions],
      [before.metadata.uid, before.spec.holderIdentity, 0],
    );
    await terminate(program);
    assert.deepEqual(lines(program, /ERROR|superseded/), []);
  });
});
