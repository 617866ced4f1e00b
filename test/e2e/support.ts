/**
 * What the end-to-end tests share: the program pointed at a server, and looks at the Leases it makes, past our own client.
 *
 * Guarantees: everything is gone when its test ends; waits are for what can be seen, bounded in time.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { EmbeddedServer, EmbeddedServerOptions } from '../../src/embedded/embedded-server.ts';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { leaseName } from '../../src/lease/names.ts';
import type { Program } from '../support/process.ts';
import { startProgram } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';

export const LABEL = 'apiserver.kubernetes.io/identity';
export const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
export const SIX_DIGITS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** Anything with an `after` hook: a test, or what stands for a file. */
export interface Scope {
  after(hook: () => Promise<void>): void;
}

export interface LeaseJson {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly object[];
  };
  readonly spec: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** A server seen from beside the program. */
export interface Seen {
  /** The answer's status and JSON; nothing is thrown for a refusal. */
  call(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }>;
  lease(host: string): Promise<LeaseJson | undefined>;
  /** Changes the lease of a host by a merge patch. */
  edit(host: string, patch: unknown): Promise<LeaseJson>;
  remove(host: string): Promise<void>;
}

function seen(call: Seen['call']): Seen {
  const path = (host: string): string => `${LEASES}/${leaseName(host)}`;
  const good = async (method: string, at: string, body?: unknown): Promise<unknown> => {
    const { status, json } = await call(method, at, body);
    assert.ok(status < 300, `${method} ${at}: ${status} ${JSON.stringify(json)}`);
    return json;
  };
  return {
    call,
    async lease(host) {
      const { status, json } = await call('GET', path(host));
      return status === 200 ? (json as LeaseJson) : undefined;
    },
    edit: async (host, patch) => (await good('PATCH', path(host), patch)) as LeaseJson,
    remove: async (host) => void (await good('DELETE', path(host))),
  };
}

const type = (method: string): Record<string, string> => ({
  'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
});

export const seenReal = (api: RealApi): Seen =>
  seen(async (method, path, body) => {
    const { status, text } = await api.request(method, path, body, { headers: type(method) });
    return { status, json: JSON.parse(text) as unknown };
  });

export const seenEmbedded = (server: EmbeddedServer): Seen =>
  seen((method, url, body) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const answer = server.handle({ method, url, headers: type(method), body: text });
    return Promise.resolve({ status: answer.status, json: JSON.parse(answer.body) as unknown });
  });

/** A directory that goes with its test. */
export async function scratch(t: Scope): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-e2e-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** An embedded server and the path of a kubeconfig for it. */
export async function embedded(
  t: Scope,
  options: EmbeddedServerOptions = {},
): Promise<{ server: EmbeddedServer; kubeconfig: string; at: Seen }> {
  const server = await startEmbeddedServer(options);
  t.after(() => server.close());
  const kubeconfig = join(await scratch(t), 'kubeconfig');
  await writeFile(kubeconfig, server.kubeconfig());
  return { server, kubeconfig, at: seenEmbedded(server) };
}

/** Starts `leasekeeper publish` for a host; it is killed, if it still runs, when the test ends. */
export function publish(t: Scope, kubeconfig: string, host: string, ...args: readonly string[]): Program {
  return startProgram(['publish', '--kubeconfig', kubeconfig, '--hostname-override', host, ...args], { t });
}

/** Looks until there is something to see. @throws Error that names it, after `timeoutMs` */
export async function until<T>(
  what: string,
  read: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 150_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms without success for ${what}`);
    await wait(25);
  }
}

/** The lease once it is renewed again, by this holder when one is given. */
export async function renewedAfter(at: Seen, host: string, before: LeaseJson, timeoutMs = 150_000): Promise<LeaseJson> {
  return until(
    `a renewal of ${host}`,
    async () => {
      const lease = await at.lease(host);
      return lease && lease.spec.renewTime !== before.spec.renewTime && lease;
    },
    timeoutMs,
  );
}

/** Waits for the claim that the log tells, and gives the lease. */
export async function claimed(program: Program, at: Seen, host: string): Promise<LeaseJson> {
  await program.waitForLine(/created the lease|took the lease over/, { from: 'stderr' });
  const lease = await at.lease(host);
  assert.ok(lease, program.output());
  return lease;
}

/**
 * Milliseconds within which comes what waits for nothing, on the slowest machine: put beside a wait of the program that is
 * longer. Times to the millisecond are for tests that move the clock themselves.
 */
export const AT_ONCE_MS = 12_000;

/** Lines of stderr that match. */
export const lines = (program: Program, pattern: RegExp): string[] =>
  program.stderr.filter((line) => pattern.test(line));

/** SIGTERM; the exit must come within two minutes, with this code. Gives the milliseconds that it took. */
export async function terminate(program: Program, code: number | null = 0): Promise<number> {
  program.signal('SIGTERM');
  const exit = await program.exitWithin(120_000);
  assert.equal(exit.code, code, program.output());
  noTraces(program);
  return exit.sinceSignalMs ?? 0;
}

/** No stack trace, nothing on stdout. */
export function noTraces(program: Program): void {
  assert.deepEqual(program.stdout, []);
  for (const line of program.stderr) assert.doesNotMatch(line, /^\s+at |node:internal/, program.output());
}

/** Why kubectl cannot be used here; false when it can. For node:test's `skip`. */
export function kubectlSkip(): string | false {
  const found = spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
  return found.error !== undefined && 'kubectl is not installed';
}

/** What a raw watch over one lease receives, as `ADDED`, `MODIFIED` and so on. */
export async function watchTypes(t: Scope, api: RealApi, host: string): Promise<string[]> {
  const types: string[] = [];
  const url = `${api.url}${LEASES}?watch=true&fieldSelector=metadata.name%3D${leaseName(host)}`;
  const headers = { authorization: `Bearer ${api.token()}` };
  const ca = await api.ca();
  await new Promise<void>((resolve, reject) => {
    const call = request(url, { ca, agent: false, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        const whole = (text + chunk).split('\n');
        text = whole.pop() ?? '';
        for (const line of whole) types.push((JSON.parse(line) as { type: string }).type);
      });
      answer.on('error', () => {});
      resolve();
    });
    call.on('error', reject).end();
    t.after(() => Promise.resolve(void call.destroy()));
  });
  return types;
}

/** Processes of this machine, by their command lines, that name this text. */
export async function processesNaming(text: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((id) => /^\d+$/.test(id));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(text));
}
