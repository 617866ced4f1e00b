/** `leasekeeper rbac`: what the options of a command change in its permissions, and what is refused. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { COMMANDS } from '../../src/commands/commands.ts';
import { main } from '../../src/commands/main.ts';
import { leaseName } from '../../src/lease/names.ts';

interface Printed {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly { resources: string[]; resourceNames?: string[]; verbs: string[] }[];
  readonly subjects?: readonly object[];
  readonly roleRef?: object;
}

async function run(line: string, env: Record<string, string> = {}) {
  const output = { out: '', err: '' };
  const out = (text: string): void => void (output.out += text);
  const err = (text: string): void => void (output.err += text);
  const words = line === '' ? [] : line.split(' ');
  const code = await main(['rbac', ...words], { env, terminal: false, out, err });
  return { code, ...output };
}

async function printed(line: string, env: Record<string, string> = {}): Promise<Printed[]> {
  const { code, out, err } = await run(line, env);
  assert.deepEqual([code, err], [0, ''], line);
  return parseAllDocuments(out).map((document) => document.toJS() as Printed);
}

/** Each rule in a line: `leases kube-system [name] get,list`. */
async function rules(line: string, env?: Record<string, string>): Promise<string[]> {
  return (await printed(line, env)).flatMap(({ metadata, rules: all = [] }) =>
    all.map(({ resources, resourceNames, verbs }) => {
      const names = resourceNames ? ` [${resourceNames.join()}]` : '';
      return `${resources.join()} ${metadata.namespace ?? '(cluster)'}${names} ${verbs.join()}`;
    }),
  );
}

const NAME = leaseName('master-1');
const EVENTS = 'events kube-system create';

test('what options change', async () => {
  const cases: readonly (readonly [line: string, ...rules: string[]])[] = [
    // Beside a server that takes part in peer proxying the lease is given up.
    ['publish', 'leases kube-system get,list,watch,create,update,delete', EVENTS],
    ['publish --beside-server publish', 'leases kube-system get,list,watch,create,update', EVENTS],
    ['publish --lease-name-format apiserver', 'leases kube-system get,list,watch,create,update', EVENTS],
    [
      'publish --beside-server publish --feature-gates LeaseEvents=false',
      'leases kube-system get,list,watch,create,update',
    ],
    [
      'publish --beside-server publish --shutdown-policy keep',
      'leases kube-system get,list,watch,create,update',
      EVENTS,
    ],
    [
      'publish --beside-server publish --shutdown-policy delete',
      'leases kube-system get,list,watch,create,update,delete',
      EVENTS,
    ],
    // The policy `auto` deletes when the server beside it is gone.
    [
      'publish --beside-server publish --server-health-url http://localhost:1',
      'leases kube-system get,list,watch,create,update,delete',
      EVENTS,
    ],
    ['publish --beside-server publish --sweep', 'leases kube-system get,list,watch,create,update,delete', EVENTS],
    [
      'publish --beside-server publish --sweep --sweep-dry-run',
      'leases kube-system get,list,watch,create,update',
      EVENTS,
    ],
    [
      'publish --beside-server publish --hostname-override master-1',
      'leases kube-system list,watch,create',
      `leases kube-system [${NAME}] get,update`,
      EVENTS,
    ],
    [
      'publish --beside-server publish --hostname-override master-1 --shutdown-policy delete',
      'leases kube-system list,watch,create',
      `leases kube-system [${NAME}] get,update,delete`,
      EVENTS,
    ],
    [
      'publish --beside-server publish --hostname-override master-1 --shutdown-policy delete --sweep',
      'leases kube-system list,watch,create,delete',
      `leases kube-system [${NAME}] get,update`,
      EVENTS,
    ],
    ['publish --beside-server publish -n mine', 'leases mine get,list,watch,create,update', 'events mine create'],
    ['sweep', 'leases kube-system list,delete'],
    ['sweep --dry-run --once', 'leases kube-system list'],
    [
      'sweep --owner-gone',
      'leases kube-system list,delete',
      'leases kube-node-lease list,delete',
      'nodes (cluster) list,watch',
    ],
    ['release', 'leases kube-system list,delete'],
    ['get', 'leases kube-system list'],
    ['get --watch', 'leases kube-system list,watch'],
    ['count -n mine', 'leases mine list'],
    ['serve', 'leases kube-system list,watch'],
    ['elect --lease a/b', 'leases a create', 'leases a [b] get,watch,update', 'events a create'],
    [
      'elect --lease a/b -- leasekeeper sweep --user me --name x',
      'leases a create',
      'leases a [b] get,watch,update',
      'events a create',
    ],
    ['heartbeat --nodes-selector a=b', 'leases kube-node-lease get,create,update', 'nodes (cluster) list,watch'],
    [
      'heartbeat --node a',
      'leases kube-node-lease create',
      'leases kube-node-lease [a] get,update',
      'nodes (cluster) [a] list,watch',
    ],
    // Several are watched among all.
    [
      'heartbeat --node a --node b',
      'leases kube-node-lease create',
      'leases kube-node-lease [a,b] get,update',
      'nodes (cluster) list,watch',
    ],
    ['nodes', 'leases kube-node-lease list,watch', 'nodes (cluster) list,watch'],
  ];
  for (const [line, ...expected] of cases) assert.deepEqual(await rules(line), expected, line);
});

test('options count from whichever source they come', async (t) => {
  assert.deepEqual(await rules('sweep', { LEASEKEEPER_NAMESPACE: 'mine' }), ['leases mine list,delete']);
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-rbac-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'config.yaml');
  await writeFile(file, 'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\nsweepDryRun: true\n');
  assert.deepEqual(await rules(`sweep --config ${file}`), ['leases kube-system list']);
  // Who reads a file may be asked by it to give its lease up.
  const [leases] = await rules(`publish --config ${file}`);
  assert.equal(leases, 'leases kube-system get,list,watch,create,update,delete');
});

test('to whom, and under which name', async () => {
  const [role, binding] = await printed('sweep');
  assert.deepEqual([role?.kind, role?.metadata.name, binding?.kind], ['Role', 'leasekeeper-sweep', 'RoleBinding']);
  assert.deepEqual(binding?.subjects, [
    { kind: 'ServiceAccount', namespace: 'leasekeeper', name: 'leasekeeper-sweep' },
  ]);
  assert.deepEqual(binding?.roleRef, {
    apiGroup: 'rbac.authorization.k8s.io',
    kind: 'Role',
    name: 'leasekeeper-sweep',
  });
  const mine = await printed('heartbeat --node a --name mine --user me --service-account x/y --service-account x/z');
  assert.deepEqual(
    mine.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
    ['Role mine', 'RoleBinding mine', 'ClusterRole mine', 'ClusterRoleBinding mine'],
  );
  for (const bound of [mine[1], mine[3]]) {
    assert.deepEqual(bound?.subjects, [
      { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'me' },
      { kind: 'ServiceAccount', namespace: 'x', name: 'y' },
      { kind: 'ServiceAccount', namespace: 'x', name: 'z' },
    ]);
  }
});

test('without a command: of every service', async () => {
  const names = new Set((await printed('--user me')).map(({ metadata }) => metadata.name));
  assert.deepEqual(
    [...names],
    ['publish', 'sweep', 'serve', 'heartbeat'].map((name) => `leasekeeper-${name}`),
  );
});

test('a name stays text, whatever it looks like', async () => {
  const [, binding] = await printed('sweep --user on --user 1e3');
  assert.deepEqual(
    binding?.subjects?.map((subject) => (subject as { name: unknown }).name),
    ['on', '1e3'],
  );
});

test('what is wrong is reported at once, as the command itself would', async () => {
  const cases: readonly (readonly [string, ...RegExp[]])[] = [
    ['publsh', /^leasekeeper: COMMAND "publsh": must be one of publish, .*; did you mean publish\?$/m],
    ['sweep --service-account x', /--service-account "x": must be NAMESPACE\/NAME/],
    ['sweep --name A --grace -1s', /--name "A": /, /--grace "-1s": must be a duration/],
    ['publish --renew-interval 5s --request-timeout 6s', /--request-timeout "6s"/],
    ['heartbeat', /--node: is needed/],
    ['elect', /--lease: is required/],
    ['count -n A', /--namespace "A"/],
    ['--name x', /--name "x": is the name of one command/],
    ['sweep --sweeep', /unknown option '--sweeep'/],
  ];
  for (const [line, ...expected] of cases) {
    const { code, out, err } = await run(line);
    assert.deepEqual([code, out], [2, ''], line);
    for (const pattern of expected) assert.match(err, pattern, line);
  }
});

test('every command that talks to an API states its permissions', async () => {
  const talking = COMMANDS.filter(({ name, options }) => 'kubeconfig' in options && name !== 'config');
  for (const { name, load } of talking) assert.ok((await load()).grants, name);
  const below = COMMANDS.find(({ name }) => name === 'rbac')?.commands ?? [];
  for (const { name, options } of below) {
    const flags = Object.values(options).flatMap(({ flag, short }) => (short === undefined ? [flag] : [flag, short]));
    assert.deepEqual(flags, [...new Set(flags)], `${name}: a flag twice`);
  }
  assert.deepEqual(
    below.map(({ name }) => name),
    [...talking.map(({ name }) => name), 'cron', 'semaphore', 'member'],
  );
});
