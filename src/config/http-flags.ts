/**
 * The options of the HTTP endpoints, and of the census behind them.
 */
import { isIP } from 'node:net';
import { CENSUS_ROWS } from '../census/census-options.ts';
import type { CensusOptions } from '../census/census-options.ts';
import { bind, optionsOf, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import type { OptionSpec, OptionValues } from './option-spec.ts';
import { API_OPTIONS, CONFIG_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS, queryRules } from './shared-flags.ts';

/** In the range of Kubernetes' own components, and none of theirs. */
const SERVE_ADDRESS = '127.0.0.1:10270';
/** Several publishers may run on one machine: no port is opened that nobody asked for. */
export const OFF = 'off';

/** @param help what is served, and the default where it has none of its own */
export const addressOption = (help: string) =>
  ({
    kind: 'string',
    flag: '--http-address',
    arg: 'ADDRESS',
    help: help.replace('ADDRESS', 'PORT (of 127.0.0.1), HOST:PORT, :PORT (every interface) or off'),
    rule: (text: string) =>
      text === OFF || parseAddress(text) ? undefined : 'must be PORT, HOST:PORT, [IPV6]:PORT, :PORT or off',
  }) as const satisfies OptionSpec;

/** Who may read what is served, and over what. The files are read again when they are replaced. */
export const HTTP_SECURITY_OPTIONS = {
  httpTlsCert: {
    kind: 'string',
    flag: '--http-tls-cert',
    arg: 'FILE',
    help: 'certificate chain, PEM: what --http-address serves goes over TLS',
  },
  httpTlsKey: { kind: 'string', flag: '--http-tls-key', arg: 'FILE', help: 'the key of --http-tls-cert, PEM' },
  httpClientCa: {
    kind: 'string',
    flag: '--http-client-ca',
    arg: 'FILE',
    help: 'PEM: clients with a certificate of these may read; others only see the status of /livez, /readyz and /healthz',
  },
  httpTokenFile: {
    kind: 'string',
    flag: '--http-token-file',
    arg: 'FILE',
    help: 'clients that send this token (Authorization: Bearer) may read; others only see the status of /livez, /readyz and /healthz',
  },
} as const satisfies Record<string, OptionSpec>;

export const HTTP_OPTIONS = {
  httpAddress: addressOption(
    `where /, /v1/instances, /v1/count, /metrics, /livez and /readyz are served: ADDRESS; publish: default ${OFF}; serve: default ${SERVE_ADDRESS}`,
  ),
  ...HTTP_SECURITY_OPTIONS,
  ...bind(CENSUS_ROWS, {
    freshFor: { field: 'freshForMs', flag: '--fresh-for' },
    maxAge: { field: 'maxAgeMs', flag: '--census-max-age' },
  }),
};

const SERVE_OPTIONS = {
  serveAll: {
    kind: 'boolean',
    flag: '--all-namespaces',
    short: '-A',
    help: 'follow all leases of the cluster: /v1/leases, and metrics of elections, by the same one list and one watch',
    default: false,
  },
} as const satisfies Record<string, OptionSpec>;

export const SERVE_TABLE = {
  ...HTTP_OPTIONS,
  ...SERVE_OPTIONS,
  ...LEASE_OPTIONS,
  ...API_OPTIONS,
  ...CONFIG_OPTIONS,
  ...LOG_OPTIONS,
};

/** An empty host: every interface. Port 0: a free one. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface HttpSettings {
  /** `undefined`: no endpoints, and no census behind them. */
  readonly address: Address | undefined;
  readonly census: CensusOptions;
}

/** What `publish` and `serve` show over HTTP. */
export function httpSettings(
  values: OptionValues<typeof HTTP_OPTIONS>,
  standard: typeof SERVE_ADDRESS | typeof OFF,
): HttpSettings & { wrong: Wrong[] } {
  const { options: census, wrong } = optionsOf({ rows: CENSUS_ROWS }, HTTP_OPTIONS, values);
  return {
    address: parseAddress(values.httpAddress ?? standard),
    census,
    wrong: [...wrong, ...securityRules(values)],
  };
}

export function serveSettings(values: OptionValues<typeof SERVE_TABLE>): HttpSettings & { wrong: Wrong[] } {
  const http = httpSettings(values, SERVE_ADDRESS);
  const idle = values.httpAddress === OFF ? 'serve has nothing else to do' : undefined;
  return { ...http, wrong: [...http.wrong, ...queryRules(values), ...wrong('httpAddress', OFF, idle)] };
}

/** Names of files. */
export interface SecurityFiles {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  readonly token: string | undefined;
}

type SecurityValues = OptionValues<typeof HTTP_SECURITY_OPTIONS>;

/** Undefined: without TLS, for everybody. */
export function securityFiles(values: SecurityValues): SecurityFiles | undefined {
  const { httpTlsCert: cert, httpTlsKey: key, httpClientCa: clientCa, httpTokenFile: token } = values;
  return cert === undefined || key === undefined ? undefined : { cert, key, clientCa, token };
}

export function securityRules({ httpTlsCert, httpTlsKey, httpClientCa, httpTokenFile }: SecurityValues): Wrong[] {
  const needs = (value: string | undefined, rule: string): string | undefined =>
    value !== undefined && httpTlsCert === undefined ? rule : undefined;
  const overTls = 'needs --http-tls-cert and --http-tls-key: credentials go over TLS alone';
  return [
    ...wrong(
      'httpTlsCert',
      httpTlsCert,
      httpTlsKey === undefined && httpTlsCert !== undefined ? 'needs --http-tls-key' : undefined,
    ),
    ...wrong('httpTlsKey', httpTlsKey, needs(httpTlsKey, 'needs --http-tls-cert')),
    ...wrong('httpClientCa', httpClientCa, needs(httpClientCa, overTls)),
    ...wrong('httpTokenFile', httpTokenFile, needs(httpTokenFile, overTls)),
  ];
}

const LOOPBACK = '127.0.0.1';

/** Undefined: off, or no address. `8080` is loopback's; `:8080` is every interface's, as Kubernetes' components take it. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const [, v6, name, digits] = match;
  const port = Number(digits);
  const valid = v6 === undefined ? name === undefined || /^[\w.-]*$/.test(name) : isIP(v6) === 6;
  return port <= 65_535 && valid ? { host: v6 ?? name ?? LOOPBACK, port } : undefined;
}
