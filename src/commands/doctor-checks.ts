/**
 * What `leasekeeper doctor` looks at, one finding after another.
 *
 * Guarantees: only reads (and asks what it may do); what cannot be looked at is `skipped` and says why, never `ok`. Where
 * nothing answers, what depends on an answer is left out. What the server says is foreign input: printed, never trusted.
 */
import { comparedCensus } from '../census/census.ts';
import type { Census, CensusLease } from '../census/census.ts';
import { queryText } from '../census/census-query.ts';
import type { CensusQuery } from '../census/census-query.ts';
import { takeCensus } from '../census/take-census.ts';
import { isServerWithPeers } from '../identity/neighbours.ts';
import type { Connection } from '../kube/connection.ts';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE, isLocalName } from '../lease/names.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { inWords } from '../runtime/printable.ts';
import { version } from '../version.ts';
import { humanDuration } from './output/human-duration.ts';

export interface Finding {
  /** What was looked at, in a word. */
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'failure' | 'skipped';
  readonly found: string;
  /** What to do, where something is wrong. */
  readonly todo?: string | undefined;
}

export interface Examined {
  readonly connection: Pick<Connection, 'store' | 'transport' | 'server' | 'context'>;
  readonly clock: Clock;
  readonly query: CensusQuery;
  /** `key=value` of the leases. */
  readonly label: string;
  readonly hostname: string;
  /** Milliseconds between the two looks; 0: one look. */
  readonly observeMs: number;
  readonly timeoutMs?: number | undefined;
  readonly signal: AbortSignal;
  /** What is going on, for who waits. @param untilMs monotonic milliseconds of its end, where that is known */
  readonly progress: (what: string, untilMs?: number) => void;
}

type Found = Omit<Finding, 'check'>;
const ok = (found: string): Found => ({ verdict: 'ok', found });
const warning = (found: string, todo: string): Found => ({ verdict: 'warning', found, todo });
const failure = (found: string, todo: string): Found => ({ verdict: 'failure', found, todo });
const skipped = (found: string): Found => ({ verdict: 'skipped', found });

const DAY_MS = 86_400_000;
/** As the publisher warns. */
const CERTIFICATE_WARNING_MS = 30 * DAY_MS;
/** As the publisher's --max-skew. */
const MAX_SKEW_MS = 60_000;
const SOME_SKEW_MS = 5_000;
/** An answer that takes longer is a tenth of the renew interval. */
const SLOW_MS = 1_000;
/** Milliseconds of a publisher's request, by default. */
const REQUEST_MS = 5_000;
/** Names in a line. */
const MAX_NAMES = 5;

const names = (all: readonly string[]): string => {
  const unique = [...new Set(all)];
  const more = unique.length - MAX_NAMES;
  return `${unique.slice(0, MAX_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
};

export async function* examine(world: Examined): AsyncGenerator<Finding, void, undefined> {
  const { connection, clock, query, observeMs, progress, signal } = world;
  const { transport } = connection;
  const say = (check: string, found: Found): Finding => ({ check, ...found });

  progress('asking the API server');
  const reached = await reach(world);
  yield say('reach', reached.found);
  yield say('versions', ok(`leasekeeper ${version}, Node.js ${process.versions.node}, API server ${reached.version}`));
  yield say('certificate', certificate(transport.certificateExpiresAt(), clock.wallMicros() / 1000));
  if (!reached.answered) return;
  const distanceMs = transport.clockDistanceMs();
  yield say('clock', distance(distanceMs));
  if (!reached.known) return;
  const namespaced = query.namespace;
  yield say('namespace', await namespaceFound(world));
  yield say('rights', await rights(world));

  progress('reading the leases');
  const first = await list(world);
  if (first instanceof LeaseStoreError) {
    yield say('leases', failure(first.message, 'Nothing can be counted or swept until they can be listed.'));
  } else {
    let census = first;
    if (observeMs > 0) {
      progress('looking again', clock.monotonic() + observeMs);
      if (!(await sleep(clock, observeMs, signal))) return;
      const second = await list(world);
      if (second instanceof LeaseStoreError) {
        yield say(
          'leases',
          failure(`the second look: ${second.message}`, 'Ask again; the API server answers now and then.'),
        );
      } else census = comparedCensus(first, second);
    }
    yield say('leases', leasesFound(census, world));
    yield say('this host', hostFound(census, world));
    yield say('duplicates', duplicates(first, census, world));
    yield say('peer proxying', peers(census, world));
  }
  progress('reading the webhooks');
  yield say('webhooks', await webhooks(world, namespaced));
}

interface Reached {
  readonly found: Found;
  /** Something answered. */
  readonly answered: boolean;
  /** It takes our credentials. */
  readonly known: boolean;
  readonly version: string;
}

async function reach({
  connection: { transport, server, context },
  clock,
  timeoutMs,
  signal,
}: Examined): Promise<Reached> {
  const what = `${server}${context === undefined ? '' : ` (context ${context})`}`;
  const began = clock.monotonic();
  const tookMs = (): number => Math.round(clock.monotonic() - began);
  try {
    const { json } = await transport.request({
      method: 'GET',
      what: 'ask for its version',
      path: '/version',
      timeoutMs,
      signal,
    });
    const { gitVersion } = (json ?? {}) as { gitVersion?: unknown };
    const ms = tookMs();
    const found = `${what} answered within ${ms} ms`;
    const slow = ms > SLOW_MS;
    return {
      found: slow
        ? warning(found, "Renewals take as long: look at the API server's load, and at proxies on the way.")
        : ok(found),
      answered: true,
      known: true,
      version: typeof gitVersion === 'string' ? gitVersion.slice(0, 64) : 'of no version that it tells',
    };
  } catch (error) {
    if (!isStoreError(error)) throw error;
    const rest = { answered: transport.answeredAt() !== undefined, known: false, version: 'of unknown version' };
    switch (error.code) {
      case 'Unauthorized':
        return {
          found: failure(
            `${what} refuses our credentials: ${error.message}`,
            'Renew the token or the client certificate that the kubeconfig names.',
          ),
          ...rest,
        };
      case 'Credentials':
        return { found: failure(error.message, 'Mend what the kubeconfig says of the user.'), ...rest };
      case 'Unavailable':
      case 'Timeout':
        return {
          found: failure(
            `${what}: ${error.message}`,
            'Look whether the server runs, and at its address, CA and the network between.',
          ),
          ...rest,
        };
      // An answer, and our credentials are taken: it does not want to tell its version.
      default:
        return {
          found: ok(`${what} answered within ${tookMs()} ms`),
          answered: true,
          known: true,
          version: rest.version,
        };
    }
  }
}

function certificate(expiresAt: number | undefined, now: number): Found {
  if (expiresAt === undefined) return skipped('no client certificate is used');
  const expiry = new Date(expiresAt).toISOString().slice(0, 16).replace('T', ' ');
  const left = expiresAt - now;
  const renew = 'Renew the client certificate that the kubeconfig names.';
  if (left <= 0) return failure(`the client certificate expired ${humanDuration(-left)} ago, at ${expiry} UTC`, renew);
  const found = `the client certificate expires in ${humanDuration(left)}, at ${expiry} UTC`;
  return left < CERTIFICATE_WARNING_MS ? warning(found, renew) : ok(found);
}

function distance(ms: number | undefined): Found {
  if (ms === undefined) return skipped('the API server sent no time (no Date header)');
  const away = Math.abs(ms);
  if (away < SOME_SKEW_MS) return ok("this host's clock agrees with the API server's");
  const found = `this host's clock is ${humanDuration(away)} ${ms > 0 ? 'ahead of' : 'behind'} the API server's`;
  const todo = 'Look at time synchronisation (chronyd, ntpd) on this host, then on the API server.';
  return away > MAX_SKEW_MS
    ? failure(found, `Others judge this host's leases by that clock. ${todo}`)
    : warning(found, todo);
}

async function namespaceFound({
  connection: { transport },
  query: { namespace },
  timeoutMs,
  signal,
}: Examined): Promise<Found> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
  try {
    const { json } = await transport.request({
      method: 'GET',
      what: `read namespace ${namespace}`,
      path,
      timeoutMs,
      signal,
    });
    const { metadata } = (json ?? {}) as { metadata?: { deletionTimestamp?: unknown } };
    return metadata?.deletionTimestamp === undefined
      ? ok(`namespace ${namespace} is there`)
      : failure(
          `namespace ${namespace} is being deleted`,
          'Nothing can be created in it. Use another one (--namespace).',
        );
  } catch (error) {
    if (isStoreError(error, 'NotFound', 'NamespaceNotFound'))
      return failure(`there is no namespace ${namespace}`, 'Correct --namespace, or create it.');
    if (isStoreError(error)) return skipped(`whether namespace ${namespace} is there: ${error.message}`);
    throw error;
  }
}

/** What each verb on leases is for. */
const VERBS = {
  list: 'publish, sweep, serve, get and count',
  watch: 'publish, serve and elect',
  get: 'publish and elect',
  create: 'publish and elect',
  update: 'publish and elect',
  delete: 'sweep, release and the shutdown policy delete',
} as const;

async function rights(world: Examined): Promise<Found> {
  const { connection, query, timeoutMs, signal } = world;
  const { namespace } = query;
  const asked = await Promise.all(
    Object.keys(VERBS).map(async (verb) => {
      try {
        const { json } = await connection.transport.request({
          method: 'POST',
          what: `ask whether we may ${verb} leases`,
          path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
          body: {
            apiVersion: 'authorization.k8s.io/v1',
            kind: 'SelfSubjectAccessReview',
            spec: { resourceAttributes: { group: 'coordination.k8s.io', resource: 'leases', namespace, verb } },
          },
          timeoutMs,
          signal,
        });
        const { status } = (json ?? {}) as { status?: { allowed?: unknown } };
        return { verb, allowed: typeof status?.allowed === 'boolean' ? status.allowed : undefined };
      } catch (error) {
        if (isStoreError(error)) return { verb, allowed: undefined };
        throw error;
      }
    }),
  );
  const may = asked.filter(({ allowed }) => allowed === true).map(({ verb }) => verb);
  const not = asked.filter(({ allowed }) => allowed === false).map(({ verb }) => verb) as (keyof typeof VERBS)[];
  if (may.length + not.length === 0) return readsTried(world);
  const unknown = asked.filter(({ allowed }) => allowed === undefined).map(({ verb }) => verb);
  if (not.length === 0 && unknown.length > 0)
    return skipped(`may ${may.join(', ')} leases in ${namespace}; the API server did not say of ${unknown.join(', ')}`);
  if (not.length === 0) return ok(`may ${may.join(', ')} leases in ${namespace}`);
  const needs = [...new Set(not.map((verb) => VERBS[verb]))].join('; ');
  const found = `may not ${not.join(', ')} leases in ${namespace}: needed by ${needs}`;
  const todo = '`leasekeeper rbac COMMAND` prints the Role that a command needs.';
  return not.includes('list') ? failure(found, todo) : warning(found, todo);
}

/** The server reviews no access: only what changes nothing is tried. */
async function readsTried({
  connection: { store },
  query: { namespace },
  timeoutMs,
  signal,
}: Examined): Promise<Found> {
  const tries = {
    list: () => store.list({ namespace, limit: 1 }, { timeoutMs, signal }),
    get: () => store.get({ namespace, name: 'leasekeeper-doctor' }, { timeoutMs, signal }),
  };
  const refused: string[] = [];
  for (const [verb, attempt] of Object.entries(tries)) {
    try {
      await attempt();
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (error.code === 'Forbidden') refused.push(verb);
      else if (error.code !== 'NotFound') return failure(error.message, 'Ask again once the API server answers.');
    }
  }
  return refused.length === 0
    ? ok(`may list and get leases in ${namespace}; writes were not tried`)
    : failure(
        `may not ${refused.join(' or ')} leases in ${namespace}`,
        '`leasekeeper rbac COMMAND` prints the Role that a command needs.',
      );
}

async function list({
  connection: { store },
  query,
  clock,
  timeoutMs,
  signal,
}: Examined): Promise<Census | LeaseStoreError> {
  try {
    return await takeCensus({
      store,
      query,
      clock,
      signal,
      keepSource: true,
      ...(timeoutMs !== undefined && { timeoutMs }),
    });
  } catch (error) {
    if (isStoreError(error)) return error;
    throw error;
  }
}

function leasesFound({ counts, leases, asOf }: Census, { query }: Examined): Found {
  if (leases.length === 0)
    return warning(`no lease ${queryText(query)}`, 'Check namespace and label, and whether any publisher runs.');
  if (!counts) {
    const why = asOf ? 'there are shards among them, which nobody renews' : 'the API server sent no time';
    return skipped(`${leases.length} leases; which are alive is not known: ${why}`);
  }
  const { instances, live, stale, expired } = counts;
  const found = `${instances} instances: ${live} live, ${stale} stale; ${expired} expired`;
  const of = (state: string): string[] =>
    leases.filter((lease) => lease.state === state).map(({ hostname, name }) => hostname ?? name);
  const ahead = leases.filter(({ aheadMs }) => aheadMs !== undefined);
  if (ahead.length > 0)
    return warning(
      `${found}; renewed in the future: ${names(ahead.map(({ hostname, name }) => hostname ?? name))}`,
      "Their publishers' clocks are ahead: look at time synchronisation there.",
    );
  if (stale > 0)
    return warning(`${found}; stale: ${names(of('stale'))}`, 'Look at the server and its publisher on those hosts.');
  if (expired > 0)
    return warning(`${found}; expired: ${names(of('expired'))}`, 'A sweeper deletes those: look whether one runs.');
  return ok(found);
}

const sinceText = (lease: CensusLease, asOf: Census['asOf']): string => {
  const since = lease.acquireTime ?? lease.creationTimestamp;
  const ago = since && asOf ? ` (${humanDuration(asOf.since(since))})` : '';
  return since ? ` since ${since.toString().slice(0, 19)}Z${ago}` : '';
};

function hostFound({ leases, asOf }: Census, { hostname }: Examined): Found {
  const own = leases.filter((lease) => lease.hostname === hostname);
  if (isLocalName(hostname))
    return warning(
      `this host is called ${hostname}, as many hosts are`,
      'Name it, or set --hostname-override: a hostname must be unique in the cluster.',
    );
  if (own.length === 0)
    return warning(
      `no lease of this host (${hostname})`,
      'No publisher runs here, or it has another --hostname-override.',
    );
  const [lease] = own.toSorted((a, b) => (a.renewedAgoMs ?? Infinity) - (b.renewedAgoMs ?? Infinity));
  const { state, holder, renewedAgoMs, leaseTransitions } = lease!;
  if (holder === undefined) return warning(`the lease of ${hostname} was released`, 'Start the publisher again.');
  const changes = leaseTransitions === undefined ? '' : `, changed hands ${leaseTransitions} times`;
  const found = `${hostname} is ${state}: held by ${holder}${sinceText(lease!, asOf)}, renewed ${humanDuration(renewedAgoMs)} ago${changes}`;
  return state === 'live'
    ? ok(found)
    : warning(found, "Look at this host's publisher: its log and /readyz?verbose say why.");
}

function duplicates(first: Census, { leases }: Census, { observeMs }: Examined): Found {
  const byHost = new Map<string, CensusLease[]>();
  for (const lease of leases)
    if (lease.hostname !== undefined && lease.holder !== undefined && lease.state !== 'expired')
      byHost.set(lease.hostname, [...(byHost.get(lease.hostname) ?? []), lease]);
  const twice = [...byHost]
    .filter(([, of]) => of.length > 1)
    .map(([host, of]) => `${host} (${names(of.map(({ name }) => name))})`);
  const before = new Map(first.leases.map(({ uid, holder }) => [uid, holder]));
  const moved = leases.filter(
    ({ uid, holder }) => holder !== undefined && before.has(uid) && before.get(uid) !== holder,
  );
  if (moved.length > 0)
    return failure(
      `holders changed within ${humanDuration(observeMs)}: ${names(moved.map(({ hostname, name }) => hostname ?? name))}`,
      'A publisher was restarted just now, or two hosts share the hostname: give one another (--hostname-override).',
    );
  if (twice.length > 0)
    return warning(
      `hosts with more than one lease: ${names(twice)}`,
      'Two servers share the hostname, or one publishes itself beside leasekeeper. They count as one instance.',
    );
  const local = leases.filter(({ hostname }) => hostname !== undefined && isLocalName(hostname));
  if (local.length > 0)
    return warning(
      `hostnames that many hosts have: ${names(local.map(({ hostname }) => hostname!))}`,
      'Set --hostname-override there.',
    );
  return ok('no hostname has two leases');
}

function peers({ leases }: Census, { label }: Examined): Found {
  if (label !== `${IDENTITY_LABEL}=${IDENTITY_LABEL_VALUE}`)
    return skipped('only leases of kube-apiservers matter to it');
  const servers = leases.filter(({ source }) => source && isServerWithPeers(source));
  if (servers.length === 0) return ok('no API server takes part in peer proxying');
  const beside = leases.filter(({ source, holder }) => holder !== undefined && source && !isServerWithPeers(source));
  const found = `API servers that take part in peer proxying: ${servers.length}`;
  return beside.length === 0
    ? ok(found)
    : warning(
        `${found}; other leases with their label disturb them: ${names(beside.map(({ name }) => name))}`,
        'Stop the publishers of those, or leave --beside-server at auto. The servers publish themselves.',
      );
}

interface Webhook {
  readonly name: string;
  readonly timeoutSeconds: number;
  readonly fails: boolean;
}

async function webhooks({ connection: { transport }, timeoutMs, signal }: Examined, namespace: string): Promise<Found> {
  const all: Webhook[] = [];
  for (const kind of ['validating', 'mutating']) {
    try {
      const path = `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations`;
      const { json } = await transport.request({
        method: 'GET',
        what: `list ${kind} webhooks`,
        path,
        timeoutMs,
        signal,
      });
      all.push(...webhooksOnLeases(json, namespace));
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (error.status === 404) return skipped('the API server serves none');
      return skipped(error.message);
    }
  }
  if (all.length === 0) return ok('none is asked about leases');
  const text = ({ name, timeoutSeconds, fails }: Webhook): string =>
    `${name} (${timeoutSeconds} s, then ${fails ? 'refused' : 'let through'})`;
  const bad = all.filter(({ timeoutSeconds, fails }) => fails || timeoutSeconds * 1000 >= REQUEST_MS);
  if (bad.length === 0) return ok(`asked about leases: ${names(all.map(text))}`);
  return warning(
    `webhooks that can hold up every renewal: ${names(bad.map(text))}`,
    `Leave leases out of their rules, or set failurePolicy Ignore and timeoutSeconds below ${REQUEST_MS / 1000}.`,
  );
}

const items = (value: unknown): Record<string, unknown>[] =>
  (Array.isArray(value) ? value : []).filter(
    (item): item is Record<string, unknown> => typeof item === 'object' && item !== null,
  );
const texts = (value: unknown): string[] =>
  (Array.isArray(value) ? value : []).filter((item): item is string => typeof item === 'string');

/** Those whose rules match a write of a lease. What their selectors leave out by other labels than the namespace's name is not known. */
function webhooksOnLeases(list: unknown, namespace: string): Webhook[] {
  const { items: configurations } = (list ?? {}) as { items?: unknown };
  return items(configurations).flatMap((configuration) => {
    const { name: of = '?' } = (configuration['metadata'] ?? {}) as { name?: unknown };
    return items(configuration['webhooks'])
      .filter(({ rules, namespaceSelector }) => items(rules).some(onLeases) && !leftOut(namespaceSelector, namespace))
      .map(({ name, timeoutSeconds, failurePolicy }) => ({
        name: `${inWords(of)}/${inWords(name)}`,
        timeoutSeconds: typeof timeoutSeconds === 'number' ? timeoutSeconds : 10,
        fails: failurePolicy !== 'Ignore',
      }));
  });
}

function onLeases({ apiGroups, resources, operations, scope }: Record<string, unknown>): boolean {
  const has = (list: unknown, ...words: string[]): boolean => texts(list).some((one) => words.includes(one));
  return (
    has(apiGroups, '*', 'coordination.k8s.io') &&
    has(resources, '*', '*/*', 'leases', 'leases/*') &&
    has(operations, '*', 'CREATE', 'UPDATE', 'DELETE') &&
    scope !== 'Cluster'
  );
}

function leftOut(selector: unknown, namespace: string): boolean {
  const { matchExpressions, matchLabels } = (selector ?? {}) as Record<string, unknown>;
  const name = ((matchLabels ?? {}) as Record<string, unknown>)['kubernetes.io/metadata.name'];
  if (name !== undefined && name !== namespace) return true;
  return items(matchExpressions).some(({ key, operator, values }) => {
    if (key !== 'kubernetes.io/metadata.name') return false;
    const named = texts(values).includes(namespace);
    return (operator === 'NotIn' && named) || (operator === 'In' && !named);
  });
}
