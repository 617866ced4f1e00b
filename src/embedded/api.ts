/**
 * The API without HTTP: a request, parsed, in; an answer out.
 *
 * Guarantees: `handle` never throws and never waits; every refusal is a Status; what it answers was already so when it
 * returns. An answer with a `watch` goes on for as long as the watch does.
 */
import { authorize } from './token-auth.ts';
import type { Tokens } from './token-auth.ts';
import { Deleter } from './object-deletes.ts';
import { discoveryDocument } from './discovery.ts';
import { ApiError, badRequest, internal, methodNotAllowed, pathNotFound, qualify } from './status-errors.ts';
import { Metrics } from './request-metrics.ts';
import { Namespaces } from './objects/namespaces.ts';
import type { Later } from './objects/namespaces.ts';
import { CONTENT_TYPES, negotiate } from './negotiate.ts';
import type { View } from './negotiate.ts';
import { canPrintYaml, printYaml } from './objects/object-body.ts';
import { hasProtobuf, toProtobuf } from './objects/protobuf.ts';
import { ObjectStore } from './store/object-store.ts';
import { Reader } from './object-reads.ts';
import { RESOURCES } from './objects/resources.ts';
import type { ResourceType } from './objects/resources.ts';
import { requestInfo } from './routes.ts';
import type { RequestInfo, Verb } from './routes.ts';
import { systemClock } from './objects/time-formats.ts';
import type { ServerClock } from './objects/time-formats.ts';
import type { WatchStream } from './watch-answer.ts';
import { Writer } from './object-writes.ts';

/** A request without HTTP. */
export interface ApiRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Its answer. */
export interface ApiResponse {
  readonly status: number;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** What is sent in place of the body, where it is no text. */
  readonly bytes?: Buffer;
  /** To be started; its lines are the body. */
  readonly watch?: WatchStream;
}

/** What the API of the embedded server takes. */
export interface ApiOptions {
  /** Default the machine's. */
  readonly clock?: ServerClock | undefined;
  /** With tokens the server speaks TLS and knows who asks; without, everybody may do everything. */
  readonly tokens?: Tokens | undefined;
  /** Changes kept for each type; older versions answer 410. Default 10,000. */
  readonly historySize?: number | undefined;
  /** Default Math.random: for generated names and the length of watches. */
  readonly random?: (() => number) | undefined;
}

const NO_HEADERS = {};

export class Api {
  readonly store: ObjectStore;
  readonly metrics = new Metrics();
  readonly #tokens: Tokens | undefined;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #deleter: Deleter;
  readonly #timers = new Set<() => void>();

  constructor(options: ApiOptions = {}) {
    const { clock = systemClock, random = Math.random, historySize } = options;
    this.#tokens = options.tokens;
    this.store = new ObjectStore({ now: () => clock.wallMicros(), historySize });
    const later: Later = (ms, callback) => {
      const cancel = clock.schedule(ms, () => {
        this.#timers.delete(cancel);
        callback();
      });
      this.#timers.add(cancel);
    };
    const namespaces = new Namespaces(this.store, later);
    this.#reader = new Reader(this.store, clock, random);
    this.#writer = new Writer(this.store, namespaces, random);
    this.#deleter = new Deleter(this.store, namespaces, later);
  }

  /** Forgets what is still to be done about objects that are being deleted. */
  close(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  handle(request: ApiRequest, known?: RequestInfo): ApiResponse {
    let info = known;
    let response: ApiResponse;
    try {
      info ??= requestInfo(request.method, request.url);
      response = this.#answer(request, info);
    } catch (error) {
      const indented = info !== undefined && isForHumans(request, info);
      response = inMedia(errorResponse(error), preferredMedia(header(request.headers['accept'])), indented);
    }
    this.count(info, response.status, request.headers['content-type']);
    return response;
  }

  /** Counts an answer that was given without `handle`. */
  count(info: RequestInfo | undefined, status: number, contentType?: string | string[]): void {
    this.metrics.count(info ?? requestInfo('GET', '/'), status, contentType === 'application/apply-patch+yaml');
  }

  #answer(request: ApiRequest, info: RequestInfo): ApiResponse {
    const { headers } = request;
    if (this.#tokens) authorize(this.#tokens, header(headers['authorization']), info);
    if (!info.type) return this.#plain(request, info);
    const timeout = info.query.get('timeout');
    if (timeout !== null && info.verb !== 'watch' && !DURATION.test(timeout)) {
      throw badRequest(
        `invalid timeout specified in the request URL: time: invalid duration ${JSON.stringify(timeout)}`,
      );
    }
    if (!info.verb)
      throw info.name !== '' && info.type.namespaced && info.namespace === '' ? pathNotFound() : methodNotAllowed();
    if (info.name !== '' && PATH_BREAKERS.test(info.name)) {
      throw badRequest(`Name parameter invalid: ${JSON.stringify(info.name)}: may not be '.' or '..', or contain '%'`);
    }
    const view = negotiate(header(headers['accept']), mediaOf(info.type), info.verb === 'watch');
    return inMedia(this.#object(request, info, info.type, view), view.media, isForHumans(request, info));
  }

  #object(request: ApiRequest, info: RequestInfo, type: ResourceType, view: View): ApiResponse {
    const { headers } = request;
    const read = { info, type, view };
    const write = {
      info,
      type,
      contentType: header(headers['content-type']),
      body: request.body,
      manager: header(headers['user-agent'])?.split('/')[0]?.slice(0, 128) ?? '',
      warnings: [],
    };
    const written = (how: 'create' | 'update' | 'patch'): ApiResponse => {
      try {
        const { version, created } = this.#writer[how](write);
        return json(created ? 201 : 200, this.#reader.show(version, read), warningHeaders(write.warnings));
      } catch (error) {
        if (write.warnings.length === 0) throw error;
        const refusal = errorResponse(error);
        return { ...refusal, headers: { ...refusal.headers, ...warningHeaders(write.warnings) } };
      }
    };
    const verb = info.verb as Verb;
    switch (verb) {
      case 'get':
        return json(200, this.#reader.get(read));
      case 'list':
        return json(200, this.#reader.list(read));
      case 'watch':
        return {
          ...json(200, ''),
          contentType: CONTENT_TYPES[view.media] + (view.media === 'json' ? '' : ';stream=watch'),
          watch: this.#reader.watch(read),
        };
      case 'create':
      case 'update':
      case 'patch':
        return written(verb);
      case 'deletecollection': {
        const listing = this.#reader.listing(read);
        this.#deleter.deleteAll(write, listing.versions);
        return json(200, this.#reader.showList(listing, read));
      }
      case 'delete': {
        const { version, gone } = this.#deleter.delete(write);
        return json(
          200,
          gone ? deletedStatus(info, type, version.object.metadata.uid) : this.#reader.show(version, read),
        );
      }
    }
  }

  #plain(request: ApiRequest, info: RequestInfo): ApiResponse {
    const { path } = info;
    const health = /^\/(livez|readyz|healthz)(\/(?:ping|log|etcd))?$/.exec(path);
    if (health) {
      const verbose = info.query.has('verbose') && health[2] === undefined;
      return text(200, verbose ? `[+]ping ok\n${health[1]} check passed\n` : 'ok');
    }
    if (path === '/metrics')
      return { ...text(200, this.#metricsText()), contentType: 'text/plain; version=0.0.4; charset=utf-8' };
    const document = discoveryDocument(path, header(request.headers['host']) ?? '');
    if (document) {
      if (info.method !== 'GET') throw methodNotAllowed();
      return inMedia(json(200, JSON.stringify(document)), 'json', isForHumans(request, info));
    }
    // Only what is below a group that is served has a handler that speaks Status.
    const [, root, group = ''] = path.split('/');
    if (root === 'api' || (root === 'apis' && SERVED_GROUPS.has(group))) throw pathNotFound();
    return text(404, '404 page not found\n');
  }

  #metricsText(): string {
    const collections = [...this.store.collections];
    const objects = RESOURCES.filter((type) => type.collection === type.resource && !type.show);
    return this.metrics.text([
      [
        'apiserver_storage_objects',
        'Number of stored objects.',
        objects.map((t) => [`resource="${qualify(t.resource, t.group)}"`, this.store.collection(t.collection).size]),
      ],
      [
        'apiserver_longrunning_requests',
        'Watches that are open.',
        collections.map(([name, c]) => [`resource="${name}",verb="WATCH"`, c.watchers]),
      ],
    ]);
  }
}

/** As Go reads it; empty is none. */
const DURATION = /^(?:[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+))?$/;

/** Names that no object can have, because its path would be another's. */
const PATH_BREAKERS = /^\.\.?$|%/;

const SERVED_GROUPS = new Set(RESOURCES.map((type) => type.group));

const header = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

function json(status: number, body: string, headers: Readonly<Record<string, string>> = NO_HEADERS): ApiResponse {
  return { status, contentType: 'application/json', headers, body };
}

const text = (status: number, body: string): ApiResponse => ({
  status,
  contentType: 'text/plain; charset=utf-8',
  headers: NO_HEADERS,
  body,
});

const ALL_MEDIA: readonly View['media'][] = ['json', 'yaml', 'protobuf'];

const mediaOf = (type: ResourceType): View['media'][] =>
  ALL_MEDIA.filter((media) => media !== 'protobuf' || type.protobuf).filter(
    (media) => media !== 'yaml' || canPrintYaml(),
  );

/** Indented, as Kubernetes does for those that it takes for people. */
function isForHumans({ headers }: ApiRequest, { query }: RequestInfo): boolean {
  const pretty = query.get('pretty');
  return pretty
    ? /^(?:1|t|true)$/i.test(pretty)
    : /^(?:curl|Wget|Mozilla\/5\.0)/.test(header(headers['user-agent']) ?? '');
}

/** Of a refusal: JSON where nothing else can be had. */
function preferredMedia(accept: string | undefined): View['media'] {
  try {
    return negotiate(accept, ALL_MEDIA).media;
  } catch {
    return 'json';
  }
}

/** An answer that was made as JSON. */
function inMedia(response: ApiResponse, media: View['media'], indented = false): ApiResponse {
  if (response.watch || (media === 'json' && !indented)) return response;
  const object = JSON.parse(response.body) as Record<string, unknown>;
  if (media === 'json') return { ...response, body: `${JSON.stringify(object, null, 2)}\n` };
  if (media === 'yaml')
    return canPrintYaml() ? { ...response, contentType: CONTENT_TYPES.yaml, body: printYaml(object) } : response;
  return hasProtobuf(object)
    ? { ...response, contentType: CONTENT_TYPES.protobuf, bytes: toProtobuf(object) }
    : response;
}

/** What went wrong, as an answer. */
export function errorResponse(error: unknown): ApiResponse {
  const failure =
    error instanceof ApiError
      ? error
      : internal(
          `Internal error occurred: ${error instanceof Error ? `${error.name}: ${error.message}` : typeof error}`,
        );
  const retryAfter = failure.details?.retryAfterSeconds;
  return json(
    failure.status,
    JSON.stringify(failure),
    retryAfter === undefined ? NO_HEADERS : { 'retry-after': String(retryAfter) },
  );
}

/** RFC 7234 warnings: at most as many, and as long, as a header may be. */
function warningHeaders(warnings: readonly string[]): Readonly<Record<string, string>> {
  if (warnings.length === 0) return NO_HEADERS;
  const texts = warnings
    .slice(0, 20)
    .map((w) => `299 - ${JSON.stringify(w.replace(/[^\x20-\x7e]/g, '?').slice(0, 256))}`);
  return { warning: texts.join(', ') };
}

function deletedStatus(info: RequestInfo, type: ResourceType, uid: string | undefined): string {
  const details = { name: info.name, group: type.group || undefined, kind: type.resource, uid };
  return JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details });
}
