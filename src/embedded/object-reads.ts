/** Reading: one object, lists in pages, watches; in each of the forms that a client may ask for. */
import {
  continueExpired,
  listOptions,
  selection,
  versionTooLarge,
  watchOptions,
  writeToken,
} from './request-options.ts';
import { expired, notFound } from './status-errors.ts';
import type { View } from './negotiate.ts';
import type { ObjectStore } from './store/object-store.ts';
import type { ResourceType } from './objects/resources.ts';
import type { RequestInfo } from './routes.ts';
import type { Json } from './objects/schema.ts';
import { StoreError } from './store/collection.ts';
import { partialMetadata, table } from './objects/table-view.ts';
import type { IncludeObject } from './objects/table-view.ts';
import type { ServerClock } from './objects/time-formats.ts';
import type { Version } from './objects/object-version.ts';
import { WatchStream } from './watch-answer.ts';
import { toJson } from './object-writes.ts';

export interface ReadRequest {
  readonly info: RequestInfo;
  readonly type: ResourceType;
  readonly view: View;
}

/** A watch without a timeout of its own ends after half an hour to an hour, as kube-apiserver's do. */
const WATCH_TIMEOUT_MS = 1_800_000;

export class Reader {
  readonly #store: ObjectStore;
  readonly #clock: ServerClock;
  readonly #random: () => number;

  constructor(store: ObjectStore, clock: ServerClock, random: () => number) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
  }

  /** @throws ApiError 404 */
  get(request: ReadRequest): string {
    const { info, type } = request;
    this.#checkNotTooNew(info);
    const version = this.#store.collection(type.collection).get(info.namespace, info.name);
    if (!version) throw notFound(type, info.name);
    return this.show(version, request);
  }

  /** One version, in the form asked for. */
  show(version: Version, { info, type, view }: ReadRequest, headers = true): string {
    if (view === 'Table') {
      const metadata = { resourceVersion: version.object.metadata.resourceVersion };
      return JSON.stringify(this.#table(metadata, [version], info, type, headers));
    }
    if (view === 'PartialObjectMetadata') return JSON.stringify(partialMetadata(version.object.metadata));
    if (type.show) return JSON.stringify(toJson(version.object, type));
    return `{"kind":"${type.kind}","apiVersion":"${type.apiVersion}",${version.text}`;
  }

  /** @throws ApiError 400, 410, 504 */
  list({ info, type, view }: ReadRequest): string {
    const options = listOptions(info);
    const { matches, name, namespace, selective } = selection(info, type);
    const token = options.continue;
    const asked = Number(options.resourceVersion || 0);
    if (asked > this.#store.revision) throw versionTooLarge(asked, this.#store.revision);
    const revision = token ? (token.revision < 0 ? undefined : token.revision) : options.exact ? asked : undefined;
    const collection = this.#store.collection(type.collection);
    let listing;
    try {
      listing = collection.list({
        namespace: type.namespaced ? info.namespace || namespace : '',
        name,
        revision: revision === undefined ? undefined : Math.min(revision, this.#store.revision),
        after: token?.after,
        // The cache that answers version 0 does not page.
        limit: options.resourceVersion === '0' && !token ? 0 : options.limit,
        matches,
      });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      throw token ? continueExpired(token) : expired('The resourceVersion for the provided list is too old.');
    }
    const { versions, next, remaining } = listing;
    const metadata: Json = { resourceVersion: String(listing.revision) };
    if (next !== undefined) {
      metadata['continue'] = writeToken({ revision: listing.revision, after: next });
      if (!selective) metadata['remainingItemCount'] = remaining;
    }
    return this.showList(versions, metadata, { info, type, view });
  }

  showList(versions: readonly Version[], metadata: Json, { info, type, view }: ReadRequest): string {
    if (view === 'Table') return JSON.stringify(this.#table(metadata, versions, info, type, true));
    if (view === 'PartialObjectMetadata') {
      const items = versions.map((v) => partialMetadata(v.object.metadata));
      return JSON.stringify({ kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items });
    }
    const items = versions.map((v) => (type.show ? JSON.stringify(type.show(v.object)) : `{${v.text}`));
    const head = `{"kind":"${type.kind}List","apiVersion":"${type.apiVersion}","metadata":${JSON.stringify(metadata)}`;
    return `${head},"items":[${items.join(',')}]}`;
  }

  /** @throws ApiError 400, 422, 500 */
  watch(request: ReadRequest): WatchStream {
    const { info, type, view } = request;
    const query = watchOptions(info);
    const selected = selection(info, type);
    // A watch of one object by its path is a watch of the name.
    const name = info.name || selected.name;
    let headers = true;
    return new WatchStream({
      store: this.#store,
      collection: this.#store.collection(type.collection),
      clock: this.#clock,
      scope: { namespace: type.namespaced ? info.namespace || selected.namespace : '', name },
      matches: selected.matches,
      from: query.from === Infinity ? this.#store.revision : query.from,
      bookmarks: query.bookmarks,
      markInitialEnd: query.markInitialEnd,
      timeoutMs: query.timeoutMs ?? WATCH_TIMEOUT_MS * (1 + this.#random()),
      encode: (version) => {
        const text = this.show(version, request, headers);
        headers = false;
        return text;
      },
      encoding: view === 'Table' ? undefined : `${view} ${type.apiVersion}`,
      bookmarkObject: this.#bookmarkObject(request),
    });
  }

  #bookmarkObject({ type, view }: ReadRequest): Json {
    if (view === 'object') return { kind: type.kind, apiVersion: type.apiVersion, ...type.empty };
    return { kind: view, apiVersion: 'meta.k8s.io/v1', ...(view === 'Table' && { columnDefinitions: null, rows: [] }) };
  }

  #table(metadata: Json, versions: readonly Version[], info: RequestInfo, type: ResourceType, headers: boolean): Json {
    const include = info.query.get('includeObject') as IncludeObject | null;
    return table(
      metadata,
      versions.map((v) => v.object),
      {
        columns: type.columns,
        nowMicros: this.#clock.wallMicros(),
        include: include === 'None' || include === 'Object' ? include : 'Metadata',
        show: (object) => toJson(object, type),
        headers,
      },
    );
  }

  #checkNotTooNew(info: RequestInfo): void {
    const text = info.query.get('resourceVersion');
    if (text !== null && Number(text) > this.#store.revision) throw versionTooLarge(Number(text), this.#store.revision);
  }
}
