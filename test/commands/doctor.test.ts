/** What `leasekeeper doctor` finds, against an API server that answers what a test says. */
import assert from 'node:assert/strict';
import { createServer as createPlain } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Finding } from '../../src/commands/doctor-checks.ts';
import { main } from '../../src/commands/main.ts';
import { HOSTNAME_LABEL, IDENTITY_LABEL, leaseName } from '../../src/lease/names.ts';
import { makeCertificate } from '../../src/embedded/certificates.ts';

interface Sketch {
  name?: string;
  hostname: string;
  holder?: string;
  renewedAgoMs?: number;
  annotations?: object;
  transitions?: number | undefined;
}

function leaseObject({
  hostname,
  name = leaseName(hostname),
  renewedAgoMs = 2_000,
  annotations,
  ...more
}: Sketch): object {
  const time = (ago: number): string => new Date(Date.now() - ago).toISOString().replace('Z', '000Z');
  return {
    metadata: {
      ...{ name, namespace: 'kube-system', uid: `uid-${name}`, resourceVersion: '7', annotations },
      labels: { [IDENTITY_LABEL]: 'kube-apiserver', [HOSTNAME_LABEL]: hostname },
      creationTimestamp: `${time(86_400_000).slice(0, 19)}Z`,
    },
    spec: {
      ...{ holderIdentity: more.holder ?? `${name}_1`, leaseDurationSeconds: 3600, renewTime: time(renewedAgoMs) },
      ...{ acquireTime: time(3_600_000), leaseTransitions: 'transitions' in more ? more.transitions : 3 },
    },
  };
}

interface Api {
  /** What answers a path, in place of what a healthy server does. */
  readonly answers?: Readonly<Record<string, (request: IncomingMessage) => readonly [status: number, body: object]>>;
  readonly leases?: (nth: number) => readonly object[];
  /** Milliseconds that its clock is ahead of ours. */
  readonly aheadMs?: number;
  /** With TLS, and this client certificate in the kubeconfig. */
  readonly client?: { readonly cert: string; readonly key: string };
  readonly allowed?: readonly string[];
}

const refusal = (code: number, reason: string, message: string) =>
  [code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message }] as const;
const forbidden = (what: string) => () =>
  refusal(403, 'Forbidden', `${what} is forbidden: User "me" cannot do that in the namespace "kube-system"`);

async function kubeconfig(t: TestContext, api: Api): Promise<string> {
  let lists = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let sent = '';
    for await (const part of request) sent += String(part);
    const path = (request.url ?? '').split('?')[0]!;
    const [status, body] = api.answers?.[path]?.(request) ?? healthy(path, sent);
    response.sendDate = false;
    response.setHeader('date', new Date(Date.now() + (api.aheadMs ?? 0)).toUTCString());
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const healthy = (path: string, sent: string): readonly [number, object] => {
    if (path === '/version') return [200, { gitVersion: 'v1.36.1' }];
    if (path.endsWith('/selfsubjectaccessreviews')) {
      const { verb } = (JSON.parse(sent) as { spec: { resourceAttributes: { verb: string } } }).spec.resourceAttributes;
      return [201, { status: { allowed: api.allowed?.includes(verb) ?? true } }];
    }
    if (path.endsWith('/leases')) {
      const items = (api.leases ?? (() => [leaseObject({ hostname: 'master-1' })]))(++lists);
      return [
        200,
        { kind: 'LeaseList', apiVersion: 'coordination.k8s.io/v1', metadata: { resourceVersion: '9' }, items },
      ];
    }
    if (path.endsWith('webhookconfigurations')) return [200, { items: [] }];
    return [200, { metadata: { name: path.split('/').at(-1) } }];
  };
  const handler = (request: IncomingMessage, response: ServerResponse) => void answer(request, response);
  const ca = makeCertificate({ subject: 'ca', authority: true });
  const tls = api.client && makeCertificate({ subject: 'api', names: ['127.0.0.1'], issuer: ca });
  const server = tls
    ? createSecure({ ...tls, requestCert: true, rejectUnauthorized: false }, handler)
    : createPlain(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const user = api.client
    ? { 'client-certificate-data': base64(api.client.cert), 'client-key-data': base64(api.client.key) }
    : {};
  const cluster = api.client
    ? { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': base64(ca.cert) }
    : { server: `http://127.0.0.1:${port}` };
  return write(t, cluster, user);
}

async function write(t: TestContext, cluster: object, user: object = {}): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-doctor-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'kubeconfig');
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'there' },
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'there', context: { cluster: 'c', user: 'u' } }],
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}

async function doctor(config: string, ...args: string[]) {
  const output = { out: '', err: '' };
  const io = {
    ...{ env: {}, terminal: false },
    out: (text: string) => void (output.out += text),
    err: (text: string) => void (output.err += text),
  };
  const given = ['doctor', `--kubeconfig=${config}`, '--observe=0s', '--hostname-override=master-1', ...args];
  const code = await main(given, io);
  return { code, ...output };
}

/** The findings by what was looked at. */
async function findings(
  config: string,
  ...args: string[]
): Promise<{ code: number } & Record<string, Finding | undefined>> {
  const { code, out, err } = await doctor(config, '-o', 'json', ...args);
  assert.equal(err, '');
  const { ok, findings: all } = JSON.parse(out) as { ok: boolean; findings: Finding[] };
  assert.equal(code, ok ? 0 : 1);
  for (const { verdict, todo, check } of all)
    assert.equal(todo === undefined, verdict === 'ok' || verdict === 'skipped', `${check} says what to do`);
  return { code, ...Object.fromEntries(all.map((one) => [one.check, one])) } as never;
}

function is(finding: Finding | undefined, verdict: Finding['verdict'], words: RegExp): void {
  assert.equal(finding?.verdict, verdict, JSON.stringify(finding));
  assert.match(finding.found, words);
}

test('a healthy server: a line each, exit 0', async (t) => {
  const { code, out, err } = await doctor(await kubeconfig(t, {}));
  assert.deepEqual([code, err], [0, '']);
  const lines = out.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => /^(\w+) +(.*?): /.exec(line)?.slice(1).join(' ')),
    [
      'ok reach',
      'ok versions',
      'skipped certificate',
      'ok clock',
      'ok namespace',
      'ok rights',
      'ok leases',
      'ok this host',
      'ok duplicates',
      'ok peer proxying',
      'ok webhooks',
    ],
  );
  assert.match(out, /API server v1\.36\.1/);
  assert.match(
    out,
    /this host: master-1 is live: held by \S+ since \S+Z \(\d+m\), renewed \d+s ago, changed hands 3 times/,
  );
});

test('no rights: each verb, and who needs it', async (t) => {
  const path = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
  const found = await findings(await kubeconfig(t, { allowed: [], answers: { [path]: forbidden('leases') } }));
  is(found['rights'], 'failure', /^may not list, watch, get, create, update, delete leases in kube-system/);
  is(found['leases'], 'failure', /forbidden|may not|RBAC/);
  const some = await findings(await kubeconfig(t, { allowed: ['list', 'watch', 'get'] }));
  is(some['rights'], 'warning', /^may not create, update, delete leases .*: needed by publish and elect; sweep/);
  assert.equal(some.code, 0);
});

test('where access is not reviewed, only reads are tried', async (t) => {
  const answers = {
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': () => refusal(404, 'NotFound', 'not found'),
    '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/leasekeeper-doctor': () =>
      refusal(404, 'NotFound', 'leases "leasekeeper-doctor" not found'),
  };
  is((await findings(await kubeconfig(t, { answers })))['rights'], 'ok', /may list and get .* writes were not tried/);
});

test('a review that fails is no right: what is known is said, and no more', async (t) => {
  let reviews = 0;
  const answers = {
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': () =>
      ++reviews % 2 === 0
        ? refusal(500, 'InternalError', 'etcd is slow')
        : ([201, { status: { allowed: true } }] as const),
  };
  is(
    (await findings(await kubeconfig(t, { answers })))['rights'],
    'skipped',
    /^may .*; the API server did not say of /,
  );
});

test('a wrong namespace', async (t) => {
  const answers = {
    '/api/v1/namespaces/kube-sytem': () => refusal(404, 'NotFound', 'namespaces "kube-sytem" not found'),
  };
  const found = await findings(await kubeconfig(t, { answers, leases: () => [] }), '--namespace=kube-sytem');
  is(found['namespace'], 'failure', /there is no namespace kube-sytem/);
  is(found['leases'], 'warning', /no lease with label \S+ in namespace kube-sytem/);
  assert.equal(found.code, 1);
});

test('a client certificate that has expired, and one that expires soon', async (t) => {
  const issuer = makeCertificate({ subject: 'clients', authority: true });
  const lasting = (ms: number) => makeCertificate({ subject: 'me', issuer, until: Date.now() + ms });
  const unauthorized = () => refusal(401, 'Unauthorized', 'Unauthorized');
  const expired = await findings(
    await kubeconfig(t, { client: lasting(-3_600_000), answers: { '/version': unauthorized } }),
  );
  is(expired['certificate'], 'failure', /the client certificate expired \d+m ago/);
  is(expired['reach'], 'failure', /refuses our credentials/);
  const soon = await findings(await kubeconfig(t, { client: lasting(5 * 86_400_000) }));
  is(soon['certificate'], 'warning', /expires in (4d23h|5d)/);
});

test('a clock ten minutes off', async (t) => {
  is((await findings(await kubeconfig(t, { aheadMs: 600_000 })))['clock'], 'failure', /clock is (9m\d+s|10m) behind/);
  const ahead = await findings(await kubeconfig(t, { aheadMs: -600_000 }));
  is(ahead['clock'], 'failure', /clock is (9m\d+s|10m) ahead/);
  assert.equal(ahead.code, 1);
});

test('a hostname twice: two leases, or a holder that changes between the lists', async (t) => {
  const twins = [leaseObject({ hostname: 'master-1' }), leaseObject({ hostname: 'master-1', name: 'apiserver-abc' })];
  const two = await findings(await kubeconfig(t, { leases: () => twins }));
  is(two['duplicates'], 'warning', /more than one lease: master-1 \(.*apiserver-abc.*\)/);
  const leases = (nth: number) => [leaseObject({ hostname: 'master-1', holder: `holder-${nth}` })];
  is(
    (await findings(await kubeconfig(t, { leases }), '--observe=10ms'))['duplicates'],
    'failure',
    /holders changed within .*: master-1/,
  );
  const local = await findings(await kubeconfig(t, { leases: () => [] }), '--hostname-override=localhost');
  is(local['this host'], 'warning', /called localhost/);
});

test('a slow webhook, and one that cannot hold a renewal up', async (t) => {
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
  const hook = (name: string, more: object) => ({
    ...{ name, timeoutSeconds: 30, failurePolicy: 'Fail' },
    rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*'], scope: '*' }],
    ...more,
  });
  const other = [{ apiGroups: ['apps'], operations: ['*'], resources: ['*'] }];
  const system = { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system'] };
  const list = (...webhooks: object[]) => ({
    answers: { [path]: () => [200, { items: [{ metadata: { name: 'policies' }, webhooks }] }] as const },
  });
  const slow = await findings(
    await kubeconfig(
      t,
      list(
        hook('slow.example', {}),
        hook('elsewhere.example', { rules: other }),
        hook('not-here.example', { namespaceSelector: { matchExpressions: [system] } }),
      ),
    ),
  );
  is(
    slow['webhooks'],
    'warning',
    /^webhooks that can hold up every renewal: policies\/slow\.example \(30 s, then refused\)$/,
  );
  const mild = hook('mild.example', { timeoutSeconds: 1, failurePolicy: 'Ignore' });
  is(
    (await findings(await kubeconfig(t, list(mild))))['webhooks'],
    'ok',
    /policies\/mild\.example \(1 s, then let through\)/,
  );
  const unread = { answers: { [path]: forbidden('webhooks') } };
  is((await findings(await kubeconfig(t, unread)))['webhooks'], 'skipped', /forbidden|may not|RBAC/);
  const none = { answers: { [path]: () => [404, { paths: [] }] as const } };
  is((await findings(await kubeconfig(t, none)))['webhooks'], 'skipped', /serves none/);
  const odd = { answers: { [path]: () => [200, { items: [7, null, { webhooks: [{ rules: 'x' }, 3] }] }] as const } };
  is((await findings(await kubeconfig(t, odd)))['webhooks'], 'ok', /none/);
});

test('peer proxying beside leases of ours', async (t) => {
  const own = leaseObject({
    hostname: 'master-1',
    name: 'apiserver-abc',
    annotations: { 'kubernetes.io/peer-advertise-address': '10.0.0.1' },
    transitions: undefined,
  });
  const beside = await findings(await kubeconfig(t, { leases: () => [own, leaseObject({ hostname: 'master-2' })] }));
  is(
    beside['peer proxying'],
    'warning',
    /API servers that take part in peer proxying: 1; other leases .*: kube-apiserver-/,
  );
});

test('no server; no kubeconfig', async (t) => {
  const none = await findings(await write(t, { server: 'http://127.0.0.1:1' }));
  is(none['reach'], 'failure', /127\.0\.0\.1:1/);
  assert.deepEqual([none['leases'], none.code], [undefined, 1]);
  const missing = await findings('/no/such/kubeconfig');
  is(missing['kubeconfig'], 'failure', /\/no\/such\/kubeconfig/);
});

test('stopped between its two looks: exit 1, however well all was until then', async (t) => {
  const config = await kubeconfig(t, {});
  const before = process.listeners('SIGTERM');
  let out = '';
  const io = {
    ...{ env: {}, terminal: false, errTerminal: true },
    out: (text: string) => void (out += text),
    err: (text: string) => {
      if (!text.includes('looking again')) return;
      for (const stop of process.listeners('SIGTERM')) if (!before.includes(stop)) stop('SIGTERM');
    },
  };
  const code = await main(['doctor', `--kubeconfig=${config}`, '--observe=10m', '--hostname-override=master-1'], io);
  assert.equal(code, 1);
  assert.match(out, /rights: /);
  assert.doesNotMatch(out, /failure|leases: /);
});
