/**
 * `leasekeeper elect` as its user sees it: the command's environment, signals and exit codes; policies; what it tells.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { buildCommands, buildEntry } from '../../scripts/build.ts';
import { runProgram } from '../support/process.ts';
import {
  KILL_MS,
  LEASE_MS,
  PATIENT,
  RENEW_MS,
  RETRY_MS,
  alive,
  elect,
  leads,
  now,
  spans,
  stubborn,
  watchdogOf,
} from './elect-support.ts';
import type { LeaseJson, Seen } from './support.ts';
import { AT_ONCE_MS, embedded, lines, noTraces, scratch, until } from './support.ts';

const PATH = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

async function lease(at: Seen, name: string): Promise<LeaseJson> {
  const { status, json } = await at.call('GET', `${PATH}/${name}`);
  assert.equal(status, 200, JSON.stringify(json));
  return json as LeaseJson;
}

describe('elect', { concurrency: 2 }, () => {
  let kubeconfig: string;
  let at: Seen;
  let dir: string;
  const hooks: (() => Promise<void>)[] = [];
  const scope = { after: (hook: () => Promise<void>) => void hooks.push(hook) };
  before(async () => {
    ({ kubeconfig, at } = await embedded(scope));
    dir = await scratch(scope);
  });
  after(async () => {
    for (const hook of hooks) await hook();
  });

  test("the command's environment and exit code; the lease is released", async (t) => {
    const program = elect(t, {
      kubeconfig,
      lease: 'env',
      id: 'a',
      command: ['sh', '-c', 'env | grep ^LEASEKEEPER_; echo "$0 $*"; exit 7', '-x', '--lease', 'b c'],
    });
    const { code } = await program.exitWithin(120_000);
    assert.equal(code, 7, program.output());
    const out = program.stdout.toSorted();
    assert.equal(out[0], '-x --lease b c');
    assert.match(out[1] ?? '', /^LEASEKEEPER_FENCING_TOKEN=\d+$/);
    assert.match(out[2] ?? '', /^LEASEKEEPER_HOLDER=a_[0-9a-f-]{36}$/);
    assert.equal(out[3], 'LEASEKEEPER_LEASE=default/env');
    const { spec } = await lease(at, 'env');
    assert.deepEqual([spec.holderIdentity, spec.leaseDurationSeconds, spec.leaseTransitions], ['', 1, 0]);
  });

  test('built, the watchdog is found too', async (t) => {
    const dist = await scratch(t);
    // As in an installed package: Node asks it what kind of module a file is.
    await writeFile(join(dist, 'package.json'), '{"type":"module"}');
    await Promise.all([buildCommands(dist), buildEntry(dist)]);
    const to = ['--kubeconfig', kubeconfig, '--lease', 'default/built', '--log-level=error'];
    const program = ['elect', ...to, '--', 'sh', '-c', 'tr "\\0" " " < /proc/$PPID/cmdline; exit 3'];
    const { code, stdout, stderr } = await runProgram(program, { script: join(dist, 'cli.js'), t });
    assert.deepEqual([code, stderr], [3, '']);
    assert.ok(stdout.trimEnd().endsWith(` ${join(dist, 'cli/watchdog.cjs')}`), stdout);
  });

  test('killed by a signal: 128 and its number; not a file to execute: no lease is touched', async (t) => {
    const killed = elect(t, { kubeconfig, lease: 'killed', command: ['sh', '-c', 'kill -9 $$'] });
    assert.equal((await killed.exitWithin(120_000)).code, 137, killed.output());
    const missing = elect(t, { kubeconfig, lease: 'missing', command: ['no-such-command'] });
    assert.equal((await missing.exitWithin(120_000)).code, 2);
    assert.deepEqual(missing.stderr, ['leasekeeper: COMMAND "no-such-command": not found in PATH']);
    assert.equal((await at.call('GET', `${PATH}/missing`)).status, 404);
    // Gone once it was looked for: only starting it shows what is wrong.
    const vanishes = join(dir, 'vanishes');
    await writeFile(vanishes, '#!/bin/sh\nrm "$0"; exit 1\n', { mode: 0o755 });
    const gone = elect(t, { kubeconfig, lease: 'gone', args: ['--restart', 'on-failure'], command: [vanishes] });
    await gone.waitForLine(/the command could not be started: no such file/).catch(() => assert.fail(gone.output()));
    gone.signal('SIGTERM');
    await gone.exitWithin(120_000);
    assert.equal((await lease(at, 'gone')).spec.holderIdentity, '');
  });

  test('wrong usage is reported at once, all of it', async () => {
    const none = await runProgram(['elect', '--lease', 'a/b']);
    assert.deepEqual(
      [none.code, none.stderr],
      [2, 'leasekeeper: COMMAND: is required, or --http-address to say who leads\n'],
    );
    const wrong = await runProgram([
      'elect',
      '--lease',
      'a/b/c',
      '--restart',
      'often',
      '--renew-deadline',
      '20s',
      '--',
      'true',
    ]);
    assert.equal(wrong.code, 2);
    assert.equal(
      wrong.stderr,
      'leasekeeper: --restart "often": must be one of never, on-failure, always\n' +
        'leasekeeper: --lease "a/b/c": must be [NAMESPACE/]NAME\n' +
        'leasekeeper: --lease-duration "15s": must be longer than the renew deadline\n',
    );
  });

  test('SIGTERM goes to the command first, and the lease is released when it has ended', async (t) => {
    const file = join(dir, 'ordered');
    // Who waited for the lease to expire would wait for longer than a release takes on any machine.
    const args = PATIENT;
    const program = elect(t, { kubeconfig, lease: 'ordered', id: 'a', file, args });
    const next = elect(t, { kubeconfig, lease: 'ordered', id: 'b', file, args });
    const first = await until('a leader', () => spans(file)[0]);
    const [leader, standby] = first.who.startsWith('a_') ? [program, next] : [next, program];
    leader.signal('SIGTERM');
    const { code } = await leader.exitWithin(120_000);
    assert.equal(code, 0, leader.output());
    const second = await until('the other', () => spans(file)[1]);
    const ended = spans(file)[0];
    assert.ok(ended?.asked !== undefined && ended.to - ended.asked >= 150, 'it had its time');
    assert.ok(second.from > ended.to);
    assert.ok(second.from - ended.to < AT_ONCE_MS, `the other leads ${second.from - ended.to} ms later`);
    assert(second.token > first.token);
    noTraces(leader);
    standby.signal('SIGINT');
    assert.equal((await standby.exitWithin(120_000)).code, 130, standby.output());
  });

  test('one that ignores SIGTERM is killed after --stop-timeout, with its whole group; renewed until then', async (t) => {
    const file = join(dir, 'stubborn');
    // The shell waits for both; none of the three listens.
    const shell = `trap '' TERM; "$@" & "$@"; wait`;
    const program = elect(t, {
      kubeconfig,
      lease: 'stubborn',
      id: 'a',
      args: [`--stop-timeout=${LEASE_MS + 500}ms`],
      command: ['sh', '-c', shell, 'sh', ...stubborn(file)],
    });
    await until('both', () => spans(file).length === 2);
    const asked = now();
    program.signal('SIGTERM');
    const { code } = await program.exitWithin(120_000);
    const took = now() - asked;
    assert.equal(code, 137, program.output());
    assert.ok(took > LEASE_MS + 450 && took < LEASE_MS + 500 + AT_ONCE_MS, `killed after ${took} ms`);
    for (const { pid } of spans(file)) assert.ok(!alive(pid));
    assert.equal((await lease(at, 'stubborn')).spec.holderIdentity, '');
  });

  test('--restart: contends again after a failure, or always; another end of the command is its last', async (t) => {
    const count = (name: string): string => `echo x >> ${join(dir, name)}; n=$(wc -l < ${join(dir, name)});`;
    const failing = elect(t, {
      kubeconfig,
      lease: 'failing',
      args: ['--restart=on-failure'],
      command: ['sh', '-c', `${count('failing')} echo $LEASEKEEPER_FENCING_TOKEN; test $n = 2`],
    });
    const always = elect(t, {
      kubeconfig,
      lease: 'always',
      args: ['--restart=always'],
      command: ['sh', '-c', `${count('always')} test $n = 2 && exec sleep 60; exit 0`],
    });
    assert.equal((await failing.exitWithin(120_000)).code, 0, failing.output());
    // Each time elected again.
    const [one, two] = failing.stdout.map(Number);
    assert.equal(failing.stdout.length, 2);
    assert(one! < two!);
    assert.equal(lines(failing, /stopped leading: the work has failed/).length, 1);
    await until('the second', () => readFileSync(join(dir, 'always'), 'utf8') === 'x\nx\n');
    await until('its start', () => lines(always, /started the command/).length === 2);
    always.signal('SIGTERM');
    assert.equal((await always.exitWithin(120_000)).code, 143, always.output());
  });

  test('a second SIGTERM ends everything at once; the lease is left to expire', async (t) => {
    const file = join(dir, 'twice');
    const program = elect(t, { kubeconfig, lease: 'twice', id: 'a', command: stubborn(file) });
    const { pid } = await leads(file, 'a');
    program.signal('SIGTERM');
    await until('the first', () => spans(file)[0]?.asked !== undefined);
    program.signal('SIGTERM');
    const { signal } = await program.exitWithin(120_000);
    assert.equal(signal, 'SIGTERM');
    assert.ok(!alive(pid));
    assert.match((await lease(at, 'twice')).spec.holderIdentity ?? '', /^a_/);
  });

  test('SIGHUP and SIGUSR1 are passed on; a standby that is asked to stop exits with 0', async (t) => {
    const trap = `trap 'echo hup' HUP; trap 'echo usr1; exit 4' USR1; echo ready; while :; do sleep 0.02; done`;
    const program = elect(t, { kubeconfig, lease: 'hup', args: PATIENT, command: ['sh', '-c', trap] });
    await program.waitForLine(/ready/, { from: 'stdout' });
    const standby = elect(t, { kubeconfig, lease: 'hup', args: PATIENT, command: ['true'] });
    await standby.waitForLine(/somebody else leads/);
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) standby.signal(signal);
    standby.signal('SIGTERM');
    assert.equal((await standby.exitWithin(120_000)).code, 0, standby.output());
    assert.doesNotMatch(standby.output(), /Debugger/);
    program.signal('SIGHUP');
    await program.waitForLine(/hup/, { from: 'stdout' });
    program.signal('SIGUSR1');
    assert.equal((await program.exitWithin(120_000)).code, 4, program.output());
  });

  test('--http tells who leads; Events stand at the lease', async (t) => {
    const candidate = (id: string) =>
      elect(t, {
        kubeconfig,
        lease: 'events',
        id,
        args: [...PATIENT, '--http=0', '--log-format=json'],
        command: ['sleep', '60'],
      });
    const url = async (program: ReturnType<typeof candidate>): Promise<string> =>
      (JSON.parse(await program.waitForLine(/"url"/)) as { url: string }).url;
    const get = async (base: string, path = '/'): Promise<string> => (await fetch(base + path)).text();
    const leader = candidate('a');
    const one = await url(leader);
    await leader.waitForLine(/"leading"/);
    const standby = candidate('b');
    const two = await url(standby);
    await standby.waitForLine(/somebody else leads/);
    const [seen, from] = [JSON.parse(await get(one)), JSON.parse(await get(two))];
    assert.deepEqual([seen.name, seen.leading], ['a', true]);
    assert(Number.isSafeInteger(seen.fencingToken));
    assert.ok(seen.remainingSeconds > 0 && seen.remainingSeconds <= 40);
    assert.deepEqual([from.name, from.leading, from.leader, from.fencingToken], ['a', false, seen.holder, undefined]);
    assert.match(
      await get(one, '/metrics'),
      /^leader_election_master_status\{lease_namespace="[^"]+",name="events"\} 1$/m,
    );
    assert.match(
      await get(two, '/metrics'),
      /^leader_election_master_status\{lease_namespace="[^"]+",name="events"\} 0$/m,
    );
    assert.match(await get(two, '/healthz?verbose'), /leaderElection ok: standing by; a_\S+ leads/);
    leader.signal('SIGTERM');
    await leader.exitWithin(120_000);
    await until('the other', async () => JSON.parse(await get(two)).leading === true);
    const events = await until('Events', async () => {
      const { json } = await at.call('GET', '/apis/events.k8s.io/v1/namespaces/default/events');
      const { items } = json as { items: { note: string; reason: string; metadata: { name: string } }[] };
      const ours = items.filter((e) => e.reason === 'LeaderElection' && e.metadata.name.startsWith('events.'));
      return ours.length >= 2 && ours.map(({ note }) => note.replace(/_\S+/, ''));
    });
    assert.ok(events.includes('a became leader') && events.includes('b became leader'), events.join());
    standby.signal('SIGTERM');
    await standby.exitWithin(120_000);
  });

  test('no command without its watchdog: killed, it takes the command along; both begin again', async (t) => {
    const file = join(dir, 'unguarded');
    const program = elect(t, { kubeconfig, lease: 'unguarded', id: 'a', command: stubborn(file) });
    const first = await leads(file, 'a');
    const watchdog = watchdogOf(program);
    process.kill(watchdog, 'SIGKILL');
    const second = await leads(file, 'a', first.from + 1);
    const [ended] = spans(file);
    assert.ok(ended && ended.to < second.from && !alive(first.pid));
    assert(second.token > first.token);
    assert.notEqual(watchdogOf(program), watchdog);
  });

  test('--restart never: not run again when leadership ended before it was known that the command had', async (t) => {
    const file = join(dir, 'once');
    const command = ['sh', '-c', `echo $$ >> ${file}; until [ -e ${file}.end ]; do sleep 0.02; done; exit 5`];
    const args = ['--restart', 'never'];
    const program = elect(t, { kubeconfig, lease: 'once', id: 'a', args, command });
    await program.waitForLine(/started the command/);
    const begun = await until('the command', () => existsSync(file) && readFileSync(file, 'utf8'));
    program.signal('SIGSTOP');
    const stopped = now();
    await writeFile(`${file}.end`, '');
    await until('its end', () => !alive(Number(begun)));
    // Past the deadline, and before leasekeeper would have to think that its watchdog missed the kill.
    await wait(stopped + RENEW_MS + 20 - now());
    program.signal('SIGCONT');
    assert.equal((await program.exitWithin(120_000)).code, 5, program.output());
    assert.equal(readFileSync(file, 'utf8'), begun, program.output());
    await program.waitForLine(/leadership lost/);
  });

  test('a watchdog that stands still: leasekeeper itself keeps the deadline', async (t) => {
    const own = await embedded(t);
    const file = join(dir, 'still');
    let watchdog: number | undefined;
    t.after(() => {
      // Should it still be there: it ends the command.
      if (watchdog !== undefined && alive(watchdog)) process.kill(watchdog, 'SIGCONT');
    });
    const program = elect(t, { kubeconfig: own.kubeconfig, lease: 'still', id: 'a', command: stubborn(file) });
    const { pid } = await leads(file, 'a');
    watchdog = watchdogOf(program);
    process.kill(watchdog, 'SIGSTOP');
    own.server.faults.add({ match: { verb: 'update' }, fault: { type: 'drop' } });
    const cut = now();
    await until('its end', () => !alive(pid));
    const [{ to } = { to: NaN }] = spans(file);
    // Without it the command would never end; to the millisecond it is measured where the clock is moved.
    assert.ok(
      to - cut < KILL_MS + AT_ONCE_MS,
      `still ran ${to - cut} ms after the last renewal that can have succeeded`,
    );
  });

  test('a lease that somebody takes by force: the command is killed at once', async (t) => {
    const file = join(dir, 'taken');
    // The next try of a renewal would notice it, too: much later.
    const args = [...PATIENT, '--retry-period=30s'];
    const program = elect(t, { kubeconfig, lease: 'taken', id: 'a', args, command: stubborn(file) });
    const { pid } = await leads(file, 'a');
    const { status } = await at.call('PATCH', `${PATH}/taken`, { spec: { holderIdentity: 'thief' } });
    assert.equal(status, 200);
    const began = now();
    await until('its end', () => !alive(pid));
    assert.ok(now() - began < AT_ONCE_MS);
    await program.waitForLine(/leadership lost: somebody else holds the lease/);
  });

  test('a standby makes one read and one watch; one that the server ends is made again, and nothing else', async (t) => {
    const own = await embedded(t);
    const leader = elect(t, { kubeconfig: own.kubeconfig, lease: 'quiet', id: 'a', command: ['sleep', '60'] });
    await leader.waitForLine(/started the command/);
    own.server.requests.clear();
    const standby = elect(t, { kubeconfig: own.kubeconfig, lease: 'quiet', id: 'b', command: ['sleep', '60'] });
    await standby.waitForLine(/somebody else leads/);
    await wait(LEASE_MS + 1_000);
    const asked = (): string[] =>
      own.server.requests.matching({ verb: /^(get|list|watch|create)$/ }).map(({ verb }) => `${verb}`);
    assert.deepEqual(asked(), ['list', 'watch']);
    assert.equal(own.server.faults.cutWatches({ clean: true, match: { userAgent: /leasekeeper/ } }), 2);
    await wait(RETRY_MS * 3);
    // The leader's too.
    assert.deepEqual(asked(), ['list', 'watch', 'watch', 'watch']);
    assert.equal(own.server.faults.openWatches, 2);
  });
});
