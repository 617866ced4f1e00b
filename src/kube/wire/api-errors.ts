/**
 * What a Kubernetes API, or the way to it, did wrong, as a LeaseStoreError.
 *
 * Guarantees: every answer that is no success and every socket error gets one code; the server's own words are kept,
 * as foreign-text.ts lets them through; a write whose fate nobody knows says `mayHaveCommitted`. Credentials are never part
 * of a message, nor of its cause.
 */
import { LeaseStoreError } from '../../lease/store.ts';
import type { LeaseStoreErrorCode } from '../../lease/store.ts';
import { clean, strike } from './foreign-text.ts';

/** What was asked, for the message and the meaning of an answer. */
export interface Asked {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** In words, for instance `update lease kube-system/x`. */
  readonly what: string;
}

/** Characters quoted of an answer that is no Status (a proxy's page). */
const QUOTE_LENGTH = 200;
/** Characters kept of a Status's message. */
const MESSAGE_LENGTH = 1000;

const isWrite = (asked: Asked): boolean => asked.method !== 'GET';

interface StatusObject {
  readonly message: string;
  readonly reason: string;
  readonly causes: readonly string[];
  readonly detailsKind: string;
  readonly retryAfterSeconds: number | undefined;
}

/** The error for an answer outside 2xx. `body` is what came, whole or cut. */
export function answerError(
  asked: Asked,
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  body: string,
  nowMs: number,
): LeaseStoreError {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    // A proxy's page.
  }
  const parsed = parseStatus(json);
  const retryAfterMs = retryAfter(headers['retry-after'], parsed, nowMs);
  return refusal(asked, status, parsed, parsed ? '' : quote(body), retryAfterMs);
}

function refusal(
  asked: Asked,
  status: number,
  parsed: StatusObject | undefined,
  quoted: string,
  retryAfterMs: number | undefined,
): LeaseStoreError {
  const code = codeFor(asked, status, parsed);
  const words = parsed ? clean(parsed.message, MESSAGE_LENGTH) : quoted;
  const label = parsed && parsed.reason !== '' ? `${status} ${clean(parsed.reason, 60)}` : `${status}`;
  return new LeaseStoreError(code, {
    message: `${asked.what}: the server answered ${label}${words === '' ? '' : `: ${words}`}${adviceFor(code, status, words)}`,
    status,
    retryAfterMs,
    mayHaveCommitted: isWrite(asked) && (status >= 500 || status === 408),
  });
}

/** The error inside an ERROR event of a watch: a Status without a request of its own. */
export function statusEventError(what: string, object: unknown): LeaseStoreError {
  const status = isObject(object) && typeof object['code'] === 'number' ? object['code'] : 500;
  const parsed = parseStatus(object);
  return refusal({ method: 'GET', what }, status, parsed, 'not a Kubernetes Status', retryAfter(undefined, parsed, 0));
}

/** The error for an exchange that a socket, TLS or a proxy broke. */
export function socketError(asked: Asked, server: string, cause: unknown, sent: boolean): LeaseStoreError {
  const { code, words } = explainSocket(cause);
  const advice = SOCKET_ADVICE[code];
  return new LeaseStoreError('Unavailable', {
    message: `${asked.what}: ${sent ? 'the connection to' : 'no connection to'} ${server}${sent ? ' broke' : ''}: ${words}${advice ? `; ${advice}` : ''}`,
    mayHaveCommitted: sent && isWrite(asked),
    cause: harmless(cause),
  });
}

/** The socket's error; without what the server wrote where it carries some, as undici's does of bytes that are no HTTP. */
function harmless(cause: unknown): unknown {
  if (!(cause instanceof Error) || (strike(cause.message) === cause.message && !('data' in cause))) return cause;
  const { name, code } = cause as NodeJS.ErrnoException;
  return Object.assign(new Error(clean(cause.message, MESSAGE_LENGTH)), { name, code });
}

/** @param signingIn the credentials were not there yet */
export function timeoutError(asked: Asked, ms: number, sent: boolean, signingIn: boolean): LeaseStoreError {
  const slow = isWrite(asked) ? 'the network, the server or an admission webhook' : 'the network or the server';
  const why = signingIn ? 'the plugin that makes the credentials still runs' : `${slow} is slow`;
  return new LeaseStoreError('Timeout', {
    message: `${asked.what}: no ${signingIn ? 'credentials' : 'answer'} within ${ms} ms: ${why}`,
    mayHaveCommitted: sent && isWrite(asked),
  });
}

export function abortedError(asked: Asked, sent: boolean, cause?: unknown): LeaseStoreError {
  return new LeaseStoreError('Aborted', {
    message: `${asked.what}: given up by the caller`,
    mayHaveCommitted: sent && isWrite(asked),
    cause,
  });
}

/** What is to be sent cannot be written as JSON: it is nested too deeply. */
export function bodyError(asked: Asked): LeaseStoreError {
  return new LeaseStoreError('Invalid', { message: `${asked.what}: the object cannot be written as JSON` });
}

/** An answer with a good status that cannot be used. The write, if it was one, has probably been carried out. */
export function badAnswer(
  asked: Asked,
  status: number | undefined,
  why: string,
  cause?: unknown,
  code: 'BadAnswer' | 'TooLarge' = 'BadAnswer',
): LeaseStoreError {
  return new LeaseStoreError(code, {
    message: `${asked.what}: ${why}`,
    status,
    mayHaveCommitted: isWrite(asked),
    cause,
  });
}

function codeFor(asked: Asked, status: number, parsed: StatusObject | undefined): LeaseStoreErrorCode {
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return 'Invalid';
    case 401:
      return 'Unauthorized';
    case 403:
      return parsed?.causes.includes('NamespaceTerminating') ? 'NamespaceTerminating' : 'Forbidden';
    case 404:
      // A page saying "404" is no word about the lease: taken for one, a live lease would count as gone.
      if (!parsed) return 'BadAnswer';
      return asked.method === 'POST' || parsed.detailsKind === 'namespaces' ? 'NamespaceNotFound' : 'NotFound';
    case 408:
      return 'Timeout';
    case 409:
      // A server under quota contention answers a POST with 409 Conflict: only the reason tells.
      return parsed?.reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict';
    case 410:
      return 'Expired';
    case 429:
      return 'TooManyRequests';
    default:
      return status >= 500 && status <= 599 ? 'ServerError' : 'BadAnswer';
  }
}

const ADVICE: Partial<Record<LeaseStoreErrorCode, string>> = {
  Unauthorized:
    'the server does not accept the credentials: renew the token or certificate that the configuration names',
  NamespaceTerminating: 'wait until the namespace is gone and create it again, or use another',
  NamespaceNotFound: 'create the namespace, or use another',
};

function adviceFor(code: LeaseStoreErrorCode, status: number, words: string): string {
  // Webhooks and policies choose the status with which they refuse.
  const refusal = refusedBy(words);
  if (refusal !== undefined) return `; ${refusal}`;
  if (status === 422) return '; the same object will be refused again: correct what is named here';
  if (code === 'BadAnswer' && status === 404)
    return '; is this the address of a Kubernetes API with coordination.k8s.io/v1?';
  const advice = ADVICE[code];
  return advice ? `; ${advice}` : '';
}

const RBAC =
  /User "(.*?)" cannot (\S+) resource "(.*?)" in API group "(.*?)" (?:in the namespace "(.*?)"|at the cluster scope)/;

/** Who refused it, by the server's own sentences, and what to do. Undefined for words of somebody else. */
function refusedBy(words: string): string | undefined {
  const [sentence, user = '', verb = '', resource = '', group = '', namespace] = RBAC.exec(words) ?? [];
  if (sentence !== undefined) {
    if (user === 'system:anonymous') {
      return 'the server does not know who we are: the configuration names no credentials, or none that the server believes';
    }
    const scope =
      namespace === undefined
        ? 'a ClusterRole and a ClusterRoleBinding'
        : `a Role and a RoleBinding in namespace ${namespace}`;
    return `allow "${verb}" on ${resource}${group === '' ? '' : `.${group}`} with ${scope}`;
  }
  const webhook = /admission webhook "(.*?)" denied the request/.exec(words)?.[1];
  if (webhook !== undefined) return `an admission webhook refuses it, not RBAC: see who runs ${webhook}`;
  const failing = /failed calling webhook "(.*?)"/.exec(words)?.[1];
  if (failing !== undefined) return `an admission webhook does not answer as it should: see who runs ${failing}`;
  const policy = /ValidatingAdmissionPolicy '(.*?)' with binding/.exec(words)?.[1];
  if (policy !== undefined) return `an admission policy refuses it, not RBAC: see ${policy}`;
  if (/(exceeded|failed) quota/.test(words)) {
    return 'a quota of the namespace refuses it, not RBAC: raise it, or delete what is not needed';
  }
  if (/is not allowed to modify node|can only access (node lease|leases in)/.test(words)) {
    return "a node's credentials reach its own Node and lease alone (NodeRestriction): use those of a service account";
  }
  return undefined;
}

const UNKNOWN_ISSUER = 'name the CA that signed it (certificate-authority in the kubeconfig)';
const SOCKET_ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'is the API server running at this address?',
  ENOTFOUND: 'the host name is not known to DNS: check the server address',
  EAI_AGAIN: 'DNS does not answer',
  CERT_HAS_EXPIRED: "the server's certificate has expired, or this machine's clock is wrong",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet, or this machine's clock is wrong",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_ISSUER,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_ISSUER,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_ISSUER,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_ISSUER,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_ISSUER,
  CERT_SIGNATURE_FAILURE: UNKNOWN_ISSUER,
  ERR_TLS_CERT_ALTNAME_INVALID: 'use a host name that the certificate holds, or set tls-server-name in the kubeconfig',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'the server does not speak TLS there: is the address http instead of https, or another port?',
  EPROTO: 'the server does not speak TLS there: is the address http instead of https, or another port?',
};

/** The code and words of the innermost error that has some: wrappers often have neither. */
function explainSocket(error: unknown): { code: string; words: string } {
  let code = '';
  let words = '';
  for (let e: unknown = error, depth = 0; isErrorLike(e) && depth < 5; depth++) {
    if (typeof e.code === 'string' && (code === '' || e.code in SOCKET_ADVICE)) code = e.code;
    if (words === '' && typeof e.message === 'string') words = clean(e.message, MESSAGE_LENGTH);
    e = e instanceof AggregateError ? e.errors[0] : e.cause;
  }
  return { code, words: words === '' ? code || 'unknown error' : words };
}

/** Seconds or an HTTP date; what a Status asks for where there is no header. */
function retryAfter(header: unknown, parsed: StatusObject | undefined, nowMs: number): number | undefined {
  if (typeof header === 'string') {
    if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
    const at = Date.parse(header);
    if (!Number.isNaN(at)) return Math.max(0, at - nowMs);
  }
  return parsed?.retryAfterSeconds === undefined ? undefined : parsed.retryAfterSeconds * 1000;
}

function parseStatus(json: unknown): StatusObject | undefined {
  if (!isObject(json) || json['kind'] !== 'Status') return undefined;
  const details = isObject(json['details']) ? json['details'] : {};
  const causes = Array.isArray(details['causes']) ? details['causes'] : [];
  const seconds = details['retryAfterSeconds'];
  return {
    message: typeof json['message'] === 'string' ? json['message'] : '',
    reason: typeof json['reason'] === 'string' ? json['reason'] : '',
    causes: causes.map((c) => (isObject(c) && typeof c['reason'] === 'string' ? c['reason'] : '')),
    detailsKind: typeof details['kind'] === 'string' ? details['kind'] : '',
    retryAfterSeconds: typeof seconds === 'number' && seconds > 0 && seconds < 1e9 ? seconds : undefined,
  };
}

const quote = (body: string): string => {
  const text = clean(body, QUOTE_LENGTH);
  return text === '' ? '' : `not a Kubernetes Status but "${text}"`;
};

function isErrorLike(e: unknown): e is { code?: unknown; message?: unknown; cause?: unknown } {
  return typeof e === 'object' && e !== null;
}

function isObject(v: unknown): v is Record<string, unknown> {
  return typeof v === 'object' && v !== null && !Array.isArray(v);
}
