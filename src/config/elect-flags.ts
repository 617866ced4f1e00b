/**
 * The options of `elect`. Their keys have a prefix of their own: the leases that servers publish last longer, and what an
 * elected command finds in its environment must not tell another leasekeeper what to do.
 */
import {
  ELECTION_DEFAULTS,
  candidacyProblems,
  electionOptions,
  electionProblems,
  timing,
} from '../election/election-options.ts';
import type { ElectionOptions } from '../election/election-options.ts';
import type { LeaseRef } from '../lease/store.ts';
import { formatDuration } from './duration.ts';
import { HTTP_OPTIONS, PUBLISH_ADDRESS, httpSettings } from './http-flags.ts';
import type { HttpSettings } from './http-flags.ts';
import { CONFIG_OPTIONS } from './shared-flags.ts';
import type { OptionSpec, OptionValues, Problem } from './option-spec.ts';

/** Docker's and Kubernetes' words, and systemd's for the second. */
export const RESTART_POLICIES = ['never', 'on-failure', 'always'] as const;
export type RestartPolicy = (typeof RESTART_POLICIES)[number];

export const ELECT_OPTIONS = {
  electLease: {
    kind: 'string',
    flag: '--lease',
    arg: 'NAMESPACE/NAME',
    help: 'the lease to contend for; it is created when there is none',
  },
  electId: {
    kind: 'string',
    flag: '--id',
    arg: 'ID',
    help: "who contends, for people to read: the holder is ID_<uuid>; else the operating system's hostname",
  },
  electRestart: {
    kind: 'string',
    flag: '--restart',
    arg: 'POLICY',
    help: 'whether to contend again after the command has ended by itself; never: exit with its code; on-failure: exit when its code was 0',
    choices: RESTART_POLICIES,
    default: 'never',
  },
  electStopTimeout: {
    kind: 'duration',
    flag: '--stop-timeout',
    arg: 'DURATION',
    help: 'time from SIGTERM until the command is killed; when leadership is lost, at most what is left until others may lead',
    default: ELECTION_DEFAULTS.workTimeoutMs,
  },
  electLeaseDuration: {
    kind: 'duration',
    flag: '--lease-duration',
    arg: 'DURATION',
    help: 'how long others wait after the last renewal that they saw, whole seconds',
    default: ELECTION_DEFAULTS.leaseDurationSeconds * 1000,
  },
  electRenewDeadline: {
    kind: 'duration',
    flag: '--renew-deadline',
    arg: 'DURATION',
    help: 'how long leadership lasts after the last renewal that succeeded',
    default: ELECTION_DEFAULTS.renewDeadlineMs,
  },
  electRetryPeriod: {
    kind: 'duration',
    flag: '--retry-period',
    arg: 'DURATION',
    help: 'time from one renewal to the next',
    default: ELECTION_DEFAULTS.retryPeriodMs,
  },
  electHttpAddress: {
    kind: 'string',
    flag: '--http-address',
    short: '--http',
    arg: 'ADDRESS',
    help: 'where who leads is told, as JSON at /, with /healthz and /metrics: PORT (of 127.0.0.1), HOST:PORT, :PORT (every interface) or off',
    default: PUBLISH_ADDRESS,
  },
  config: { ...CONFIG_OPTIONS.config, help: 'configuration file, YAML or JSON; read at start' },
  featureGates: CONFIG_OPTIONS.featureGates,
} as const satisfies Record<string, OptionSpec>;

/** For `config`, which has the options of every command: these flags mean something else there. */
export const BESIDE_OTHERS: Readonly<Record<string, OptionSpec>> = Object.fromEntries(
  Object.entries(ELECT_OPTIONS)
    .filter(([key]) => key.startsWith('elect'))
    .map(([key, option]) => {
      const { short: _, ...spec }: OptionSpec = option;
      return [key, { ...spec, flag: `--elect-${spec.flag.slice(2)}`, help: `elect: ${spec.help}` }];
    }),
);

/** Milliseconds that the work has to end once its process group was killed. */
const KILLED_MS = 5_000;

export interface ElectSettings {
  readonly lease: LeaseRef;
  readonly id: string;
  readonly restart: RestartPolicy;
  readonly stopTimeoutMs: number;
  readonly election: ElectionOptions;
  /** Undefined: no endpoints. */
  readonly http: HttpSettings['address'];
}

/** The option that sets each of the elector's. */
const KEYS: Readonly<Record<string, keyof typeof ELECT_OPTIONS>> = {
  leaseDurationSeconds: 'electLeaseDuration',
  renewDeadlineMs: 'electRenewDeadline',
  retryPeriodMs: 'electRetryPeriod',
  workTimeoutMs: 'electStopTimeout',
  'lease.namespace': 'electLease',
  'lease.name': 'electLease',
  id: 'electId',
};

/**
 * The settings from what was given, and everything that is wrong with them.
 * @param killMarginMs between killing the command and the instant at which others may lead
 */
export function electSettings(
  values: OptionValues<typeof ELECT_OPTIONS>,
  osHostname: string,
  killMarginMs: number,
): { settings: ElectSettings; problems: Problem[] } {
  const problems: Problem[] = [];
  const say = (key: keyof typeof ELECT_OPTIONS, value: unknown, rule: string): void =>
    void problems.push({ option: ELECT_OPTIONS[key].flag, value, rule });
  const election = electionOptions({
    leaseDurationSeconds: values.electLeaseDuration / 1000,
    renewDeadlineMs: values.electRenewDeadline,
    retryPeriodMs: values.electRetryPeriod,
    workTimeoutMs: values.electStopTimeout + KILLED_MS,
  });
  const [namespace = '', name = '', ...more] = (values.electLease ?? '').split('/');
  const id = values.electId ?? osHostname;
  const broken = electionProblems(election);
  if (values.electLease === undefined) say('electLease', undefined, 'is required: NAMESPACE/NAME');
  else if (name === '' || more.length > 0) say('electLease', values.electLease, 'must be NAMESPACE/NAME');
  else broken.push(...candidacyProblems({ namespace, name }, id, 'a uuid'));
  for (const { field, rule } of broken) {
    const key = KEYS[field] ?? 'electLease';
    const spec = ELECT_OPTIONS[key];
    const value = key === 'electId' ? id : values[key];
    const part = field === 'lease.namespace' ? 'the namespace ' : field === 'lease.name' ? 'the name ' : '';
    say(key, spec.kind === 'duration' ? formatDuration(Number(value)) : value, `${part}${rule}`);
  }
  const { holdMs } = timing(election);
  const latest = Math.floor(holdMs - killMarginMs);
  if (electionProblems(election).length === 0 && election.renewDeadlineMs > latest) {
    const rule = `must be at most ${formatDuration(Math.max(latest, 0))} with this lease duration: the command is ended in between`;
    say('electRenewDeadline', formatDuration(election.renewDeadlineMs), rule);
  }
  const http = httpSettings(
    {
      httpAddress: values.electHttpAddress,
      freshFor: HTTP_OPTIONS.freshFor.default,
      maxAge: HTTP_OPTIONS.maxAge.default,
    },
    PUBLISH_ADDRESS,
  );
  return {
    settings: {
      lease: { namespace, name },
      id,
      restart: values.electRestart as RestartPolicy,
      stopTimeoutMs: values.electStopTimeout,
      election,
      http: http.settings.address,
    },
    problems: [...problems, ...http.problems],
  };
}
