/**
 * The LeaseStore over a Kubernetes API: coordination.k8s.io/v1, one request a call.
 *
 * Guarantees: what `LeaseStore` promises. An answer about another lease than the one that was asked for, or without the
 * uid and version that the next write needs, is a `BadAnswer`. A list never asks for resourceVersion=0, so it is consistent. An object in a
 * list that is no Lease at all (no name, another kind) makes the whole page a `BadAnswer`: leaving it out would turn
 * "unknown" into "not there". A Lease with odd values is not that; `parseLease` reads it.
 */
import { API_VERSION, LeaseParseError, leaseToJson, parseLease } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import type { LeasePage, LeaseQuery, LeaseRef, LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { badAnswer } from './wire/api-errors.ts';
import { clean } from './wire/foreign-text.ts';
import { PAGE_BYTES, readList } from './list-page.ts';
import type { Answer, Request, Transport } from './wire/transport.ts';
import { watchLeases } from './list-watch.ts';

interface LeaseApiOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Milliseconds without a word after which a watch is given up; default 75,000: see list-watch.ts. */
  readonly watchSilenceMs?: number | undefined;
}

export function createLeaseApi(options: LeaseApiOptions): LeaseStore {
  const { transport, clock, random } = options;
  const send = async (ref: LeaseRef, request: Request): Promise<Lease> => {
    const answer = await transport.request(request);
    const lease = readLease(request, answer);
    const { name, namespace, uid, resourceVersion } = lease.metadata;
    const fault =
      name !== ref.name || namespace !== ref.namespace
        ? `another lease, ${words({ namespace: clean(namespace, 100), name: clean(name, 100) })}`
        : uid === '' || resourceVersion === ''
          ? 'a lease without uid or resourceVersion'
          : undefined;
    if (fault !== undefined)
      throw badAnswer(request, answer.status, `the server answered ${answer.status} with ${fault}`);
    return lease;
  };
  const store: LeaseStore = {
    concurrency: transport.maxConnections,
    get: async (ref, call) =>
      send(ref, { ...call, method: 'GET', what: `get lease ${words(ref)}`, path: leasePath(ref) }),
    async create(lease, call) {
      const { namespace } = lease.metadata;
      if (namespace === '') throw new TypeError('create: the lease must carry its namespace');
      return send(lease.metadata, {
        ...call,
        method: 'POST',
        what: `create lease ${words(lease.metadata)}`,
        path: leasesPath(namespace),
        body: leaseToJson(lease),
      });
    },
    async update(lease, call) {
      const { uid, resourceVersion } = lease.metadata;
      if (uid === '' || resourceVersion === '') {
        throw new TypeError(
          'update: the lease must carry uid and resourceVersion, or it could create or overwrite one',
        );
      }
      return send(lease.metadata, {
        ...call,
        method: 'PUT',
        what: `update lease ${words(lease.metadata)}`,
        path: leasePath(lease.metadata),
        body: leaseToJson(lease),
      });
    },
    async delete(ref, { uid, resourceVersion }, call) {
      if (uid === '' || resourceVersion === '') {
        throw new TypeError(
          'delete: preconditions must name uid and resourceVersion, or they would hold for any lease',
        );
      }
      await transport.request({
        ...call,
        method: 'DELETE',
        what: `delete lease ${words(ref)}`,
        path: leasePath(ref),
        body: { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid, resourceVersion } },
      });
    },
    async list(query, call) {
      const request: Request = {
        ...call,
        method: 'GET',
        what: `list leases of ${within(query)}`,
        ...(query.limit !== undefined && { maxBytes: PAGE_BYTES }),
        path: `${leasesPath(query.namespace)}${search({ ...selectors(query), limit: query.limit, continue: query.continue })}`,
      };
      return readPage(request, await transport.request(request));
    },
    watch: (query, signal) =>
      watchLeases({
        list: (page, call) => store.list({ ...query, ...page }, call),
        unlisted: true,
        open: ({ resourceVersion, sendInitialEvents, timeoutSeconds }, call) =>
          transport.stream({
            ...call,
            method: 'GET',
            what: `watch leases of ${within(query)}`,
            path: `${leasesPath(query.namespace)}${search({
              ...selectors(query),
              watch: 'true',
              allowWatchBookmarks: 'true',
              resourceVersion,
              ...(sendInitialEvents && { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }),
              timeoutSeconds,
            })}`,
          }),
        clock,
        random,
        signal,
        silenceMs: options.watchSilenceMs,
      }),
  };
  return store;
}

const within = ({ namespace }: LeaseQuery): string => namespace || 'all namespaces';

const paths = new Map<string, string>();

function leasesPath(namespace: string): string {
  let path = paths.get(namespace);
  if (path === undefined) {
    // An empty namespace is all of them, for reading.
    path =
      namespace === ''
        ? `/apis/${API_VERSION}/leases`
        : `/apis/${API_VERSION}/namespaces/${encodeURIComponent(namespace)}/leases`;
    if (paths.size > 1000) paths.clear();
    paths.set(namespace, path);
  }
  return path;
}

function leasePath({ namespace, name }: LeaseRef): string {
  // "" would be the collection: a DELETE there empties the namespace. "." and ".." are resolved by proxies.
  if (name === '' || name === '.' || name === '..' || namespace === '') {
    throw new TypeError(`a lease needs a namespace and a name, not "${namespace}/${name}"`);
  }
  return `${leasesPath(namespace)}/${encodeURIComponent(name)}`;
}

const words = ({ namespace, name }: LeaseRef): string => `${namespace}/${name}`;

const selectors = (query: LeaseQuery): Record<string, string | undefined> => ({
  labelSelector: query.labelSelector,
  fieldSelector: query.fieldSelector,
});

function search(parameters: Readonly<Record<string, string | number | undefined>>): string {
  let text = '';
  for (const [key, value] of Object.entries(parameters)) {
    if (value === undefined || value === '') continue;
    text += `${text === '' ? '?' : '&'}${key}=${encodeURIComponent(value)}`;
  }
  return text;
}

function readLease(request: Request, { status, json }: Answer): Lease {
  try {
    return parseLease(json);
  } catch (cause) {
    if (!(cause instanceof LeaseParseError)) throw cause;
    throw badAnswer(request, status, `the server answered ${status} with ${cause.message}`, cause);
  }
}

function readPage(request: Request, answer: Answer): LeasePage {
  const { items, ...page } = readList(request, answer);
  return { ...page, leases: items.map((item) => readLease(request, { ...answer, json: item })) };
}
