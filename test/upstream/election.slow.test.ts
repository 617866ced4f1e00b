/** client-go's leader election, as upstream asserts it: by `leasekeeper elect`, and beside client-go itself. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { realApiSkip } from '../support/real-api.ts';
import type { Program } from '../support/process.ts';
import { runProgram, startProgram } from '../support/process.ts';
import { Peer, peerSkip } from '../e2e/elect-support.ts';
import { until } from '../e2e/support.ts';
import type { LeaseJson } from '../e2e/support.ts';
import { ago, leaseAt, leasesOf, makeLease, pathOf, startServer, stop, throughProxy, urlIn } from './support.ts';
import type { Server } from './support.ts';

const WHERE = 'staging/src/k8s.io/client-go/tools/leaderelection/leaderelection_test.go';
const ACQUIRE = `${WHERE} TestTryAcquireOrRenewLeases`;
/** Renewed often, and not lost on a machine that is busy. */
const CALM = ['--lease-duration=30s', '--renew-deadline=20s', '--retry-period=400ms'];
const SHORT = ['--lease-duration=3s', '--renew-deadline=2s', '--retry-period=400ms'];
/** Longer than any test: what is acquired within one is acquired by another rule than by our own duration. */
const ENDLESS = ['--lease-duration=900s', '--renew-deadline=600s', '--retry-period=1s'];

describe('election', { skip: realApiSkip(), concurrency: 4 }, () => {
  let server: Server;
  before(async () => void (server = await startServer()));
  after(() => server?.api.stop());

  const elect = (t: TestContext, name: string, times = CALM, kubeconfig = server.kubeconfig): Program =>
    startProgram(
      ['elect', '--kubeconfig', kubeconfig, '--lease', `default/${name}`, '--id', 'us', '--http=0', ...times],
      { t },
    );
  const lease = (name: string): Promise<LeaseJson | undefined> => leaseAt(server, 'default', name);
  const made = (name: string, spec: LeaseJson['spec']): Promise<LeaseJson> =>
    makeLease(server, { name, namespace: 'default', spec });
  const ours = (name: string): Promise<LeaseJson> =>
    until(`our holder on ${name}`, async () => {
      const now = await lease(name);
      return now?.spec.holderIdentity?.startsWith('us_') && now;
    });
  const renewal = (name: string, since: LeaseJson): Promise<LeaseJson> =>
    until(`a renewal of ${name}`, async () => {
      const now = await lease(name);
      return now && now.spec.renewTime !== since.spec.renewTime && now;
    });

  test(`${ACQUIRE} "acquire from no object": the lease is made, with no transition`, async (t) => {
    elect(t, 'no-object');
    const { spec } = await ours('no-object');
    assert.equal(spec.leaseTransitions, 0);
    assert.equal(spec.leaseDurationSeconds, 30);
  });

  for (const [what, name, spec] of [
    ['acquire from object without annotations', 'bare', {}],
    ['acquire from unled object', 'unled', { holderIdentity: '', leaseDurationSeconds: 900, leaseTransitions: 0 }],
    [
      'acquire from empty led, acked object',
      'emptied',
      { holderIdentity: '', renewTime: ago(-3_600_000), leaseTransitions: 0 },
    ],
  ] as const) {
    test(`${ACQUIRE} "${what}": at once, and it counts as a transition`, async (t) => {
      await made(name, spec);
      elect(t, name, ENDLESS);
      assert.equal((await ours(name)).spec.leaseTransitions, 1);
    });
  }

  test(`${ACQUIRE} "acquire from led object with the lease duration seconds": after the duration that the record states`, async (t) => {
    const before = await made('led', { holderIdentity: 'bing', leaseDurationSeconds: 3, renewTime: ago(0) });
    elect(t, 'led', ENDLESS);
    const { spec } = await ours('led');
    assert.equal(spec.leaseTransitions, 1);
    assert.ok(Date.parse(spec.acquireTime!) - Date.parse(before.spec.renewTime!) >= 3_000, 'not before it');
  });

  test(`${ACQUIRE} "acquire from led, unacked object": what is silent is taken, whatever it states`, async (t) => {
    await made('unacked', { holderIdentity: 'bing' });
    elect(t, 'unacked', SHORT);
    assert.equal((await ours('unacked')).spec.leaseTransitions, 1);
  });

  test(`${ACQUIRE} "don't acquire from led, acked object": the holder is left its lease, and named as the leader`, async (t) => {
    const spec = { holderIdentity: 'bing', leaseDurationSeconds: 900, renewTime: ago(-3_600_000) };
    const { metadata } = await made('acked', spec);
    const url = urlIn(await elect(t, 'acked').waitForLine(/contending for the lease/));
    await until('the leader to be known', async () => {
      const answer = (await (await fetch(`${url}/`)).json()) as { name?: string };
      return answer.name === 'bing';
    });
    assert.equal((await lease('acked'))?.metadata.resourceVersion, metadata.resourceVersion, 'nothing was written');
  });

  test(`${ACQUIRE} "renew already acquired object": renewTime grows, the rest of the term stays`, async (t) => {
    elect(t, 'renewed');
    const first = await ours('renewed');
    const later = await renewal('renewed', await renewal('renewed', first));
    assert.ok(later.spec.renewTime! > first.spec.renewTime!);
    assert.deepEqual({ ...later.spec, renewTime: '' }, { ...first.spec, renewTime: '' });
  });

  test(`${WHERE} TestReleaseLeaseLeases, TestReleaseOnCancellation_Leases: a stop empties the holder and keeps the transitions`, async (t) => {
    const program = elect(t, 'released');
    const term = await ours('released');
    await stop(program);
    const { spec } = (await lease('released'))!;
    assert.equal(spec.holderIdentity ?? '', '');
    assert.equal(spec.leaseTransitions, term.spec.leaseTransitions);
  });

  test(`${WHERE} TestReleaseOnCancellation_Leases: also where the update under way never ends`, async (t) => {
    const { proxy, kubeconfig } = await throughProxy(t, server);
    const program = elect(
      t,
      'hanging',
      ['--lease-duration=20s', '--renew-deadline=10s', '--retry-period=500ms'],
      kubeconfig,
    );
    await ours('hanging');
    const hung = proxy.log.length;
    proxy.rule({ method: 'PUT', times: 1, fault: { hang: 'request' } });
    await until('an update that hangs', () => proxy.log.slice(hung).some(({ spoiled }) => spoiled));
    await stop(program);
    assert.equal((await lease('hanging'))?.spec.holderIdentity ?? '', '');
  });

  test(`${WHERE} TestReleaseMethodCallsGet: a release leaves the lease that another has taken as it is; Events tell both ends of the term`, async (t) => {
    const program = elect(t, 'taken', ['--lease-duration=60s', '--renew-deadline=40s', '--retry-period=20s']);
    const term = await ours('taken');
    const { json } = await server.at.call('PATCH', pathOf('default', 'taken'), {
      spec: { holderIdentity: 'another', renewTime: ago(0) },
    });
    const who = `Normal LeaderElection ${term.spec.holderIdentity}`;
    await until('both Events', async () => {
      const { json: events } = await server.at.call('GET', '/api/v1/namespaces/default/events');
      const reported = (events as { items: Record<'type' | 'reason' | 'message', string>[] }).items.map(
        ({ type, reason, message }) => `${type} ${reason} ${message}`,
      );
      return ['became leader', 'stopped leading'].every((what) => reported.includes(`${who} ${what}`));
    });
    await stop(program);
    assert.deepEqual((await lease('taken'))?.spec, (json as LeaseJson).spec);
  });

  test(`${WHERE} TestFastPathLeaderElection: a renewal is one update and no read; after a conflict it looks, and renews`, async (t) => {
    const { proxy, kubeconfig } = await throughProxy(t, server);
    const program = elect(t, 'fast', CALM, kubeconfig);
    const term = await ours('fast');
    const of = (method: string): number => proxy.count(method, new RegExp(`/leases/fast$`));
    const [reads, updates] = [of('GET'), of('PUT')];
    await until('three renewals', () => of('PUT') >= updates + 3);
    assert.equal(of('GET'), reads);
    const patch = { metadata: { annotations: { 'example.com/edited': 'yes' } } };
    const { json } = await server.at.call('PATCH', pathOf('default', 'fast'), patch);
    const later = await renewal('fast', json as LeaseJson);
    assert.equal(later.spec.holderIdentity, term.spec.holderIdentity);
    assert.equal(later.spec.leaseTransitions, term.spec.leaseTransitions);
    assert.equal(later.metadata.annotations?.['example.com/edited'], 'yes');
    await stop(program);
  });

  test(`${WHERE} TestLeaderElectionConfigValidation: an empty identity, and times out of order, are refused before anything is sent`, async () => {
    for (const wrong of [
      ['--id', ''],
      ['--lease-duration=10s', '--renew-deadline=10s'],
      ['--renew-deadline=2s', '--retry-period=2s'],
    ]) {
      const args = ['elect', '--kubeconfig', server.kubeconfig, '--lease', 'default/refused', ...wrong, '--', 'true'];
      const { code, stderr } = await runProgram(args);
      assert.equal(code, 2, stderr);
    }
    assert.ok((await leasesOf(server, 'default')).every(({ metadata }) => metadata.name !== 'refused'));
  });

  test(
    'staging/src/k8s.io/client-go/tools/leaderelection/leaderelection.go release, acquire: what client-go releases is ours at once; what we release is its',
    { skip: peerSkip() },
    async (t) => {
      const times = ['--lease-duration=900s', '--renew-deadline=600s', '--retry-period=400ms'];
      const go = new Peer(t, server.kubeconfig, 'peer', 'go');
      await go.heard('started');
      const program = elect(t, 'peer', times);
      await program.waitForLine(/somebody else leads/);
      go.signal('SIGTERM');
      assert.equal((await ours('peer')).spec.leaseTransitions, 1);
      const next = new Peer(t, server.kubeconfig, 'peer', 'next');
      await next.heard('leader', 0, 'us_');
      await stop(program);
      await next.heard('started');
      const { spec } = (await lease('peer'))!;
      assert.deepEqual([spec.holderIdentity, spec.leaseTransitions], ['next', 2]);
    },
  );
});
