/** What the tests of the embedded server share: leases as JSON, calls without HTTP, and watches that are read in memory. */
import { Api } from '../../src/embedded/api.ts';
import type { ApiOptions } from '../../src/embedded/api.ts';

export type Json = Record<string, any>;

export const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

export const lease = (name: string, spec: object = {}, metadata: object = {}): Json => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name, namespace: 'kube-system', ...metadata },
  spec: { holderIdentity: `${name}_1`, leaseDurationSeconds: 3600, ...spec },
});

export interface Answer {
  readonly status: number;
  readonly body: Json;
  readonly headers: Readonly<Record<string, string>>;
}

export class TestApi {
  readonly api: Api;

  constructor(options: ApiOptions = {}) {
    this.api = new Api(options);
  }

  call(method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Answer {
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    const answer = this.api.handle({ method, url, headers, body: text });
    const isJson = answer.contentType === 'application/json' && answer.body !== '';
    return {
      status: answer.status,
      body: isJson ? (JSON.parse(answer.body) as Json) : { text: answer.body },
      headers: answer.headers,
    };
  }

  get(url: string, headers?: Record<string, string>): Answer {
    return this.call('GET', url, undefined, headers);
  }

  patch(url: string, type: string, body: unknown): Answer {
    return this.call('PATCH', url, body, { 'content-type': `application/${type}` });
  }

  /** Server-side apply; kind and apiVersion are those of a Lease unless given. */
  apply(url: string, manager: string, config: Json, query = ''): Answer {
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', ...config };
    return this.patch(`${url}?fieldManager=${manager}${query}`, 'apply-patch+yaml', body);
  }

  watch(url: string, headers: Record<string, string> = {}): TestWatch {
    const { watch } = this.api.handle({ method: 'GET', url, headers, body: '' });
    if (!watch) throw new Error(`${url} is no watch`);
    const seen: TestWatch = {
      events: [],
      ended: false,
      received: () => seen.events.map((e) => `${e['type']} ${e['object'].metadata.name}`),
      stop: () => watch.stop(),
    };
    watch.start({
      write: (chunk) => void seen.events.push(JSON.parse(Buffer.from(chunk).toString()) as Json),
      end: () => void (seen.ended = true),
    });
    return seen;
  }
}

export interface TestWatch {
  readonly events: Json[];
  ended: boolean;
  /** `ADDED name`, … */
  received(): string[];
  stop(): void;
}

/** Waits, over real I/O, until the condition holds; fails after a minute, or `ms` milliseconds. */
export async function until(condition: () => boolean, what: string, ms = 60_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
