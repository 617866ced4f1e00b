import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { KubeConfigError } from '../../src/kube/auth/settings.ts';
import type { ExecSettings, KubeSettings, UserSettings } from '../../src/kube/auth/settings.ts';
import { createCredentials } from '../../src/kube/auth/credentials.ts';
import type { Credentials, CredentialSource } from '../../src/kube/auth/material.ts';
import { isStoreError } from '../../src/lease/store.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { makeCertificate } from '../../src/embedded/certificates.ts';
import { fixture, fixtureText, json, startServer, statusBody, tempDir, transportTo, until } from './support.ts';

const settings = (user: UserSettings, more: Partial<KubeSettings> = {}): KubeSettings => ({
  server: 'https://h',
  insecureSkipTlsVerify: false,
  source: 'the test',
  user,
  ...more,
});
const now = (source: CredentialSource): Credentials => {
  const current = source.current();
  assert.ok(!(current instanceof Promise), 'a promise');
  return current;
};
/** Writes with a new mtime whatever the file system's resolution. */
let stamp = 1_700_000_000;
const rewrite = (file: string, text: string): void => {
  writeFileSync(file, text);
  utimesSync(file, ++stamp, stamp);
};

test('tokens, basic authentication, impersonation', () => {
  const clock = new ManualClock();
  const of = (user: UserSettings): readonly string[] => now(createCredentials(settings(user), clock)).headers;
  assert.deepEqual(of({}), []);
  assert.deepEqual(of({ token: 'abc' }), ['authorization', 'Bearer abc']);
  assert.deepEqual(of({ username: 'me', password: 'p:w' }), ['authorization', `Basic ${btoa('me:p:w')}`]);
  assert.deepEqual(
    of({ token: 'abc', impersonate: { user: 'o', uid: '7', groups: ['a', 'b'], extra: { 'x/y': ['1', '2'] } } }),
    [
      ...['authorization', 'Bearer abc', 'impersonate-user', 'o', 'impersonate-uid', '7'],
      ...['impersonate-group', 'a', 'impersonate-group', 'b'],
      ...['impersonate-extra-x%2Fy', '1', 'impersonate-extra-x%2Fy', '2'],
    ],
  );
});

test('a token file is read again after 10 s at the latest, and at once after a 401', async (t) => {
  const file = join(tempDir(t, { token: ' one\n' }), 'token');
  const clock = new ManualClock();
  const source = createCredentials(settings({ tokenFile: file }), clock);
  const first = now(source);
  assert.deepEqual(first.headers, ['authorization', 'Bearer one']);
  rewrite(file, 'two');
  await clock.advance(9_999);
  assert.equal(now(source), first);
  await clock.advance(1);
  assert.deepEqual(now(source).headers, ['authorization', 'Bearer two']);
  rewrite(file, 'three');
  const second = now(source);
  source.rejected(first);
  assert.equal(now(source), second, 'a late 401 to the old one means nothing');
  source.rejected(second);
  assert.deepEqual(now(source).headers, ['authorization', 'Bearer three']);
  rewrite(file, 'four');
  clock.stepWall(-3_600_000);
  assert.deepEqual(now(source).headers, ['authorization', 'Bearer four']);
});

test('a token file that is gone, empty or broken for a moment leaves the good token in force', async (t) => {
  const file = join(tempDir(t, { token: 'one' }), 'token');
  const clock = new ManualClock();
  const source = createCredentials(settings({ tokenFile: file }), clock);
  for (const breakIt of [() => rmSync(file), () => rewrite(file, ' \n'), () => rewrite(file, 'a\nb')]) {
    breakIt();
    await clock.advance(10_000);
    assert.deepEqual(now(source).headers, ['authorization', 'Bearer one']);
  }
  rewrite(file, 'two');
  await clock.advance(1_000);
  assert.deepEqual(now(source).headers, ['authorization', 'Bearer two']);
});

test('over the wire: 401 until the token file rotates, then the very next request passes', async (t) => {
  const file = join(tempDir(t, { token: 'old' }), 'token');
  const server = await startServer(t, ({ headers }, response) =>
    headers.authorization === 'Bearer new'
      ? json(response, 200, {})
      : json(response, 401, statusBody(401, 'Unauthorized', 'no')),
  );
  const credentials = createCredentials(settings({ tokenFile: file }), createSystemClock());
  const transport = transportTo(t, server.url, { credentials });
  const get = { method: 'GET', what: 'get', path: '/' } as const;
  await assert.rejects(transport.request(get), (e) => isStoreError(e, 'Unauthorized') && !e.message.includes('old'));
  rewrite(file, 'new');
  await transport.request(get);
});

const pem = (data: string) => ({ data, field: 'f' });
const rsa = makeCertificate({ subject: 'r', keyType: 'rsa' });
const faults: [string, Partial<KubeSettings>, string, RegExp][] = [
  [
    'a CA that cannot be read',
    { ca: { file: '/nonexistent/ca', field: 'clusters[c].cluster.certificate-authority' } },
    'FileUnreadable',
    /certificate-authority: cannot read \/nonexistent\/ca \(ENOENT\)/,
  ],
  ['a CA that is none', { ca: pem('S3CRET') }, 'InvalidCertificate', /the test: f/],
  [
    'a CA that is broken',
    { ca: pem('-----BEGIN CERTIFICATE-----\nS3CRET\n-----END CERTIFICATE-----') },
    'InvalidCertificate',
    /f: its certificate cannot be read/,
  ],
  [
    'a key of another certificate',
    { user: { certificate: pem(fixtureText('client-a.crt')), key: pem(fixtureText('client-b.test-only.key')) } },
    'InvalidCertificate',
    /the key belongs to another certificate/,
  ],
  [
    'a key of another kind',
    { user: { certificate: pem(fixtureText('client-a.crt')), key: pem(rsa.key) } },
    'InvalidCertificate',
    /the key belongs to another certificate/,
  ],
  [
    'a token file that is not there',
    { user: { tokenFile: '/nonexistent/token' } },
    'FileUnreadable',
    /tokenFile: cannot read \/nonexistent\/token/,
  ],
  ['a token with a line break', { user: { token: 'S3CRET\nx' } }, 'InvalidToken', /no header can carry/],
];
for (const [name, more, code, words] of faults) {
  test(name, () => {
    assert.throws(
      () => createCredentials(settings({}, { server: 'https://h', ...more }), new ManualClock()),
      (error) => {
        assert.ok(error instanceof KubeConfigError);
        assert.equal(error.code, code);
        assert.match(error.message, words);
        assert.doesNotMatch(error.message, /S3CRET/);
        return true;
      },
    );
  });
}

test('a client certificate that rotates is used by new connections; the old one ends when it is idle', async (t) => {
  const dir = tempDir(t);
  const place = (name: string): void => {
    for (const [from, to] of [
      [`${name}.crt`, 'crt'],
      [`${name}.test-only.key`, 'key'],
    ] as const) {
      copyFileSync(fixture(from), join(dir, to));
      utimesSync(join(dir, to), ++stamp, stamp);
    }
  };
  place('client-a');
  const server = await startServer(
    t,
    (_, response, socket) => json(response, 200, (socket as TLSSocket).getPeerCertificate().subject.CN),
    {
      cert: fixtureText('server.crt'),
      key: fixtureText('server.test-only.key'),
      ca: fixtureText('ca.crt'),
      requestCert: true,
    },
  );
  const clock = new ManualClock();
  const credentials = createCredentials(
    settings(
      { certificate: { file: join(dir, 'crt'), field: 'c' }, key: { file: join(dir, 'key'), field: 'k' } },
      { server: server.url, ca: pem(fixtureText('ca.crt')) },
    ),
    clock,
  );
  const transport = transportTo(t, server.url, { credentials, clock });
  const who = async (): Promise<unknown> => (await transport.request({ method: 'GET', what: 'get', path: '/' })).json;
  assert.equal(await who(), 'client-a');
  // Half done: the key does not fit yet.
  copyFileSync(fixture('client-b.crt'), join(dir, 'crt'));
  await clock.advance(10_000);
  assert.equal(await who(), 'client-a');
  place('client-b');
  await clock.advance(1_000);
  assert.equal(await who(), 'client-b');
  assert.equal(await who(), 'client-b');
  assert.equal(server.sockets.length, 2);
  await until(() => server.open() === 1);
});

const TLS = { server: 'https://h' };
const V1 = 'client.authentication.k8s.io/v1';
const execUser = (command: string, more: Partial<ExecSettings> = {}): UserSettings => ({
  exec: { command, args: [], env: {}, apiVersion: V1, interactiveMode: 'Never', ...more },
});

/** A plugin that counts its runs in a file and answers what the file `answer` says. */
function plugin(t: TestContext): {
  dir: string;
  command: string;
  runs: () => number;
  answer: (status: object | string) => void;
} {
  const dir = tempDir(t, { runs: '' });
  const command = join(dir, 'plugin');
  writeFileSync(
    command,
    `#!/bin/sh\nprintf x >> ${dir}/runs\nprintf '%s' "$KUBERNETES_EXEC_INFO" > ${dir}/info\n. ${dir}/answer\n`,
  );
  chmodSync(command, 0o755);
  return {
    dir,
    command,
    runs: () => readFileSync(join(dir, 'runs'), 'utf8').length,
    answer: (status) =>
      writeFileSync(
        join(dir, 'answer'),
        typeof status === 'string'
          ? status
          : `printf '%s' '${JSON.stringify({ kind: 'ExecCredential', apiVersion: V1, status })}'`,
      ),
  };
}

test('exec: one run for all who wait, again when it expires or is refused, never twice within 5 s', async (t) => {
  const p = plugin(t);
  const clock = new ManualClock();
  const source = createCredentials(settings(execUser(p.command, { env: { A: 'b' } }), TLS), clock);
  p.answer({ token: 'one', expirationTimestamp: new Date(clock.wallMicros() / 1000 + 60_000).toISOString() });
  const [a, b] = await Promise.all([source.current(), source.current()]);
  assert.equal(a, b);
  assert.deepEqual(a.headers, ['authorization', 'Bearer one']);
  assert.equal(p.runs(), 1);
  assert.deepEqual(JSON.parse(readFileSync(join(p.dir, 'info'), 'utf8')), {
    kind: 'ExecCredential',
    apiVersion: V1,
    spec: { interactive: false },
  });
  assert.equal(now(source), a);

  p.answer({ token: 'two' });
  await clock.advance(59_999);
  assert.equal(now(source), a);
  await clock.advance(1);
  const second = await source.current();
  assert.deepEqual(second.headers, ['authorization', 'Bearer two']);
  assert.equal(p.runs(), 2);

  p.answer({ token: 'three' });
  source.rejected(second);
  assert.equal(now(source), second, 'not again within 5 s');
  await clock.advance(5_000);
  assert.deepEqual((await source.current()).headers, ['authorization', 'Bearer three']);
  assert.equal(p.runs(), 3);
});

test('exec: what fails is said without a credential, and not tried again within 5 s', async (t) => {
  const answer = (status: object, more: object = {}): string =>
    `printf '%s' '${JSON.stringify({ kind: 'ExecCredential', apiVersion: V1, status, ...more })}'`;
  const failures: [string, RegExp][] = [
    ['exit 3', /exec plugin .*plugin: exit code 3$/],
    ['kill -9 $$', /it was ended by SIGKILL$/],
    [`printf '{"token": S3CRET'`, /no JSON/],
    ['printf 1', /no ExecCredential/],
    [answer({ token: 'S3CRET' }, { kind: 'Status' }), /no ExecCredential/],
    [
      answer({ token: 'S3CRET' }, { apiVersion: `${V1}beta1` }),
      /its answer is of client.authentication.k8s.io\/v1beta1, not of client.authentication.k8s.io\/v1 as/,
    ],
    [answer({}), /neither status.token nor/],
    [answer({ clientCertificateData: 'S3CRET' }), /no status.clientKeyData/],
    [answer({ token: 'S3CRET', clientKeyData: 'S3CRET' }), /no status.clientCertificateData/],
    [answer({ token: 'S3CRETä' }), /no header can carry/],
    [
      answer({ clientCertificateData: fixtureText('client-a.crt'), clientKeyData: rsa.key }),
      /exec plugin .*plugin: .*the key belongs to another/,
    ],
    [answer({ token: 'S3CRET', expirationTimestamp: 'soon' }), /expirationTimestamp is no RFC 3339 time/],
    [answer({ token: 17 }), /status.token is no string/],
    ['yes S3CRET | head -c 2000000', /longer than 1 MiB/],
  ];
  for (const [text, words] of failures) {
    const p = plugin(t);
    const clock = new ManualClock();
    const source = createCredentials(settings(execUser(p.command), TLS), clock);
    p.answer(text);
    const check = (error: unknown): true => {
      assert.ok(isStoreError(error, 'Credentials'), String(error));
      assert.match(error.message, words);
      assert.doesNotMatch(`${error.message} ${String(error.cause)} ${error.stack}`, /S3CRET/);
      return true;
    };
    await assert.rejects(async () => source.current(), check);
    assert.throws(() => source.current(), check);
    assert.equal(p.runs(), 1);
    p.answer({ token: 'ok' });
    await clock.advance(5_000);
    assert.deepEqual((await source.current()).headers, ['authorization', 'Bearer ok']);
  }
  const installHint = 'Install it:\n\u001b[1mapt';
  for (const [command, words] of [
    ['/nonexistent/plugin', /exec plugin \/nonexistent\/plugin: there is no such command; Install it: \[1mapt$/],
    [tempDir(t), /it cannot be run \(EACCES\)/],
  ] as const) {
    const source = createCredentials(settings(execUser(command, { installHint }), TLS), new ManualClock());
    await assert.rejects(async () => source.current(), words);
  }
});

test('exec: an answer in YAML', async (t) => {
  const p = plugin(t);
  p.answer(`printf 'apiVersion: ${V1}\nkind: ExecCredential\nstatus: {token: abc}\n'`);
  const source = createCredentials(settings(execUser(p.command), TLS), new ManualClock());
  assert.deepEqual((await source.current()).headers, ['authorization', 'Bearer abc']);
});

test('exec: provideClusterInfo gives what client-go gives, the CA from its file too', async (t) => {
  const p = plugin(t);
  p.answer({ token: 'abc' });
  const cluster = { server: 'https://h:443/', 'proxy-url': 'socks5://p', config: { audience: 'x' } };
  const user = execUser(p.command, { cluster });
  const ca = { file: fixture('ca.crt'), field: 'f' };
  await createCredentials(settings(user, { ...TLS, ca }), new ManualClock()).current();
  assert.deepEqual(JSON.parse(readFileSync(join(p.dir, 'info'), 'utf8')).spec, {
    cluster: { ...cluster, 'certificate-authority-data': Buffer.from(fixtureText('ca.crt')).toString('base64') },
    interactive: false,
  });
});

test('exec: its stderr is the stderr of the program, its stdin where interactiveMode and the terminal allow', async (t) => {
  const p = plugin(t);
  p.answer(
    `echo sign in at example.com >&2; if test -t 0; then read -r word; fi; printf '{"kind":"ExecCredential","apiVersion":"${V1}","status":{"token":"got-%s"}}' "$word"`,
  );
  const program = join(p.dir, 'program.ts');
  const url = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
  writeFileSync(
    program,
    `import { createCredentials } from ${url('kube/auth/credentials.ts')};
import { createSystemClock } from ${url('runtime/clock.ts')};
const exec = { command: ${JSON.stringify(p.command)}, args: [], env: {}, apiVersion: '${V1}', interactiveMode: process.argv[2] };
const settings = { server: 'https://h', insecureSkipTlsVerify: false, source: 's', user: { exec } };
const source = createCredentials(settings, createSystemClock());
try { console.log((await source.current()).headers.join(' ')); } catch (error) { console.log(error.message); }
`,
  );
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', program];
  const piped = (mode: string): string => {
    const { stdout, stderr } = spawnSync(node[0] ?? '', [...node.slice(1), mode], {
      input: 'typed\n',
      encoding: 'utf8',
    });
    return `${stdout}|${stderr}`;
  };
  assert.equal(piped('IfAvailable'), 'authorization Bearer got-\n|sign in at example.com\n');
  assert.match(piped('Always'), /interactiveMode is Always, and standard input is not a terminal\n\|$/);

  if (spawnSync('script', ['--version']).error) return t.diagnostic('no `script` here: not tried on a terminal');
  const typed = (mode: string): string => {
    const command = [...node, mode].map((word) => `'${word}'`).join(' ');
    return spawnSync('script', ['-qec', command, '/dev/null'], { input: 'typed\n', encoding: 'utf8' }).stdout;
  };
  for (const [mode, token] of [
    ['IfAvailable', 'got-typed'],
    ['Always', 'got-typed'],
    ['Never', 'got-'],
  ] as const) {
    const shown = typed(mode);
    assert.match(shown, /sign in at example.com/);
    assert.match(shown, new RegExp(`Bearer ${token}\r`), mode);
  }
});

test('exec: not run beside a static certificate, a token or a password, nor without TLS', async (t) => {
  const p = plugin(t);
  p.answer({ token: 'of-the-plugin' });
  const { exec } = execUser(p.command);
  const certificate = { data: fixtureText('client-a.crt'), field: 'c' };
  const key = { data: fixtureText('client-a.test-only.key'), field: 'k' };
  for (const [user, server] of [
    [{ certificate, key }, 'https://h'],
    [{ token: 'abc' }, 'https://h'],
    [{ username: 'me' }, 'https://h'],
    [{}, 'http://h'],
  ] as const) {
    const { headers } = now(createCredentials(settings({ ...user, exec }, { server }), new ManualClock()));
    assert.doesNotMatch(headers.join(' '), /plugin/);
  }
  assert.equal(p.runs(), 0);
});

test('exec: the time of a plugin is its own: the request begins when there are credentials', async (t) => {
  const p = plugin(t);
  p.answer(
    `while ! test -e ${p.dir}/go; do sleep 0.01; done; printf '{"kind":"ExecCredential","apiVersion":"${V1}","status":{"token":"a"}}'`,
  );
  const server = await startServer(t, () => undefined, {
    cert: fixtureText('server.crt'),
    key: fixtureText('server.test-only.key'),
  });
  const clock = new ManualClock();
  const at = { server: server.url, ca: pem(fixtureText('ca.crt')) };
  const credentials = createCredentials(settings(execUser(p.command), at), clock);
  const transport = transportTo(t, server.url, { credentials, clock });
  const asked = transport.request({ method: 'GET', what: 'get', path: '/' });
  const failed = assert.rejects(asked, (e) => isStoreError(e, 'Timeout'));
  await until(() => p.runs() === 1);
  await clock.advance(30_000);
  writeFileSync(join(p.dir, 'go'), '');
  await until(() => server.seen.length === 1);
  assert.equal(server.seen[0]?.headers.authorization, 'Bearer a');
  await clock.advance(9_999);
  assert.equal(server.open(), 1);
  await clock.advance(1);
  await failed;
});

test('exec: a plugin alone ends after a minute, in words of its own', async (t) => {
  const p = plugin(t);
  p.answer('exec sleep 1000');
  const clock = new ManualClock();
  const source = createCredentials(settings(execUser(p.command), TLS), clock);
  const waiting = assert.rejects(async () => source.current(), /plugin: it took longer than \d+ s and was ended/);
  await until(() => p.runs() === 1);
  // A quarter of an hour where the tests have a terminal.
  await clock.advance(900_000);
  await waiting;
});

test('exec: client certificates', async (t) => {
  const p = plugin(t);
  p.answer({
    clientCertificateData: fixtureText('client-a.crt'),
    clientKeyData: fixtureText('client-a.test-only.key'),
  });
  const server = await startServer(
    t,
    (_, response, socket) => json(response, 200, (socket as TLSSocket).getPeerCertificate().subject.CN),
    {
      cert: fixtureText('server.crt'),
      key: fixtureText('server.test-only.key'),
      ca: fixtureText('ca.crt'),
      requestCert: true,
    },
  );
  const credentials = createCredentials(
    settings(execUser(p.command), { server: server.url, ca: pem(fixtureText('ca.crt')) }),
    createSystemClock(),
  );
  const transport = transportTo(t, server.url, { credentials });
  assert.equal((await transport.request({ method: 'GET', what: 'get', path: '/' })).json, 'client-a');
});

test('exec: a plugin that hangs is ended by close', async (t) => {
  const p = plugin(t);
  p.answer('exec sleep 1000');
  const source = createCredentials(settings(execUser(p.command), TLS), new ManualClock());
  const waiting = assert.rejects(
    async () => source.current(),
    (e) => isStoreError(e, 'Credentials'),
  );
  await until(() => p.runs() === 1);
  source.close();
  await waiting;
});

test('a token file that was good does not give way to an inline token; one that never was, does', async (t) => {
  const file = join(tempDir(t, { token: 'from-file' }), 'token');
  const clock = new ManualClock();
  const source = createCredentials(settings({ token: 'stale', tokenFile: file }), clock);
  for (const breakIt of [() => rewrite(file, ''), () => rmSync(file)]) {
    breakIt();
    await clock.advance(10_000);
    assert.deepEqual(now(source).headers, ['authorization', 'Bearer from-file']);
  }
  rewrite(file, 'next');
  await clock.advance(1_000);
  assert.deepEqual(now(source).headers, ['authorization', 'Bearer next']);

  rmSync(file);
  const late = createCredentials(settings({ token: 'inline', tokenFile: file }), clock);
  await clock.advance(10_000);
  assert.deepEqual(now(late).headers, ['authorization', 'Bearer inline']);
  rewrite(file, 'at last');
  rewrite(file, 'at-last');
  await clock.advance(10_000);
  assert.deepEqual(now(late).headers, ['authorization', 'Bearer at-last']);
});

test('exec: a credential that has expired already is used for 5 s, not asked for with each request', async (t) => {
  const p = plugin(t);
  const clock = new ManualClock();
  const source = createCredentials(settings(execUser(p.command), TLS), clock);
  p.answer({ token: 'old', expirationTimestamp: '2020-01-01T00:00:00Z' });
  const first = await source.current();
  for (let i = 0; i < 5; i++) {
    await clock.advance(999);
    assert.equal(now(source), first);
    source.rejected(first);
  }
  assert.equal(p.runs(), 1);
  await clock.advance(5);
  await source.current();
  assert.equal(p.runs(), 2);

  // After a failure there is nothing to go on with: the old one has expired.
  p.answer('exit 1');
  await clock.advance(5_000);
  await assert.rejects(async () => source.current());
  assert.throws(() => source.current(), /exit code 1/);
  assert.equal(p.runs(), 3);
});

test('impersonation: a key that no header name may hold', () => {
  const impersonate = { user: 'o', groups: [], extra: { 'a (b)%': ['1'] } };
  const { headers } = now(createCredentials(settings({ impersonate }), new ManualClock()));
  assert.deepEqual(headers, ['impersonate-user', 'o', 'impersonate-extra-a%20%28b%29%25', '1']);
});
