/** `leasekeeper heartbeat` and `leasekeeper nodes`, on the embedded server. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProgram, startProgram } from '../support/process.ts';
import { embedded, scratch, until } from './support.ts';
import { LEASES, ask, heartbeat, lease, makeNode, ownedBy, story, urlOf } from './heartbeat-support.ts';

describe('on the embedded server', { concurrency: 3 }, () => {
  it('a node: claimed, renewed, deleted, recreated, stopped', async (t) => {
    await story(t, await embedded(t));
  });

  it('nodes of a selector, as they come', async (t) => {
    const world = await embedded(t);
    await makeNode(world, 'a', { type: 'virtual' });
    await makeNode(world, 'other');
    const program = heartbeat(t, world, '--nodes-selector', 'type=virtual', '--renew-interval', '500ms');
    await until('the first', () => lease(world, 'a'));
    const uid = await makeNode(world, 'b', { type: 'virtual' });
    await ownedBy(world, 'b', uid);
    assert.equal(await lease(world, 'other'), undefined);
    program.signal('SIGTERM');
    assert.equal((await program.exitWithin(120_000)).code, 0);
  });

  it('nodes tells who is Ready and who is Unknown, in every form', async (t) => {
    const world = await embedded(t);
    for (const name of ['alive', 'dead', 'bare']) await makeNode(world, name);
    await makeNode(world, 'broken', {}, 'False');
    const renewTime = '2100-01-01T00:00:00.000000Z';
    const spec = { holderIdentity: 'dead', leaseDurationSeconds: 40, renewTime };
    await world.at.call('POST', LEASES, { metadata: { name: 'dead' }, spec });
    heartbeat(t, world, '--node', 'alive', '--node', 'broken', '--renew-interval', '300ms');
    await until('its lease', () => lease(world, 'alive'));
    await until('its lease', () => lease(world, 'broken'));
    const nodes = (...args: string[]): ReturnType<typeof runProgram> =>
      runProgram(['nodes', '--kubeconfig', world.kubeconfig, ...args]);
    const [table, json, name, open] = await Promise.all([
      nodes('--grace', '2s'),
      nodes('--grace', '2s', '-o', 'json'),
      nodes('--grace', '2s', '-o', 'name', '--node', 'alive', '--node', 'bare'),
      nodes('--wait', '0s', '--node', 'dead'),
    ]);
    assert.deepEqual([table.code, table.stderr], [0, '']);
    const cells = table.stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/).slice(0, 2));
    assert.deepEqual(cells, [
      ['NAME', 'STATUS'],
      ['alive', 'Ready'],
      ['bare', 'Unknown'],
      ['broken', 'NotReady'],
      ['dead', 'Unknown'],
    ]);
    const document = JSON.parse(json.stdout) as { counts: object; items: { name: string; lease: object | null }[] };
    assert.deepEqual(document.counts, { ready: 1, notReady: 1, unknown: 2, pending: 0 });
    assert.equal(document.items.find((item) => item.name === 'bare')?.lease, null);
    assert.equal(name.stdout, 'node/alive\nnode/bare\n');
    assert.match(open.stdout, /dead +Pending/, 'not looked at long enough: neither Ready nor Unknown');
  });

  it('nodes tells of a Node that was asked for and is not there', async (t) => {
    const world = await embedded(t);
    await makeNode(world, 'here');
    const nodes = (...names: readonly string[]): ReturnType<typeof runProgram> =>
      runProgram(['nodes', '--kubeconfig', world.kubeconfig, '--wait', '0s', ...names.map((name) => `--node=${name}`)]);
    const [some, none] = await Promise.all([nodes('here', 'gone'), nodes('gone')]);
    assert.deepEqual([some.code, some.stderr], [1, 'leasekeeper: there is no such Node: gone\n']);
    assert.match(some.stdout, /^here +Pending/m);
    assert.deepEqual([none.code, none.stdout, none.stderr], [1, '', 'leasekeeper: there is no such Node: gone\n']);
  });

  it('nodes --watch prints what changes', async (t) => {
    const world = await embedded(t);
    await makeNode(world, 'a');
    const beating = heartbeat(t, world, '--node', 'a', '--renew-interval', '300ms');
    await until('its lease', () => lease(world, 'a'));
    const program = startProgram(['nodes', '--kubeconfig', world.kubeconfig, '--grace', '2s', '--watch'], { t });
    await program.waitForLine(/^a +Ready/);
    await beating.kill();
    await program.waitForLine(/^a +Unknown/);
    program.signal('SIGINT');
    assert.equal((await program.exitWithin(120_000)).code, 0);
  });

  it('serves /v1/nodes: from memory, 503 with the last known answer when it is too old', async (t) => {
    const world = await embedded(t);
    for (const name of ['alive', 'dead']) await makeNode(world, name);
    const beating = heartbeat(t, world, '--node', 'alive', '--renew-interval', '300ms', '--http-address', '0');
    await until('its lease', () => lease(world, 'alive'));
    const program = startProgram(['nodes', '--kubeconfig', world.kubeconfig, '--grace', '2s', '--http-address', '0'], {
      t,
    });
    const url = await urlOf(program);
    const counts = await until('the dead to be Unknown', async () => {
      const { status, body } = await ask(`${url}/v1/nodes`);
      const { counts: found } = JSON.parse(body) as { counts: { unknown: number } | null };
      return status === 200 && found?.unknown === 1 && found;
    });
    assert.deepEqual(counts, { ready: 1, notReady: 0, unknown: 1, pending: 0 });
    const { nodes } = JSON.parse((await ask(`${url}/v1/nodes`)).body) as { nodes: { name: string; status: string }[] };
    assert.deepEqual(
      nodes.map(({ name, status }) => [name, status]),
      [
        ['alive', 'Ready'],
        ['dead', 'Unknown'],
      ],
    );
    assert.match((await ask(`${url}/metrics`)).body, /^leasekeeper_nodes\{status="Ready"\} 1$/m);
    assert.equal((await ask(`${url}/readyz`)).body, 'ok');

    const own = await urlOf(beating);
    assert.match((await ask(`${own}/readyz?verbose`)).body, /1 of 1 nodes have their heartbeat/);
    const metrics = (await ask(`${own}/metrics`)).body;
    assert.match(metrics, /^leasekeeper_heartbeat_nodes 1$/m);
    assert.match(metrics, /^leasekeeper_heartbeat_renewals_total [1-9]/m);

    await world.server.close();
    const old = await until('503', async () => {
      const answer = await ask(`${url}/v1/nodes`);
      return answer.status === 503 && answer.body;
    });
    const { counts: none, last } = JSON.parse(old) as { counts: null; last: { counts: object; ageSeconds: number } };
    assert.equal(none, null);
    assert.deepEqual(
      last.counts,
      { ready: 1, notReady: 0, unknown: 1, pending: 0 },
      'the nodes are not dead: the API is away',
    );
    assert.ok(last.ageSeconds >= 2);
    assert.equal((await ask(`${url}/readyz`)).status, 503);
    assert.equal((await ask(`${own}/readyz`)).status, 200, 'heartbeats outlive an outage shorter than their leases');
    for (const one of [program, beating]) {
      one.signal('SIGTERM');
      assert.equal((await one.exitWithin(120_000)).code, 0, one.output());
    }
  });

  it('--concurrency is how many requests are under way at once, also above the 64 of other commands', async (t) => {
    const world = await embedded(t);
    await Promise.all(Array.from({ length: 800 }, (_, i) => makeNode(world, `node-${i}`)));
    const held = world.server.faults.add({ match: { method: 'POST' }, fault: { type: 'hang' } });
    const times = ['--lease-duration', '200s', '--renew-interval', '100s', '--request-timeout', '99s'];
    heartbeat(t, world, '--nodes-selector', '', '--concurrency', '150', ...times);
    await until('the first', () => held.hits > 0);
    const began = performance.now();
    await until('more than 64 at once', () => held.hits > 80, 95_000);
    assert.ok(performance.now() - began < 98_000, 'none of them was given up by then');
  });

  it('takes another interval from its file, and on SIGHUP; names what needs a restart', async (t) => {
    const world = await embedded(t);
    const config = join(await scratch(t), 'leasekeeper.yaml');
    const write = (text: string): Promise<void> =>
      writeFile(config, `apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\n${text}`);
    await write('heartbeatInterval: 30s\nnode: [a]\n');
    await makeNode(world, 'a');
    const program = heartbeat(t, world, '--config', config);
    const first = await until('its lease', () => lease(world, 'a'));
    await write('heartbeatInterval: 300ms\nheartbeatDuration: 8s\nnode: [a, b]\n');
    await program.waitForLine(/configuration changed.*heartbeatInterval: 30s -> 300ms/, { from: 'stderr' });
    await program.waitForLine(/needs a restart.*node: a -> a,b/, { from: 'stderr' });
    const next = await until('a renewal long before 30 s', async () => {
      const now = await lease(world, 'a');
      return now?.spec.renewTime !== first.spec.renewTime && now;
    });
    assert.equal((next.spec as { leaseDurationSeconds?: number }).leaseDurationSeconds, 8);
    await write('heartbeatInterval: 9s\nheartbeatDuration: 8s\nnode: [a]\n');
    await program.waitForLine(/not usable.*heartbeatInterval .*9s.*: must be shorter/, { from: 'stderr' });
    program.signal('SIGHUP');
    await until('it to be reported again', () => program.stderr.filter((line) => /not usable/.test(line)).length === 2);
    program.signal('SIGTERM');
    assert.equal((await program.exitWithin(120_000)).code, 0, program.output());
  });

  it('bad input: each problem with its option and rule, exit 2', async () => {
    const cases: [string[], RegExp][] = [
      [['heartbeat'], /--node: is needed/],
      [['heartbeat', '--node', 'Not_A_Node'], /--node "Not_A_Node": must be lower-case/],
      [['heartbeat', '--node', 'a', '--nodes-selector', 'x=y'], /cannot be given together/],
      [['heartbeat', '--node', 'a', '--renew-interval', '40s'], /--renew-interval "40s": must be shorter/],
      [['nodes', '--grace', '0s'], /--grace "0s": must be greater than 0/],
      [['nodes', '--http-address', 'x'], /--http-address "x": must be PORT/],
      [['nodes', '--http-address', ':0', '-w'], /--http-address ":0": cannot be given together with --watch/],
      [['heartbeat', '--node', 'a', '--http-address', '70000'], /--http-address "70000": must be PORT/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => runProgram(args)));
    for (const [i, { code, stderr }] of outcomes.entries()) {
      assert.equal(code, 2, stderr);
      assert.match(stderr, cases[i]![1]);
    }
  });

  it('an API that cannot be reached is an error, not an empty list', async (t) => {
    const path = join(await scratch(t), 'kubeconfig');
    const { server } = await embedded(t);
    await writeFile(path, server.kubeconfig());
    await server.close();
    const { code, stdout, stderr } = await runProgram(['nodes', '--kubeconfig', path]);
    assert.deepEqual([code, stdout], [1, ''], stderr);
    assert.match(stderr, /no connection/);
  });
});
