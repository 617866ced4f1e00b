/**
 * The options of `elect`. Their keys have a prefix of their own: the leases that servers publish last longer, and what an
 * elected command finds in its environment must not tell another leasekeeper what to do.
 */
import { ELECTION_BETWEEN, ELECTION_ROWS, candidacyProblems, timing } from '../election/election-options.ts';
import type { ElectionOptions } from '../election/election-options.ts';
import type { OwnerReference } from '../lease/lease.ts';
import { isLabelValue, labelKeyProblem, parseRef, refProblem } from '../lease/names.ts';
import type { LeaseRef } from '../lease/store.ts';
import { INT32_MAX, msWithin } from '../runtime/options.ts';
import { bind, optionsOf, prefixed, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import { HTTP_SECURITY_OPTIONS, OFF, addressOption, parseAddress, securityRules } from './http-flags.ts';
import type { Address } from './http-flags.ts';
import type { OptionSpec, OptionValues } from './option-spec.ts';
import {
  API_OPTIONS,
  CONFIG_OPTIONS,
  LOG_OPTIONS,
  OWNER_ARG,
  OWNER_RULE,
  PAIR_RULE,
  ownerOf,
  pairOf,
} from './shared-flags.ts';

/** Docker's and Kubernetes' words, and systemd's for the second. */
const RESTART_POLICIES = ['never', 'on-failure', 'always'] as const;
export type RestartPolicy = (typeof RESTART_POLICIES)[number];

/** Milliseconds that the work has to end once its process group was killed. */
const KILLED_MS = 5_000;

function annotationProblem(text: string): string | undefined {
  const [key] = pairOf(text) ?? [];
  if (key === undefined) return PAIR_RULE;
  if (key.startsWith('leasekeeper.dev/')) return 'must not be one of our own keys';
  return labelKeyProblem(key) && `the key: ${labelKeyProblem(key)}`;
}

function labelProblem(text: string): string | undefined {
  return (
    annotationProblem(text) ?? (isLabelValue(pairOf(text)?.[1] ?? '') ? undefined : 'the value must be a label value')
  );
}

const pairs = (texts: readonly string[] = []): Record<string, string> =>
  Object.fromEntries(texts.flatMap((text) => [pairOf(text)].filter((pair) => pair !== undefined)));

const ownerProblem = (text: string): string | undefined => (ownerOf(text) ? undefined : OWNER_RULE);

const firstProblem = (texts: readonly string[], problem: (text: string) => string | undefined): string | undefined =>
  texts.map(problem).find((rule) => rule !== undefined);

const ELECT_OPTIONS = {
  electLease: {
    kind: 'string',
    flag: '--lease',
    completes: 'leases',
    arg: '[NAMESPACE/]NAME',
    help: "the lease to contend for, without a namespace in the context's, or the pod's; it is created when there is none",
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
    default: ELECTION_ROWS.workTimeoutMs.default as number,
    rule: msWithin(0, INT32_MAX - KILLED_MS),
  },
  electLabels: {
    kind: 'strings',
    flag: '--label',
    arg: 'KEY=VALUE',
    help: 'a label that the lease gets from the leader; may be given several times',
    rule: (labels: readonly string[]) => firstProblem(labels, labelProblem),
  },
  electAnnotations: {
    kind: 'strings',
    flag: '--annotation',
    arg: 'KEY=VALUE',
    help: 'an annotation that the lease gets from the leader; may be given several times',
    rule: (annotations: readonly string[]) => firstProblem(annotations, annotationProblem),
  },
  electOwners: {
    kind: 'strings',
    flag: '--owner',
    arg: OWNER_ARG,
    help: 'an owner that a lease which we create gets: when it goes, Kubernetes deletes the lease; may be given several times',
    rule: (owners: readonly string[]) => firstProblem(owners, ownerProblem),
  },
  electDeleteOnExit: {
    kind: 'boolean',
    flag: '--delete-on-exit',
    help: 'at the end delete the lease, when nobody else takes it within 2.2 retry periods',
    default: false,
  },
  ...bind(ELECTION_ROWS, {
    electLeaseDuration: { field: 'leaseDurationSeconds', flag: '--lease-duration' },
    electRenewDeadline: { field: 'renewDeadlineMs', flag: '--renew-deadline' },
    electRetryPeriod: { field: 'retryPeriodMs', flag: '--retry-period' },
  }),
  electHttpAddress: {
    ...addressOption(
      'where to serve who leads: /leader (200 on the leader, else 503), JSON at /, /healthz and /metrics: ADDRESS',
    ),
    short: '--http',
    default: OFF,
  },
} as const satisfies Record<string, OptionSpec>;

export const ELECT_TABLE = {
  ...ELECT_OPTIONS,
  ...HTTP_SECURITY_OPTIONS,
  ...CONFIG_OPTIONS,
  config: { ...CONFIG_OPTIONS.config, help: 'configuration file, YAML or JSON; read at start' },
  ...API_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

/** For `config`, which has the options of every command: these flags mean something else there. */
export const BESIDE_OTHERS = prefixed(ELECT_OPTIONS, 'elect', 'elect');

export interface ElectSettings {
  /** @param namespace the context's, or the pod's */
  readonly ref: (namespace: string | undefined) => LeaseRef;
  /** What stands on the lease besides its record. */
  readonly marks: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
    readonly owners: readonly OwnerReference[];
  };
  readonly id: string;
  readonly restart: RestartPolicy;
  readonly stopTimeoutMs: number;
  readonly election: ElectionOptions;
  /** Undefined: no endpoints. */
  readonly http: Address | undefined;
  readonly wrong: readonly Wrong[];
}

/** @param killMarginMs between killing the command and the instant at which others may lead */
export function electSettings(
  values: OptionValues<typeof ELECT_TABLE>,
  osHostname: string,
  killMarginMs: number,
): ElectSettings {
  const { electLease, electRenewDeadline, electStopTimeout: stopTimeoutMs } = values;
  const id = values.electId ?? osHostname;
  const capability = { rows: ELECTION_ROWS, between: ELECTION_BETWEEN };
  const workTimeoutMs = stopTimeoutMs + KILLED_MS;
  const { options: election, wrong: broken } = optionsOf(capability, ELECT_TABLE, values, { workTimeoutMs });
  const latest = Math.max(Math.floor(timing(election).holdMs - killMarginMs), 0);
  const late = broken.length === 0 && electRenewDeadline > latest;
  const rule = `must be at most ${latest} ms with this lease duration: the command is ended in between`;
  const ref = (namespace = 'default'): LeaseRef => parseRef(electLease ?? '', namespace);
  return {
    ref,
    id,
    marks: {
      labels: pairs(values.electLabels),
      annotations: pairs(values.electAnnotations),
      owners: (values.electOwners ?? []).flatMap((text) => ownerOf(text) ?? []),
    },
    restart: values.electRestart as RestartPolicy,
    stopTimeoutMs,
    election,
    http: parseAddress(values.electHttpAddress),
    wrong: [
      ...leaseRules(electLease, ref(), id),
      ...broken,
      ...securityRules(values),
      ...wrong('electRenewDeadline', electRenewDeadline, late ? rule : undefined, ['electLeaseDuration']),
    ],
  };
}

/** Which lease is contended for, and as whom. */
function leaseRules(electLease: string | undefined, lease: LeaseRef, id: string): Wrong[] {
  if (electLease === undefined) return wrong('electLease', undefined, 'is required: [NAMESPACE/]NAME');
  if (electLease.split('/').length > 2) return wrong('electLease', electLease, refProblem(electLease));
  return candidacyProblems(lease, id, 'a uuid').flatMap(({ field, rule }) => {
    const [, part] = field.split('.');
    return part === undefined ? wrong('electId', id, rule) : wrong('electLease', electLease, `the ${part} ${rule}`);
  });
}
