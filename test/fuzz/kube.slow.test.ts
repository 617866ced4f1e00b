/** Fuzzing what comes from a Kubernetes API and its configuration: answers, watches, dates, kubeconfigs, proxies. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { BlockList, isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import fc from '../support/fast-check.ts';
import { loadKubeConfig } from '../../src/kube/auth/kubeconfig.ts';
import { createCredentials } from '../../src/kube/auth/credentials.ts';
import { answerError, statusEventError } from '../../src/kube/wire/api-errors.ts';
import { clean } from '../../src/kube/wire/foreign-text.ts';
import { readList } from '../../src/kube/list-page.ts';
import { proxyFor } from '../../src/kube/wire/proxy.ts';
import { KubeConfigError } from '../../src/kube/auth/settings.ts';
import { LineSplitter, parseWatchLine } from '../../src/kube/watch-stream.ts';
import { parseLease } from '../../src/lease/lease.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { statusBody } from '../support/fault-proxy.ts';
import { fuzz, nearly, onlyThrows, texts } from './fuzz.ts';

const STATUS = statusBody(409, 'Conflict', 'the object has been modified', {
  name: 'a',
  kind: 'leases',
  retryAfterSeconds: 1,
  causes: [{ reason: 'NamespaceTerminating', message: 'x', field: 'y' }],
});
const NOW = Date.UTC(2026, 0, 1);
const RETRY_AFTER = ['1', '120', 'Thu, 01 Jan 2026 00:00:30 GMT', 'Thu, 01 Jan 1970 00:00:00 GMT'];
const json = (value: unknown): string => onlyThrows(RangeError, () => JSON.stringify(value)) ?? '';

function isReported(error: LeaseStoreError): void {
  assert.ok(error.message.length < 2_500, `a message of ${error.message.length} characters`);
  assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u);
  assert.ok(error.retryAfterMs === undefined || (Number.isFinite(error.retryAfterMs) && error.retryAfterMs >= 0));
}

fuzz(
  'refusals: Status, pages of proxies, Retry-After',
  fc.record({
    method: fc.constantFrom('GET', 'PUT', 'POST', 'DELETE'),
    status: fc.oneof(
      fc.constantFrom(400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 503),
      fc.integer({ min: 300, max: 999 }),
    ),
    body: fc.oneof(nearly(STATUS).map(json), texts([JSON.stringify(STATUS), '<html>404 page not found</html>'])),
    retryAfter: fc.option(texts(RETRY_AFTER), { nil: undefined }),
  }),
  ({ method, status, body, retryAfter }) => {
    const asked = { method, what: 'get lease a/b' } as const;
    const error = answerError(asked, status, { 'retry-after': retryAfter }, body, NOW);
    isReported(error);
    const seconds = retryAfter?.trim();
    if (seconds !== undefined && /^\d{1,9}$/.test(seconds)) assert.equal(error.retryAfterMs, Number(seconds) * 1_000);
    assert.equal(error.mayHaveCommitted, method !== 'GET' && (status >= 500 || status === 408));
  },
  { runs: 1_500 },
);

const EVENT = {
  type: 'MODIFIED',
  object: { kind: 'Lease', metadata: { name: 'a', uid: 'u', resourceVersion: '7' }, spec: {} },
};
const BOOKMARK = {
  type: 'BOOKMARK',
  object: { metadata: { resourceVersion: '8', annotations: { 'k8s.io/initial-events-end': 'true' } } },
};

fuzz(
  'watch: one line',
  fc.oneof(nearly(EVENT, BOOKMARK, { type: 'ERROR', object: STATUS }).map(json), texts([json(EVENT), json(BOOKMARK)])),
  (line) => {
    const parsed = parseWatchLine(line, 'watch leases', parseLease);
    if (parsed.kind === 'error') isReported(parsed.error);
    if (parsed.kind === 'bookmark') assert.notEqual(parsed.resourceVersion, '');
    if (parsed.kind === 'change') assert.notEqual(parsed.item.metadata.name, '');
  },
  { runs: 1_500 },
);

const LIMIT = 300;
fuzz(
  'watch: a stream, cut anywhere',
  fc.tuple(
    fc.array(fc.oneof(texts([json(EVENT)]), fc.constantFrom(json(EVENT), '', ' ', '\r')), { maxLength: 6 }),
    fc.array(fc.nat(40), { maxLength: 40 }),
  ),
  ([lines, cuts]) => {
    const bytes = Buffer.from(lines.join('\n'));
    const splitter = new LineSplitter(LIMIT);
    // Another way to say it: all at once, at newlines; a line past the limit ends it.
    const whole = bytes.toString('latin1').split('\n');
    const tooLong = whole.findIndex((line) => line.length > LIMIT);
    const good = (tooLong < 0 ? whole.slice(0, -1) : whole.slice(0, tooLong)).map((line) =>
      Buffer.from(line, 'latin1').toString().trim(),
    );
    const out: string[] = [];
    let at = 0;
    for (const cut of [...cuts, Infinity]) {
      if (at >= bytes.length) break;
      const lines = splitter.push(bytes.subarray(at, at + cut));
      // Lines that were whole before the one that is too long may be lost with it: the watch is opened again.
      if (!lines) return assert.ok(tooLong >= 0, 'no line is too long');
      out.push(...lines);
      at += cut;
    }
    assert.ok(tooLong < 0, 'a line past the limit was not noticed');
    assert.deepEqual(
      out,
      good.filter((line) => line !== ''),
    );
  },
  { runs: 1_500 },
);

const LIST = { kind: 'LeaseList', metadata: { resourceVersion: '9', continue: 'abc' }, items: [EVENT.object] };
fuzz(
  'lists, and the Date of their answers',
  fc.record({
    body: nearly(LIST),
    date: fc.oneof(
      texts(['Thu, 01 Jan 2026 00:00:00 GMT', 'Thursday, 01-Jan-26 00:00:00 GMT']),
      fc.constant(undefined),
    ),
  }),
  ({ body, date }) => {
    const request = { method: 'GET', what: 'list leases', path: '/' } as const;
    const page = onlyThrows(LeaseStoreError, () =>
      readList(request, { status: 200, json: body, headers: { date }, length: 0 }),
    );
    if (!page) return;
    assert.ok(Array.isArray(page.items) && page.resourceVersion !== '');
    const { serverDate } = page;
    if (date === undefined || Number.isNaN(Date.parse(date))) assert.equal(serverDate, undefined);
    else if (serverDate) assert.equal(serverDate.epochMs, Date.parse(date));
  },
);

fuzz('words of a server in a message', texts(['the server', '\x1b[31m', 'a\u{202e}b', 'x'.repeat(5_000)]), (text) => {
  const line = clean(text, 200);
  assert.ok(line.length <= 201);
  assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\n]/u);
});

fuzz('the error of a watch', nearly(STATUS, { code: 410 }), (object) =>
  isReported(statusEventError('watch leases', object)),
);

let dir: string;
before(async () => void (dir = await mkdtemp(join(tmpdir(), 'leasekeeper-fuzz-'))));
after(() => rm(dir, { recursive: true, force: true }));

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const KUBECONFIG = {
  apiVersion: 'v1',
  kind: 'Config',
  'current-context': 'c',
  contexts: [{ name: 'c', context: { cluster: 'k', user: 'u', namespace: 'n' } }],
  clusters: [
    {
      name: 'k',
      cluster: {
        server: 'https://127.0.0.1:6443/a',
        'certificate-authority-data': base64(PEM),
        'tls-server-name': 'x',
        'proxy-url': 'socks5://u:p@127.0.0.1:1',
      },
    },
  ],
  users: [
    {
      name: 'u',
      user: {
        token: 't',
        'client-certificate-data': base64(PEM),
        'client-key-data': base64(PEM.replaceAll('CERTIFICATE', 'PRIVATE KEY')),
        as: 'me',
        'as-groups': ['g'],
        'as-user-extra': { a: ['b'] },
      },
    },
  ],
};
const PLAIN = {
  ...KUBECONFIG,
  clusters: [{ name: 'k', cluster: { server: 'http://127.0.0.1:1' } }],
  users: [{ name: 'u', user: { username: 'u', password: 'p' } }],
};
const YAML =
  'apiVersion: v1\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k}}]\nclusters:\n- name: k\n  cluster: {server: "https://[::1]:6443"}\n';

fuzz(
  'kubeconfig and what it is made into: YAML, certificates, keys, tokens',
  fc.oneof(
    nearly(KUBECONFIG, PLAIN).map(json),
    texts([YAML, JSON.stringify(KUBECONFIG)], ['&a', '*a', '<<: *a', '!!binary ', '---\n', '- ', '? ']),
  ),
  async (text) => {
    if (text.length > 30_000) return;
    const path = join(dir, 'kubeconfig');
    await writeFile(path, text);
    try {
      const settings = await loadKubeConfig({ kubeconfig: path, env: {} });
      assert.match(settings.server, /^https?:\/\//);
      const { exec, oidc } = settings.user;
      // Plugins are programs: what they are is not for a fuzzer to say.
      if (exec || oidc) return;
      const credentials = createCredentials(settings, new ManualClock());
      const { headers } = await credentials.current();
      for (const header of headers) assert.doesNotMatch(header, /[\r\n\0]/);
      credentials.close();
    } catch (error) {
      const good =
        error instanceof KubeConfigError || (error instanceof LeaseStoreError && error.code === 'Credentials');
      if (!good) throw error;
      assert.doesNotMatch((error as Error).message, /-----BEGIN/);
    }
  },
  { runs: 400, boundMs: 1_000 },
);

const RULES = [
  'localhost',
  '.example.org',
  '*.example.org',
  '10.0.0.0/8',
  '10.1.2.3',
  '[::1]:6443',
  'fe80::/10',
  'fe80::1%eth0/64',
  '::ffff:10.0.0.0/104',
  '*',
  'example.org:443',
];
const SERVERS = [
  'https://api.example.org:6443',
  'https://10.1.2.3',
  'http://[fe80::1]:8080',
  'https://[::ffff:10.1.2.3]',
  'https://localhost',
];

fuzz(
  'proxies of the environment: HTTPS_PROXY, NO_PROXY',
  fc.record({
    server: fc.constantFrom(...SERVERS),
    no: texts([RULES.join(','), ...RULES], RULES),
    proxy: texts(['http://proxy:3128', 'proxy:3128']),
  }),
  ({ server, no, proxy }) => {
    const url = new URL(server);
    const used = proxyFor(url, { HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NO_PROXY: no });
    if (used === undefined) return;
    assert.ok(used.endsWith(proxy) && proxy !== '');
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const rules = no.toLowerCase().split(/[\s,]+/);
    assert.ok(!rules.includes(host) && !rules.includes('*') && host !== 'localhost', no);
    // Blocks, written once more: the two that Node's own list can be asked about without any parsing here.
    const block = new BlockList();
    block.addSubnet('10.0.0.0', 8, 'ipv4');
    if (rules.includes('10.0.0.0/8') && isIP(host) === 4) assert.ok(!block.check(host), no);
  },
  { runs: 1_000 },
);
