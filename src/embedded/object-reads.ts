/** Reading: one object, lists in pages, watches; in each of the forms that a client may ask for. */
import {
  continueExpired,
  isVersion,
  listOptions,
  selection,
  versionTooLarge,
  watchOptions,
  writeToken,
} from './request-options.ts';
import { badRequest, expired, internal, noSuchForm, notFound } from './status-errors.ts';
import type { View } from './negotiate.ts';
import type { ObjectStore } from './store/object-store.ts';
import { emptyObject } from './objects/resources.ts';
import type { ResourceType } from './objects/resources.ts';
import type { RequestInfo } from './routes.ts';
import type { Json } from './objects/schema.ts';
import { protobufFrame } from './objects/protobuf.ts';
import { StoreError } from './store/collection.ts';
import { partialMetadata, table } from './objects/table-view.ts';
import type { TableInclude } from './objects/table-view.ts';
import type { ServerClock } from './objects/time-formats.ts';
import type { Version } from './objects/object-version.ts';
import { WatchStream } from './watch-answer.ts';
import { toJson } from './object-writes.ts';

interface ReadRequest {
  readonly info: RequestInfo;
  readonly type: ResourceType;
  readonly view: View;
}

interface ObjectListing {
  readonly versions: readonly Version[];
  /** Of the list. */
  readonly metadata: Json;
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
    if (view.as === 'Table') {
      const metadata = { resourceVersion: version.object.metadata.resourceVersion };
      return JSON.stringify(this.#table(metadata, [version], { info, type, view }, headers));
    }
    if (view.as === 'PartialObjectMetadata')
      return JSON.stringify(partialMetadata(version.object.metadata, view.version));
    if (view.as !== 'object') throw noSuchForm();
    if (type.show) return JSON.stringify(toJson(version.object, type));
    return `{"kind":"${type.kind}","apiVersion":"${type.apiVersion}",${version.text}`;
  }

  /** @throws ApiError 400, 410, 504 */
  list(request: ReadRequest): string {
    return this.showList(this.listing(request), request);
  }

  /** What a list shows. @throws ApiError 400, 410, 504 */
  listing({ info, type }: ReadRequest): ObjectListing {
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
        limit: options.resourceVersion === '0' ? 0 : options.limit,
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
    return { versions, metadata };
  }

  showList({ versions, metadata }: ObjectListing, { info, type, view }: ReadRequest): string {
    if (view.as === 'Table') return JSON.stringify(this.#table(metadata, versions, { info, type, view }, true));
    if (view.as === 'PartialObjectMetadata') throw noSuchForm();
    if (view.as === 'PartialObjectMetadataList') {
      const items = versions.map((v) => partialMetadata(v.object.metadata, view.version));
      return JSON.stringify({
        kind: 'PartialObjectMetadataList',
        apiVersion: `meta.k8s.io/${view.version}`,
        metadata,
        items,
      });
    }
    const items = versions.map((v) => (type.show ? JSON.stringify(type.show(v.object)) : `{${v.text}`));
    const head = `{"kind":"${type.kind}List","apiVersion":"${type.apiVersion}","metadata":${JSON.stringify(metadata)}`;
    return `${head},"items":[${items.join(',')}]}`;
  }

  /** @throws ApiError 400, 422, 500 */
  watch(request: ReadRequest): WatchStream {
    const { info, type, view } = request;
    if (view.as === 'Table') includedIn(info);
    const query = watchOptions(info);
    const selected = selection(info, type);
    // The older form of a watch may have the name in its path.
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
      encoding: view.as === 'Table' ? undefined : `${view.as} ${view.version} ${view.media} ${type.apiVersion}`,
      frame: view.media === 'protobuf' ? protobufFrame : undefined,
      bookmarkObject: emptyObject(type),
    });
  }

  #table(metadata: Json, versions: readonly Version[], { info, type, view }: ReadRequest, headers: boolean): Json {
    const include = includedIn(info);
    return table(
      metadata,
      versions.map((v) => v.object),
      {
        columns: type.columns,
        nowMicros: this.#clock.wallMicros(),
        include,
        version: view.version,
        show: (object) => toJson(object, type),
        headers,
      },
    );
  }

  #checkNotTooNew(info: RequestInfo): void {
    const text = info.query.get('resourceVersion');
    if (text !== null && !isVersion(text)) {
      throw internal(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
    }
    if (text !== null && Number(text) > this.#store.revision) throw versionTooLarge(Number(text), this.#store.revision);
  }
}

/** What each row of a table has of its object. @throws ApiError 400 */
function includedIn({ query }: RequestInfo): TableInclude {
  const asked = query.get('includeObject') || 'Metadata';
  if (asked === 'None' || asked === 'Metadata' || asked === 'Object') return asked;
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(asked)}`);
}
