/** The census as its users see it: `serve`, `count`, `get --watch` and the endpoints of `publish`, on the embedded server. */
import assert from 'node:assert/strict';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { parse } from 'yaml';
import { leaseName } from '../../src/lease/names.ts';
import { startTcpProxy } from '../support/fault-proxy.ts';
import type { Program } from '../support/process.ts';
import { CLI, runProgram, startProgram } from '../support/process.ts';
import type { Scope } from './support.ts';
import { AT_ONCE_MS, claimed, embedded, lines, publish, scratch, terminate, until } from './support.ts';

interface Count {
  readonly status: number;
  readonly known: boolean;
  readonly instances: number | null;
  readonly live: number | null;
  readonly stale: number | null;
  readonly expired: number | null;
  readonly ageSeconds: number | null;
  readonly reason?: string;
  readonly last?: { readonly instances: number; readonly ageSeconds: number } | null;
}

/** What a program's endpoints answer, from the address that its log tells. */
async function endpoints(program: Program): Promise<{
  url: string;
  get(path: string): Promise<{ status: number; text: string }>;
  count(): Promise<Count>;
}> {
  const line = await program.waitForLine(/url=/, { from: 'stderr' });
  const url = /url=(\S+)/.exec(line)![1]!;
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const answer = await fetch(url + path);
    return { status: answer.status, text: await answer.text() };
  };
  return {
    url,
    get,
    async count() {
      const { status, text } = await get('/v1/count');
      return { ...(JSON.parse(text) as Count), status };
    },
  };
}

const serve = (t: Scope, kubeconfig: string, ...args: string[]): Program =>
  startProgram(['serve', '--kubeconfig', kubeconfig, '--http-address=0', ...args], { t });

describe('census', { concurrency: 3 }, () => {
  it('a server killed is stale and then expired; one that leaves is gone at once', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const args = ['--renew-interval=300ms'];
    const census = await endpoints(serve(t, kubeconfig, '--fresh-for=1200ms'));
    // Of the one that leaves the lease would last for long: what is gone was deleted.
    const [dies, leaves, stays] = ['4s', '600s', '60s'].map((life, i) => {
      const host = ['dies', 'leaves', 'stays'][i] as string;
      return publish(t, kubeconfig, host, ...args, `--lease-duration=${life}`, '--shutdown-policy=delete');
    }) as [Program, Program, Program];
    await Promise.all([claimed(dies, at, 'dies'), claimed(leaves, at, 'leaves'), claimed(stays, at, 'stays')]);
    await until('three live ones', async () => (await census.count()).live === 3);

    await terminate(leaves);
    await until('it to be gone', async () => (await census.count()).instances === 2);

    await dies.kill();
    const renewed = Date.parse((await at.lease('dies'))!.spec.renewTime!);
    const stale = await until('it to be stale', async () => {
      const now = await census.count();
      return now.stale === 1 && now;
    });
    const staleAfter = Date.now() - renewed;
    assert.ok(staleAfter >= 1_200, `stale after ${staleAfter} ms`);
    assert.deepEqual([stale.instances, stale.live], [2, 1], 'it still counts');
    const expired = await until('it to be expired', async () => {
      const now = await census.count();
      return now.expired === 1 && now;
    });
    const expiredAfter = Date.now() - renewed;
    assert.ok(expiredAfter >= 4_000, `expired after ${expiredAfter} ms`);
    assert.deepEqual([expired.instances, expired.live], [1, 1]);
  });

  it('take-over never changes the count', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const census = await endpoints(serve(t, kubeconfig));
    const first = publish(t, kubeconfig, 'host', '--renew-interval=500ms', '--lease-duration=60s');
    const before = await claimed(first, at, 'host');
    await until('one', async () => (await census.count()).instances === 1);
    const seen = new Set<string>();
    let watching = true;
    const watcher = (async () => {
      while (watching) {
        const { status, instances, live } = await census.count();
        seen.add(`${status} ${instances} ${live}`);
        await wait(2);
      }
    })();
    await first.kill();
    for (let i = 0; i < 2; i++) {
      const next = publish(t, kubeconfig, 'host', '--renew-interval=500ms', '--lease-duration=60s');
      await claimed(next, at, 'host');
      await next.kill();
    }
    watching = false;
    await watcher;
    assert.deepEqual([...seen], ['200 1 1']);
    const after = (await at.lease('host'))!;
    assert.deepEqual([after.spec.leaseTransitions, after.metadata.uid], [2, before.metadata.uid]);
  });

  it('a watch that is silently dead shows in the age, and is replaced by one that tells', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const census = await endpoints(serve(t, kubeconfig, '--census-max-age=4s', '--fresh-for=3s'));
    await claimed(publish(t, kubeconfig, 'host', '--renew-interval=400ms', '--lease-duration=60s'), at, 'host');
    await until('a fresh answer', async () => (await census.count()).live === 1);
    const opened = server.requests.count({ verb: 'watch' });
    const end = server.faults.silenceWatches((request) => !request.query.get('labelSelector')?.includes('hostname'));
    const aged = await until('age', async () => {
      const now = await census.count();
      return (now.ageSeconds ?? 0) > 1.2 && now;
    });
    assert.equal(aged.status, 200);
    await until('another watch', () => server.requests.count({ verb: 'watch' }) > opened);
    end();
    const again = await until('a fresh answer', async () => {
      const now = await census.count();
      return (now.ageSeconds ?? 9) < 0.8 && now;
    });
    assert.deepEqual([again.status, again.live], [200, 1]);
  });

  it('API gone: count fails with one line, the number is 503 and never 0; back: right within 5 s', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const proxy = await startTcpProxy(server.url);
    t.after(() => proxy.close());
    await writeFile(kubeconfig, (await readFile(kubeconfig, 'utf8')).replace(server.url, proxy.url));
    const interval = 1_000;
    const census = await endpoints(serve(t, kubeconfig, '--census-max-age=2s', '--fresh-for=3s'));
    const one = publish(t, kubeconfig, 'one', `--renew-interval=${interval}ms`, '--lease-duration=60s');
    const two = publish(t, kubeconfig, 'two', `--renew-interval=${interval}ms`, '--lease-duration=60s');
    await Promise.all([claimed(one, at, 'one'), claimed(two, at, 'two')]);
    await until('two', async () => (await census.count()).live === 2);
    proxy.set('refuse');
    proxy.cut();
    const gone = performance.now();
    const counting = runProgram(['count', '--kubeconfig', kubeconfig]);
    const old = await until('503', async () => {
      const now = await census.count();
      assert.notEqual(now.instances, 0);
      return now.status === 503 && now;
    });
    assert.deepEqual(
      [old.known, old.instances, old.live, old.reason, old.last?.instances],
      [false, null, null, 'TooOld', 2],
    );
    assert.ok(old.last!.ageSeconds >= 2);
    const { code, stdout, stderr } = await counting;
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^leasekeeper: list leases of kube-system: .*connection.*\n$/);
    const ready = await census.get('/readyz');
    assert.equal(ready.status, 503);
    assert.match(ready.text, /\[-\]census failed: unknown \(TooOld/);
    assert.equal((await census.get('/livez')).status, 200);
    assert.doesNotMatch((await census.get('/metrics')).text, /^leasekeeper_instances\{/m);
    await wait(9_000 - (performance.now() - gone));
    assert.equal((await census.count()).status, 503);
    proxy.set('pass');
    const back = performance.now();
    await until('the right number', async () => (await census.count()).instances === 2);
    assert.ok(performance.now() - back < 5_000 + AT_ONCE_MS, `instances after ${performance.now() - back} ms`);
    await until('live', async () => (await census.count()).live === 2);
    assert.ok(
      performance.now() - back < 5_000 + interval * 1.04 + AT_ONCE_MS,
      `live after ${performance.now() - back} ms`,
    );
    assert.equal((await census.get('/readyz')).status, 200);
  });

  it('publish --http-address: its own lease, metrics, one PUT a renewal and watches that open once', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const args = ['--renew-interval=400ms', '--http-address=127.0.0.1:0'];
    const program = publish(t, kubeconfig, 'host', ...args);
    const shown = await endpoints(program);
    await claimed(program, at, 'host');
    await until('to be counted', async () => (await shown.count()).live === 1);
    const reads = (): number => server.requests.count((r) => r.method !== 'PUT');
    const events = { method: 'POST', path: /\/events$/ };
    await until(
      'two watches and an Event',
      () => [server.requests.count({ verb: 'watch' }), server.requests.count(events)].join() === '2,1',
    );
    const before = [reads(), server.requests.count({ method: 'PUT' })] as const;
    await until('five renewals', () => server.requests.count({ method: 'PUT' }) >= before[1] + 5);
    assert.equal(reads(), before[0], 'nothing but renewals');
    assert.match((await shown.get('/readyz?verbose')).text, /\[\+\]lease ok: holding kube-apiserver-/);
    const metrics = (await shown.get('/metrics')).text;
    assert.ok(
      Number(
        /^leasekeeper_lease_renewals_total\{lease_namespace="kube-system",product="kube-apiserver"\} (\d+)$/m.exec(
          metrics,
        )?.[1],
      ) >= 5,
    );
    assert.match(metrics, /^leasekeeper_instances\{.*state="live"\} 1$/m);
    assert.match(metrics, /^kubernetes_feature_enabled\{name="LeaseEvents",stage="BETA"\} 1$/m);

    const newer = publish(t, kubeconfig, 'host', '--renew-interval=200ms');
    await program.waitForLine(/superseded/);
    const superseded = await shown.get('/readyz?verbose');
    assert.equal(superseded.status, 200);
    assert.match(superseded.text, /\[\+\]lease ok: superseded: /);
    assert.equal((await shown.count()).instances, 1);
    const other = publish(t, kubeconfig, 'other', `--http-address=${new URL(shown.url).host}`);
    const exit = await other.exitWithin(120_000);
    assert.deepEqual([exit.code, other.stderr.length, await at.lease('other')], [1, 1, undefined]);
    assert.match(other.stderr[0]!, /--http-address.*the port is taken by another process/);
    await Promise.all([terminate(newer), terminate(program)]);
  });

  it('Events: claims and take-overs; without permission one line, with the gate off nothing', async (t) => {
    const { server, kubeconfig, at } = await embedded(t);
    const reasons = async (): Promise<string[]> => {
      const { json } = await at.call('GET', '/api/v1/namespaces/kube-system/events');
      return (json as { items: { reason: string }[] }).items.map(({ reason }) => reason).sort();
    };
    const first = publish(t, kubeconfig, 'host', '--renew-interval=200ms');
    await claimed(first, at, 'host');
    const second = publish(t, kubeconfig, 'host', '--renew-interval=200ms');
    await claimed(second, at, 'host');
    await until('the Events', async () => (await reasons()).length === 3);
    assert.deepEqual(await reasons(), ['LeaseClaimed', 'LeaseSuperseded', 'LeaseTakenOver']);
    const posts = (): number => server.requests.count({ resource: 'events', method: 'POST' });
    const silent = publish(t, kubeconfig, 'silent', '--feature-gates=LeaseEvents=false', '--renew-interval=200ms');
    await claimed(silent, at, 'silent');
    server.faults.add({
      match: { resource: 'events', method: 'POST' },
      fault: { type: 'status', code: 403, reason: 'Forbidden', message: 'events is forbidden' },
    });
    const refused = publish(t, kubeconfig, 'refused', '--renew-interval=200ms');
    await claimed(refused, at, 'refused');
    await refused.waitForLine(/INFO .*no Events about leases will be made/);
    assert.equal(posts(), 4);
    await at.remove('refused');
    await refused.waitForLine(/had been deleted: created it again/);
    await Promise.all([terminate(first), terminate(second), terminate(silent), terminate(refused)]);
    assert.equal(lines(refused, /Events/).length, 1);
    assert.equal(posts(), 4);
  });

  it('get --watch: the table, then what changes, until SIGTERM; and documents, one by one', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const args = ['--renew-interval=200ms', '--lease-duration=5s'];
    const host = publish(t, kubeconfig, 'host', ...args);
    await claimed(host, at, 'host');
    const get = (...more: string[]): Program =>
      startProgram(['get', '--watch', '--fresh-for=1s', '--kubeconfig', kubeconfig, ...more], { t });
    const table = get();
    const name = get('-o', 'name');
    const json = get('-o', 'json');
    const yaml = get('-o', 'yaml');
    const wide = get('-o', 'wide');
    await table.waitForLine(/^NAME +HOSTNAME +STATE/);
    await table.waitForLine(/ host +Live /);
    await Promise.all([
      name.waitForLine(/lease\.coordination/),
      json.waitForLine(/^\}$/),
      yaml.waitForLine(/^ {2}renewedSecondsAgo: /),
      wide.waitForLine(/ host +Live .* 5s +0 /),
    ]);
    await host.kill();
    await table.waitForLine(/ host +Stale /);
    await Promise.all([
      table.waitForLine(/ host +Expired /),
      wide.waitForLine(/ host +Expired /),
      json.waitForLine(/"state": "expired"/),
      yaml.waitForLine(/^ {2}state: expired/),
    ]);
    await at.remove('host');
    await table.waitForLine(/ host +Deleted /);
    await json.waitForLine(/"deleted": true/);
    await yaml.waitForLine(/^ {2}deleted: true/);
    await wide.waitForLine(/ host +Deleted .* 5s +0 /);
    await name.waitForLine(/lease/);
    assert.equal(table.stdout.filter((line) => line.startsWith('NAME')).length, 1);
    assert.deepEqual(
      table.stdout
        .slice(1)
        .map((line) => line.split(/ {2,}/)[2])
        .filter((state, i, all) => state !== all[i - 1]),
      ['Live', 'Stale', 'Expired', 'Deleted'],
    );
    assert.deepEqual(new Set(name.stdout), new Set([`lease.coordination.k8s.io/${leaseName('host')}`]));
    const documents = JSON.parse(`[${json.stdout.join('').replaceAll('}{', '},{')}]`) as {
      kind: string;
      status: { state: string };
    }[];
    // A renewal that was on its way at the end is a change in the same state.
    const states = (documents: readonly { readonly status: { readonly state: string } }[]): string[] =>
      documents.map(({ status }) => status.state).filter((state, i, all) => state !== all[i - 1]);
    assert.deepEqual(states(documents).slice(0, 3), ['live', 'stale', 'expired']);
    // As kubectl: `---` stands between two documents, and before none.
    const texts = yaml.stdout.join('\n').split(/^---$/m);
    const parsed = texts.map((text) => parse(text) as { kind: string; status: { state: string; deleted?: boolean } });
    assert.deepEqual(new Set(parsed.map(({ kind }) => kind)), new Set(['Lease']));
    assert.deepEqual(states(parsed).slice(0, 3), ['live', 'stale', 'expired']);
    assert.equal(parsed.at(-1)?.status.deleted, true);
    assert.match(
      wide.stdout[0]!,
      /^NAME +HOSTNAME +STATE +HOLDER +RENEWED +AGE +DURATION +TRANSITIONS +ACQUIRED +LABELS +PAYLOAD +PEER +UID$/,
    );
    assert.equal(new Set(wide.stdout.map((line) => line.indexOf('UID') >= 0)).size, 2, 'one line of headers');
    for (const [program, signal] of [
      [table, 'SIGTERM'],
      [yaml, 'SIGTERM'],
      [wide, 'SIGINT'],
      [name, 'SIGINT'],
      [json, 'SIGTERM'],
    ] as const) {
      program.signal(signal);
      assert.deepEqual([(await program.exitWithin(120_000)).code, program.stderr], [0, []]);
    }
  });

  it('is a plugin of kubectl, and says so', async (t) => {
    const { kubeconfig } = await embedded(t);
    const script = join(await scratch(t), 'kubectl-leasekeeper');
    await symlink(CLI, script);
    const help = await runProgram(['count', '--help'], { script });
    assert.match(help.stdout, /^Usage: kubectl leasekeeper count /);
    const count = await runProgram(['count', '--kubeconfig', kubeconfig], { script });
    assert.deepEqual([count.code, count.stdout], [0, '0\n']);
    const { bin } = JSON.parse(await readFile(join(CLI, '../../package.json'), 'utf8')) as { bin: object };
    assert.deepEqual(bin, {
      leasekeeper: 'dist/cli.js',
      'kubectl-leasekeeper': 'dist/cli.js',
      'kubectl_complete-leasekeeper': 'dist/cli.js',
    });
  });

  it('serve refuses what it cannot do', async (t) => {
    const { kubeconfig } = await embedded(t);
    for (const [args, words] of [
      [['--http-address=off'], /serve has nothing else to do/],
      [['--http-address=nonsense:'], /must be PORT, HOST:PORT/],
      [['--fresh-for=10ms'], /--fresh-for "10ms": must be at least 1s/],
    ] as const) {
      const { code, stderr } = await runProgram(['serve', '--kubeconfig', kubeconfig, ...args]);
      assert.equal(code, 2);
      assert.match(stderr, words);
      assert.equal(stderr.split('\n').length, 2);
    }
  });
});
