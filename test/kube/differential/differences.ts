/** Where leasekeeper differs from kubectl on purpose: the reasons stand in docs/reach.md, word for word. */
export const DIFFERENCES: readonly { readonly reason: string; readonly ids: readonly string[] }[] = [
  {
    reason: 'What cannot work is refused by field and rule when the file is read; kubectl notices when it connects.',
    ids: [
      ...['a space before it', 'ftp', 'a port too high'].map((name) => `address: ${name}`),
      'trust: CA in a file that is empty',
      'credentials: a token with a line break',
      'credentials: a token with a line break at the end',
      'text: a token in a block',
      'impersonation: a line break',
      'impersonation, http: a line break',
      'proxy: HTTPS_PROXY, broken',
    ],
  },
  {
    reason: 'No server is made up: where no cluster, context or file is named, kubectl goes to `localhost:8080`.',
    ids: [
      ...['empty', 'missing', 'null'].map((name) => `address: ${name}`),
      ...['none', 'absent', 'without a cluster', 'with an unknown cluster', 'null', 'empty name'].map(
        (name) => `context: ${name}`,
      ),
      ...['an empty document before it', 'nothing', 'a comment alone', 'null'].map((name) => `text: ${name}`),
      'files: KUBECONFIG, all missing',
    ],
  },
  {
    reason: 'No user and password are asked for: without credentials it goes on as nobody; kubectl asks.',
    ids: [
      ...['none', 'null', 'a token, empty', 'a token, null'].map((name) => `credentials: ${name}`),
      'context: without a user',
      'context: with an empty user',
      'impersonation: without credentials',
      'text: a token that YAML takes for null',
    ],
  },
  {
    reason: 'Impersonation needs TLS: without it the server would have to believe anybody.',
    ids: ['a user', 'a user and groups', 'a user and a uid', 'a user and more'].map(
      (name) => `impersonation, http: ${name}`,
    ),
  },
  {
    reason: 'Tokens and names in headers are ASCII: what lies beyond it arrives differently at each server.',
    ids: [
      'credentials: a token of other letters',
      'impersonation: other letters',
      'impersonation, http: other letters',
    ],
  },
  {
    reason: 'A key without its certificate is refused, also beside a plugin: it shows that something is missing.',
    ids: ['exec: beside a key'],
  },
  {
    reason: 'Files that credentials lie in are not looked at without TLS, where nothing of them is sent.',
    ids: ['the key missing', 'the certificate missing'].map(
      (name) => `credentials, http: a certificate in files, ${name}`,
    ),
  },
  {
    reason:
      'A server address with a user and password, or with a `#`, is refused: addresses stand in logs, and no API server lies behind a `#`.',
    ids: ['address: a user', 'address: a fragment'],
  },
  {
    reason: 'An IPv6 address needs its brackets: `::1:6443` is an address, too.',
    ids: ['address: IPv6 without brackets'],
  },
  {
    reason: 'What the context does not name is not looked at: a fault in another entry is no fault of this cluster.',
    ids: ['context: another user broken'],
  },
  {
    reason: 'An error of an `oidc` provider says that it is one; kubectl says it in the words of a broken connection.',
    ids: [
      'auth-provider: oidc, a token that has ended, nobody to refresh it',
      'auth-provider: oidc, a token that is none',
    ],
  },
  { reason: '`socks5h` is taken as well: it is what other programs call `socks5`.', ids: ['proxy-url: socks5h'] },
  {
    reason: '`0o17` is text, as in YAML 1.1: kubectl takes it for a number.',
    ids: ['text: a token like an octal number'],
  },
];
