/** `leasekeeper publish` beside others who want the same lease, and beside a server that dies and comes back. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { leaseName } from '../../src/lease/names.ts';
import { startHttpProxy, startTcpProxy } from '../support/fault-proxy.ts';
import { runProgram } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { LeaseJson, Scope, Seen } from './support.ts';
import { LABEL, LEASES, claimed, lines, publish, renewedAfter, seenReal, terminate, until } from './support.ts';

const QUICK = ['--renew-interval=300ms', '--lease-duration=60s', '--fresh-for=2s'];

/** A server beside us, whose health the test decides. */
async function startNeighbour(t: Scope): Promise<{ url: string; status: number; asked: number }> {
  const neighbour = { url: '', status: 200, asked: 0 };
  const server = createServer((_request, answer) => {
    neighbour.asked++;
    answer.writeHead(neighbour.status).end('ok');
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  neighbour.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/healthz`;
  return neighbour;
}

describe('publish and its rivals', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let at: Seen;
  let kubeconfig: string;
  before(async () => {
    api = await startRealApi();
    at = seenReal(api);
    kubeconfig = await api.kubeconfig();
  });
  after(() => api?.stop());

  describe('of one hostname', { concurrency: 3 }, () => {
    it('two processes: one renews, the older says superseded, and claims again when the newer is silent', async (t) => {
      const proxy = await startHttpProxy(api.url, await api.tls());
      t.after(() => proxy.close());
      const older = publish(t, await api.kubeconfig({ server: proxy.url }), 'twice', ...QUICK);
      const first = await claimed(older, at, 'twice');
      const newer = publish(t, kubeconfig, 'twice', ...QUICK);
      const second = await claimed(newer, at, 'twice');
      const line = await older.waitForLine(/WARN .*superseded: a newer process with this hostname/);
      assert.ok(line.includes(second.spec.holderIdentity!));
      const puts = proxy.count('PUT');
      let lease = second;
      for (let i = 0; i < 8; i++) {
        lease = await renewedAfter(at, 'twice', lease);
        assert.equal(lease.spec.holderIdentity, second.spec.holderIdentity);
      }
      assert.equal(proxy.count('PUT'), puts, 'the older one only watches');
      await newer.kill();
      const killed = performance.now();
      const third = await until('the older to claim again', async () => {
        const seen = await at.lease('twice');
        return seen?.spec.holderIdentity === first.spec.holderIdentity && seen;
      });
      const silence = performance.now() - killed;
      assert.ok(silence > 1_500 && silence < 40_000, `after ${silence} ms`);
      assert.deepEqual([third.metadata.uid, third.spec.leaseTransitions], [first.metadata.uid, 2]);
      await renewedAfter(at, 'twice', third);
      await terminate(older);
      assert.equal(lines(older, /superseded/).length, 1, older.output());
      assert.deepEqual(lines(newer, /superseded|ERROR|WARN (?!.*code=Timeout)/), []);
    });

    it('a claim that races a renewal of the old process starts again, and wins', async (t) => {
      const proxy = await startHttpProxy(api.url, await api.tls());
      t.after(() => proxy.close());
      const old = publish(t, kubeconfig, 'raced', '--renew-interval=500ms', '--lease-duration=2s');
      const before = await claimed(old, at, 'raced');
      proxy.rule({ method: 'PUT', times: 1, fault: { delayMs: 700 } });
      const server = await api.kubeconfig({ server: proxy.url });
      const fresh = publish(t, server, 'raced', '--renew-interval=10s', '--lease-duration=20s');
      const after = await claimed(fresh, at, 'raced');
      const steps = proxy.log.filter((r) => r.path.includes(`/${leaseName('raced')}`)).map((r) => [r.method, r.status]);
      // Under load it may lose more than once; it never sends but what it has just read.
      const reads = steps.filter(([method]) => method === 'GET').length;
      const expected = Array.from({ length: reads }, (_, i) => [
        ['GET', 200],
        ['PUT', i === reads - 1 ? 200 : 409],
      ]).flat();
      assert.ok(reads >= 2);
      assert.deepEqual(steps, expected);
      assert.notEqual(after.spec.holderIdentity, before.spec.holderIdentity);
      assert.deepEqual([after.metadata.uid, after.spec.leaseTransitions], [before.metadata.uid, 1]);
      await old.waitForLine(/superseded/);
      assert.deepEqual(lines(fresh, /superseded|WARN|ERROR/), []);
      await Promise.all([terminate(old), terminate(fresh)]);
      assert.equal((await at.lease('raced'))?.spec.holderIdentity, after.spec.holderIdentity);
    });

    it('somebody else’s lease under our name: refused, untouched, claimed once it is gone', async (t) => {
      const name = leaseName('foreign');
      const spec = { holderIdentity: 'somebody', leaseDurationSeconds: 1, renewTime: '2020-01-01T00:00:00.000000Z' };
      const made = await at.call('POST', LEASES, { metadata: { name, labels: { app: 'theirs' } }, spec });
      const theirs = made.json as LeaseJson;
      const program = publish(t, kubeconfig, 'foreign', '--renew-interval=400ms', '--lease-duration=2s');
      const line = await program.waitForLine(/ERROR .*without our identity label: not touching it/, {
        timeoutMs: 60_000,
      });
      assert.match(line, /holder=somebody/);
      const api1 = await api.requestCount({ verb: 'GET' });
      await until('another read', async () => (await api.requestCount({ verb: 'GET' })) > api1 + 3);
      assert.equal((await at.lease('foreign'))?.metadata.resourceVersion, theirs.metadata.resourceVersion);
      await at.remove('foreign');
      const ours = await claimed(program, at, 'foreign');
      assert.deepEqual([ours.metadata.labels?.[LABEL], ours.spec.leaseTransitions], ['kube-apiserver', 0]);
      await terminate(program);
      assert.equal(lines(program, /not touching it/).length, 1, program.output());
    });

    it('a second writer with our holder is reported once, and does not stop us', async (t) => {
      const program = publish(t, kubeconfig, 'copied', '--renew-interval=400ms', '--lease-duration=60s');
      const before = await claimed(program, at, 'copied');
      for (let i = 0; i < 3; i++) {
        // An earlier one of our own would be a lease that was put back.
        const renewTime = new Date(Date.now() + 60_000 + i).toISOString().replace('Z', '456Z');
        const edited = await at.edit('copied', { spec: { renewTime } });
        await renewedAfter(at, 'copied', edited);
      }
      const line = await program.waitForLine(/ERROR .*another process writes this lease with our holder identity/);
      assert.match(line, /renewTime=\S+456Z/);
      const after = await at.lease('copied');
      assert.equal(after?.spec.holderIdentity, before.spec.holderIdentity);
      assert.equal(after?.spec.leaseTransitions, 0);
      await terminate(program);
      assert.equal(lines(program, /another process writes/).length, 1, program.output());
    });
  });

  describe('the server beside us', { concurrency: 3 }, () => {
    const HEALTH = ['--server-health-timeout=150ms', '--server-health-threshold=2'];

    it('dies and comes back: not claimed before it answers, not renewed while it does not', async (t) => {
      const server = await startNeighbour(t);
      server.status = 503;
      const program = publish(t, kubeconfig, 'beside', ...QUICK, '--server-health-url', server.url, ...HEALTH);
      const why = await program.waitForLine(/WARN .*server beside us does not answer/);
      assert.match(why, /503/);
      await until('three questions', () => server.asked >= 3);
      assert.equal(await at.lease('beside'), undefined);
      server.status = 200;
      await claimed(program, at, 'beside');
      server.status = 500;
      await until('the second warning', () => lines(program, /WARN .*does not answer/).length === 2);
      const stopped = (await at.lease('beside'))!;
      const asked = server.asked;
      await until('six questions more', () => server.asked > asked + 6);
      assert.equal((await at.lease('beside'))?.spec.renewTime, stopped.spec.renewTime);
      server.status = 204;
      const again = await renewedAfter(at, 'beside', stopped, 3_000);
      assert.equal(again.spec.holderIdentity, stopped.spec.holderIdentity);
      assert.equal(lines(program, /INFO .*server beside us answers/).length, 2);
      await terminate(program);
      assert.ok(await at.lease('beside'), 'auto: the server still answers, so the lease stays');
    });

    it('policy auto deletes the lease of a server that is dead', async (t) => {
      const server = await startNeighbour(t);
      const program = publish(t, kubeconfig, 'dead', ...QUICK, '--server-health-url', server.url, ...HEALTH);
      await claimed(program, at, 'dead');
      server.status = 500;
      await terminate(program);
      assert.equal(await at.lease('dead'), undefined);
      await program.waitForLine(/stopped: deleted the lease/);
    });

    it('over https, trusted by the CA of the kubeconfig: an API server’s own /livez', async (t) => {
      const proxy = await startTcpProxy(api.url);
      t.after(() => proxy.close());
      const url = `${proxy.url}/livez`;
      const program = publish(t, kubeconfig, 'livez', ...QUICK, '--server-health-url', url, ...HEALTH);
      const before = await claimed(program, at, 'livez');
      await renewedAfter(at, 'livez', before);
      proxy.set('refuse');
      proxy.cut();
      await program.waitForLine(/WARN .*does not answer/);
      const stopped = (await at.lease('livez'))!;
      proxy.set('pass');
      await renewedAfter(at, 'livez', stopped, 3_000);
      await terminate(program);
      assert.doesNotMatch(program.output(), /certificate/);
    });
  });
});

it(
  'an API server that publishes the same hostname itself: warned of once, and counted as one',
  { skip: realApiSkip() },
  async (t) => {
    const api = await startRealApi({ featureGates: { APIServerIdentity: true } });
    t.after(() => api.stop());
    const at = seenReal(api);
    const kubeconfig = await api.kubeconfig();
    const own = await until('its own lease', async () => {
      const { json } = await at.call('GET', `${LEASES}?labelSelector=${encodeURIComponent(`${LABEL}=kube-apiserver`)}`);
      return (json as { items: LeaseJson[] }).items[0];
    });
    assert.equal(own.metadata.labels?.['kubernetes.io/hostname'], hostname());
    const program = publish(t, kubeconfig, hostname(), '--renew-interval=300ms', '--lease-duration=60s');
    const ours = await claimed(program, at, hostname());
    const line = await program.waitForLine(/WARN .*another identity lease carries this hostname/);
    assert.ok(line.includes(own.metadata.name));
    await renewedAfter(at, hostname(), await renewedAfter(at, hostname(), ours));
    const count = await runProgram(['count', '--kubeconfig', kubeconfig]);
    assert.deepEqual([count.code, count.stdout], [0, '1\n']);
    const get = await runProgram(['get', '--kubeconfig', kubeconfig, '-o', 'name']);
    assert.equal(get.stdout.trim().split('\n').length, 2);
    await terminate(program);
    assert.equal(lines(program, /another identity lease/).length, 1, program.output());
  },
);
