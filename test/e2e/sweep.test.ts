/** `leasekeeper sweep` and `publish --sweep`: what goes, what stays, what it costs, as a process on a real API server. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect } from '../../src/kube/connection.ts';
import type { Connection } from '../../src/kube/connection.ts';
import { newLease, withChanges } from '../../src/lease/lease.ts';
import type { Lease, LeaseSpec } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { HOSTNAME_LABEL } from '../../src/lease/names.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import { runProgram, startProgram } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { LABEL, claimed, embedded, lines, publish, seenReal, terminate, until } from './support.ts';

const clock = createSystemClock();
const HOUR = 3600;

interface Sketch {
  readonly name: string;
  /** Seconds since the last renewal. */
  readonly age: number;
  readonly namespace?: string;
  readonly product?: string | undefined;
  readonly holder?: string;
  readonly duration?: number;
}

function sketched({
  name,
  age,
  namespace = 'kube-system',
  product = 'kube-apiserver',
  holder,
  duration,
}: Sketch): Lease {
  const labels = { ...(product === '' ? {} : { [LABEL]: product }), [HOSTNAME_LABEL]: `host-${name}` };
  const spec: LeaseSpec = {
    holderIdentity: holder ?? `${name}_1`,
    leaseDurationSeconds: duration ?? HOUR,
    renewTime: MicroTime.fromEpochMicros(clock.wallMicros() - age * 1e6),
  };
  return newLease({ name, namespace, labels }, spec);
}

/** Makes many leases, 32 at a time. */
async function seed({ store }: Connection, sketches: readonly Sketch[]): Promise<void> {
  const left = sketches.values();
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (const sketch of left) await store.create(sketched(sketch));
    }),
  );
}

describe('sweep on a real API server', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let kubeconfig: string;
  let connection: Connection;
  before(async () => {
    api = await startRealApi();
    kubeconfig = await api.kubeconfig();
    connection = await connect({ kubeconfig, clock, random: Math.random });
  });
  after(async () => {
    await connection?.close();
    await api?.stop();
  });

  const names = async (namespace = 'kube-system'): Promise<Set<string>> => {
    const { items } = await api.json<{ items: { metadata: { name: string } }[] }>(
      'GET',
      `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
    );
    return new Set(items.map(({ metadata }) => metadata.name));
  };

  it('of 5,000 leases of which 4,000 expired exactly those go: the pages of two lists and one DELETE each', async () => {
    const dead = Array.from({ length: 4000 }, (_, i) => ({ name: `dead-${i}`, age: 2 * HOUR }));
    const living = Array.from({ length: 996 }, (_, i) => ({ name: `live-${i}`, age: i }));
    await api.createNamespace('elsewhere');
    const others: Sketch[] = [
      { name: 'released', age: 2 * HOUR, holder: '' },
      { name: 'renewed-just-now', age: 0 },
      { name: 'not-quite', age: HOUR - 60 },
      { name: 'terminating', age: 2 * HOUR },
      // These four are not even listed. Their names come before the last listed one: a server that still has keys to look
      // at would hand out one more, empty page.
      { name: 'bare', age: 2 * HOUR, product: '' },
      { name: 'another-product', age: 2 * HOUR, product: 'konnectivity-server' },
      { name: 'elsewhere', age: 2 * HOUR, namespace: 'elsewhere' },
      { name: 'elsewhere-too', age: 2 * HOUR, namespace: 'default' },
    ];
    await seed(connection, [...dead, ...living, ...others]);
    const at = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/terminating';
    const finalizers = [{ op: 'add', path: '/metadata/finalizers', value: ['example.com/keep'] }];
    await api.request('PATCH', at, finalizers, { headers: { 'content-type': 'application/json-patch+json' } });
    await api.json('DELETE', at);
    const verbs = ['LIST', 'DELETE', 'GET', 'PUT', 'POST', 'PATCH', 'WATCH', 'DELETECOLLECTION'] as const;
    const count = async (): Promise<Record<string, number>> =>
      Object.fromEntries(await Promise.all(verbs.map(async (verb) => [verb, await api.requestCount({ verb })])));
    const before = await count();

    const sweep = await runProgram(['sweep', '--once', '--confirm-after=0', '--kubeconfig', kubeconfig]);
    assert.equal(sweep.code, 0, sweep.stderr);
    assert.match(
      sweep.stderr,
      /pass finished {2}seen=5000 {2}deleted=4000 {2}kept="1 terminating, 1 released, 998 live"/,
    );
    assert.match(
      sweep.stderr,
      /deleted an expired lease {2}lease=dead-7 {2}hostname=host-dead-7 {2}holder=dead-7_1 {2}expiredFor=(59m\d+s|1h0m)\n/,
    );
    assert.equal(sweep.stderr.match(/deleted an expired lease/g)?.length, 4000);

    const requests = await until('the server to have counted them all', async () => {
      const now = await count();
      const more = Object.fromEntries(verbs.map((verb) => [verb, now[verb]! - before[verb]!]));
      return more['DELETE']! >= 4000 && more;
    });
    const none = { GET: 0, PUT: 0, POST: 0, PATCH: 0, WATCH: 0, DELETECOLLECTION: 0 };
    assert.deepEqual(requests, { ...none, LIST: 20, DELETE: 4000 });
    const left = await names();
    const kept = [...living, ...others.filter(({ namespace }) => namespace === undefined)].map(({ name }) => name);
    assert.deepEqual([...left].sort(), kept.sort());
    assert.ok((await names('elsewhere')).has('elsewhere'));
    assert.ok((await names('default')).has('elsewhere-too'));
  });

  it('publishers renew while four sweepers run: no living lease is lost, the dead ones go', async (t) => {
    const namespace = 'stress';
    await api.createNamespace(namespace);
    // Two seconds of duration, renewed every 400 ms: an answer that is late brings a lease to the edge of expiry.
    const live = Array.from({ length: 60 }, (_, i) => ({ name: `live-${i}`, age: 0, namespace, duration: 2 }));
    await seed(connection, live);
    const stop = new AbortController();
    t.after(() => Promise.resolve(stop.abort()));
    const lost: string[] = [];
    const renewing = live.map(async ({ name }) => {
      let lease = await connection.store.get({ namespace, name });
      while (!stop.signal.aborted) {
        try {
          const renewTime = MicroTime.fromEpochMicros(clock.wallMicros());
          lease = await connection.store.update(withChanges(lease, { spec: { renewTime } }));
        } catch (error) {
          lost.push(`${name}: ${String(error)}`);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 400));
      }
    });
    let deleted = 0;
    const sweeping = Array.from({ length: 4 }, async () => {
      const sweeper = new Sweeper({
        store: connection.store,
        clock,
        random: Math.random,
        observe: (event) => void (event.type === 'deleted' && deleted++),
        namespace,
        confirmAfterMs: 100,
        pageSize: 50,
      });
      while (!stop.signal.aborted) await sweeper.sweepOnce(stop.signal);
    });
    for (let round = 0; round < 8; round++) {
      const dead = Array.from({ length: 25 }, (_, i) => ({
        name: `dead-${round}-${i}`,
        age: HOUR,
        namespace,
        duration: 2,
      }));
      await seed(connection, dead);
      await new Promise((resolve) => setTimeout(resolve, 700));
    }
    await until('the dead to be gone', async () => (await names(namespace)).size <= live.length);
    stop.abort();
    await Promise.all([...renewing, ...sweeping]);
    assert.deepEqual(lost, []);
    assert.equal((await names(namespace)).size, live.length);
    assert.equal(deleted, 200, 'each dead lease by one sweeper');
  });

  it('a sweeper killed in the middle leaves the rest to the next pass', async (t) => {
    const namespace = 'killed';
    await api.createNamespace(namespace);
    const dead = Array.from({ length: 300 }, (_, i) => ({ name: `dead-${i}`, age: 2 * HOUR, namespace }));
    await seed(connection, [...dead, { name: 'live', age: 0, namespace }]);
    const args = ['sweep', '--once', '--confirm-after=0', '-n', namespace, '--kubeconfig', kubeconfig];
    const first = startProgram([...args, '--qps=50'], { t });
    await first.waitForLine(/deleted an expired lease/);
    await first.kill();
    const left = (await names(namespace)).size;
    assert.ok(left > 1 && left < 301, `${left} left`);
    const second = await runProgram(args);
    assert.equal(second.code, 0, second.stderr);
    assert.deepEqual([...(await names(namespace))], ['live']);
  });

  it('publish --sweep sweeps beside the publisher, and never the lease that it publishes', async (t) => {
    const at = seenReal(api);
    await seed(connection, [{ name: 'crashed', age: 2 * HOUR }]);
    const program = publish(
      t,
      kubeconfig,
      'sweeping',
      '--sweep',
      '--sweep-confirm-after=600ms',
      '--renew-interval=200ms',
    );
    await claimed(program, at, 'sweeping');
    await program.waitForLine(/deleted an expired lease {2}lease=crashed/);
    assert.ok(await at.lease('sweeping'));
    await terminate(program);
  });
});

describe('sweep, one call', { concurrency: 2 }, () => {
  const world = async (t: Parameters<typeof embedded>[0], ...sketches: readonly Sketch[]) => {
    const { server, kubeconfig, at } = await embedded(t);
    const connection = await connect({ kubeconfig, clock, random: Math.random });
    t.after(() => connection.close());
    await seed(connection, sketches);
    const run = (...args: readonly string[]): ReturnType<typeof runProgram> =>
      runProgram(['sweep', '--kubeconfig', kubeconfig, '--confirm-after=0', ...args]);
    return { server, kubeconfig, at, run };
  };

  it('a dry run prints what would go, and why, and deletes nothing', async (t) => {
    const { run, at } = await world(t, { name: 'dead', age: 3 * HOUR + 5 }, { name: 'live', age: 1 });
    const { code, stdout, stderr } = await run('--once', '--dry-run');
    assert.equal(code, 0, stderr);
    assert.deepEqual(stdout.split('\n'), [
      'would delete dead of host-dead: expired 2h0m ago, not written between two looks 0s apart; holder dead_1',
      '1 of 2 leases would be deleted; kept: 1 not expired',
      '',
    ]);
    assert.equal((await at.call('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/dead')).status, 200);
  });

  it('a pass that would leave nobody deletes nothing, exits with 1 and says why; --allow-all deletes', async (t) => {
    const { run } = await world(t, { name: 'dead', age: 2 * HOUR });
    const refused = await run('--once');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /ERROR pass void: no unexpired lease would be left.*--allow-all/);
    const all = await run('--once', '--allow-all');
    assert.equal(all.code, 0);
    assert.match(all.stderr, /seen=1 {2}deleted=1/);
  });

  it('somebody back after as long a silence between the looks: nothing goes, exit code 1 and why; the next call deletes', async (t) => {
    const { run, kubeconfig, at } = await world(t, { name: 'dead', age: 3 * HOUR }, { name: 'back', age: 2 * HOUR });
    const args = ['sweep', '--once', '--confirm-after=2s', '--log-level=debug', '--kubeconfig', kubeconfig];
    const first = startProgram(args, { t });
    await first.waitForLine(/listed the leases/);
    const path = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/back';
    const renewTime = MicroTime.fromEpochMicros(clock.wallMicros()).toString();
    await at.call('PATCH', path, { spec: { renewTime } });
    assert.equal((await first.exitWithin(10_000)).code, 1);
    assert.match(first.output(), /WARN +pass void: servers .* have just come back.* kept="1 renewed, 1 recovering"/);
    const second = await run('--once');
    assert.deepEqual([second.code, /seen=2 {2}deleted=1/.test(second.stderr)], [0, true], second.stderr);
  });

  for (const [code, reason] of [
    [500, 'InternalError'],
    [410, 'Expired'],
  ] as const) {
    it(`${code} on the second page of either look: nothing goes, exit code 1; the next call deletes`, async (t) => {
      const dead = Array.from({ length: 510 }, (_, i) => ({ name: `dead-${i}`, age: 2 * HOUR }));
      const { run, server } = await world(t, ...dead, { name: 'live', age: 1 });
      for (const look of [1, 2]) {
        let continued = 0;
        const fault = server.faults.add({
          match: ({ verb, query }) => verb === 'list' && query.has('continue') && ++continued === look,
          fault: { type: 'status', code, reason, message: 'injected' },
        });
        const { code: exit, stderr } = await run('--once');
        assert.deepEqual([exit, fault.hits], [1, 1], stderr);
        assert.match(stderr, /^\S+ WARN +pass void: listing the leases failed.*\n$/);
        fault.remove();
      }
      const next = await run('--once');
      assert.equal(next.code, 0, next.stderr);
      assert.match(next.stderr, /pass finished {2}seen=511 {2}deleted=510/);
    });
  }

  for (const hours of [5, -5]) {
    it(`an API server whose clock is ${hours} hours from ours: its own decides, and there is a warning`, async (t) => {
      const aside: Clock = { ...clock, wallMicros: () => clock.wallMicros() + hours * 3600e6 };
      const { kubeconfig } = await embedded(t, { clock: aside });
      const connection = await connect({ kubeconfig, clock, random: Math.random });
      t.after(() => connection.close());
      // Ages by the server's clock.
      const age = (seconds: number): number => seconds - hours * HOUR;
      await seed(connection, [
        { name: 'dead', age: age(HOUR + 60) },
        { name: 'old', age: age(HOUR - 60) },
        { name: 'live', age: age(1) },
      ]);
      const { code, stderr } = await runProgram(['sweep', '--once', '--confirm-after=0', '--kubeconfig', kubeconfig]);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /deleted an expired lease {2}lease=dead /);
      assert.match(stderr, /pass finished {2}seen=3 {2}deleted=1 {2}kept="2 live"/);
      assert.equal(stderr.match(/WARN +this machine's clock is far from the API server's/g)?.length, 1);
    });
  }

  it('an API that does not answer: exit code 1, one line', async (t) => {
    const { run, server } = await world(t);
    await server.close();
    const { code, stderr } = await run('--once', '--request-timeout=2s');
    assert.equal(code, 1);
    assert.match(stderr, /^\S+ WARN +pass void: listing the leases failed.*\n$/);
  });

  it('with the gate off --once says so in one line and exits with 0, whether or not there is an API', async () => {
    const { code, stdout, stderr } = await runProgram(['sweep', '--once', '--feature-gates=APIServerIdentity=false']);
    assert.deepEqual(
      { code, stdout, stderr },
      {
        code: 0,
        stdout: 'feature gate APIServerIdentity is off: nothing is swept\n',
        stderr: '',
      },
    );
  });

  it('sweeps at start and on its schedule until SIGTERM', async (t) => {
    const { kubeconfig, at } = await world(t, { name: 'live', age: 1 });
    const program = startProgram(
      ['sweep', '--kubeconfig', kubeconfig, '--confirm-after=0', '--schedule', '* * * * * *'],
      { t },
    );
    await until('three passes', () => lines(program, /pass finished/).length >= 3);
    const body = { metadata: { name: 'dead', labels: { [LABEL]: 'kube-apiserver' } }, spec: { holderIdentity: 'd' } };
    const past = { leaseDurationSeconds: 1, renewTime: '2020-01-01T00:00:00.000000Z' };
    const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
    await at.call('POST', leases, { ...body, spec: { ...body.spec, ...past } });
    await program.waitForLine(/deleted an expired lease {2}lease=dead/);
    await terminate(program);
  });

  it('SIGTERM during the wait between the looks ends it at once, with nothing deleted', async (t) => {
    const { kubeconfig, at } = await world(t, { name: 'dead', age: 2 * HOUR }, { name: 'live', age: 1 });
    const program = startProgram(['sweep', '--kubeconfig', kubeconfig, '--log-level=debug'], { t });
    await program.waitForLine(/listed the leases/);
    assert.ok((await terminate(program)) < 2_000);
    assert.match(program.output(), /pass ended early: stopping/);
    assert.equal((await at.call('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/dead')).status, 200);
  });

  it('tells everything that is wrong with its options at once', async () => {
    const { code, stderr } = await runProgram([
      ...['sweep', '--schedule', '61 * * * *', '--concurrency=0', '--confirm-after=48h', '--qps=-1', '--grace=1'],
      ...['--feature-gates', 'Foo=true', '--feature-gates', 'APIServerIdentity=maybe', '--selector', ' '],
    ]);
    assert.equal(code, 2);
    assert.deepEqual(stderr.replaceAll('leasekeeper: ', '').trim().split('\n').sort(), [
      '--concurrency 0: must be a whole number from 1 to 1000',
      '--confirm-after "48h": must be from 0s to 24h',
      '--feature-gates "APIServerIdentity=maybe": invalid value of APIServerIdentity=maybe, err: strconv.ParseBool: parsing "maybe": invalid syntax',
      '--feature-gates "Foo=true": unrecognized feature gate: Foo',
      '--grace "1": must be a duration such as 10s, 1m30s or 500ms',
      '--qps "-1": must be a number, 0 or more',
      '--schedule "61 * * * *": must be a cron expression such as */5 * * * * (minute: 61 is a invalid expression for minute)',
      '--selector " ": must not be empty: every lease of the namespace would be meant, the electors\' too',
    ]);
  });
});
