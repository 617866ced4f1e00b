/** `leases` and `step-down` as their user sees them, on an API server in this process. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { main } from '../../src/commands/main.ts';
import { LeaderElector } from '../../src/election/elector.ts';
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { Seen } from '../e2e/support.ts';
import { embedded, until } from '../e2e/support.ts';

const path = (namespace: string): string => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
const time = (agoMs: number): string => new Date(Date.now() - agoMs).toISOString().replace('Z', '000Z');

async function make(at: Seen, namespace: string, name: string, spec: object, labels: object = {}): Promise<void> {
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace, name, labels }, spec };
  const { status, json } = await at.call('POST', path(namespace), lease);
  assert.equal(status, 201, JSON.stringify(json));
}

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
const failed = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function world(t: TestContext) {
  const { kubeconfig, at } = await embedded(t);
  const run = async (line: string): Promise<Run> => {
    const output = { out: '', err: '' };
    const io = {
      env: { KUBECONFIG: kubeconfig },
      terminal: false,
      out: (text: string) => void (output.out += text),
      err: (text: string) => void (output.err += text),
    };
    // As the entry does with what goes wrong.
    const code = await main(line.split(' '), io).catch((error: unknown) => {
      output.err += `leasekeeper: ${failed(error)}\n`;
      return 1;
    });
    return { code, ...output };
  };
  return { kubeconfig, at, run };
}

const names = ({ out }: Run): string[] =>
  out
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('/')[1] ?? line);

describe('leases', () => {
  test('a table, filters and documents', async (t) => {
    const { at, run } = await world(t);
    const apps = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'apps' } };
    assert.equal((await at.call('POST', '/api/v1/namespaces', apps)).status, 201);
    const renewed = { renewTime: time(1_000), leaseDurationSeconds: 15 };
    await make(at, 'default', 'led', { holderIdentity: 'a', acquireTime: time(9e5), leaseTransitions: 7, ...renewed });
    await make(at, 'default', 'free', { holderIdentity: '', acquireTime: time(9e5), leaseTransitions: 1 });
    await make(
      at,
      'default',
      'lock',
      { holderIdentity: '', leaseTransitions: 1 },
      { 'leasekeeper.dev/kind': 'lock', app: 'x' },
    );
    await make(at, 'apps', 'dead', {
      holderIdentity: 'b',
      acquireTime: time(9e5),
      leaseTransitions: 0,
      renewTime: time(60_000),
      leaseDurationSeconds: 15,
    });
    await make(at, 'kube-node-lease', 'n1', { holderIdentity: 'n1', ...renewed });
    await make(at, 'apps', 'odd', { holderIdentity: 'x' });
    const table = await run('leases');
    assert.deepEqual([table.code, table.err], [0, '']);
    const rows = table.out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/\s{2,}/).slice(0, 3));
    assert.deepEqual(rows, [
      ['NAME', 'KIND', 'STATE'],
      ['free', 'election', 'Released'],
      ['led', 'election', 'Live'],
      ['lock', 'lock', 'Released'],
    ]);
    assert.match(table.out, /^led\s+election\s+Live\s+a\s+\S+\s+7\s/m);
    assert.match(
      (await run('leases -A -o wide')).out,
      /^NAMESPACE\s+NAME\s+KIND\s+STATE\s+HOLDER\s+RENEWED\s+TRANSITIONS\s+AGE\s+DURATION/,
    );
    assert.deepEqual(names(await run('leases -A -o name')), ['dead', 'odd', 'free', 'led', 'lock', 'n1']);
    assert.deepEqual(names(await run('leases -A --leaderless -o name')), ['dead', 'free']);
    assert.deepEqual(names(await run('leases -A --kind heartbeat,unknown -o name')), ['odd', 'n1']);
    assert.deepEqual(names(await run('leases -n apps -o name')), ['dead', 'odd']);
    assert.deepEqual(names(await run('leases -l app=x -o name')), ['lock']);
    const document = JSON.parse((await run('leases -A -o json')).out) as {
      kind: string;
      items: { metadata: { name: string; labels?: object }; status: { kind: string; held: boolean | null } }[];
    };
    assert.equal(document.kind, 'Leases');
    assert.deepEqual(
      document.items.map(({ metadata, status }) => [metadata.name, status.kind, status.held]),
      [
        ['dead', 'election', false],
        ['odd', 'unknown', true],
        ['free', 'election', false],
        ['led', 'election', true],
        ['lock', 'lock', false],
        ['n1', 'heartbeat', true],
      ],
    );
    assert.deepEqual(document.items[4]?.metadata.labels, { app: 'x', 'leasekeeper.dev/kind': 'lock' });
    const yaml = (await run('leases -n apps --kind election -o yaml')).out;
    assert.match(yaml, /^kind: Leases$/m);
    assert.match(yaml, /^ {6}held: false$/m);
    const none = await run('leases -n nowhere');
    assert.deepEqual([none.code, none.out, none.err], [0, '', 'No resources found in namespace nowhere\n']);
  });

  test('--observe judges by change: who is silent for its duration has expired, whatever its clock says', async (t) => {
    const { at, run } = await world(t);
    const ahead = { holderIdentity: 'a', acquireTime: time(9e5), leaseDurationSeconds: 1, leaseTransitions: 1 };
    await make(at, 'default', 'ahead', { ...ahead, renewTime: time(-3_600_000) });
    assert.deepEqual(names(await run('leases --leaderless -o name')), []);
    const { out } = await run('leases --leaderless --observe 1200ms -o name');
    assert.equal(out, 'lease.coordination.k8s.io/ahead\n');
  });

  test('wrong usage, all of it at once', async (t) => {
    const { run } = await world(t);
    const wrong = await run('leases -A -n Default --kind lease --leaderless --observe 1s --watch');
    assert.equal(wrong.code, 2);
    for (const problem of [
      /--namespace "Default": must be lower-case/,
      /--all-namespaces: cannot be used with --namespace/,
      /--kind "lease": must be one or more of identity, heartbeat, election, lock/,
      /--observe "1s": cannot be used with --watch/,
    ])
      assert.match(wrong.err, problem);
    assert.match((await run('leases --kind lock --leaderless')).err, /--kind: cannot be used with --leaderless/);
  });
});

test('step-down: a leader of ours releases, client-go’s is named, and so is what is missing', async (t) => {
  const { at, run, kubeconfig } = await world(t);
  const connection = await connect({ kubeconfig, env: {}, clock: createSystemClock(), random: Math.random });
  t.after(() => connection.close());
  const stop = new AbortController();
  const electors = ['a', 'b'].map((id) => {
    const elector = new LeaderElector({
      store: connection.store,
      clock: createSystemClock(),
      random: Math.random,
      lease: { namespace: 'default', name: 'job' },
      id,
      uuid: `${id}-1`,
      work: (term) => new Promise((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true })),
    });
    return { elector, run: elector.run(stop.signal) };
  });
  t.after(async () => {
    stop.abort();
    await Promise.all(electors.map(({ run }) => run));
  });
  const leader = () => electors.find(({ elector }) => elector.term)?.elector;
  const first = await until('a leader', leader, 20_000);
  const other = electors.find(({ elector }) => elector !== first)!.elector;
  await until('the other to see it', () => other.leader === first.holder, 20_000);
  const done = await run(`step-down job --to ${other.holder}`);
  assert.deepEqual(
    [done.code, done.out, done.err],
    [0, `default/job: ${first.holder} stepped down, ${other.holder} holds the lease now\n`, ''],
  );
  assert.equal(await until('the next leader', leader, 20_000), other);
  const already = await run(`step-down default/job --to ${other.holder}`);
  assert.deepEqual(
    [already.code, already.err],
    [1, `leasekeeper: default/job: ${other.holder} holds the lease already\n`],
  );
  await make(at, 'default', 'theirs', { holderIdentity: 'x', leaseTransitions: 1, acquireTime: time(0) });
  const theirs = await run('step-down theirs');
  assert.equal(theirs.code, 1);
  assert.match(theirs.err, /^leasekeeper: default\/theirs: x cannot be asked to step down/);
  assert.match((await run('step-down none')).err, /there is no lease default\/none/);
  const wrong = await run('step-down a/b/c --wait 0s');
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  assert.match(wrong.err, /--wait "0s"/);
});
