/**
 * The options of the HTTP endpoints, and of the census behind them.
 */
import { isIP } from 'node:net';
import { CENSUS_DEFAULTS, censusOptions, censusProblems } from '../census/census-options.ts';
import type { CensusOptions } from '../census/census-options.ts';
import { formatDuration } from './duration.ts';
import type { OptionSpec, OptionValues, Problem } from './option-spec.ts';

/** In the range of Kubernetes' own components, and none of theirs. */
export const SERVE_ADDRESS = '127.0.0.1:10270';
/** Several publishers may run on one machine: no port is opened that nobody asked for. */
export const PUBLISH_ADDRESS = 'off';

export const HTTP_OPTIONS = {
  httpAddress: {
    kind: 'string',
    flag: '--http-address',
    arg: 'ADDRESS',
    help: `where /, /v1/instances, /v1/count, /metrics, /livez and /readyz are served: PORT (of 127.0.0.1), HOST:PORT, :PORT (every interface) or off; publish: default ${PUBLISH_ADDRESS}; serve: default ${SERVE_ADDRESS}`,
  },
  freshFor: {
    kind: 'duration',
    flag: '--fresh-for',
    arg: 'DURATION',
    help: 'a lease renewed within this time is live: three renew intervals',
    default: CENSUS_DEFAULTS.freshForMs,
  },
  maxAge: {
    kind: 'duration',
    flag: '--census-max-age',
    arg: 'DURATION',
    help: 'time without word of the leases after which the numbers served count as unknown (503)',
    default: CENSUS_DEFAULTS.maxAgeMs,
  },
} as const satisfies Record<string, OptionSpec>;

/** For `sweep`, which counts nothing. */
export const SWEEP_HTTP_OPTIONS = {
  httpAddress: {
    ...HTTP_OPTIONS.httpAddress,
    help: `where /metrics, /livez and /readyz are served: PORT (of 127.0.0.1), HOST:PORT, :PORT (every interface) or off (default ${PUBLISH_ADDRESS}); not with --once`,
  },
} as const satisfies Record<string, OptionSpec>;

const LOOPBACK = '127.0.0.1';
const FLAGS = { freshForMs: HTTP_OPTIONS.freshFor.flag, maxAgeMs: HTTP_OPTIONS.maxAge.flag };

export interface HttpSettings {
  /** `undefined`: no endpoints, and no census behind them. An empty host: every interface. Port 0: a free one. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  readonly census: CensusOptions;
}

/**
 * The settings from what was given, and everything that is wrong with them.
 * @param fallback the address when none is given
 */
export function httpSettings(
  values: OptionValues<typeof HTTP_OPTIONS>,
  fallback: typeof SERVE_ADDRESS | typeof PUBLISH_ADDRESS,
): { settings: HttpSettings; problems: Problem[] } {
  const census = censusOptions({ freshForMs: values.freshFor, maxAgeMs: values.maxAge });
  const problems: Problem[] = censusProblems(census).map(({ field, value }) => ({
    option: FLAGS[field as keyof CensusOptions],
    value: formatDuration(Number(value)),
    rule: 'must be at least 1s',
  }));
  const { address, problems: wrong } = httpAddress(values, fallback);
  return { settings: { address, census }, problems: [...problems, ...wrong] };
}

/** The address alone, for endpoints without a census. */
export function httpAddress(
  values: OptionValues<typeof SWEEP_HTTP_OPTIONS>,
  fallback: typeof SERVE_ADDRESS | typeof PUBLISH_ADDRESS,
): { address: HttpSettings['address']; problems: Problem[] } {
  const address = parseAddress(values.httpAddress ?? fallback);
  const problem = { option: HTTP_OPTIONS.httpAddress.flag, value: values.httpAddress, rule: ADDRESS_RULE };
  return { address: address === 'off' ? undefined : address, problems: address === undefined ? [problem] : [] };
}

export const ADDRESS_RULE = 'must be PORT, HOST:PORT, [IPV6]:PORT, :PORT or off';

/** Undefined: breaks the rule. `8080` is loopback's; `:8080` is every interface's, as Kubernetes' components take it. */
export function parseAddress(text: string): { host: string; port: number } | 'off' | undefined {
  if (text === 'off') return 'off';
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const [, v6, name, digits] = match;
  const port = Number(digits);
  const valid = v6 === undefined ? name === undefined || /^[\w.-]*$/.test(name) : isIP(v6) === 6;
  return port <= 65_535 && valid ? { host: v6 ?? name ?? LOOPBACK, port } : undefined;
}
