import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerError, socketError, timeoutError } from '../../src/kube/wire/api-errors.ts';
import type { Asked } from '../../src/kube/wire/api-errors.ts';
import { statusBody } from './support.ts';

const NOW = Date.UTC(2026, 0, 1);
const asked = (method: Asked['method']): Asked => ({ method, what: 'do something' });
type Row = [Asked['method'], number, object | string, string, { may?: boolean; retryable: boolean; says?: RegExp }];

const rows: Row[] = [
  [
    'PUT',
    400,
    statusBody(400, 'BadRequest', 'parsing time'),
    'Invalid',
    { retryable: false, says: /400 BadRequest: parsing time/ },
  ],
  [
    'GET',
    401,
    statusBody(401, 'Unauthorized', 'Unauthorized'),
    'Unauthorized',
    { retryable: false, says: /renew the token/ },
  ],
  [
    'PUT',
    403,
    statusBody(
      403,
      'Forbidden',
      'leases.coordination.k8s.io "x" is forbidden: User "u" cannot update resource "leases" in API group "coordination.k8s.io" in the namespace "n"',
    ),
    'Forbidden',
    { retryable: false, says: /cannot update resource "leases".*Role/ },
  ],
  [
    'POST',
    403,
    statusBody(403, 'Forbidden', 'being terminated', {
      causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }],
    }),
    'NamespaceTerminating',
    { retryable: false },
  ],
  [
    'GET',
    404,
    statusBody(404, 'NotFound', 'leases "x" not found', { kind: 'leases' }),
    'NotFound',
    { retryable: false },
  ],
  ['PUT', 404, statusBody(404, 'NotFound', 'leases "x" not found'), 'NotFound', { retryable: false }],
  ['DELETE', 404, statusBody(404, 'NotFound', 'leases "x" not found'), 'NotFound', { retryable: false }],
  [
    'POST',
    404,
    statusBody(404, 'NotFound', 'namespaces "n" not found', { kind: 'namespaces' }),
    'NamespaceNotFound',
    { retryable: false, says: /create the namespace/ },
  ],
  ['GET', 404, '404 page not found', 'BadAnswer', { retryable: true, says: /404 page not found.*Kubernetes API/ }],
  ['PUT', 408, statusBody(408, 'Timeout', 't'), 'Timeout', { retryable: true, may: true }],
  ['POST', 409, statusBody(409, 'AlreadyExists', 'exists'), 'AlreadyExists', { retryable: false }],
  ['POST', 409, statusBody(409, 'Conflict', 'quota'), 'Conflict', { retryable: false }],
  ['PUT', 409, statusBody(409, 'Conflict', 'modified'), 'Conflict', { retryable: false }],
  ['DELETE', 409, 'conflict', 'Conflict', { retryable: false }],
  ['GET', 410, statusBody(410, 'Expired', 'too old'), 'Expired', { retryable: true }],
  ['PUT', 413, 'large', 'Invalid', { retryable: false }],
  [
    'PUT',
    422,
    statusBody(422, 'Invalid', 'spec.leaseDurationSeconds: must be greater than 0'),
    'Invalid',
    { retryable: false, says: /must be greater than 0.*correct/ },
  ],
  ['PUT', 429, statusBody(429, 'TooManyRequests', 'slow down'), 'TooManyRequests', { retryable: true }],
  [
    'PUT',
    500,
    statusBody(500, 'InternalError', 'etcdserver: mvcc: database space exceeded'),
    'ServerError',
    { retryable: true, may: true, says: /space exceeded/ },
  ],
  ['GET', 500, statusBody(500, 'InternalError', 'x'), 'ServerError', { retryable: true }],
  [
    'DELETE',
    502,
    '<html>\r\n<h1>Bad\u0000 Gateway</h1>\u001b[31m',
    'ServerError',
    { retryable: true, may: true, says: /"<html> <h1>Bad Gateway<\/h1> \[31m"/ },
  ],
  ['PUT', 503, '', 'ServerError', { retryable: true, may: true }],
  ['PUT', 504, statusBody(504, 'Timeout', 'request did not complete'), 'ServerError', { retryable: true, may: true }],
  ['GET', 302, '', 'BadAnswer', { retryable: true }],
];

for (const [method, status, body, code, { may = false, retryable, says }] of rows) {
  test(`${status} to ${method} (${typeof body === 'string' ? 'no Status' : JSON.stringify((body as { reason: string }).reason)}) is ${code}`, () => {
    const error = answerError(asked(method), status, {}, typeof body === 'string' ? body : JSON.stringify(body), NOW);
    assert.equal(error.code, code);
    assert.equal(error.status, status);
    assert.equal(error.mayHaveCommitted, may);
    assert.equal(error.retryable, retryable);
    if (says) assert.match(error.message, says);
  });
}

test('a page is quoted to 200 characters, on one line', () => {
  const { message } = answerError(asked('GET'), 503, {}, 'x'.repeat(100_000), NOW);
  assert.ok(message.length < 300);
});

test('a Status without details, with wrong types, or that is no object survives', () => {
  for (const body of [
    'null',
    '[]',
    '3',
    '{"kind":"Status"}',
    '{"kind":"Status","message":3,"details":[],"reason":{}}',
    '{"kind":"Status","details":{"causes":[null,3,{}]}}',
  ]) {
    assert.equal(answerError(asked('GET'), 500, {}, body, NOW).code, 'ServerError');
  }
});

test('Retry-After: seconds, a date, the Status, nothing', () => {
  const retryAfter = (headers: Record<string, string>, body: object | string): number | undefined =>
    answerError(asked('PUT'), 429, headers, JSON.stringify(body), NOW).retryAfterMs;
  assert.equal(retryAfter({ 'retry-after': '7' }, {}), 7000);
  assert.equal(retryAfter({ 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' }, {}), 9000);
  assert.equal(retryAfter({ 'retry-after': 'Thu, 01 Jan 2020 00:00:09 GMT' }, {}), 0);
  assert.equal(retryAfter({}, statusBody(429, 'TooManyRequests', '', { retryAfterSeconds: 3 })), 3000);
  assert.equal(retryAfter({ 'retry-after': 'soon' }, statusBody(429, 'x', '', { retryAfterSeconds: 3 })), 3000);
  assert.equal(retryAfter({}, {}), undefined);
});

test('a socket error tells what to do; a write that was sent may have committed', () => {
  const refused = new AggregateError(
    [Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })],
    '',
  );
  const error = socketError(asked('PUT'), 'https://h', refused, false);
  assert.match(error.message, /no connection to https:\/\/h: connect ECONNREFUSED.*running/);
  assert.equal(error.mayHaveCommitted, false);
  assert.equal(error.cause, refused);
  assert.equal(socketError(asked('PUT'), 'https://h', new Error('x'), true).mayHaveCommitted, true);
  assert.equal(socketError(asked('GET'), 'https://h', new Error('x'), true).mayHaveCommitted, false);
});

test('who refused a request is named by its own words, and what to do', () => {
  const forbidden = 'leases.coordination.k8s.io "x" is forbidden: ';
  const can = (verb: string, where: string, user = 'u'): string =>
    `${forbidden}User "${user}" cannot ${verb} resource "leases" in API group "coordination.k8s.io" ${where}`;
  const rows: [number, string, RegExp, object?][] = [
    [
      403,
      can('update', 'in the namespace "kube-system"'),
      /; allow "update" on leases.coordination.k8s.io with a Role and a RoleBinding in namespace kube-system$/,
    ],
    [
      403,
      can('list', 'at the cluster scope'),
      /; allow "list" on leases.coordination.k8s.io with a ClusterRole and a ClusterRoleBinding$/,
    ],
    [
      403,
      'nodes is forbidden: User "u" cannot watch resource "nodes" in API group "" at the cluster scope',
      /; allow "watch" on nodes with a ClusterRole/,
    ],
    [403, can('get', 'in the namespace "n"', 'system:anonymous'), /; the server does not know who we are/],
    [
      403,
      'admission webhook "no.example.com" denied the request: never',
      /; an admission webhook refuses it, .*no.example.com$/,
    ],
    [
      403,
      `${forbidden}ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`,
      /; an admission policy refuses it, not RBAC: see p$/,
      { causes: [{ message: 'no' }] },
    ],
    [401, `leases "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`, /see p$/],
    [400, 'admission webhook "no.example.com" denied the request: never', /; an admission webhook refuses it/],
    [
      500,
      'Internal error occurred: failed calling webhook "slow.example.com": context deadline exceeded',
      /; an admission webhook does not answer as it should: see who runs slow.example.com$/,
    ],
    [
      422,
      `leases "x" is invalid: : ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`,
      /policy refuses it/,
    ],
    [
      403,
      `${forbidden}exceeded quota: q, requested: count/leases=1, used: 1, limited: 1`,
      /; a quota of the namespace/,
    ],
    [403, `${forbidden}can only access node lease with the same name as the requesting node`, /\(NodeRestriction\)/],
    [403, 'nodes "b" is forbidden: node "a" is not allowed to modify node "b"', /\(NodeRestriction\)/],
    [403, 'the gateway says no', /403 Forbidden: the gateway says no$/],
  ];
  for (const [status, words, expected, details] of rows) {
    const body = JSON.stringify(statusBody(status, status === 403 ? 'Forbidden' : 'Invalid', words, details));
    const error = answerError(asked('PUT'), status, {}, body, NOW);
    assert.match(error.message, expected);
    const codes: Record<number, string> = { 401: 'Unauthorized', 403: 'Forbidden', 500: 'ServerError' };
    assert.equal(error.code, codes[status] ?? 'Invalid');
    const advice = error.message.slice(error.message.indexOf(words) + words.length);
    if (!/cannot/.test(words)) assert.doesNotMatch(advice, /Role/, 'RBAC is not named for what RBAC did not refuse');
  }
});

test('a timeout names what can be slow', () => {
  assert.match(
    timeoutError(asked('PUT'), 5, true, false).message,
    /within 5 ms: the network, the server or an admission/,
  );
  assert.match(timeoutError(asked('GET'), 5, true, false).message, /within 5 ms: the network or the server is slow$/);
  assert.match(timeoutError(asked('GET'), 5, false, true).message, /no credentials within 5 ms: the plugin that makes/);
});
