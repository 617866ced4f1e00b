/**
 * Plays recorded scenarios over Leases against the simulated store, and says where it would have answered otherwise than
 * the API server that was recorded.
 *
 * What a LeaseStore shows is compared: the code and reason of a refusal, the object or objects of an answer, the events of a
 * watch. What it does not show throws `NotCovered`: bytes that are no Lease, other media types, tables, discovery, patches,
 * dry runs, watches from a version of the past.
 */
import { isDeepStrictEqual } from 'node:util';
import { leaseToJson, parseLease } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { isStoreError } from '../../src/lease/store.ts';
import type { LeaseEvent, LeaseStoreError } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';

type Json = Record<string, any>;

interface Step extends Json {
  readonly name?: string;
  readonly method?: string;
  readonly path?: string;
  readonly body?: Json;
  readonly watch?: { readonly path: string };
  readonly during?: readonly Step[];
  readonly capture?: Readonly<Record<string, string>>;
}

export interface Scenario {
  readonly name: string;
  readonly tier: string;
  readonly steps: readonly Step[];
}

/** A scenario asks for what a LeaseStore does not show. */
export class NotCovered extends Error {}

const RUN = 'simulated';
const ROOT = /^\/apis\/coordination\.k8s\.io\/v1(?:\/namespaces\/([^/]+))?\/leases(?:\/([^/]+))?$/;
const LIST_OPTIONS = new Set(['labelSelector', 'fieldSelector', 'limit', 'continue']);

interface Result extends Json {
  readonly status: number;
  readonly body?: Json;
  readonly reason?: string | undefined;
}

/** @returns undefined when all agrees, else the first difference */
export async function play(scenario: Scenario, expected: readonly Json[]): Promise<string | undefined> {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const wanted = JSON.parse(JSON.stringify(expected).replaceAll('{{run}}', RUN)) as Json[];
  const vars: Record<string, string> = { run: RUN };
  let next = 0;
  for (const raw of scenario.steps) {
    const step = substitute(raw, vars) as Step;
    if (step['sleep']) continue;
    const got = step.watch ? await watched(store, step) : await answered(store, step);
    for (const [name, path] of Object.entries(step.capture ?? {})) vars[name] = at(got.body, path);
    if (step['ignore']) continue;
    const want = wanted[next++];
    if (!want) return `${step.name}: nothing was recorded`;
    const difference = compare(got, want);
    if (difference) return `${step.name}: ${difference}`;
  }
  return undefined;
}

function compare(got: Result, want: Json): string | undefined {
  if (got.status !== want['status']) return `status ${got.status} where ${want['status']} was recorded`;
  if (want['events']) return same(got['events'], want['events']);
  const body = want['body'] as Json | undefined;
  if (!body) return undefined;
  if (body['kind'] === 'Status') return body['status'] === 'Success' ? undefined : same(got.reason, body['reason']);
  // A LeaseStore's delete tells only that it was done.
  return got.body ? same(got.body, body) : undefined;
}

function same(got: unknown, want: unknown): string | undefined {
  const [a, b] = [mask(got), mask(want)];
  return isDeepStrictEqual(a, b) ? undefined : `${JSON.stringify(a)} where ${JSON.stringify(b)} was recorded`;
}

async function answered(store: MemoryStore, step: Step): Promise<Result> {
  const { method = 'GET', body } = step;
  const { namespace, name, query } = target(step);
  if (step['raw'] !== undefined || step['headers']) throw new NotCovered('other encodings than JSON');
  const { api } = store;
  try {
    if (method === 'POST' && name === undefined)
      return { status: 201, body: json(await store.create(leaseOf(body, namespace))) };
    if (method === 'GET' && name === undefined) return { status: 200, body: await list(store, namespace, query) };
    if (name === undefined) throw new NotCovered('collections are only listed and added to');
    const ref = { namespace, name };
    if (method === 'GET') return { status: 200, body: json(await store.get(ref)) };
    if (method === 'DELETE') {
      const { uid = '', resourceVersion = '' } = (body?.['preconditions'] ?? {}) as Json;
      await store.delete(ref, { uid, resourceVersion });
      return { status: 200 };
    }
    if (method !== 'PUT') throw new NotCovered(`${method} of one Lease`);
    const lease = leaseOf(body, namespace);
    if (lease.metadata.name !== name) throw new NotCovered('a path that differs from its body');
    // The store itself refuses a PUT without a uid or a version, as the client does: the API behind it is asked.
    const there = api.peek(ref) !== undefined;
    return { status: there ? 200 : 201, body: json(api.update(lease, 'recorded')) };
  } catch (error) {
    if (!isStoreError(error)) throw error;
    return { status: error.status ?? 0, reason: reasonOf(error) };
  }
}

async function list(store: MemoryStore, namespace: string, query: URLSearchParams): Promise<Json> {
  for (const key of query.keys()) if (!LIST_OPTIONS.has(key)) throw new NotCovered(`lists with ${key}`);
  const page = await store.list({
    namespace,
    labelSelector: query.get('labelSelector') ?? undefined,
    fieldSelector: query.get('fieldSelector') ?? undefined,
    limit: query.has('limit') ? Number(query.get('limit')) : undefined,
    continue: query.get('continue') ?? undefined,
  });
  // The items of a list do not repeat their kind.
  const items = page.leases.map((lease) => {
    const { kind: _kind, apiVersion: _apiVersion, ...item } = json(lease);
    return item;
  });
  const metadata = { resourceVersion: page.resourceVersion, ...(page.continue && { continue: page.continue }) };
  return { kind: 'LeaseList', apiVersion: 'coordination.k8s.io/v1', metadata, items };
}

/** A watch from now on, or of what exists and from then on. */
async function watched(store: MemoryStore, step: Step): Promise<Result> {
  const { namespace, query } = target({ path: step.watch!.path });
  for (const key of ['sendInitialEvents', 'timeoutSeconds', 'allowWatchBookmarks']) {
    if (query.has(key)) throw new NotCovered(`watches with ${key}`);
  }
  if (query.get('resourceVersion') === 'abc') throw new NotCovered('versions that are none');
  if (query.has('resourceVersion') && !step.during) throw new NotCovered('watches from a version of the past');
  const events: Json[] = [];
  const stop = new AbortController();
  const selectors = {
    labelSelector: query.get('labelSelector') ?? undefined,
    fieldSelector: query.get('fieldSelector') ?? undefined,
  };
  const take = (event: LeaseEvent): void => {
    const leases = event.type === 'list' && !query.has('resourceVersion') ? event.leases : [];
    for (const lease of leases) events.push({ type: 'ADDED', object: json(lease) });
    if ('lease' in event) events.push({ type: event.type.toUpperCase(), object: json(event.lease) });
  };
  const following = (async () => {
    for await (const event of store.watch({ namespace, ...selectors }, stop.signal)) take(event);
  })();
  await settle();
  for (const inner of step.during ?? []) {
    if (inner.method === 'PATCH') patch(store, inner);
    else await answered(store, inner);
    await settle();
  }
  stop.abort();
  await following;
  return { status: 200, events };
}

/** As somebody else: only to have something to watch. */
function patch(store: MemoryStore, step: Step): void {
  const { namespace, name } = target(step);
  store.edit({ namespace, name: name! }, (lease) => {
    const { metadata = {}, spec = {} } = step.body as Json;
    const labels = { ...lease.metadata.labels, ...metadata.labels } as Record<string, string | null>;
    for (const [key, value] of Object.entries(labels)) if (value === null) delete labels[key];
    const merged = { ...lease.metadata, labels: labels as Record<string, string> };
    return { ...lease, metadata: merged, spec: { ...lease.spec, ...spec } };
  });
}

function target({ path = '' }: Step): { namespace: string; name: string | undefined; query: URLSearchParams } {
  const url = new URL(path, 'http://store');
  const match = ROOT.exec(url.pathname);
  if (!match) throw new NotCovered('other paths than those of Leases');
  if (url.searchParams.has('dryRun') || url.searchParams.has('fieldValidation'))
    throw new NotCovered('dry runs, strictness');
  return { namespace: match[1] ?? '', name: match[2], query: url.searchParams };
}

/** The Lease that a body means; only those can be given to a LeaseStore that are one, if not a valid one. */
function leaseOf(body: Json | undefined, namespace: string): Lease {
  if (!body || body['kind'] !== 'Lease' || body['apiVersion'] !== 'coordination.k8s.io/v1') {
    throw new NotCovered('bodies that are no Lease');
  }
  const { metadata, spec = {} } = body as { metadata: Json; spec?: Json };
  if (typeof metadata['name'] !== 'string') throw new NotCovered('bodies without a name');
  const lease = parseLease({ ...body, metadata: { namespace, ...metadata } });
  if (lease.metadata.namespace !== namespace) throw new NotCovered('a path that differs from its body');
  const { leaseDurationSeconds, leaseTransitions } = spec;
  for (const key of Object.keys(spec)) {
    const known = ['holderIdentity', 'leaseDurationSeconds', 'acquireTime', 'renewTime', 'leaseTransitions'].includes(
      key,
    );
    if (!known) throw new NotCovered('fields that a Lease does not have');
  }
  const decoded =
    isKind(spec['holderIdentity'], 'string') &&
    [leaseDurationSeconds, leaseTransitions].every((n) => n === undefined || (Number.isInteger(n) && n < 2 ** 31)) &&
    [spec['renewTime'], spec['acquireTime']].every((t) => t === undefined || /\.\d{6}Z$/.test(t as string));
  if (!decoded) throw new NotCovered('what is refused while it is decoded');
  return { ...lease, spec: { ...lease.spec, leaseDurationSeconds, leaseTransitions } };
}

const isKind = (value: unknown, kind: string): boolean => value === undefined || typeof value === kind;

function json(lease: Lease): Json {
  return JSON.parse(JSON.stringify(leaseToJson(lease))) as Json;
}

function reasonOf({ code, status }: LeaseStoreError): string | undefined {
  if (code === 'NamespaceNotFound') return 'NotFound';
  if (code === 'Invalid' && status === 400) return 'BadRequest';
  return code === 'ServerError' ? undefined : code;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const FREE: Readonly<Record<string, string>> = {
  uid: '<uid>',
  resourceVersion: '<rv>',
  creationTimestamp: '<time>',
  deletionTimestamp: '<time>',
  continue: '<continue>',
};

/** Replaces what a server chooses freely, and leaves out what a Lease here does not keep. */
function mask(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => mask(item));
  if (typeof value === 'object' && value !== null) {
    const kept = Object.entries(value).filter(([name]) => name !== 'deletionGracePeriodSeconds');
    return Object.fromEntries(kept.map(([name, item]) => [name, mask(item, name)]));
  }
  if (typeof value !== 'string') return value;
  return FREE[key] ?? value.replace(UUID, '<uid>');
}

function substitute(value: unknown, vars: Readonly<Record<string, string>>): unknown {
  if (typeof value === 'string') return value.replace(/\{\{(\w+)\}\}/g, (all, name: string) => vars[name] ?? all);
  if (Array.isArray(value)) return value.map((item) => substitute(item, vars));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, substitute(item, vars)]));
}

const at = (doc: unknown, path: string): string =>
  path
    .split('/')
    .slice(1)
    .reduce((d: any, key) => d?.[key], doc) as string;
