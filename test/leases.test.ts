/** The door, on the embedded server: names, ends, and what is said where nobody listens. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { Registry } from 'prom-client';
import { leaseMetrics } from '../src/adapters/prom-client.ts';
import type { EmbeddedServer } from '../src/embedded/embedded-server.ts';
import { openLeases } from '../src/leases.ts';
import type { Leases, OpenOptions } from '../src/leases.ts';
import type { Lease } from '../src/lease/lease.ts';
import { embedded, scratch, until } from './e2e/support.ts';
import { runProgram } from './support/process.ts';

interface World {
  readonly leases: Leases;
  readonly server: EmbeddedServer;
  readonly kubeconfig: string;
}

async function opened(t: TestContext, options: OpenOptions = {}): Promise<World> {
  const { server, kubeconfig } = await embedded(t);
  // A logger, so that nothing is said here.
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const leases = await openLeases({ kubeconfig, logger, ...options });
  t.after(() => leases.close());
  return { leases, server, kubeconfig };
}

const at = ({ leases }: World, namespace: string, name: string): Promise<Lease | undefined> =>
  leases.store.get({ namespace, name }).catch(() => undefined);

test('a name lies in the namespace of the context, another one is named before it; anything else is refused', async (t) => {
  const world = await opened(t);
  const { leases, server } = world;
  assert.equal(leases.namespace, 'default');
  await leases.lock('schema').use(async () => {});
  await leases.lock('kube-system/schema').use(async () => {});
  assert.ok(await at(world, 'default', 'schema'));
  assert.ok(await at(world, 'kube-system', 'schema'));
  const before = server.requests.total;
  for (const ref of ['', '/', 'a/', '/b', 'a/b/c', undefined as unknown as string]) {
    const rule = {
      name: 'OptionsError',
      problems: [{ field: 'ref', value: ref, rule: 'must be a name, or namespace/name' }],
    };
    assert.throws(() => leases.lock(ref), rule);
    await assert.rejects(
      leases.lead(ref, async () => {}),
      rule,
    );
  }
  await assert.rejects(leases.publish({ renewIntervalMs: 0 }), { name: 'OptionsError' });
  const none = undefined as unknown as () => Promise<void>;
  const noWork = {
    name: 'OptionsError',
    problems: [{ field: 'work', value: 'undefined', rule: 'must be a function' }],
  };
  await assert.rejects(leases.lead('a', none), noWork);
  assert.throws(() => leases.shards('a', 1, none), noWork);
  assert.equal(server.requests.total, before);
});

test('close ends all that was begun, in order, and nothing comes after it', async (t) => {
  const world = await opened(t);
  const { leases, server } = world;
  const ended: string[] = [];
  const census = leases.census();
  const running = [
    leases
      .publish({ hostname: 'master-1', shutdownPolicy: 'delete' })
      .then((outcome) => ended.push(`publish ${outcome}`)),
    leases.lead('job', async (term) => {
      await new Promise((resolve) => term.signal.addEventListener('abort', resolve));
      term.check();
      ended.push('work');
    }),
    census.run(new AbortController().signal).then(() => ended.push('census')),
    leases.lock('schema').use(async (term) => {
      await new Promise((resolve) => term.signal.addEventListener('abort', resolve));
      ended.push('lock');
    }),
  ];
  await until(
    'all to run',
    async () =>
      (await at(world, 'default', 'job')) &&
      (await at(world, 'default', 'schema')) &&
      census.census()?.counts?.instances === 1,
  );
  await leases.close();
  assert.deepEqual(ended.toSorted(), ['census', 'lock', 'publish deleted', 'work']);
  await Promise.all(running);
  const { total } = server.requests;
  await leases.close();
  assert.equal(server.requests.total, total);
});

test('a signal ends what it was given to, and nothing else', async (t) => {
  const world = await opened(t);
  const stop = new AbortController();
  const terms: number[] = [];
  const leading = world.leases.lead(
    'job',
    async (term) => {
      terms.push(term.fencingToken);
      stop.abort();
    },
    { signal: stop.signal, id: 'me' },
  );
  await leading;
  assert.equal(terms.length, 1);
  assert.equal((await at(world, 'default', 'job'))?.spec.holderIdentity, '');
  assert.deepEqual(await world.leases.once('migration', 'v42', async (term) => term.holder.length > 0), {
    ran: true,
    value: true,
  });
  assert.deepEqual(await world.leases.once('migration', 'v42', async () => assert.fail('twice')), { ran: false });
  assert.equal(await world.leases.semaphore('render', 2).use(async ({ slot }) => slot < 2), true);
});

test('nodes by name, kept alive and watched', async (t) => {
  const { leases, server } = await opened(t);
  for (const name of ['a', 'b'])
    server.handle({
      method: 'POST',
      url: '/api/v1/nodes',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name } }),
    });
  const { signal } = new AbortController();
  const heartbeat = leases.heartbeat(['a']);
  const monitor = leases.availability();
  const running = [heartbeat.run(signal), monitor.run(signal)];
  await until('both Nodes and a heartbeat', () => monitor.snapshot().nodes.length === 2 && heartbeat.status.held === 1);
  assert.deepEqual(
    monitor.snapshot().nodes.map(({ name }) => name),
    ['a', 'b'],
  );
  await leases.close();
  await Promise.all(running);
});

test('each observer is made for each thing; a logger gets everything, with the lease in each line', async (t) => {
  const lines: [string, object][] = [];
  const line =
    (level: string) =>
    (fields: object | string, text = '') =>
      void lines.push(typeof fields === 'string' ? [`${level} ${fields}`, {}] : [`${level} ${text}`, fields]);
  const logger = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  const registry = new Registry();
  const events: string[] = [];
  const { leases } = await opened(t, {
    logger,
    observe: [
      leaseMetrics(registry),
      {
        election:
          ({ name }) =>
          ({ type }) =>
            void events.push(`${name} ${type}`),
      },
    ],
  });
  const stop = new AbortController();
  const tokens: number[] = [];
  await leases.lead('job', async (term) => (tokens.push(term.fencingToken), stop.abort()), { signal: stop.signal });
  assert.ok(events.includes('job leading'));
  assert.deepEqual(lines.find(([text]) => text === 'info leading')?.[1], {
    lease: 'default/job',
    because: 'there was no lease',
    fencingToken: tokens[0],
  });
  assert.match(await registry.metrics(), /leader_election_master_status\{lease_namespace="default",name="job"\} 0/);
});

test('it takes a KubeConfig made in code by client-node', async (t) => {
  const { server } = await embedded(t);
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromString(server.kubeconfig());
  const leases = await openLeases({ kubeConfig });
  t.after(() => leases.close());
  assert.equal((await leases.takeCensus()).counts?.instances, 0);
});

/** Runs a program that uses `openLeases`, from source. */
async function program(t: TestContext, kubeconfig: string, text: string): ReturnType<typeof runProgram> {
  const script = join(await scratch(t), 'program.ts');
  const index = new URL('../src/index.ts', import.meta.url).href;
  await writeFile(
    script,
    `import { openLeases } from ${JSON.stringify(index)};\nconst leases = await openLeases();\n${text}`,
  );
  return runProgram([], { script, env: { KUBECONFIG: kubeconfig } });
}

test('nobody listens: while all is well nothing is said, and pino is not loaded', async (t) => {
  const { kubeconfig } = await embedded(t);
  const { code, stdout, stderr } = await program(
    t,
    kubeconfig,
    `const stop = new AbortController();
    await leases.lead('job', async () => stop.abort(), { signal: stop.signal });
    await leases.close();
    const { createRequire } = await import('node:module');
    console.log(Object.keys(createRequire(import.meta.url).cache).filter((path) => /[/]pino[/]/.test(path)).length);`,
  );
  assert.deepEqual([code, stdout, stderr], [0, '0\n', '']);
});

test('nobody listens: what a work throws is said once on stderr, or rejects where that was asked for', async (t) => {
  const { kubeconfig } = await embedded(t);
  const { code, stdout, stderr } = await program(
    t,
    kubeconfig,
    `const rejecting = leases.lead('other', async () => { throw new TypeError('rejects'); }, { onWorkError: 'reject' });
    await rejecting.catch((error) => console.log(String(error)));
    const times = { leaseDurationSeconds: 1, renewDeadlineMs: 800, retryPeriodMs: 100 };
    let terms = 0;
    await leases.lead('job', async () => {
      if (++terms === 3) void leases.close();
      throw new TypeError('no such thing');
    }, times);`,
  );
  assert.deepEqual([code, stdout], [0, 'TypeError: rejects\n']);
  const lines = stderr.trim().split('\n');
  assert.deepEqual(
    lines.map((line) => /WARN +.*the work has failed.*lease=default\/(\w+).*error="?(.*?)"?$/.exec(line)?.slice(1)),
    [
      ['other', 'rejects'],
      ['job', 'no such thing'],
    ],
    stderr,
  );
});

test('nobody listens: a refusal is said once on stderr', async (t) => {
  const { server, kubeconfig } = await embedded(t);
  server.faults.add({ match: { resource: 'leases' }, fault: { type: 'status', code: 403, reason: 'Forbidden' } });
  const { code, stderr } = await program(
    t,
    kubeconfig,
    `const times = { leaseDurationSeconds: 1, renewDeadlineMs: 800, retryPeriodMs: 100 };
    setTimeout(() => void leases.close(), 1_000);
    await leases.lead('job', async () => {}, times);`,
  );
  assert.equal(code, 0);
  assert.ok(server.requests.total > 4);
  const lines = stderr.trim().split('\n');
  assert.ok(lines.length > 0 && lines.length <= 3, stderr);
  assert.match(stderr, /ERROR +reading the lease failed.*default\/job/);
});
