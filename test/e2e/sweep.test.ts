/** `leasekeeper sweep`: what goes, what stays and what it says, as a process on the embedded server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect } from '../../src/kube/connection.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { runProgram, startProgram } from '../support/process.ts';
import { AT_ONCE_MS, LABEL, embedded, lines, terminate, until } from './support.ts';
import { HOUR, clock, seed } from './sweep-support.ts';
import type { Sketch } from './sweep-support.ts';

describe('sweep, one call', { concurrency: 2 }, () => {
  const world = async (t: Parameters<typeof embedded>[0], ...sketches: readonly Sketch[]) => {
    const { server, kubeconfig, at } = await embedded(t);
    const connection = await connect({ kubeconfig, clock, random: Math.random, requestTimeoutMs: 120_000 });
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
      '1 of 2 leases would be deleted; kept: 1 unexpired',
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
    assert.equal((await first.exitWithin(120_000)).code, 1);
    assert.match(first.output(), /WARN +pass void: servers .* have just come back.* kept="1 renewed, 1 recovering"/);
    const second = await run('--once');
    assert.deepEqual([second.code, /seen=2 {2}deleted=1/.test(second.stderr)], [0, true], second.stderr);
  });

  it('--concurrency is how many DELETEs are under way at once, also above the 64 of other commands', async (t) => {
    const dead = Array.from({ length: 120 }, (_, i) => ({ name: `dead-${i}`, age: 2 * HOUR }));
    const { server, kubeconfig } = await world(t, ...dead, { name: 'live', age: 1 });
    const held = server.faults.add({ match: { method: 'DELETE' }, fault: { type: 'hang' } });
    const args = ['--once', '--confirm-after=0', '--concurrency=100', '--request-timeout=10m'];
    startProgram(['sweep', '--kubeconfig', kubeconfig, ...args], { t });
    await until('a hundred at once', () => held.hits === 100, 120_000);
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
        assert.match(stderr, /^\S+ WARN +pass void: listing failed.*\n$/);
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
      const connection = await connect({ kubeconfig, clock, random: Math.random, requestTimeoutMs: 120_000 });
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
      assert.match(stderr, /pass finished {2}seen=3 {2}deleted=1 {2}kept="2 unexpired"/);
      assert.equal(stderr.match(/WARN +this machine's clock is far from the API server's/g)?.length, 1);
    });
  }

  it('an API that does not answer: exit code 1, one line', async (t) => {
    const { run, server } = await world(t);
    await server.close();
    const { code, stderr } = await run('--once', '--request-timeout=2s');
    assert.equal(code, 1);
    assert.match(stderr, /^\S+ WARN +pass void: listing failed.*\n$/);
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
    assert.ok((await terminate(program)) < AT_ONCE_MS);
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
      '--feature-gates "APIServerIdentity=maybe": invalid value of APIServerIdentity=maybe, err: must be true or false',
      '--feature-gates "Foo=true": unrecognized feature gate: Foo',
      '--grace "1": must be a duration such as 10s, 1m30s or 500ms',
      '--qps "-1": must be a number, 0 or more',
      '--schedule "61 * * * *": must be a cron expression such as */5 * * * * (minute: 61 is a invalid expression for minute)',
      '--selector " ": must not be empty: every lease of the namespace would be meant, the electors\' too',
    ]);
  });
});
