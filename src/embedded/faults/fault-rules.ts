/**
 * Faults to inject: rules that say what happens to which requests, and commands over the watches that are open.
 *
 * Guarantees: rules apply in the order in which they were added; `delay` and `hang` go on to the next rule, the others
 * end the matter; a rule with `times` goes away when it was used as often. A request that was held back is carried out
 * when it is let go, whether or not its client still waits, as one that was stuck in the network would be. Where there
 * is no rule, a request costs nothing more.
 */
import { errorResponse } from '../api.ts';
import type { ApiResponse } from '../api.ts';
import type { Attributes } from '../token-auth.ts';
import { RESOURCES } from '../objects/resources.ts';
import type { RequestInfo } from '../routes.ts';
import { ApiError, conflict } from '../status-errors.ts';
import type { WatchStream } from '../watch-answer.ts';

/** A request, as rules for faults see it. */
export interface FaultRequest extends Pick<RequestInfo, 'method' | 'path'>, Omit<Attributes, 'verb'> {
  readonly verb: Attributes['verb'] | undefined;
  readonly query: URLSearchParams;
  readonly userAgent: string;
}

/** Every field given must fit; a string must be equal, a regular expression must match. */
export interface FaultMatch {
  readonly method?: string | RegExp;
  readonly verb?: string | RegExp;
  readonly resource?: string | RegExp;
  readonly namespace?: string | RegExp;
  readonly name?: string | RegExp;
  readonly path?: string | RegExp;
  readonly userAgent?: string | RegExp;
}

/** Which requests. */
export type Matcher = FaultMatch | ((request: FaultRequest) => boolean);

/** What happens to a request in place of an answer, or before it. */
export type Fault =
  /** Carried out, and answered, this many milliseconds later. */
  | { readonly type: 'delay'; readonly ms: number }
  /** Accepted and never answered; carried out when released. */
  | { readonly type: 'hang' }
  /** The connection is closed at once; nothing is done. */
  | { readonly type: 'drop' }
  /** Done, but the connection is closed in place of an answer. */
  | { readonly type: 'lose-answer' }
  /** 409 without looking. */
  | { readonly type: 'conflict' }
  /** 429. `retryAfterSeconds`: the header; none when left out. */
  | { readonly type: 'too-many-requests'; readonly retryAfterSeconds?: number }
  /** Any answer. `body`: text as it is, an object as JSON; a Status with `reason` and `message` when left out. */
  | {
      readonly type: 'status';
      readonly code: number;
      readonly reason?: string;
      readonly message?: string;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** Which requests, how often, and what happens to them. */
export interface FaultRule {
  /** Every request when left out. */
  readonly match?: Matcher;
  /** Default: until removed. */
  readonly times?: number;
  readonly fault: Fault;
}

/** A rule that was added. */
export interface FaultHandle {
  /** How often it was used. */
  readonly hits: number;
  /** Held requests go on; the rule stays. */
  release(): void;
  /** Held requests go on; the rule is gone. */
  remove(): void;
}

/** A watch that is open. */
interface OpenWatch {
  readonly request: FaultRequest;
  readonly stream: WatchStream;
  /** Breaks the connection. */
  destroy(): void;
}

interface Rule {
  readonly matches: (request: FaultRequest) => boolean;
  readonly fault: Fault;
  left: number;
  hits: number;
  readonly held: Set<() => void>;
}

export interface Applied {
  readonly fault: Fault;
  /** For `hang`: calls back when released. Returns how to forget it. */
  readonly hold: (resume: () => void) => () => void;
}

const fits = (wanted: string | RegExp | undefined, value: string): boolean =>
  wanted === undefined || (typeof wanted === 'string' ? wanted === value : new RegExp(wanted).test(value));

export function matcher(match: Matcher | undefined): (request: FaultRequest) => boolean {
  if (match === undefined) return () => true;
  if (typeof match === 'function') return match;
  return (r) =>
    fits(match.method, r.method) &&
    fits(match.verb, r.verb ?? '') &&
    fits(match.resource, r.resource) &&
    fits(match.namespace, r.namespace) &&
    fits(match.name, r.name) &&
    fits(match.path, r.path) &&
    fits(match.userAgent, r.userAgent);
}

/** Faults to inject: rules over requests, and commands over open watches. */
export class Faults {
  readonly #rules = new Set<Rule>();
  readonly #watches = new Set<OpenWatch>();
  readonly #silences = new Set<(request: FaultRequest) => boolean>();
  readonly #compact: () => void;

  /** @param compact forgets the store's history */
  constructor(compact: () => void) {
    this.#compact = compact;
  }

  /** Adds a rule after those that are there. `delay` and `hang` go on to the next one; the others end the matter. */
  add(rule: FaultRule): FaultHandle {
    const entry: Rule = {
      matches: matcher(rule.match),
      fault: rule.fault,
      left: rule.times ?? Infinity,
      hits: 0,
      held: new Set(),
    };
    this.#rules.add(entry);
    const release = (): void => {
      for (const resume of [...entry.held]) resume();
    };
    return {
      get hits() {
        return entry.hits;
      },
      release,
      remove: () => {
        this.#rules.delete(entry);
        release();
      },
    };
  }

  /** As etcd without space left: what writes gets 500, what deletes goes on. */
  refuseWrites(match?: Matcher): FaultHandle {
    const also = matcher(match);
    return this.add({
      match: (r) => (r.method === 'POST' || r.method === 'PUT' || r.method === 'PATCH') && also(r),
      fault: { type: 'status', code: 500, message: 'etcdserver: mvcc: database space exceeded' },
    });
  }

  /** Removes every rule and lets everything that is held go on; ends silences. */
  clear(): void {
    const rules = [...this.#rules];
    this.#rules.clear();
    for (const rule of rules) for (const resume of [...rule.held]) resume();
    this.#silences.clear();
    for (const watch of this.#watches) watch.stream.silence(false);
  }

  /** Ends watches that are open: cleanly, as at a timeout, or by breaking the connection (default). Returns how many. */
  cutWatches(options: { match?: Matcher; clean?: boolean } = {}): number {
    const cut = this.#open(options.match);
    for (const watch of cut) {
      if (options.clean) watch.stream.end();
      else watch.destroy();
    }
    return cut.length;
  }

  /**
   * Holds back what watches would tell, those that are open and those to come; the connections stay open.
   * @returns ends it: what was held back is sent then, in order
   */
  silenceWatches(match?: Matcher): () => void {
    const matches = matcher(match);
    this.#silences.add(matches);
    for (const watch of this.#open(matches)) watch.stream.silence(true);
    return () => {
      this.#silences.delete(matches);
      for (const watch of this.#watches) if (!this.#isSilent(watch.request)) watch.stream.silence(false);
    };
  }

  /** Writes a text into open watches as it is: `{"type":` and the like, with its line end. Returns into how many. */
  writeToWatches(text: string, match?: Matcher): number {
    const open = this.#open(match);
    for (const watch of open) watch.stream.inject(text);
    return open.length;
  }

  /** Makes every version up to now too old to be listed or watched from: 410. Open watches go on. */
  expireVersions(): void {
    this.#compact();
  }

  /** Watches that are open now. */
  get openWatches(): number {
    return this.#watches.size;
  }

  /** For the server alone: the faults of one request, each used up once. */
  take(request: FaultRequest): Applied[] {
    const out: Applied[] = [];
    for (const rule of this.#rules) {
      if (!rule.matches(request)) continue;
      rule.hits++;
      if (--rule.left <= 0) this.#rules.delete(rule);
      out.push({ fault: rule.fault, hold: (resume) => hold(rule, resume) });
      if (rule.fault.type !== 'delay' && rule.fault.type !== 'hang') break;
    }
    return out;
  }

  /** True while there is a rule. */
  get active(): boolean {
    return this.#rules.size > 0;
  }

  /** For the server alone. */
  opened(watch: OpenWatch): () => void {
    this.#watches.add(watch);
    if (this.#isSilent(watch.request)) watch.stream.silence(true);
    return () => this.#watches.delete(watch);
  }

  #open(match: Matcher | undefined): OpenWatch[] {
    const matches = matcher(match);
    return [...this.#watches].filter((watch) => matches(watch.request));
  }

  #isSilent(request: FaultRequest): boolean {
    for (const matches of this.#silences) if (matches(request)) return true;
    return false;
  }
}

function hold(rule: Rule, resume: () => void): () => void {
  const once = (): void => {
    rule.held.delete(once);
    resume();
  };
  rule.held.add(once);
  return () => rule.held.delete(once);
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

type Answering = Extract<Fault, { type: 'conflict' | 'too-many-requests' | 'status' }>;

/** The answer of a fault that answers without asking the API. */
export function faultResponse(fault: Answering, info: RequestInfo): ApiResponse {
  if (fault.type === 'conflict') return errorResponse(conflict(info.type ?? LEASES, info.name));
  if (fault.type === 'too-many-requests') {
    const { retryAfterSeconds } = fault;
    const details = retryAfterSeconds === undefined ? {} : { details: { retryAfterSeconds } };
    const message = 'Too many requests, please try again later.';
    return errorResponse(new ApiError(429, message, { reason: 'TooManyRequests', ...details }));
  }
  const { code, body, headers = {} } = fault;
  const reason = fault.reason ?? REASONS[code];
  const message = fault.message ?? `injected fault: ${code}`;
  const status = errorResponse(new ApiError(code, message, reason === undefined ? {} : { reason }));
  const text = body === undefined ? status.body : typeof body === 'string' ? body : JSON.stringify(body);
  const contentType = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  return { status: code, contentType, headers, body: text };
}

const LEASES = RESOURCES[0] as (typeof RESOURCES)[number];
