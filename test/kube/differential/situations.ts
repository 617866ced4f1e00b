/**
 * Kubeconfigs and environments in which a program may find itself, by tables: what kubectl makes of each is recorded in
 * kubectl.json.
 */
import type { World } from './world.ts';

/** A file: its text or bytes, a script that can be run, a symbolic link, a directory. */
export type Content =
  string | Uint8Array | { readonly script: string } | { readonly link: string } | { readonly directory: true };

export interface Situation {
  readonly id: string;
  /** Below a directory of its own, which is written `DIR` in texts and values. */
  readonly files: Readonly<Record<string, Content>>;
  readonly env?: Readonly<Record<string, string>>;
  /** `--kubeconfig`; default `config`, null for none. */
  readonly kubeconfig?: string | null;
  /** `--context`. */
  readonly context?: string;
}

type Json = Readonly<Record<string, unknown>>;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const V1 = 'client.authentication.k8s.io/v1';
const BETA = 'client.authentication.k8s.io/v1beta1';

export function situations(world: World): Situation[] {
  const { authorities, servers, clients, port } = world;
  const at = (name: string, host = '127.0.0.1', path = ''): string =>
    `${name === 'plain' ? 'http' : 'https'}://${host}:${port[name]}${path}`;
  const ca = (...of: { cert: string }[]): Json => ({
    'certificate-authority-data': base64(of.map((c) => c.cert).join('')),
  });
  const trusted: Json = { server: at('root'), ...ca(authorities.root) };
  const plain: Json = { server: at('plain') };
  const write = (cluster: unknown, user: unknown, more: Json = {}): string =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user }],
      ...more,
    });

  const all: Situation[] = [];
  const add = (id: string, files: Situation['files'], more: Omit<Situation, 'id' | 'files'> = {}): void =>
    void all.push({ id, files, ...more });
  const one = (id: string, cluster: unknown, user: unknown, more: Situation['files'] = {}): void =>
    add(id, { config: write(cluster, user), ...more });
  const token = { token: 'abcdef' };

  // The server's address.
  const addresses: [string, string | number | null | undefined, Json?][] = [
    ['as kubeadm writes it', at('root')],
    ['a name', at('root', 'localhost')],
    ['a slash at the end', at('root', undefined, '/')],
    ['two slashes at the end', at('root', undefined, '//')],
    ['a path', at('root', undefined, '/k8s/clusters/c-1')],
    ['a path and a slash', at('root', undefined, '/k8s/clusters/c-1/')],
    ['capitals', at('root').replace('https', 'HTTPS')],
    ['a query', at('root', undefined, '/a?b=c')],
    ['a query and no path', at('root', undefined, '?b=c')],
    ['a fragment', at('root', undefined, '/a#b')],
    ['a user', `https://me:pw@127.0.0.1:${port['root']}`],
    ['a space before it', ` ${at('root')}`],
    ['a space after it', `${at('root')} `],
    ['no scheme, TLS behind it', `127.0.0.1:${port['root']}`],
    ['no scheme', `127.0.0.1:${port['plain']}`, plain],
    ['no scheme, a name', `localhost:${port['plain']}`, plain],
    ['no scheme, a slash', `127.0.0.1:${port['plain']}/`, plain],
    ['no scheme, a path', `127.0.0.1:${port['plain']}/a`, plain],
    ['no scheme, insecure', `127.0.0.1:${port['plain']}`, { 'insecure-skip-tls-verify': true }],
    ['slashes alone before it', `//127.0.0.1:${port['plain']}`, plain],
    ['http', at('plain'), plain],
    ['http, a CA', at('plain')],
    ['http, insecure', at('plain'), { 'insecure-skip-tls-verify': true }],
    ['http, a path', `${at('plain')}/k8s`, plain],
    ['http, TLS behind it', at('root').replace('https', 'http')],
    ['https, none behind it', at('plain').replace('http', 'https')],
    ['one slash', `https:/127.0.0.1:${port['root']}`],
    ['no colon', `https//127.0.0.1:${port['root']}`],
    ['ftp', 'ftp://127.0.0.1'],
    ['a socket', 'unix:///var/run/x'],
    ['a port that is none', 'https://127.0.0.1:port'],
    ['a port too high', 'https://127.0.0.1:99999'],
    ['no port behind the colon', 'https://127.0.0.1:'],
    ['nobody listens', at('closed')],
    ['no such name', 'https://nowhere.invalid:6443'],
    ['empty', ''],
    ['missing', undefined],
    ['null', null],
    ['a number', 6443],
  ];
  for (const [name, server, cluster = ca(authorities.root)] of addresses) {
    one(`address: ${name}`, { ...cluster, server }, token);
  }
  if (world.hasIpv6) {
    one('address: IPv6', { ...trusted, server: at('root', '[::1]') }, token);
    one('address: IPv6 without brackets', { ...trusted, server: `https://::1:${port['root']}` }, token);
  }

  // Whom it trusts.
  const roots: [string, Json][] = [
    ['root', ca(authorities.root)],
    ['intermediate', ca(authorities.inter)],
    ['another', ca(authorities.other)],
    ['another and root', ca(authorities.other, authorities.root)],
    ['nobody', {}],
    ['insecure', { 'insecure-skip-tls-verify': true }],
  ];
  for (const server of ['root', 'rsa', 'leaf', 'chain', 'self', 'expired', 'early', 'named', 'nameless'] as const) {
    const own: [string, Json] = ['its own certificate', ca(servers[server])];
    for (const [name, cluster] of [...roots, own]) {
      one(`trust: a server with ${server}, CA ${name}`, { server: at(server), ...cluster }, token);
    }
  }
  const authority = { 'certificate-authority': 'ca.crt' };
  const rootFile = { 'ca.crt': authorities.root.cert };
  one('trust: CA in a file', { server: at('root'), ...authority }, token, rootFile);
  one('trust: CA in a file, absolute', { server: at('root'), 'certificate-authority': 'DIR/ca.crt' }, token, rootFile);
  one('trust: CA in a file that is not there', { server: at('root'), ...authority }, token);
  one('trust: CA in a file that is empty', { server: at('root'), ...authority }, token, { 'ca.crt': '' });
  one('trust: CA in a file that is none', { server: at('root'), ...authority }, token, { 'ca.crt': 'no PEM' });
  one('trust: CA in a directory', { server: at('root'), ...authority }, token, { 'ca.crt': { directory: true } });
  one('trust: CA with words around it', { server: at('root'), ...authority }, token, {
    'ca.crt': `Some words\n\n${authorities.other.cert}more\n${authorities.root.cert}end`,
  });
  one('trust: CA with a broken one before it', { server: at('root'), ...authority }, token, {
    'ca.crt': `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${authorities.root.cert}`,
  });
  one('trust: CA and a key in one file', { server: at('root'), ...authority }, token, {
    'ca.crt': authorities.root.key + authorities.root.cert,
  });
  one('trust: CA with lines of Windows', { server: at('root'), ...authority }, token, {
    'ca.crt': authorities.root.cert.replaceAll('\n', '\r\n'),
  });
  one('trust: CA in both', { ...trusted, ...authority }, token, rootFile);
  one('trust: CA in both, another in the file', { ...trusted, ...authority }, token, {
    'ca.crt': authorities.other.cert,
  });
  one('trust: CA that is no base64', { server: at('root'), 'certificate-authority-data': '***' }, token);
  one('trust: CA data that is no PEM', { server: at('root'), 'certificate-authority-data': base64('x') }, token);
  one('trust: CA data empty', { server: at('root'), 'certificate-authority-data': '' }, token);
  one(
    'trust: CA data in broken lines',
    { server: at('root'), 'certificate-authority-data': base64(authorities.root.cert).replace(/(.{64})/g, '$1\n') },
    token,
  );
  one('trust: CA a number', { server: at('root'), 'certificate-authority-data': 5 }, token);
  one('trust: CA beside insecure', { ...trusted, 'insecure-skip-tls-verify': true }, token);
  one(
    'trust: CA file beside insecure',
    { server: at('root'), ...authority, 'insecure-skip-tls-verify': true },
    token,
    rootFile,
  );
  one('trust: CA beside insecure false', { ...trusted, 'insecure-skip-tls-verify': false }, token);
  one(
    'trust: CA beside insecure, http',
    { ...plain, ...ca(authorities.root), 'insecure-skip-tls-verify': true },
    token,
  );
  one('trust: insecure as text', { server: at('root'), 'insecure-skip-tls-verify': 'true' }, token);
  for (const [name, text] of [
    ['the root', authorities.root.cert],
    ['another', authorities.other.cert],
    ['the intermediate', authorities.inter.cert],
    ['no PEM', 'x'],
  ] as const) {
    const server = name === 'the intermediate' ? 'leaf' : 'root';
    add(
      `trust: no CA, SSL_CERT_FILE ${name}`,
      { config: write({ server: at(server) }, token), 'ca.crt': text },
      { env: { SSL_CERT_FILE: 'DIR/ca.crt' } },
    );
  }
  add(
    'trust: no CA, SSL_CERT_DIR',
    { config: write({ server: at('root') }, token), 'd/ca.crt': authorities.root.cert },
    { env: { SSL_CERT_DIR: 'DIR/none:DIR/d' } },
  );
  add(
    'trust: CA beside SSL_CERT_FILE',
    { config: write({ server: at('root'), ...ca(authorities.other) }, token), 'ca.crt': authorities.root.cert },
    { env: { SSL_CERT_FILE: 'DIR/ca.crt' } },
  );

  // The server's name.
  const names: [string, keyof typeof servers, unknown][] = [
    ['that stands in the common name alone', 'common', 'api.test'],
    ['that it has', 'named', 'api.test'],
    ['that it has, in capitals', 'named', 'API.test'],
    ['of its wildcard', 'named', 'x.wild.test'],
    ['below its wildcard', 'named', 'x.y.wild.test'],
    ['that it has not', 'named', 'other.test'],
    ['with a dot at the end', 'named', 'api.test.'],
    ['empty', 'root', ''],
    ['an address that it has', 'address', '10.9.8.7'],
    ['an address that it has not', 'address', '10.9.8.6'],
    ['an IPv6 address that it has', 'address', 'fd00::7'],
    ['an address in brackets', 'address', '[fd00::7]'],
    ['a number', 'named', 5],
  ];
  for (const [name, server, wanted] of names) {
    one(
      `tls-server-name: one ${name}`,
      { server: at(server), ...ca(authorities.root), 'tls-server-name': wanted },
      token,
    );
  }
  one(
    'tls-server-name: an address, insecure',
    { server: at('address'), 'insecure-skip-tls-verify': true, 'tls-server-name': '10.9.8.7' },
    token,
  );
  one('tls-server-name: beside http', { ...plain, 'tls-server-name': 'api.test' }, token);
  one('tls-server-name: none, a name', { server: at('root', 'localhost'), ...ca(authorities.root) }, token);

  // Credentials, with TLS and without.
  const pair = (cert: { cert: string }, key: { key: string }): Json => ({
    'client-certificate-data': base64(cert.cert),
    'client-key-data': base64(key.key),
  });
  const files = { 'client-certificate': 'tls.crt', 'client-key': 'tls.key' };
  const ecFiles = { 'tls.crt': clients.ec.cert, 'tls.key': clients.ec.key };
  const users: [string, unknown, Situation['files']?][] = [
    ['none', {}],
    ['null', null],
    ['a token', token],
    ['a token with spaces inside', { token: 'a b' }],
    ['a token with a line break', { token: 'a\nb' }],
    ['a token with a line break at the end', { token: 'abc\n' }],
    ['a token of other letters', { token: 'ä' }],
    ['a token, empty', { token: '' }],
    ['a token, null', { token: null }],
    ['a token, a number', { token: 12345 }],
    ['a token, true', { token: true }],
    ['a token file', { tokenFile: 'token' }, { token: 'of-file' }],
    ['a token file, absolute', { tokenFile: 'DIR/token' }, { token: 'of-file' }],
    ['a token file with line breaks', { tokenFile: 'token' }, { token: '\n of-file \n\n' }],
    ['a token file that is empty', { tokenFile: 'token' }, { token: '' }],
    ['a token file that is not there', { tokenFile: 'token' }],
    ['a token file that is a directory', { tokenFile: 'token' }, { token: { directory: true } }],
    ['a token beside a token file', { token: 'inline', tokenFile: 'token' }, { token: 'of-file' }],
    ['a token beside a token file that is not there', { token: 'inline', tokenFile: 'token' }],
    ['a password', { username: 'me', password: 'pw' }],
    ['a password with a colon', { username: 'me', password: 'p:w' }],
    ['a password of other letters', { username: 'mä', password: 'pö' }],
    ['a user without a password', { username: 'me' }],
    ['a password without a user', { password: 'pw' }],
    ['a token beside a password', { token: 'abc', username: 'me', password: 'pw' }],
    ['a token beside a user', { token: 'abc', username: 'me' }],
    ['a token file beside a password', { tokenFile: 'token', username: 'me', password: 'pw' }, { token: 'of-file' }],
    ['a certificate', pair(clients.ec, clients.ec)],
    ['a certificate of RSA', pair(clients.rsa, clients.rsa)],
    ['a certificate of RSA, a key of EC', pair(clients.rsa, clients.ec)],
    ['a certificate of EC, a key of RSA', pair(clients.ec, clients.rsa)],
    ['a certificate with the key of another', pair(clients.ec, clients.ec2)],
    [
      'a certificate with its authority',
      pair({ cert: clients.byInter.cert + authorities.inter.cert }, clients.byInter),
    ],
    [
      'a certificate behind its authority',
      pair({ cert: authorities.inter.cert + clients.byInter.cert }, clients.byInter),
    ],
    ['a certificate that has ended', pair(clients.expired, clients.expired)],
    [
      'a certificate and key in one',
      pair({ cert: clients.ec.key + clients.ec.cert }, { key: clients.ec.cert + clients.ec.key }),
    ],
    ['a certificate without a key', { 'client-certificate-data': base64(clients.ec.cert) }],
    ['a key without a certificate', { 'client-key-data': base64(clients.ec.key) }],
    ['a certificate that is none', pair({ cert: 'x' }, clients.ec)],
    ['a key that is none', pair(clients.ec, { key: 'x' })],
    ['a certificate of broken base64', { ...pair(clients.ec, clients.ec), 'client-certificate-data': '***' }],
    ['a certificate in files', files, ecFiles],
    ['a certificate in files, the key missing', files, { 'tls.crt': clients.ec.cert }],
    ['a certificate in files, the certificate missing', files, { 'tls.key': clients.ec.key }],
    [
      'a certificate in a file, the key inline',
      { 'client-certificate': 'tls.crt', 'client-key-data': base64(clients.ec.key) },
      ecFiles,
    ],
    ['a certificate in both', { ...files, ...pair(clients.ec2, clients.ec2) }, ecFiles],
    ['a key in both', { ...files, 'client-key-data': base64(clients.ec.key) }, ecFiles],
    ['a certificate beside a token', { ...pair(clients.ec, clients.ec), ...token }],
    ['a certificate beside a password', { ...pair(clients.ec, clients.ec), username: 'me', password: 'pw' }],
    [
      'a key with a word as its password',
      pair(clients.ec, { key: clients.ec.key.replaceAll('PRIVATE', 'ENCRYPTED PRIVATE') }),
    ],
  ];
  for (const [name, user, more] of users) {
    one(`credentials: ${name}`, trusted, user, more);
    one(`credentials, http: ${name}`, plain, user, more);
  }

  // Impersonation.
  const others: [string, Json][] = [
    ['a user', { as: 'joe' }],
    ['a user and groups', { as: 'joe', 'as-groups': ['a', 'b'] }],
    ['a user and a uid', { as: 'joe', 'as-uid': '7' }],
    ['a user and more', { as: 'joe', 'as-user-extra': { scope: ['a', 'b'], 'acme.com/x%': ['c'] } }],
    ['groups alone', { 'as-groups': ['a'] }],
    ['no groups alone', { 'as-groups': [] }],
    ['a uid alone', { 'as-uid': '7' }],
    ['more alone', { 'as-user-extra': { scope: ['a'] } }],
    ['nothing more alone', { 'as-user-extra': {} }],
    ['an empty user and groups', { as: '', 'as-groups': ['a'] }],
    ['a number', { as: 7 }],
    ['a group as text', { as: 'joe', 'as-groups': 'a' }],
    ['a group as a number', { as: 'joe', 'as-groups': [7] }],
    ['more as text', { as: 'joe', 'as-user-extra': { scope: 'a' } }],
    ['more as a list', { as: 'joe', 'as-user-extra': ['a'] }],
    ['a line break', { as: 'joe\nx' }],
    ['other letters', { as: 'jö' }],
  ];
  for (const [name, user] of others) {
    one(`impersonation: ${name}`, trusted, { ...token, ...user });
    one(`impersonation, http: ${name}`, plain, { ...token, ...user });
  }
  one('impersonation: without credentials', trusted, { as: 'joe' });

  // Exec plugins.
  const says = (status: Json, more: Json = {}): string =>
    `printf '%s' '${JSON.stringify({ kind: 'ExecCredential', apiVersion: V1, status, ...more })}'`;
  const plugin = (body: string): Situation['files'] => ({
    plugin: { script: `echo started >> DIR/started\n${body}\n` },
  });
  const good = plugin(says({ token: 'of-plugin' }));
  /** Says as its token what it was given, but for keys and ports, which are others each time. */
  const informed = plugin(
    `given=$(printf %s "$KUBERNETES_EXEC_INFO" | sed 's/-data":"[^"]*"/-data":"D"/; s/[^a-zA-Z-]//g')\n${says({ token: 'X' })} | sed "s/X/$given/"`,
  );
  const run: Json = { command: 'DIR/plugin', apiVersion: V1, interactiveMode: 'Never' };
  const certificate = { clientCertificateData: clients.ec.cert, clientKeyData: clients.ec.key };
  const plugins: [string, Json, Situation['files'], Json?][] = [
    ['a token', run, good],
    ['a token, http', run, good, plain],
    ['a token, no scheme', run, good, { server: `127.0.0.1:${port['plain']}` }],
    ['a certificate', run, plugin(says(certificate))],
    ['a certificate and a token', run, plugin(says({ ...certificate, token: 'of-plugin' }))],
    ['a certificate alone', run, plugin(says({ clientCertificateData: clients.ec.cert }))],
    ['a key alone', run, plugin(says({ clientKeyData: clients.ec.key }))],
    ['a certificate with the key of another', run, plugin(says({ ...certificate, clientKeyData: clients.rsa.key }))],
    ['a certificate that is none', run, plugin(says({ ...certificate, clientCertificateData: 'x' }))],
    ['nothing', run, plugin(says({}))],
    ['no status', run, plugin(says({}, { status: undefined }))],
    ['words', run, plugin('echo words')],
    ['silence', run, plugin('true')],
    ['YAML', run, plugin(`printf 'kind: ExecCredential\\napiVersion: ${V1}\\nstatus: {token: of-plugin}\\n'`)],
    ['another kind', run, plugin(says({ token: 'of-plugin' }, { kind: 'Status' }))],
    ['no kind', run, plugin(says({ token: 'of-plugin' }, { kind: undefined }))],
    ['another version', run, plugin(says({ token: 'of-plugin' }, { apiVersion: BETA }))],
    ['no version', run, plugin(says({ token: 'of-plugin' }, { apiVersion: undefined }))],
    ['a number as the token', run, plugin(says({ token: 5 }))],
    ['a token with a line break', run, plugin(says({ token: 'a\\nb' }))],
    ['a time', run, plugin(says({ token: 'of-plugin', expirationTimestamp: '2099-01-01T00:00:00Z' }))],
    ['a time that is past', run, plugin(says({ token: 'of-plugin', expirationTimestamp: '2000-01-01T00:00:00Z' }))],
    ['a time that is none', run, plugin(says({ token: 'of-plugin', expirationTimestamp: 'soon' }))],
    ['exit 3', run, plugin('exit 3')],
    ['an answer and exit 1', run, plugin(`${says({ token: 'of-plugin' })}\nexit 1`)],
    ['killed', run, plugin('kill -9 $$')],
    ['not there', { ...run, command: 'DIR/none' }, {}],
    ['not there, a name', { ...run, command: 'surely-no-such-command', installHint: 'install it' }, {}],
    ['not to be run', run, { plugin: 'no script' }],
    ['a directory', run, { plugin: { directory: true } }],
    ['beside the file', { ...run, command: './plugin' }, good],
    ['beside the file, without a slash', { ...run, command: 'plugin' }, good],
    ['no command', { ...run, command: undefined }, good],
    ['empty command', { ...run, command: '' }, good],
    ['version v1beta1', { ...run, apiVersion: BETA }, plugin(says({ token: 'of-plugin' }, { apiVersion: BETA }))],
    [
      'version v1beta1 without a mode',
      { ...run, apiVersion: BETA, interactiveMode: undefined },
      plugin(says({ token: 'of-plugin' }, { apiVersion: BETA })),
    ],
    ['version v1 without a mode', { ...run, interactiveMode: undefined }, good],
    ['version v1alpha1', { ...run, apiVersion: V1.replace('v1', 'v1alpha1') }, good],
    ['version v1alpha1, http', { ...run, apiVersion: V1.replace('v1', 'v1alpha1') }, good, plain],
    ['no version in the file', { ...run, apiVersion: undefined }, good],
    ['a version of its own', { ...run, apiVersion: 'v1' }, good],
    ['mode IfAvailable', { ...run, interactiveMode: 'IfAvailable' }, good],
    ['mode Always', { ...run, interactiveMode: 'Always' }, good],
    ['mode Always, http', { ...run, interactiveMode: 'Always' }, good, plain],
    ['mode in small letters', { ...run, interactiveMode: 'never' }, good],
    [
      'arguments',
      { ...run, args: ['of', "a'b"] },
      plugin(`${says({ token: 'X' }).replace("'%s'", `"$(printf '%s' '%s')"`)} | sed "s/X/$1-$#/"`),
    ],
    ['arguments, a number', { ...run, args: [1] }, good],
    ['arguments, text', { ...run, args: 'a' }, good],
    [
      'environment',
      { ...run, env: [{ name: 'WHO', value: 'env' }] },
      plugin(`${says({ token: 'X' })} | sed "s/X/of-$WHO/"`),
    ],
    ['environment, null', { ...run, env: null, args: null }, good],
    ['environment without a name', { ...run, env: [{ name: '', value: 'a' }] }, good],
    ['environment as a mapping', { ...run, env: { WHO: 'a' } }, good],
    ['environment, a number', { ...run, env: [{ name: 'WHO', value: 5 }] }, good],
    ['cluster information', { ...run, provideClusterInfo: true }, informed],
    ['no cluster information', run, informed],
    [
      'cluster information, all of it',
      { ...run, provideClusterInfo: true },
      informed,
      {
        ...trusted,
        'proxy-url': `http://127.0.0.1:${port['httpProxy']}`,
        'tls-server-name': 'localhost',
        'disable-compression': true,
        extensions: [
          { name: 'other', extension: { other: 'no' } },
          { name: 'client.authentication.k8s.io/exec', extension: { audience: 'mine' } },
        ],
      },
    ],
    [
      'cluster information, insecure',
      { ...run, provideClusterInfo: true },
      informed,
      { server: at('root'), 'insecure-skip-tls-verify': true },
    ],
    [
      'cluster information, a CA in a file',
      { ...run, provideClusterInfo: true },
      { ...informed, ...rootFile },
      { server: at('root'), ...authority },
    ],
    [
      'cluster information, a CA that is not there',
      { ...run, provideClusterInfo: true },
      good,
      { server: at('root'), ...authority },
    ],
    ['cluster information as text', { ...run, provideClusterInfo: 'true' }, good],
    ['words on stderr', run, plugin(`echo hello >&2; ${says({ token: 'of-plugin' })}`)],
    ['input', { ...run, interactiveMode: 'IfAvailable' }, plugin(`cat >/dev/null; ${says({ token: 'of-plugin' })}`)],
  ];
  for (const [name, exec, more, cluster = trusted] of plugins) one(`exec: ${name}`, cluster, { exec }, more);
  for (const [name, user] of [
    ['a token', token],
    ['a token file', { tokenFile: 'token' }],
    ['a password', { username: 'me', password: 'pw' }],
    ['a certificate', pair(clients.ec, clients.ec)],
    ['half a certificate', { 'client-certificate-data': base64(clients.ec.cert) }],
    ['a key', { 'client-key-data': base64(clients.ec.key) }],
    ['impersonation', { as: 'joe' }],
  ] as const) {
    one(`exec: beside ${name}`, trusted, { exec: run, ...user }, { ...good, token: 'of-file' });
  }
  one('exec: null', trusted, { exec: null, ...token });
  one('exec: empty', trusted, { exec: {} });
  one('exec: text', trusted, { exec: 'plugin' });

  // auth-provider.
  const jwt = (exp: number): string =>
    ['{"alg":"none"}', JSON.stringify({ exp, iss: 'x' }), 'x']
      .map((part) => Buffer.from(part).toString('base64url'))
      .join('.');
  const issuer = { 'idp-issuer-url': at('closed'), 'client-id': 'me' };
  const valid = jwt(4_000_000_000);
  const providers: [string, unknown, Json?, Json?][] = [
    ['oidc, a token that holds', { name: 'oidc', config: { ...issuer, 'id-token': valid } }],
    ['oidc, a token that holds, http', { name: 'oidc', config: { ...issuer, 'id-token': valid } }, {}, plain],
    ['oidc, a token that has ended', { name: 'oidc', config: { ...issuer, 'id-token': jwt(1) } }],
    [
      'oidc, a token that has ended, nobody to refresh it',
      { name: 'oidc', config: { ...issuer, 'id-token': jwt(1), 'refresh-token': 'r' } },
    ],
    ['oidc, a token that is none', { name: 'oidc', config: { ...issuer, 'id-token': 'x' } }],
    ['oidc, no token', { name: 'oidc', config: issuer }],
    ['oidc, no issuer', { name: 'oidc', config: { 'client-id': 'me', 'id-token': valid } }],
    ['oidc, no issuer, http', { name: 'oidc', config: { 'client-id': 'me', 'id-token': valid } }, {}, plain],
    ['oidc, no client', { name: 'oidc', config: { 'idp-issuer-url': at('closed'), 'id-token': valid } }],
    ['oidc, no configuration', { name: 'oidc' }],
    ['oidc, a number', { name: 'oidc', config: { ...issuer, 'id-token': 5 } }],
    ['oidc beside a token', { name: 'oidc', config: { ...issuer, 'id-token': valid } }, token],
    [
      'oidc beside a certificate',
      { name: 'oidc', config: { ...issuer, 'id-token': valid } },
      pair(clients.ec, clients.ec),
    ],
    ['oidc beside an exec plugin', { name: 'oidc', config: { ...issuer, 'id-token': valid } }, { exec: run }],
    ['gcp', { name: 'gcp', config: { 'access-token': 'abc' } }],
    ['gcp, http', { name: 'gcp' }, {}, plain],
    ['gcp beside a token', { name: 'gcp' }, token],
    ['azure', { name: 'azure' }],
    ['unknown', { name: 'openstack' }],
    ['unnamed', {}],
    ['null', null, token],
  ];
  for (const [name, provider, user = {}, cluster = trusted] of providers) {
    one(`auth-provider: ${name}`, cluster, { 'auth-provider': provider, ...user });
  }

  // Which files, which context.
  const list = (...names: string[]): Omit<Situation, 'id' | 'files'> => ({
    kubeconfig: null,
    env: { KUBECONFIG: names.map((name) => (name === '' ? '' : `DIR/${name}`)).join(':') },
  });
  const named = (name: string): string =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      contexts: [{ name, context: { cluster: name, user: name } }],
      clusters: [{ name, cluster: { ...trusted, server: at('root', undefined, `/${name}`) } }],
      users: [{ name, user: { token: `of-${name}` } }],
    });
  const two = { a: named('a'), b: named('b') };
  add('files: KUBECONFIG', two, list('a'));
  add('files: KUBECONFIG of two', two, list('a', 'b'));
  add('files: KUBECONFIG of two, the other context', two, { ...list('a', 'b'), context: 'b' });
  add('files: KUBECONFIG of two, the first missing', two, list('none', 'b'));
  add('files: KUBECONFIG of two, the second missing', two, list('a', 'none'));
  add('files: KUBECONFIG of two, one empty', { ...two, e: '' }, list('e', 'b'));
  add('files: KUBECONFIG with nothing between colons', two, list('', 'b', ''));
  add('files: KUBECONFIG, the first a directory', { ...two, d: { directory: true } }, list('d', 'b'));
  add('files: KUBECONFIG, the first leads to itself', { ...two, l: { link: 'l' } }, list('l', 'b'));
  add('files: KUBECONFIG, the second leads to itself', { ...two, l: { link: 'l' } }, list('a', 'l'));
  add('files: KUBECONFIG, the first below a file', two, list('a/x', 'b'));
  add('files: KUBECONFIG, the first broken', { ...two, x: '{' }, list('x', 'b'));
  add('files: KUBECONFIG, all missing', {}, list('none'));
  add('files: KUBECONFIG, a link', { ...two, l: { link: 'a' } }, list('l'));
  add('files: KUBECONFIG and --kubeconfig', two, { ...list('a'), kubeconfig: 'b' });
  add('files: --kubeconfig missing', two, { ...list('a'), kubeconfig: 'none' });
  add('files: --kubeconfig a directory', { d: { directory: true } }, { kubeconfig: 'd' });
  add('files: home', { '.kube/config': named('a') }, { kubeconfig: null });
  add('files: home, leads to itself', { '.kube/config': { link: 'config' } }, { kubeconfig: null });
  add(
    'files: one user in two',
    {
      a: named('a'),
      b: JSON.stringify({ users: [{ name: 'a', user: { token: 'of-b', as: 'joe' } }] }),
    },
    list('a', 'b'),
  );
  add(
    'files: the user in the second',
    {
      a: JSON.stringify({ ...(JSON.parse(named('a')) as Json), users: [] }),
      b: JSON.stringify({ users: [{ name: 'a', user: { tokenFile: 'sub/t' } }] }),
      'sub/t': 'of-sub',
    },
    list('a', 'b'),
  );
  add(
    'files: the context in the second',
    { a: JSON.stringify({ ...(JSON.parse(named('a')) as Json), 'current-context': 'b' }), b: named('b') },
    list('a', 'b'),
  );
  const contexts: [string, Json, string?][] = [
    ['--context', {}, 'x'],
    ['--context, empty', {}, ''],
    ['--context, unknown', {}, 'y'],
    ['unknown', { 'current-context': 'y' }],
    ['none', { 'current-context': '' }],
    ['absent', { 'current-context': undefined }],
    ['a number', { 'current-context': 5 }],
    ['without a user', { contexts: [{ name: 'x', context: { cluster: 'c' } }] }],
    ['with an empty user', { contexts: [{ name: 'x', context: { cluster: 'c', user: '' } }] }],
    ['with an unknown user', { contexts: [{ name: 'x', context: { cluster: 'c', user: 'v' } }] }],
    ['without a cluster', { contexts: [{ name: 'x', context: { user: 'u' } }] }],
    ['with an unknown cluster', { contexts: [{ name: 'x', context: { cluster: 'd', user: 'u' } }] }],
    [
      'with a namespace that is none',
      { contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'A_b' } }] },
    ],
    ['null', { contexts: [{ name: 'x', context: null }] }],
    ['empty name', { 'current-context': '', contexts: [{ name: '', context: { cluster: 'c', user: 'u' } }] }],
    [
      'twice',
      {
        contexts: [
          { name: 'x', context: { cluster: 'c', user: 'u' } },
          { name: 'x', context: { cluster: 'c' } },
        ],
      },
    ],
    [
      'twice, the user',
      {
        users: [
          { name: 'u', user: token },
          { name: 'u', user: { token: 'second' } },
        ],
      },
    ],
    [
      'twice, the cluster',
      {
        clusters: [
          { name: 'c', cluster: trusted },
          { name: 'c', cluster: plain },
        ],
      },
    ],
    [
      'twice, another user',
      {
        users: [
          { name: 'u', user: token },
          { name: 'v', user: {} },
          { name: 'v', user: {} },
        ],
      },
    ],
    [
      'another user broken',
      {
        users: [
          { name: 'u', user: token },
          { name: 'v', user: { token: 5 } },
        ],
      },
    ],
    [
      'another user contradictory',
      {
        users: [
          { name: 'u', user: token },
          { name: 'v', user: { token: 'a', username: 'b' } },
        ],
      },
    ],
    [
      'another cluster without a server',
      {
        clusters: [
          { name: 'c', cluster: trusted },
          { name: 'd', cluster: {} },
        ],
      },
    ],
  ];
  for (const [name, more, context] of contexts) {
    add(`context: ${name}`, { config: write(trusted, token, more) }, context === undefined ? {} : { context });
  }

  // How it is written.
  const yaml = `apiVersion: v1
kind: Config
current-context: x
contexts:
- context: {cluster: c, user: u}
  name: x
clusters:
- cluster:
    certificate-authority-data: ${base64(authorities.root.cert)}
    server: ${at('root')}
  name: c
users:
- name: u
  user:
    token: abcdef
`;
  const utf16 = (text: string, big: boolean): Uint8Array => {
    const bytes = Buffer.from(`\uFEFF${text}`, 'utf16le');
    return big ? bytes.swap16() : bytes;
  };
  const skip = (value: string): string =>
    yaml.replace(/certificate-authority-data: .*/, `insecure-skip-tls-verify: ${value}`);
  const texts: [string, string | Uint8Array][] = [
    ['YAML', yaml],
    ['with lines of Windows', yaml.replaceAll('\n', '\r\n')],
    ['UTF-8 with a mark', `\uFEFF${yaml}`],
    ['UTF-16, little', utf16(yaml, false)],
    ['UTF-16, big', utf16(yaml, true)],
    ['UTF-16 without a mark', Buffer.from(yaml, 'utf16le')],
    ['UTF-16 JSON', utf16(write(trusted, token), false)],
    ['UTF-8 JSON with a mark', `\uFEFF${write(trusted, token)}`],
    ['bytes that are no UTF-8', Buffer.concat([Buffer.from('# '), Buffer.from([0xff, 10]), Buffer.from(yaml)])],
    ['a tab as indentation', yaml.replace('    token', '\t\ttoken')],
    ['comments', `# a\n${yaml.replaceAll('\n', ' # b\n')}`],
    ['a key twice', yaml.replace('token: abcdef', 'token: first\n    token: abcdef')],
    ['a key twice in JSON', write(trusted, token).replace('"token":', '"token":"first","token":')],
    ['a list twice', `${yaml}users: []\n`],
    ['an anchor', yaml.replace('token: abcdef', 'token: &t abcdef\n- name: v\n  user:\n    token: *t')],
    ['a merge', yaml.replace('  user:\n    token: abcdef', '  user: {<<: {token: abcdef}}')],
    ['an alias of nothing', yaml.replace('abcdef', '*none')],
    ['two documents', `${yaml}---\n${yaml.replace('abcdef', 'second')}`],
    ['a document with its marks', `---\n${yaml}...\n`],
    ['an empty document before it', `---\n---\n${yaml}`],
    ['a directive', `%YAML 1.1\n---\n${yaml}`],
    ['nothing', ''],
    ['a comment alone', '# nothing\n'],
    ['null', 'null\n'],
    ['a list', '- a\n'],
    ['a word', 'word\n'],
    ['broken YAML', `${yaml}  x: [\n`],
    ['JSON with a comma too many', write(trusted, token).replace(/}$/, ',}')],
    ['JSON with comments', `// c\n${write(trusted, token)}`],
    ['another kind', yaml.replace('Config', 'Pod')],
    ['another version', yaml.replace('v1', 'v2')],
    ['no kind', yaml.replace('kind: Config\n', '')],
    ['no version', yaml.replace('apiVersion: v1\n', '')],
    ['fields nobody knows', `${yaml}extra: {a: 1}\npreferences: {colors: true}\n`],
    ['keys in capitals', yaml.replace('users:', 'Users:')],
    ['a list that is null', `${yaml.split('users:')[0]}users: null\n`],
    ['a list that is a mapping', `${yaml.split('users:')[0]}users: {}\n`],
    ['an entry that is null', yaml.replace('users:\n', 'users:\n- null\n')],
    ['an entry without a name', yaml.replace('users:\n', 'users:\n- user: {}\n')],
    ['an entry with a number as its name', yaml.replace('users:\n', 'users:\n- name: 5\n  user: {}\n')],
    ['a token of digits', yaml.replace('abcdef', '123456')],
    ['a token of digits in quotes', yaml.replace('abcdef', '"123456"')],
    ['a token that YAML 1.1 takes for true', yaml.replace('abcdef', 'yes')],
    ['a token that YAML takes for null', yaml.replace('abcdef', '~')],
    ['a token with a tag', yaml.replace('abcdef', '!!str 123456')],
    ['a token in a block', yaml.replace('abcdef', '|\n      abcdef')],
    ['a token folded', yaml.replace('abcdef', '>-\n      abc\n      def')],
    ['a token like an octal number', yaml.replace('abcdef', '0o17')],
    ['a token like a time', yaml.replace('abcdef', '12:30:45')],
    ['a token like a date', yaml.replace('abcdef', '2026-01-01')],
    ['a token like a number with an underscore', yaml.replace('abcdef', '1_000')],
    ['a token like a number in exponents', yaml.replace('abcdef', '1e3')],
    ...[
      'true',
      'True',
      'TRUE',
      'yes',
      'Yes',
      'on',
      'y',
      'tRue',
      '"true"',
      '1',
      'null',
      'false',
      'no',
      '!!bool yes',
    ].map((value): [string, string] => [`insecure-skip-tls-verify: ${value}`, skip(value)]),
  ];
  for (const [name, text] of texts) add(`text: ${name}`, { config: text });

  // Proxies.
  const far = `https://api.test:${port['root']}`;
  const through = (proxy: string, auth = ''): string => `${proxy}://${auth}127.0.0.1`;
  const { httpProxy, httpsProxy, otherProxy, socks: socksPort, closed } = port;
  const ways: [string, unknown, Json?][] = [
    ['http', `${through('http')}:${httpProxy}`],
    ['http, a slash', `${through('http')}:${httpProxy}/`],
    ['http, a password', `${through('http', 'me:p%40w@')}:${httpProxy}`],
    ['http, a user', `${through('http', 'me@')}:${httpProxy}`],
    ['http, a password that it refuses', `${through('http', 'me:no@')}:${httpProxy}`],
    ['http, an http server', `${through('http')}:${httpProxy}`, plain],
    ['http, an http server, a password', `${through('http', 'me:pw@')}:${httpProxy}`, plain],
    [
      'http, an http server below a path',
      `${through('http')}:${httpProxy}`,
      { server: at('plain', '127.0.0.1', '/k8s') },
    ],
    ['http, a server by name', `${through('http')}:${httpProxy}`, { ...trusted, server: far }],
    ['https by the CA', `${through('https')}:${httpsProxy}`],
    ['https by the CA, a password', `${through('https', 'me:pw@')}:${httpsProxy}`],
    ['https by another CA', `${through('https')}:${otherProxy}`],
    ['https, insecure', `${through('https')}:${otherProxy}`, { server: at('root'), 'insecure-skip-tls-verify': true }],
    ['https, an http server', `${through('https')}:${httpsProxy}`, plain],
    ['socks5', `${through('socks5')}:${socksPort}`],
    ['socks5, a password', `${through('socks5', 'me:pw@')}:${socksPort}`],
    ['socks5, a password that it refuses', `${through('socks5', 'me:no@')}:${socksPort}`],
    ['socks5, a server by name', `${through('socks5')}:${socksPort}`, { ...trusted, server: far }],
    ['socks5, an http server', `${through('socks5')}:${socksPort}`, plain],
    ['socks5h', `${through('socks5h')}:${socksPort}`],
    ['socks4', `${through('socks4')}:${socksPort}`],
    ['nobody listens', `${through('http')}:${closed}`],
    ['no scheme', `127.0.0.1:${httpProxy}`],
    ['ftp', `ftp://127.0.0.1:${httpProxy}`],
    ['broken', 'http://[::1'],
    ['empty', ''],
    ['a number', 5],
  ];
  for (const [name, proxy, cluster = trusted] of ways)
    one(`proxy-url: ${name}`, { ...cluster, 'proxy-url': proxy }, token);
  const environments: [string, Record<string, string>, Json?][] = [
    ['HTTPS_PROXY, the machine itself', { HTTPS_PROXY: 'http://127.0.0.1:1' }],
    ['HTTPS_PROXY, localhost', { HTTPS_PROXY: 'http://127.0.0.1:1' }, { ...trusted, server: at('root', 'localhost') }],
    ['HTTPS_PROXY', { HTTPS_PROXY: `http://127.0.0.1:${httpProxy}` }, { ...trusted, server: far }],
    ['HTTPS_PROXY without a scheme', { HTTPS_PROXY: `127.0.0.1:${httpProxy}` }, { ...trusted, server: far }],
    ['https_proxy', { https_proxy: `http://127.0.0.1:${httpProxy}` }, { ...trusted, server: far }],
    ['HTTPS_PROXY, socks5', { HTTPS_PROXY: `socks5://127.0.0.1:${socksPort}` }, { ...trusted, server: far }],
    ['HTTPS_PROXY, https', { HTTPS_PROXY: `https://127.0.0.1:${httpsProxy}` }, { ...trusted, server: far }],
    [
      'HTTPS_PROXY and NO_PROXY',
      { HTTPS_PROXY: `http://127.0.0.1:${httpProxy}`, NO_PROXY: '.test' },
      { ...trusted, server: far },
    ],
    [
      'HTTPS_PROXY and NO_PROXY for others',
      { HTTPS_PROXY: `http://127.0.0.1:${httpProxy}`, NO_PROXY: 'x.test' },
      { ...trusted, server: far },
    ],
    ['HTTPS_PROXY, broken', { HTTPS_PROXY: 'http://[::1' }, { ...trusted, server: far }],
    ['HTTP_PROXY', { HTTP_PROXY: `http://127.0.0.1:${httpProxy}` }, { server: `http://api.test:${port['plain']}` }],
    [
      'HTTP_PROXY, https',
      { HTTP_PROXY: `http://127.0.0.1:${httpProxy}` },
      { ...trusted, server: at('root', 'localhost') },
    ],
    [
      'HTTPS_PROXY beside proxy-url',
      { HTTPS_PROXY: 'http://127.0.0.1:1' },
      { ...trusted, server: far, 'proxy-url': `http://127.0.0.1:${httpProxy}` },
    ],
    ['ALL_PROXY', { ALL_PROXY: `http://127.0.0.1:${httpProxy}` }, { ...trusted, server: at('root', 'localhost') }],
  ];
  for (const [name, env, cluster = trusted] of environments) {
    add(`proxy: ${name}`, { config: write(cluster, token) }, { env });
  }
  return all;
}
