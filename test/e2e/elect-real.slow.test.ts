/**
 * `leasekeeper elect` on a real API server, beside itself and beside client-go: killed, stopped, cut off. What is looked at
 * is what the commands did, by the machine's monotonic clock: never two at once.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { startTcpProxy } from '../support/fault-proxy.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { RealApi } from '../support/real-api.ts';
import {
  KILL_MS,
  LEASE_MS,
  PATIENT,
  Peer,
  RENEW_MS,
  RETRY_MS,
  alive,
  assertApart,
  elect,
  leads,
  now,
  peerSkip,
  spans,
  stubborn,
  watchdogOf,
} from './elect-support.ts';
import type { LeaseJson } from './support.ts';
import { until } from './support.ts';

/** What a loaded machine may add to a start or a signal. */
const SLACK_MS = 1_000;

describe('elect on a real API server', { skip: realApiSkip(), concurrency: 2 }, () => {
  let api: RealApi;
  let kubeconfig: string;
  before(async () => {
    api = await startRealApi({ users: { elector: [], named: [] } });
    kubeconfig = await api.kubeconfig();
  });
  after(() => api.stop());

  const fileOf = (lease: string): string => join(api.dir, `${lease}.steps`);
  const spec = async (lease: string): Promise<LeaseJson['spec']> =>
    (
      await api.json<LeaseJson & Record<string, unknown>>(
        'GET',
        `/apis/coordination.k8s.io/v1/namespaces/default/leases/${lease}`,
      )
    ).spec;

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    test(`leasekeeper gets ${signal}: its command is dead before another leads`, async (t) => {
      const lease = signal.toLowerCase();
      const file = fileOf(lease);
      const command = stubborn(file);
      const first = elect(t, { kubeconfig, lease, id: 'a', command });
      const { pid } = await leads(file, 'a');
      const second = elect(t, { kubeconfig, lease, id: 'b', command });
      await second.waitForLine(/somebody else leads/);
      const struck = now();
      first.signal(signal);
      const taken = await leads(file, 'b');
      const [past] = spans(file);
      assert.ok(!alive(pid));
      assertApart(spans(file));
      const [ran, waited] = [(past?.to ?? NaN) - struck, taken.from - struck];
      assert.ok(ran < (signal === 'SIGKILL' ? 500 : KILL_MS + 50), `the command ran on for ${ran} ms`);
      assert.ok(waited > LEASE_MS - RETRY_MS - 100 && waited < LEASE_MS + SLACK_MS, `taken over after ${waited} ms`);
      assert.equal((await spec(lease)).leaseTransitions, 1);
      if (signal === 'SIGSTOP') {
        // It wakes up, starts nothing, and stands by.
        first.signal('SIGCONT');
        await first.waitForLine(/leader=b_/);
        await wait(LEASE_MS);
        assertApart(spans(file));
        assert.equal(spans(file).length, 2);
        second.signal('SIGKILL');
        await leads(file, 'a', taken.from);
        assertApart(spans(file));
      }
    });
  }

  test('leasekeeper and everything of it stop and go on together', async (t) => {
    const file = fileOf('frozen');
    const first = elect(t, { kubeconfig, lease: 'frozen', id: 'a', command: stubborn(file) });
    const { pid } = await leads(file, 'a');
    const second = elect(t, { kubeconfig, lease: 'frozen', id: 'b', command: stubborn(file) });
    await second.waitForLine(/somebody else leads/);
    // As a frozen container; the command goes on first, so that it could do harm.
    const all = [pid, watchdogOf(first), first.pid];
    for (const each of all) process.kill(each, 'SIGSTOP');
    const { from } = await leads(file, 'b');
    for (const each of all) process.kill(each, 'SIGCONT');
    await until('its end', () => !alive(pid));
    const late = (spans(file)[0]?.to ?? NaN) - from;
    // Nothing on this machine could stop it sooner once it ran again; the fencing token is for that.
    assert.ok(late < 500 || spans(file)[0]!.to < from, `the command ran for ${late} ms beside the next leader`);
  });

  test('API gone: stopped by the deadline and not before; elected again when it is back, each time', async (t) => {
    const proxy = await startTcpProxy(api.url);
    t.after(() => proxy.close());
    const file = fileOf('away');
    const elsewhere = await api.kubeconfig({ server: proxy.url });
    elect(t, { kubeconfig: elsewhere, lease: 'away', id: 'a', file });
    let [from, token] = [0, 0];
    for (const [cycle, fault] of (['refuse', 'swallow', 'pause'] as const).entries()) {
      const span = await leads(file, 'a', from);
      from = now();
      assert(span.token > token);
      token = span.token;
      await wait(RETRY_MS);
      const cut = now();
      proxy.set(fault);
      if (fault === 'refuse') proxy.cut();
      await until('its end', () => !alive(span.pid));
      const ended = spans(file)[cycle];
      const [asked, ran] = [(ended?.asked ?? NaN) - cut, (ended?.to ?? NaN) - cut];
      // The last renewal was at most one period, and its answer, before.
      assert.ok(asked > RENEW_MS - RETRY_MS - 150, `asked to end after ${asked} ms`);
      assert.ok(asked < RENEW_MS + 150 && ran < KILL_MS, `asked after ${asked} ms, ended after ${ran} ms`);
      proxy.set('pass');
    }
    await leads(file, 'a', from);
    assertApart(spans(file));
    assert.equal(spans(file).length, 4);
  });

  test('two candidates with one id: one leads, and after it the other', async (t) => {
    const file = fileOf('twins');
    const twins = [1, 2].map(() => elect(t, { kubeconfig, lease: 'twins', id: 'same', file }));
    const first = await leads(file, 'same');
    await wait(LEASE_MS);
    assert.equal(spans(file).length, 1);
    const leader = twins.find((twin) => twin.stderr.some((line) => / leading /.test(line)));
    leader?.signal('SIGTERM');
    const second = await leads(file, 'same', first.from + 1);
    assert.notEqual(second.who, first.who);
    assertApart(spans(file));
  });

  for (const user of ['elector', 'named'] as const) {
    test(`get, create, update and watch are enough${user === 'named' ? ', of the one lease' : ''}: at once after a release`, async (t) => {
      const leases = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] };
      const verbs = ['get', 'update', 'watch'];
      const rules = [
        { ...leases, verbs: ['create'] },
        user === 'named' ? { ...leases, verbs, resourceNames: ['named'] } : { ...leases, verbs },
      ];
      await api.allow(user, { namespace: 'default', rules });
      const own = await api.kubeconfig({ user });
      const file = fileOf(user);
      const first = elect(t, { kubeconfig: own, lease: user, id: 'a', file, args: PATIENT });
      await leads(file, 'a');
      const args = [...PATIENT, '--log-level=debug'];
      const second = elect(t, { kubeconfig: own, lease: user, id: 'b', file, args });
      await second.waitForLine(/somebody else leads/);
      first.signal('SIGTERM');
      const { from } = await leads(file, 'b');
      const gap = from - (spans(file)[0]?.to ?? NaN);
      // Not only once the lease has expired: 60 s.
      assert.ok(gap < 12_000, `led ${gap} ms later`);
      assert.deepEqual(
        second.stderr.filter((line) => /watching the lease failed/.test(line)),
        [],
      );
    });
  }

  test('Events say whose lease they are about', async (t) => {
    const program = elect(t, { kubeconfig, lease: 'about', id: 'a', command: ['true'] });
    assert.equal((await program.exitWithin(120_000)).code, 0);
    type Lease = { metadata: { uid: string } };
    const { metadata } = await api.json<Lease & Record<string, unknown>>(
      'GET',
      '/apis/coordination.k8s.io/v1/namespaces/default/leases/about',
    );
    const { items } = await api.json<{ items: { reason: string; regarding: { uid: string; kind: string } }[] }>(
      'GET',
      '/apis/events.k8s.io/v1/namespaces/default/events',
    );
    const ours = items.filter(({ regarding }) => regarding.uid === metadata.uid);
    assert.deepEqual(ours[0] && [ours[0].reason, ours[0].regarding.kind], ['LeaderElection', 'Lease']);
  });

  describe('beside client-go', { skip: peerSkip(), concurrency: 2 }, () => {
    for (const how of ['SIGTERM', 'SIGKILL', 'SIGSTOP'] as const) {
      test(`each takes over from the other after ${how}`, async (t) => {
        const lease = `peer-${how.toLowerCase()}`;
        const file = fileOf(lease);
        const go = new Peer(t, kubeconfig, lease, 'go');
        const goFrom = (await go.heard('started')).at;
        const us = elect(t, {
          kubeconfig,
          lease,
          id: 'us',
          command: how === 'SIGTERM' ? undefined : stubborn(file),
          file,
        });
        await us.waitForLine(/somebody else leads.*leader=go/);
        const goTo = go.signal(how);
        const ours = await leads(file, 'us');
        const took = ours.from - goTo;
        if (how === 'SIGTERM') assert.ok(took < LEASE_MS - SLACK_MS, `took over ${took} ms after the release`);
        else assert.ok(took > LEASE_MS - RETRY_MS - 150 && took < LEASE_MS + SLACK_MS, `took over after ${took} ms`);
        assert.equal((await spec(lease)).leaseTransitions, 1);
        // client-go ends where it finds its leadership lost.
        if (how === 'SIGSTOP') go.signal('SIGCONT');
        const other = new Peer(t, kubeconfig, lease, 'next');
        await other.heard('leader', 0, 'us_');
        us.signal(how);
        const back = (await other.heard('started')).at;
        const { to } = spans(file)[0]!;
        assert.equal((await spec(lease)).leaseTransitions, 2);
        assert.equal(spans(file).length, 1);
        assertApart([
          { who: 'go', from: goFrom, to: goTo, token: 0 },
          ...spans(file),
          { who: 'next', from: back, to: Infinity, token: Infinity },
        ]);
        assert.ok(to < back);
        if (how === 'SIGSTOP') us.signal('SIGCONT');
      });
    }
  });
});
