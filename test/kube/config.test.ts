import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { loadKubeConfig } from '../../src/kube/auth/kubeconfig.ts';
import { KubeConfigError } from '../../src/kube/auth/settings.ts';
import type { KubeConfigObject, LoadOptions } from '../../src/kube/auth/kubeconfig.ts';
import type { KubeConfigErrorCode } from '../../src/kube/auth/settings.ts';
import { tempDir } from './support.ts';

const whole = (name: string): string => `
apiVersion: v1
kind: Config
current-context: ${name}
clusters: [{name: c-${name}, cluster: {server: "https://${name}.example:6443/", certificate-authority: ca.crt}}]
users: [{name: u-${name}, user: {token: token-of-${name}}}]
contexts: [{name: ${name}, context: {cluster: c-${name}, user: u-${name}, namespace: ns-${name}}}]
`;
const nowhere: LoadOptions = { env: {}, home: '/nonexistent', serviceAccountDir: '/nonexistent' };
const failsWith =
  (code: KubeConfigErrorCode, words: RegExp) =>
  (error: unknown): true => {
    assert.ok(error instanceof KubeConfigError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    assert.doesNotMatch(error.message, /S3CRET/);
    return true;
  };

test('the order: named file, KUBECONFIG, service account, ~/.kube/config', async (t) => {
  const home = tempDir(t);
  const dir = tempDir(t, {
    named: whole('named'),
    listed: whole('listed'),
    token: 'sa',
    namespace: 'pod-ns\n',
    'ca.crt': '',
  });
  const { mkdirSync } = await import('node:fs');
  mkdirSync(join(home, '.kube'));
  writeFileSync(join(home, '.kube', 'config'), whole('home'));
  const pod = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const env = { ...pod, KUBECONFIG: join(dir, 'listed') };
  const base = { home, serviceAccountDir: dir };

  assert.equal((await loadKubeConfig({ ...base, env, kubeconfig: join(dir, 'named') })).context, 'named');
  assert.equal((await loadKubeConfig({ ...base, env })).context, 'listed');
  const inPod = await loadKubeConfig({ ...base, env: pod });
  assert.equal(inPod.source, 'service account');
  assert.equal(inPod.server, 'https://[fd00::1]');
  assert.equal(inPod.namespace, 'pod-ns');
  assert.equal(inPod.user.tokenFile, join(dir, 'token'));
  assert.equal(inPod.ca?.file, join(dir, 'ca.crt'));
  assert.equal((await loadKubeConfig({ ...base, env: {} })).context, 'home');
  await assert.rejects(
    loadKubeConfig(nowhere),
    failsWith('NoConfiguration', /KUBECONFIG.*\/nonexistent\/.kube\/config/),
  );
});

test('a user without a home directory has no ~/.kube/config, as in a container that runs as any number', async (t) => {
  t.mock.method(os, 'homedir', () => {
    throw new Error('A system error occurred: uv_os_homedir returned ENOENT');
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const options = { env: {}, serviceAccountDir: '/nonexistent' };
  await assert.rejects(loadKubeConfig(options), failsWith('NoConfiguration', /this user has no home directory;/));
});

test('KUBECONFIG: several files are merged, of each name the first wins, missing ones are passed over', async (t) => {
  const a = tempDir(t, { config: whole('a') });
  const b = tempDir(t, {
    config: `${whole('b')}\n`.replace('clusters: [', 'clusters: [{name: c-a, cluster: {server: "https://wrong"}}, '),
  });
  const env = { KUBECONFIG: [join(a, 'none'), join(a, 'config'), join(b, 'config')].join(':') };
  const first = await loadKubeConfig({ ...nowhere, env });
  assert.equal(first.server, 'https://a.example:6443');
  assert.equal(first.namespace, 'ns-a');
  assert.equal(first.ca?.file, join(a, 'ca.crt'));
  const second = await loadKubeConfig({ ...nowhere, env, context: 'b' });
  assert.equal(second.user.token, 'token-of-b');
  assert.equal(second.ca?.file, join(b, 'ca.crt'));
  await assert.rejects(
    loadKubeConfig({ ...nowhere, env: { KUBECONFIG: '/nonexistent/x' } }),
    failsWith('FileNotFound', /\/nonexistent\/x/),
  );
});

test('everything that a user and a cluster may have', async (t) => {
  const dir = tempDir(t, {
    config: JSON.stringify({
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      clusters: [
        {
          name: 'c',
          cluster: {
            server: 'https://h:443/',
            'insecure-skip-tls-verify': true,
            'tls-server-name': 'n',
            'proxy-url': 'socks5://p:1080',
            extensions: [{ name: 'client.authentication.k8s.io/exec', extension: { audience: 'x' } }],
          },
        },
      ],
      users: [
        {
          name: 'u',
          user: {
            'client-certificate-data': Buffer.from('CERT').toString('base64'),
            'client-key': 'sub/key',
            tokenFile: 'token',
            as: 'other',
            'as-uid': '7',
            'as-groups': ['g1', 'g2'],
            'as-user-extra': { scope: ['a'] },
            exec: {
              command: './plugin',
              apiVersion: 'client.authentication.k8s.io/v1beta1',
              args: ['get-token'],
              env: [{ name: 'A', value: 'b' }],
              installHint: 'install it',
              provideClusterInfo: true,
            },
          },
        },
      ],
    }),
  });
  const settings = await loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'config') });
  assert.equal(settings.proxyUrl, 'socks5://p:1080');
  assert.equal(settings.insecureSkipTlsVerify, true);
  assert.equal(settings.tlsServerName, 'n');
  const { user } = settings;
  assert.equal(user.certificate?.data, 'CERT');
  assert.equal(user.key?.file, join(dir, 'sub/key'));
  assert.equal(user.tokenFile, join(dir, 'token'));
  assert.deepEqual(user.impersonate, { user: 'other', uid: '7', groups: ['g1', 'g2'], extra: { scope: ['a'] } });
  assert.deepEqual(user.exec, {
    command: join(dir, 'plugin'),
    apiVersion: 'client.authentication.k8s.io/v1beta1',
    args: ['get-token'],
    env: { A: 'b' },
    interactiveMode: 'IfAvailable',
    installHint: 'install it',
    cluster: {
      server: 'https://h:443/',
      'insecure-skip-tls-verify': true,
      'tls-server-name': 'n',
      'proxy-url': 'socks5://p:1080',
      config: { audience: 'x' },
    },
  });
});

const doc = (parts: { context?: string; cluster?: string; user?: string; current?: string }): string => `
current-context: ${parts.current ?? 'x'}
contexts: [{name: x, context: ${parts.context ?? '{cluster: c, user: u}'}}]
clusters: [{name: c, cluster: ${parts.cluster ?? '{server: "https://h"}'}}]
users: [{name: u, user: ${parts.user ?? '{token: S3CRET}'}}]
`;
test("client-node's KubeConfig is read as a kubeconfig is", async (t) => {
  const dir = tempDir(t, { ca: 'CA', token: 'sa' });
  const config = new KubeConfig();
  const command = { apiVersion: 'client.authentication.k8s.io/v1beta1', command: 'login', args: ['a'] };
  config.loadFromOptions({
    clusters: [
      {
        name: 'c',
        server: 'https://h',
        caData: btoa('CA'),
        skipTLSVerify: false,
        tlsServerName: 'n',
        proxyUrl: 'http://p',
      },
      { name: 'd', server: 'https://d', caFile: join(dir, 'ca'), skipTLSVerify: false },
    ],
    users: [
      { name: 'u', certData: btoa('CERT'), keyFile: '/key', token: 'abc', impersonateUser: 'other' },
      { name: 'e', exec: command },
      // As its loadFromCluster writes it.
      { name: 'pod', authProvider: { name: 'tokenFile', config: { tokenFile: join(dir, 'token') } } },
    ],
    contexts: [
      { name: 'x', cluster: 'c', user: 'u', namespace: 'ns' },
      { name: 'y', cluster: 'd', user: 'e' },
      { name: 'z', cluster: 'd', user: 'pod' },
    ],
    currentContext: 'x',
  });
  const kubeConfig: KubeConfigObject = config;
  const x = await loadKubeConfig({ ...nowhere, kubeConfig, kubeconfig: '/nonexistent' });
  const { user, ...cluster } = x;
  assert.deepEqual(cluster, {
    server: 'https://h',
    ca: { data: 'CA', field: 'clusters[c].cluster.certificate-authority-data' },
    rootFiles: [],
    insecureSkipTlsVerify: false,
    tlsServerName: 'n',
    proxyUrl: 'http://p',
    namespace: 'ns',
    context: 'x',
    source: 'kubeConfig',
  });
  assert.deepEqual([user.certificate?.data, user.key?.file, user.token], ['CERT', '/key', 'abc']);
  assert.equal(user.impersonate?.user, 'other');
  const y = await loadKubeConfig({ ...nowhere, kubeConfig, context: 'y' });
  assert.deepEqual([y.ca?.file, y.user.exec?.command], [join(dir, 'ca'), 'login']);
  assert.equal((await loadKubeConfig({ ...nowhere, kubeConfig, context: 'z' })).user.tokenFile, join(dir, 'token'));
  await assert.rejects(
    loadKubeConfig({ ...nowhere, kubeConfig: new KubeConfig() }),
    failsWith('NoCurrentContext', /^kubeConfig: current-context is not set/),
  );
});

const exec = (version: string, more = 'args: []'): string =>
  `{exec: {command: a, apiVersion: client.authentication.k8s.io/${version}, ${more}}}`;
const faults: [string, KubeConfigErrorCode, RegExp][] = [
  ['users: [{name: u, user: {token: "S3CRET}}]', 'InvalidYaml', /config: no YAML or JSON: \w+ in line 1$/],
  ['a: &a [*a]\nb: *c', 'InvalidYaml', /./],
  ['- S3CRET', 'InvalidField', /must be a mapping/],
  ['users: S3CRET', 'InvalidField', /users must be a list/],
  ['users: [{name: 5}]', 'InvalidField', /users\[0\].name must be a string/],
  ['users: [{name: a}, {name: a}]', 'InvalidField', /users\[1\].name must not stand twice: "a"/],
  ['kind: Pod', 'InvalidField', /kind must be Config/],
  ['apiVersion: v2', 'InvalidField', /apiVersion must be v1/],
  ['', 'NoCurrentContext', /current-context is not set/],
  [doc({ current: '""' }), 'NoCurrentContext', /there are: x/],
  [doc({ current: 'z' }), 'ContextNotFound', /context "z" does not exist \(there are: x\)/],
  [doc({ context: '{cluster: d, user: u}' }), 'ClusterNotFound', /cluster "d" of context "x"/],
  [doc({ context: '{user: u}' }), 'ClusterNotFound', /cluster "" of context "x"/],
  [doc({ context: '{cluster: c, user: v}' }), 'UserNotFound', /user "v" of context "x"/],
  [doc({ cluster: '{}' }), 'InvalidServer', /clusters\[c\].cluster.server is missing/],
  [doc({ cluster: '{server: "ftp://h"}' }), 'InvalidServer', /"ftp:\/\/h" is no server; it must be like https/],
  [doc({ cluster: '{server: "https://"}' }), 'InvalidServer', /no server/],
  [doc({ cluster: '{server: "https://me:S3CRET@h"}' }), 'InvalidServer', /holds a user or password/],
  [
    doc({ cluster: '{server: "https://h", proxy-url: "ftp://me:S3CRET@h"}' }),
    'InvalidProxy',
    /proxy-url must be a URL/,
  ],
  [doc({ cluster: '{server: "https://h", insecure-skip-tls-verify: "yes"}' }), 'InvalidField', /true or false/],
  [doc({ user: '{token: 12345}' }), 'InvalidField', /users\[u\].user.token must be a string; put it in quotes/],
  [doc({ user: '{token: S3CRET, username: a}' }), 'InvalidField', /users\[u\].user must have either a token or/],
  [doc({ user: '{tokenFile: a, password: S3CRET}' }), 'InvalidField', /users\[u\].user must have either a token or/],
  [doc({ user: '{password: S3CRET}' }), 'InvalidField', /user.username is missing/],
  [doc({ user: '{client-key-data: AAAA}' }), 'InvalidField', /client-certificate is missing/],
  [doc({ user: '{client-certificate-data: AAAA}' }), 'InvalidField', /client-key is missing/],
  [doc({ user: '{client-key-data: "S3CRET!"}' }), 'InvalidField', /client-key-data is no base64/],
  [doc({ user: '{client-key-data: AAAA, client-key: a}' }), 'InvalidField', /client-key-data must not stand beside/],
  [doc({ user: '{as-groups: [a]}' }), 'InvalidField', /as-groups needs a user to act as/],
  [doc({ user: '{as: a, as-groups: b}' }), 'InvalidField', /as-groups must be a list/],
  [doc({ cluster: '{server: "http://h"}', user: '{as: a}' }), 'InvalidField', /user.as needs a server with https/],
  [
    doc({ cluster: '{server: "https://h", certificate-authority: a, insecure-skip-tls-verify: true}' }),
    'InvalidField',
    /insecure-skip-tls-verify must not be true beside/,
  ],
  [doc({ user: '{exec: {}}' }), 'InvalidField', /exec.command must name a command/],
  [doc({ user: exec('v1alpha1') }), 'InvalidField', /exec.apiVersion must be client.authentication.k8s.io\/v1 or/],
  [doc({ user: exec('v1') }), 'InvalidField', /exec.interactiveMode must be Never, IfAvailable or Always/],
  [doc({ user: exec('v1', 'interactiveMode: never') }), 'InvalidField', /exec.interactiveMode must be/],
  [doc({ user: exec('v1beta1', 'args: [1]') }), 'InvalidField', /exec.args must be a list of strings/],
  [doc({ user: exec('v1beta1', 'env: [{name: ""}]') }), 'InvalidField', /exec.env must be a list of name and value/],
  [doc({ user: exec('v1beta1', 'provideClusterInfo: 1') }), 'InvalidField', /provideClusterInfo must be true or false/],
  [
    doc({ user: '{exec: {}, auth-provider: {name: oidc}}' }),
    'InvalidField',
    /auth-provider must not stand beside exec/,
  ],
  [doc({ user: '{auth-provider: {name: gcp}}' }), 'InvalidField', /"gcp" is not .*use the exec plugin gke-gcloud-auth/],
  [doc({ user: '{auth-provider: {name: azure}}' }), 'InvalidField', /"azure" is not .*use the exec plugin kubelogin/],
  [doc({ user: '{auth-provider: {name: toString}}' }), 'InvalidField', /"toString" is not .*use an exec plugin/],
  [doc({ user: '{auth-provider: {name: oidc}}' }), 'InvalidField', /auth-provider.config.idp-issuer-url is missing/],
];
for (const [text, code, words] of faults) {
  test(`${code}: ${words.source}`, async (t) => {
    const dir = tempDir(t, { config: text });
    await assert.rejects(loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'config') }), failsWith(code, words));
  });
}

test('a context without a user is anonymous and keeps the CA; a server without a scheme is http, as in client-go', async (t) => {
  const dir = tempDir(t, {
    config: doc({ context: '{cluster: c}', cluster: '{server: "h:8080", certificate-authority: ca}' }),
  });
  const settings = await loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'config') });
  assert.deepEqual(settings.user, {});
  assert.equal(settings.server, 'http://h:8080');
  assert.equal(settings.ca?.file, join(dir, 'ca'));
});

test('a named file that is not there', async () => {
  await assert.rejects(
    loadKubeConfig({ ...nowhere, kubeconfig: '/nonexistent/k' }),
    failsWith('FileNotFound', /\/nonexistent\/k/),
  );
});

test('a proxy from the environment', async (t) => {
  const dir = tempDir(t, { config: doc({}) });
  const kubeconfig = join(dir, 'config');
  chmodSync(kubeconfig, 0o600);
  const withEnv = (env: Record<string, string>) => loadKubeConfig({ ...nowhere, env, kubeconfig });
  assert.equal((await withEnv({ HTTPS_PROXY: 'http://p:3128' })).proxyUrl, 'http://p:3128');
  assert.equal((await withEnv({ HTTPS_PROXY: 'http://p:3128', NO_PROXY: 'h' })).proxyUrl, undefined);
  await assert.rejects(withEnv({ HTTPS_PROXY: 'ftp://S3CRET@p' }), failsWith('InvalidProxy', /HTTPS_PROXY/));
});

test('merge keys of YAML', async (t) => {
  const dir = tempDir(t, {
    config: `
x-base: &base {tls-server-name: name, insecure-skip-tls-verify: yes}
current-context: x
clusters: [{name: c, cluster: {<<: *base, server: "https://h"}}]
contexts: [{name: x, context: {cluster: c}}]
`,
  });
  const settings = await loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'config') });
  assert.equal(settings.insecureSkipTlsVerify, true);
});

const withUser = (user: object, cluster: object = {}): string =>
  JSON.stringify({
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://h', ...cluster } }],
    users: [{ name: 'u', user }],
  });

test('what no header can carry is refused when it is read', async (t) => {
  const S = 'S3CRET';
  for (const [user, field] of [
    [{ as: `${S}\nx: y` }, /user\.as /],
    [{ as: `${S}ж` }, /user\.as /],
    [{ as: 'a', 'as-uid': `${S}\r` }, /user\.as-uid /],
    [{ as: 'a', 'as-groups': ['ok', `${S}é`] }, /user\.as-groups /],
    [{ as: 'a', 'as-user-extra': { k: [`${S}\u0000`] } }, /user\.as-user-extra /],
    [{ as: 'a', 'as-user-extra': { '\ud800': ['v'] } }, /user\.as-user-extra /],
  ] as const) {
    const dir = tempDir(t, { config: withUser(user) });
    await assert.rejects(
      loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'config') }),
      failsWith('InvalidField', field),
    );
  }
  const dir = tempDir(t, { config: withUser({ as: 'a b', 'as-groups': ['system:masters'] }) });
  assert.equal((await loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'config') })).user.impersonate?.user, 'a b');
});

test("a proxy's user or password with a bad escape", async (t) => {
  for (const url of ['http://us%zzer:S3CRET@p', 'socks5://u:S3CRET%@p', 'http://u:S3CRET%ff@p']) {
    const dir = tempDir(t, { config: withUser({}, { 'proxy-url': url }), plain: withUser({}) });
    await assert.rejects(
      loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'config') }),
      failsWith('InvalidProxy', /proxy-url.*%25/),
    );
    await assert.rejects(
      loadKubeConfig({ ...nowhere, kubeconfig: join(dir, 'plain'), env: { HTTPS_PROXY: url } }),
      failsWith('InvalidProxy', /HTTPS_PROXY/),
    );
  }
});
