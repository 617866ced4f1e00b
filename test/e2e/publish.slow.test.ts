/** `leasekeeper publish` on a real API server: the Lease it makes, takes over and renews. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { hostnameLabel } from '../../src/lease/names.ts';
import { runProgram } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { LeaseJson, Seen } from './support.ts';
import {
  LABEL,
  LEASES,
  SIX_DIGITS,
  claimed,
  kubectlSkip,
  lines,
  publish,
  renewedAfter,
  seenReal,
  terminate,
  until,
  watchTypes,
} from './support.ts';

const UUID4 = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('publish on a real API server', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let at: Seen;
  let kubeconfig: string;
  before(async () => {
    api = await startRealApi();
    at = seenReal(api);
    kubeconfig = await api.kubeconfig();
  });
  after(() => api?.stop());

  it('sends one PUT per renewal and nothing else but its watch, as the server counts', async (t) => {
    const program = publish(
      t,
      kubeconfig,
      'steady',
      '--renew-interval=500ms',
      '--lease-duration=30s',
      '--log-level=debug',
    );
    await claimed(program, at, 'steady');
    await program.waitForLine(/DEBUG .*renewed/);
    const verbs = ['GET', 'LIST', 'POST', 'PUT', 'PATCH', 'APPLY', 'DELETE', 'DELETECOLLECTION', 'WATCH'];
    // One look at all counters; taken again when a renewal came in between.
    const sample = async (): Promise<Record<string, number>> => {
      const seen = renewals();
      await until('another renewal', () => renewals() > seen, 10_000);
      // The server counts a request after its answer; the next one is some hundred milliseconds away.
      await wait(200);
      const before = renewals();
      const { text } = await api.request('GET', '/metrics');
      const counts = Object.fromEntries(['all', ...verbs].map((verb) => [verb, 0]));
      for (const [, labels, value] of text.matchAll(/^apiserver_request_total\{(.*)\} (\S+)$/gm)) {
        if (!labels!.includes('resource="leases"')) continue;
        const verb = /verb="([^"]*)"/.exec(labels!)?.[1] ?? '';
        for (const key of ['all', verb]) counts[key] = (counts[key] ?? 0) + Number(value);
      }
      return renewals() === before ? { ...counts, renewals: before } : sample();
    };
    const renewals = (): number => lines(program, /DEBUG .*renewed/).length;
    const first = await sample();
    await until('18 renewals more', () => renewals() >= first['renewals']! + 18, 25_000);
    const last = await sample();
    const more = Object.fromEntries(Object.keys(last).map((key) => [key, last[key]! - first[key]!]));
    const n = more['renewals']!;
    assert.ok(n >= 19);
    const none = { GET: 0, LIST: 0, POST: 0, PATCH: 0, APPLY: 0, DELETE: 0, DELETECOLLECTION: 0, WATCH: 0 };
    assert.deepEqual(more, { ...none, renewals: n, all: n, PUT: n });
    await terminate(program);
    // A watch is counted when it ends: there was one.
    await until('the end of the watch', async () => (await api.requestCount({ verb: 'WATCH' })) === 1);
  });

  it('makes the Lease of the documentation', async (t) => {
    const program = publish(t, kubeconfig, 'master-1');
    const lease = await claimed(program, at, 'master-1');
    const { metadata, spec } = lease;
    assert.equal(metadata.name, `kube-apiserver-${sha256('master-1')}`);
    assert.deepEqual(metadata.labels, { [LABEL]: 'kube-apiserver', 'kubernetes.io/hostname': 'master-1' });
    assert.equal(metadata.annotations, undefined);
    assert.match(spec.holderIdentity!, new RegExp(`^${metadata.name}_${UUID4}$`));
    assert.match(spec.renewTime!, SIX_DIGITS);
    assert.ok(Math.abs(Date.parse(spec.renewTime!) - Date.now()) < 20_000);
    assert.deepEqual(spec, {
      holderIdentity: spec.holderIdentity,
      leaseDurationSeconds: 3600,
      acquireTime: spec.renewTime,
      renewTime: spec.renewTime,
      leaseTransitions: 0,
    });
    await terminate(program);
    assert.equal((await at.lease('master-1'))?.metadata.uid, metadata.uid, 'it stays for the next start');
  });

  it('labels, annotations and owners that are asked for stand on it, and a payload is shown', async (t) => {
    const payload = '{"port":8080}';
    const marks = ['--label=zone=a', '--annotation=note=a=b, c', '--owner=v1/Node/marked/0-1'];
    const annotation = `--annotation=leasekeeper.dev/payload=${payload}`;
    const program = publish(t, kubeconfig, 'marked', annotation, ...marks);
    const { metadata } = await claimed(program, at, 'marked');
    assert.equal(metadata.labels?.['zone'], 'a');
    assert.deepEqual(metadata.annotations, { note: 'a=b, c', 'leasekeeper.dev/payload': payload });
    assert.deepEqual(metadata.ownerReferences, [{ apiVersion: 'v1', kind: 'Node', name: 'marked', uid: '0-1' }]);
    const shown = await runProgram(['get', '-o', 'wide', `--kubeconfig=${kubeconfig}`]);
    assert.match(shown.stdout, /marked.*zone=a.*\{"port":8080\}/);
    await terminate(program);
  });

  it('kubectl lists it', { skip: kubectlSkip() }, async () => {
    const { stdout } = await promisify(execFile)('kubectl', [
      `--kubeconfig=${kubeconfig}`,
      ...['-n', 'kube-system', 'get', 'lease', '-l', `${LABEL}=kube-apiserver`],
    ]);
    const [header, ...rows] = stdout.trim().split('\n');
    assert.match(header!, /^NAME +HOLDER +AGE$/);
    const name = `kube-apiserver-${sha256('master-1')}`;
    assert.ok(
      rows.some((row) => new RegExp(`^${name} +${name}_${UUID4} +\\S+$`).test(row)),
      stdout,
    );
  });

  it('format apiserver gives the names that kube-apiserver gives itself', async (t) => {
    const vectors = {
      localhost: 'apiserver-l2yubf4cvcl5c7a3wrubrwqdve',
      'test-server-a': 'apiserver-tcwjsvs6hjq4qbwzx5rvp5fsqe',
      vm: 'apiserver-wlv32tlttr4jl3gtroqexyxapa',
    };
    const check = async ([host, name]: [string, string]): Promise<void> => {
      const program = publish(t, kubeconfig, host, '--lease-name-format=apiserver');
      await program.waitForLine(/created the lease/);
      const { status, json } = await at.call('GET', `${LEASES}/${name}`);
      assert.equal(status, 200);
      const { metadata, spec } = json as LeaseJson;
      assert.equal(metadata.labels?.['kubernetes.io/hostname'], host);
      assert.match(spec.holderIdentity!, new RegExp(`^${name}_${UUID4}$`));
      await terminate(program);
    };
    await Promise.all(Object.entries(vectors).map(check));
  });

  it('after kill -9 the next start takes the same object over, and no watcher sees it missing', async (t) => {
    const first = publish(t, kubeconfig, 'master-2', '--renew-interval=300ms', '--lease-duration=2s');
    const old = await claimed(first, at, 'master-2');
    const types = await watchTypes(t, api, 'master-2');
    await renewedAfter(at, 'master-2', old);
    await first.kill();
    const second = publish(t, kubeconfig, 'master-2', '--renew-interval=300ms', '--lease-duration=2s');
    const taken = await claimed(second, at, 'master-2');
    assert.match(second.output(), /took the lease over .*transitions=1 .*from=/);
    assert.equal(taken.metadata.uid, old.metadata.uid);
    assert.notEqual(taken.spec.holderIdentity, old.spec.holderIdentity);
    assert.equal(taken.spec.leaseTransitions, 1);
    assert.ok(taken.spec.acquireTime! > old.spec.acquireTime!);
    const renewed = await renewedAfter(at, 'master-2', taken);
    assert.equal(renewed.spec.acquireTime, taken.spec.acquireTime);
    await until('the watcher to see it', () => types.length >= 4);
    assert.deepEqual([...new Set(types)], ['ADDED', 'MODIFIED']);
    await terminate(second);
  });

  describe('hostnames', { concurrency: 3 }, () => {
    const long64 = `${'h'.repeat(63)}x`;
    const long253 = `${'Node-'.repeat(50)}end`;
    for (const host of [long64, long253, 'Master-ONE.Example']) {
      it(`${host.length} characters, ${host.slice(0, 20)}`, async (t) => {
        const program = publish(t, kubeconfig, host);
        const { metadata } = await claimed(program, at, host);
        assert.equal(metadata.name, `kube-apiserver-${sha256(host)}`);
        const label = metadata.labels?.['kubernetes.io/hostname'];
        assert.equal(label, hostnameLabel(host));
        assert.match(label!, /^[A-Za-z0-9][-A-Za-z0-9_.]{0,61}[A-Za-z0-9]$/);
        if (host.length <= 63) assert.deepEqual([label, metadata.annotations], [host, undefined]);
        else assert.deepEqual(metadata.annotations, { 'leasekeeper.dev/hostname': host });
        await terminate(program);
      });
    }
    for (const host of ['', 'h'.repeat(254)]) {
      it(`refuses ${host.length} characters at the start`, async () => {
        const args = ['publish', '--kubeconfig', kubeconfig, '--hostname-override', host];
        const { code, stdout, stderr } = await runProgram(args);
        assert.deepEqual([code, stdout], [2, '']);
        assert.match(stderr, /^leasekeeper: --hostname-override "[^\n]*": must [^\n]*\n$/);
      });
    }
  });
});
