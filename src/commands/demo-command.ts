/**
 * `leasekeeper demo`: the story of identity leases, shown by real processes on the embedded API server.
 *
 * Guarantees: talks to loopback only; ends by itself; every process and file it made is gone afterwards, also when it is
 * interrupted. Every number and table printed is read from the API server, and a story that does not come true ends
 * with exit code 1.
 */
import { lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { takeCensus } from '../census/take-census.ts';
import type { Census, CensusLease } from '../census/census.ts';
import { startEmbeddedServer } from '../embedded/embedded-server.ts';
import { connect } from '../kube/connection.ts';
import type { Connection } from '../kube/connection.ts';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE, leaseName } from '../lease/names.ts';
import { createSystemClock, sleep } from '../runtime/clock.ts';
import { CommandError, EXIT, programName } from './command.ts';
import type { CommandInput, Io } from './command.ts';
import { runCommand, startPublisher } from './demo-process.ts';
import type { PublisherProcess } from './demo-process.ts';
import { leaseShape } from './output/print-census.ts';
import { Table } from './output/text-table.ts';
import { stopSignal } from './signals.ts';

/** Ten times faster than in production, so that the story takes half a minute. */
const RENEW_MS = 1_000;
const FRESH_MS = 3_000;
/** Of the lease that expires. In production an hour, and half a minute between the looks. */
const SHORT_LEASE = '3s';
const CONFIRM_AFTER = '3s';
/** How long the demo waits for what it announced to come true. */
const PATIENCE_MS = 20_000;
const QUERY = { namespace: 'kube-system', labelSelector: `${IDENTITY_LABEL}=${IDENTITY_LABEL_VALUE}` };

interface Stage {
  readonly io: Io;
  readonly connection: Connection;
  readonly kubeconfig: string;
  readonly signal: AbortSignal;
  readonly processes: PublisherProcess[];
}

const clock = createSystemClock();

/** Of the directory with the demo's kubeconfig. */
const PREFIX = 'leasekeeper-demo-';
/** Milliseconds: a demo takes half a minute. */
const LEFTOVER_MS = 3_600_000;

export async function run({ io }: CommandInput): Promise<number> {
  using stop = stopSignal();
  const server = await startEmbeddedServer({ port: 0 });
  await removeLeftovers();
  const dir = await mkdtemp(join(tmpdir(), PREFIX));
  const processes: PublisherProcess[] = [];
  let connection: Connection | undefined;
  try {
    const kubeconfig = join(dir, 'kubeconfig');
    await writeFile(kubeconfig, server.kubeconfig(), { mode: 0o600 });
    connection = await connect({ kubeconfig, clock, random: Math.random });
    await story({ io, connection, kubeconfig, signal: stop.signal, processes }, server.url);
    return EXIT.ok;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    io.err('leasekeeper: the demo was interrupted\n');
    return EXIT.failed;
  } finally {
    await Promise.all(processes.map((p) => p.kill()));
    await connection?.close();
    await server.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** What demos left that were killed: directories of ours, of the same user, that no demo still runs from. */
async function removeLeftovers(): Promise<void> {
  const names = (await readdir(tmpdir()).catch(() => [])).filter((name) => name.startsWith(PREFIX));
  for (const path of names.map((name) => join(tmpdir(), name))) {
    const found = await lstat(path).catch(() => undefined);
    const old = found && clock.wallMicros() / 1000 - found.mtimeMs > LEFTOVER_MS;
    if (!old || !found.isDirectory() || found.uid !== process.getuid?.()) continue;
    await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function story(stage: Stage, url: string): Promise<void> {
  const { io } = stage;
  io.out(`A Lease is a small object that says who holds something and until when. Every
Kubernetes API server keeps one about itself: "I am master-1, I was alive at
12:00:07". Anyone who lists these leases knows how many API servers there are.
This demo plays that with an API server for Leases inside this process
(${url}); nothing outside this machine is touched, and
everything goes ten times faster than in production.

`);
  const seen = watchTypes(stage);

  io.out('1. Three servers start. Beside each, `leasekeeper publish` claims the lease of\n   its host.\n\n');
  for (const host of ['master-1', 'master-2', 'master-3']) publish(stage, host);
  await until(stage, 'three live instances', (c) => c.counts?.live === 3);
  await show(stage);

  const [, second, third] = stage.processes as [PublisherProcess, PublisherProcess, PublisherProcess];
  const before = lease(await readCensus(stage), 'master-2');
  io.out(`2. master-2 crashes (kill -9). The API server does not learn of it; the lease
   is not renewed any more. After ${FRESH_MS / 1000} s without a renewal (30 s in production) it
   is stale: its server is probably dead, but still counted until the lease
   expires.

`);
  await second.kill();
  await until(stage, 'master-2 to be stale', (c) => lease(c, 'master-2').state === 'stale');
  await show(stage);

  io.out(`3. master-2 restarts: another process, the same hostname, so the same lease. It
   takes it over with one write. The object stays, only its holder changes; who
   watched or counted saw all servers all the time.

`);
  publish(stage, 'master-2');
  await until(stage, 'master-2 to be live again', (c) => lease(c, 'master-2').state === 'live');
  const after = lease(await readCensus(stage), 'master-2');
  await show(stage);
  io.out(`   object (uid)  ${short(before.uid)}  ->  ${short(after.uid)}   ${before.uid === after.uid ? 'the same' : 'ANOTHER'}
   holder        ..._${tail(before.holder)}  ->  ..._${tail(after.holder)}   fresh for every start
   transitions   ${before.leaseTransitions}  ->  ${after.leaseTransitions}
   a watcher saw ${await seen.counted()}

`);
  expect(before.uid === after.uid && before.holder !== after.holder && after.leaseTransitions === 1, 'the take-over');

  io.out(
    '4. master-3 is taken out of service: SIGTERM, with --shutdown-policy=delete.\n   Its lease goes at once.\n\n',
  );
  expect((await third.stop()) === 0, 'a clean stop');
  await until(stage, 'master-3 to be gone', (c) => c.counts?.instances === 2);
  await show(stage);
  seen.stop();

  io.out(`5. master-4 is lost for good: its process is killed and never comes back. Its
   lease lasts ${SHORT_LEASE} after the last renewal (an hour in production); then it has
   expired, and counts no more.

`);
  publish(stage, 'master-4');
  await until(stage, 'master-4 to be live', (c) => found(c, 'master-4')?.state === 'live');
  await stage.processes.at(-1)?.kill();
  await until(stage, 'master-4 to expire', (c) => found(c, 'master-4')?.state === 'expired');
  await show(stage);
  await sweep(stage);

  const me = programName();
  io.out(`That is all there is to it. Next:

  ${me} dev
      an API server like this one to play with, for kubectl too
  ${me} publish --kubeconfig FILE
      beside your API server; see README.md
  ${me} count --kubeconfig FILE
      how many servers your cluster has, now
  ${me} sweep --kubeconfig FILE
      deletes what expired, every five minutes
  ${me} --help
      everything else
`);
}

/** Looks twice, deletes what had expired both times, and shows that it is gone. */
async function sweep(stage: Stage): Promise<void> {
  const { io, kubeconfig, signal } = stage;
  io.out(`   \`leasekeeper sweep\` collects it: it looks, waits, looks again, and deletes
   what was expired both times, and only in the version that it saw. A server
   that renews in between keeps its lease.

`);
  // A server's Date holds whole seconds: the sweeper gives a lease the benefit of the doubt for so long.
  await sleep(clock, 2_000, signal);
  const args = ['sweep', '--once', `--confirm-after=${CONFIRM_AFTER}`, '--kubeconfig', kubeconfig];
  const { code, log } = await runCommand(args, signal);
  const gone = log.filter(({ msg }) => msg === 'deleted an expired lease');
  expect(code === 0 && gone.length === 1 && gone[0]?.['hostname'] === 'master-4', 'master-4 to be swept, and it alone');
  io.out(`   $ leasekeeper sweep --once --confirm-after=${CONFIRM_AFTER}\n`);
  for (const { msg, hostname, expiredFor } of gone) {
    io.out(`   ${String(msg)}: ${String(hostname)}, expired for ${String(expiredFor)}\n\n`);
  }
  await show(stage);
  expect((await readCensus(stage)).leases.length === 2, 'two leases to be left');
}

function publish({ kubeconfig, processes }: Stage, host: string): void {
  const policy = host === 'master-3' ? 'delete' : 'keep';
  processes.push(
    startPublisher([
      '--kubeconfig',
      kubeconfig,
      '--hostname-override',
      host,
      `--renew-interval=${RENEW_MS}ms`,
      `--shutdown-policy=${policy}`,
      ...(host === 'master-4' ? [`--lease-duration=${SHORT_LEASE}`] : []),
    ]),
  );
}

async function readCensus({ connection, signal }: Stage): Promise<Census> {
  return takeCensus({ store: connection.store, query: QUERY, clock, freshForMs: FRESH_MS, signal });
}

/** Prints what `leasekeeper get` and `leasekeeper count` would. */
async function show(stage: Stage): Promise<void> {
  const census = await readCensus(stage);
  const color = stage.io.terminal && !stage.io.env['NO_COLOR'];
  const rows = census.leases.map((l) => ({ ...l, name: `${l.name.slice(0, 18)}...`, holder: `..._${tail(l.holder)}` }));
  const shape = leaseShape(() => census.asOf, { output: 'table', query: { namespace: QUERY.namespace } });
  const table = new Table(shape.columns, { color }).print(rows);
  stage.io.out('   $ leasekeeper get   (names cut to fit)\n' + table.replace(/^(?=.)/gm, '   '));
  stage.io.out(`   $ leasekeeper count          ${census.counts?.instances}\n`);
  stage.io.out(`   $ leasekeeper count --live   ${census.counts?.live}\n\n`);
}

async function until(stage: Stage, what: string, holds: (census: Census) => boolean): Promise<void> {
  const deadline = clock.monotonic() + PATIENCE_MS;
  while (clock.monotonic() < deadline) {
    if (holds(await readCensus(stage))) return;
    if (!(await sleep(clock, 200, stage.signal))) throw new CommandError('interrupted');
  }
  const said = stage.processes.map((p) => p.lastWords).filter((words) => words !== '');
  throw new CommandError(
    `the demo waited ${PATIENCE_MS / 1000} s for ${what} without success${said.length > 0 ? `: ${said.join(' | ')}` : ''}`,
  );
}

/** Counts what a watcher sees of master-2's lease. */
function watchTypes({ connection, signal }: Stage): { counted: () => Promise<string>; stop: () => void } {
  const stopped = new AbortController();
  signal.addEventListener('abort', () => stopped.abort(), { once: true });
  const counts = { added: 0, modified: 0, deleted: 0 };
  const watching = (async () => {
    const fieldSelector = `metadata.name=${leaseName('master-2')}`;
    for await (const event of connection.store.watch({ namespace: QUERY.namespace, fieldSelector }, stopped.signal)) {
      if (event.type === 'added' || event.type === 'modified' || event.type === 'deleted') counts[event.type]++;
    }
  })();
  watching.catch(() => {});
  return {
    async counted() {
      await sleep(clock, 200, signal);
      expect(counts.deleted === 0, 'no DELETED event');
      return `ADDED ${counts.added}, MODIFIED ${counts.modified}, DELETED 0`;
    },
    stop: () => stopped.abort(),
  };
}

const found = (census: Census, hostname: string): CensusLease | undefined =>
  census.leases.find((l) => l.hostname === hostname);

function lease(census: Census, hostname: string): CensusLease {
  const one = found(census, hostname);
  if (!one) throw new CommandError(`the demo expected a lease of ${hostname}, and there is none`);
  return one;
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new CommandError(`the demo expected ${what}, and saw something else`);
}

const short = (uid: string): string => uid.slice(0, 8);
const tail = (holder: string | undefined): string => holder?.slice(-12) ?? '';
