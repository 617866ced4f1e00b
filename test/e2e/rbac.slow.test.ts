/**
 * What `leasekeeper rbac` prints, on a real API server: it is enough for its command, and nothing of it is too much. With
 * any verb taken away (but for Events) the command says which verb on which resource it lacks.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { main } from '../../src/commands/main.ts';
import { startProgram } from '../support/process.ts';
import type { Program } from '../support/process.ts';
import type { PolicyRule, RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { LABEL } from './support.ts';
import type { Scope } from './support.ts';

/** Processes at once. */
const CONCURRENCY = 3;

const USERS = 60;
const users = Object.fromEntries(Array.from({ length: USERS }, (_, i) => [`user-${i}`, [] as string[]]));

interface Trial {
  readonly what: string;
  /** In a namespace of its own. */
  readonly args: (namespace: string) => readonly string[];
  /** The line by which it has done what it is for; left out: it ends by itself, with exit code 0. */
  readonly done?: RegExp;
  readonly before?: (api: RealApi, namespace: string) => Promise<void>;
  /** Verbs that are needed when it ends. */
  readonly atEnd?: readonly string[];
  /** What must happen for a verb to be needed. */
  readonly meddle?: {
    readonly verb: string;
    readonly after: RegExp;
    /** Goes on until it is over. */
    readonly act: (api: RealApi, namespace: string, over: () => boolean) => Promise<void>;
  };
  /** In place of the program: a script with these arguments. What it may do is printed for `args`. */
  readonly script?: readonly [name: string, ...args: string[]];
  /** Verbs that are taken away; left out: each. Every verb of every command is tried once. */
  readonly tried?: readonly string[];
}

interface Printed {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: PolicyRule[];
}

/** With a time in milliseconds, which is all that a Lease written here needs. */
const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString().replace('Z', '000Z');

async function makeLease(api: RealApi, namespace: string, name: string, secondsOld: number): Promise<void> {
  const metadata = { name, labels: { [LABEL]: 'kube-apiserver', 'kubernetes.io/hostname': 'gone' } };
  const spec = { holderIdentity: 'gone_1', leaseDurationSeconds: 3600, renewTime: ago(secondsOld) };
  await api.json('POST', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`, { metadata, spec });
}

const PUBLISH = ['publish', '--hostname-override=master-1', '--renew-interval=4s', '--request-timeout=3s'];
const QUICK_ELECTION = ['--lease-duration=4s', '--renew-deadline=3s', '--retry-period=300ms'];
const HEARTBEAT = ['--renew-interval=2s', '--lease-duration=8s', '--request-timeout=1900ms'];

/** Somebody else writes the lease, again and again: one of these writes has to come before the program's, and its event after. */
const touch =
  (name: string) =>
  async (api: RealApi, namespace: string, over: () => boolean): Promise<void> => {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${name}`;
    const headers = { 'content-type': 'application/merge-patch+json' };
    while (!over()) {
      await api.request('PATCH', path, { metadata: { labels: { touched: `${Date.now()}` } } }, { headers });
    }
  };

/** On a server without the gate WatchList, as Kubernetes 1.33 is by default: there a watch begins with a list. */
const TRIALS: readonly Trial[] = [
  {
    what: 'publish --shutdown-policy=delete',
    args: (namespace) => [...PUBLISH, `--namespace=${namespace}`, '--shutdown-policy=delete', '--log-level=debug'],
    done: /DEBUG renewed|renewed latencyMs/,
    atEnd: ['delete'],
  },
  {
    what: 'publish --sweep',
    args: (namespace) => [
      ...PUBLISH,
      `--namespace=${namespace}`,
      '--sweep',
      '--sweep-confirm-after=0s',
      '--sweep-allow-all',
    ],
    done: /deleted an expired lease/,
    before: (api, namespace) => makeLease(api, namespace, 'expired', 4000),
    // The others are tried above.
    tried: ['leases delete'],
  },
  {
    what: 'sweep --once',
    args: (namespace) => ['sweep', '--once', '--confirm-after=0s', '--allow-all', `--namespace=${namespace}`],
    before: (api, namespace) => makeLease(api, namespace, 'expired', 4000),
  },
  {
    what: 'sweep --once --dry-run',
    args: (namespace) => [
      'sweep',
      '--once',
      '--dry-run',
      '--confirm-after=0s',
      '--allow-all',
      `--namespace=${namespace}`,
    ],
    before: (api, namespace) => makeLease(api, namespace, 'expired', 4000),
  },
  { what: 'count', args: (namespace) => ['count', `--namespace=${namespace}`] },
  {
    what: 'get --watch',
    args: (namespace) => ['get', '--watch', '-o', 'name', `--namespace=${namespace}`],
    done: /expired/,
    before: (api, namespace) => makeLease(api, namespace, 'expired', 4000),
  },
  {
    what: 'serve',
    args: (namespace) => ['serve', '--http-address=127.0.0.1:0', '--log-level=debug', `--namespace=${namespace}`],
    done: /counting instances/,
  },
  {
    what: 'heartbeat --node',
    args: (namespace) => [
      'heartbeat',
      '--node=virtual-1',
      ...HEARTBEAT,
      `--namespace=${namespace}`,
      '--log-level=debug',
    ],
    done: /renewed/,
  },
  {
    what: 'heartbeat --nodes-selector',
    args: (namespace) => ['heartbeat', '--nodes-selector=type=virtual', ...HEARTBEAT, `--namespace=${namespace}`],
    done: /created the lease/,
    tried: [],
  },
  {
    what: 'heartbeat --share',
    args: (namespace) => [
      ...['heartbeat', '--nodes-selector=type=virtual', `--share=${namespace}/ring`],
      ...HEARTBEAT,
      `--namespace=${namespace}`,
    ],
    // A ring begins after one lease duration, 15 s. The Node's lease is made by the member that has the Node's slot.
    done: /created the lease/,
    // Of the ring alone; `shard` tries the others.
    tried: ['leases list', 'leases watch'],
  },
  {
    what: 'nodes',
    args: (namespace) => ['nodes', '--node=virtual-1', '--wait=2s', `--namespace=${namespace}`],
  },
];

/** On a server with WatchList, as Kubernetes 1.32 and 1.34 are by default. */
const ELECTIONS: readonly Trial[] = [
  {
    what: 'elect, leading',
    args: (namespace) => ['elect', `--lease=${namespace}/job`, ...QUICK_ELECTION, '--', 'sleep', '20'],
    // Of its own accord a leader writes and watches. It reads when a write of another comes before the watch has shown it.
    meddle: { verb: 'get', after: /leading/, act: touch('job') },
  },
  {
    what: 'elect, standing by',
    args: (namespace) => ['elect', `--lease=${namespace}/job`, '--log-level=debug', '--', 'true'],
    done: /somebody else leads/,
    before: (api, namespace) => makeLease(api, namespace, 'job', 0),
    tried: ['leases watch'],
  },
];

/** On the same; verbs that the others try are left out. */
const RECIPES: readonly Trial[] = [
  {
    what: 'lock',
    args: (namespace) => ['lock', `--lease=${namespace}/job`, ...QUICK_ELECTION, '--', 'sleep', '20'],
    meddle: { verb: 'get', after: /holding the lease/, act: touch('job') },
  },
  {
    what: 'once',
    args: (namespace) => ['once', `--lease=${namespace}/job`, '--key=v1', ...QUICK_ELECTION, '--', 'true'],
    tried: ['leases get'],
  },
  {
    what: 'shard',
    args: (namespace) => [
      ...['shard', `--ring=${namespace}/ring`, '--slots=2', '--id=one', ...QUICK_ELECTION],
      ...['--', 'sleep', '600'],
    ],
    meddle: { verb: 'get', after: /holding the lease/, act: touch('ring-m-one') },
    // A server with WatchList needs no list; `heartbeat --share` tries it.
    tried: ['leases get', 'leases watch', 'leases create', 'leases update', 'leases delete'],
    done: /the key is ours/,
    // It is deleted four durations later.
    before: async (api, namespace) => {
      const labels = { 'leasekeeper.dev/ring': 'ring', 'leasekeeper.dev/kind': 'member' };
      const spec = { holderIdentity: '', leaseDurationSeconds: 1, renewTime: ago(3600) };
      const lease = { metadata: { name: 'ring-m-gone', labels }, spec };
      await api.json('POST', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`, lease);
    },
  },
  { what: 'members', args: (namespace) => ['members', `${namespace}/ring`] },
  {
    what: 'cron',
    args: (namespace) => ['cron', `--lease=${namespace}/fires`],
    script: ['cron', 'fires'],
    done: /done/,
  },
  {
    what: 'semaphore',
    args: (namespace) => ['semaphore', `--lease=${namespace}/slots`, '--count=2'],
    script: ['semaphore', 'slots'],
    done: /done/,
    tried: ['leases list', 'leases create', 'leases update'],
  },
  {
    what: 'member',
    args: (namespace) => ['member', `--ring=${namespace}/ring`],
    script: ['member', 'ring'],
    done: /done/,
    tried: ['leases watch', 'leases create', 'leases update'],
  },
];
const SCRIPT = fileURLToPath(new URL('fixtures/recipe.ts', import.meta.url));

async function print(args: readonly string[]): Promise<Printed[]> {
  const output = { out: '', err: '' };
  const out = (more: string): void => void (output.out += more);
  const err = (more: string): void => void (output.err += more);
  assert.equal(await main(['rbac', ...args], { env: {}, terminal: false, out, err }), 0, output.err);
  return parseAllDocuments(output.out).map((document) => document.toJS() as Printed);
}

/** The verbs, each as `resource verb`, but for those of Events. */
const verbsOf = (printed: readonly Printed[]): string[] =>
  printed.flatMap(({ rules = [] }) =>
    rules.flatMap(({ resources, verbs }) =>
      resources[0] === 'events' ? [] : verbs.map((verb) => `${resources[0]} ${verb}`),
    ),
  );

/** Creates what was printed, less a verb, as `kubectl apply` would. */
async function grant(api: RealApi, printed: readonly Printed[], without: string): Promise<void> {
  for (const object of printed) {
    const { kind, metadata } = object;
    const where = metadata.namespace === undefined ? '' : `namespaces/${metadata.namespace}/`;
    const rules = object.rules?.map((rule) => ({
      ...rule,
      verbs: rule.verbs.filter((verb) => `${rule.resources[0]} ${verb}` !== without),
    }));
    const left = rules?.filter(({ verbs }) => verbs.length > 0);
    await api.json('POST', `/apis/rbac.authorization.k8s.io/v1/${where}${kind.toLowerCase()}s`, {
      ...object,
      ...(left && { rules: left }),
    });
  }
}

class Attempts {
  readonly #api: RealApi;
  #users: number;
  constructor(api: RealApi, users: number) {
    this.#api = api;
    this.#users = users;
  }

  /** Starts it with what is printed for it, less a verb. */
  async start(trial: Trial, without: string, t: Scope): Promise<{ program: Program; namespace: string }> {
    const user = `user-${--this.#users}`;
    assert.ok(this.#users >= 0, 'more users are needed');
    const namespace = `of-${user}`;
    await this.#api.createNamespace(namespace);
    await trial.before?.(this.#api, namespace);
    const args = trial.args(namespace);
    const [command = '', ...rest] = args;
    await grant(this.#api, await print([command, '--user', user, '--name', user, ...rest]), without);
    const kubeconfig = await this.#api.kubeconfig({ user });
    if (trial.script) {
      const [kind, name] = trial.script;
      const env = { KUBECONFIG: kubeconfig };
      return { program: startProgram([kind, `${namespace}/${name}`], { t, env, script: SCRIPT }), namespace };
    }
    return { program: startProgram([command, `--kubeconfig=${kubeconfig}`, ...rest], { t }), namespace };
  }
}

/** Runs all, a few at once. */
async function atOnce<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const lane = async (): Promise<void> => {
    for (const item of left) await run(item);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
}

async function tryAll(trials: readonly Trial[], api: RealApi, attempts: Attempts, t: Scope): Promise<void> {
  await api.json('POST', '/api/v1/nodes', { metadata: { name: 'virtual-1', labels: { type: 'virtual' } } });
  const cases: (readonly [Trial, string])[] = [];
  for (const trial of trials) {
    const verbs = trial.tried ?? verbsOf(await print(trial.args('anywhere')));
    cases.push([trial, ''], ...verbs.map((verb) => [trial, verb] as const));
  }
  const failures: string[] = [];
  await atOnce(cases, async ([trial, without]) => {
    const { program, namespace } = await attempts.start(trial, without, t);
    try {
      if (without === '') await enough(trial, program);
      else await lacking(trial, without, program, (over) => trial.meddle?.act(api, namespace, over));
    } catch (error) {
      failures.push(`${trial.what}, without ${without || 'nothing'}: ${String(error)}`);
    } finally {
      await program.kill();
    }
  });
  assert.deepEqual(failures, []);
}

async function enough({ done }: Trial, program: Program): Promise<void> {
  if (done) {
    await program.waitForLine(done);
    program.signal('SIGTERM');
  }
  const { code } = await program.exitWithin(60_000);
  assert.equal(code, 0);
  assert.doesNotMatch(program.output(), /forbidden/i);
}

async function lacking(
  { done, atEnd, meddle }: Trial,
  without: string,
  program: Program,
  act: (over: () => boolean) => Promise<void> | undefined,
): Promise<void> {
  const [resource, verb = ''] = without.split(' ');
  const named = new RegExp(`cannot ${verb} resource \\\\?"${resource}\\\\?"`);
  if (done && atEnd?.includes(verb)) {
    await program.waitForLine(done);
    program.signal('SIGTERM');
  }
  if (meddle?.verb === verb) {
    await program.waitForLine(meddle.after);
    let over = false;
    const said = program.waitForLine(named, { from: 'stderr' }).finally(() => (over = true));
    await Promise.all([said, act(() => over)]);
  }
  await program.waitForLine(named, { from: 'stderr' });
  if (!done) return;
  program.signal('SIGTERM');
  await program.exitWithin(60_000);
}

describe('what rbac prints, on a real API server', { skip: realApiSkip(), concurrency: 1 }, () => {
  it('is enough for each command, and each verb is missed by its name', { timeout: 600_000 }, async (t) => {
    const api = await startRealApi({ users, featureGates: { APIServerIdentity: false, WatchList: false } });
    t.after(() => api.stop());
    const attempts = new Attempts(api, USERS);
    await tryAll(TRIALS, api, attempts, t);
    // Nothing depends on Events: it is reported once.
    const { program } = await attempts.start(TRIALS[0]!, 'events create', t);
    await program.waitForLine(/no Events about leases will be made.*cannot create resource \\?"events\\?"/);
    program.signal('SIGTERM');
    assert.equal((await program.exitWithin(60_000)).code, 0, program.output());
    assert.match(program.output(), /deleted the lease/);
  });

  it('is enough to elect, and each verb is missed by its name', { timeout: 600_000 }, async (t) => {
    const api = await startRealApi({ users });
    t.after(() => api.stop());
    await tryAll(ELECTIONS, api, new Attempts(api, USERS), t);
  });

  it('is enough for each recipe, and verbs are missed by their names', { timeout: 600_000 }, async (t) => {
    const api = await startRealApi({ users });
    t.after(() => api.stop());
    await tryAll(RECIPES, api, new Attempts(api, USERS), t);
  });
});
