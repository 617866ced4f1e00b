/** `leasekeeper get`, `count`, `version`, help, and what bad input gets. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { leaseName } from '../../src/lease/names.ts';
import { startTcpProxy } from '../support/fault-proxy.ts';
import { CLI, runProgram } from '../support/process.ts';
import type { Seen } from './support.ts';
import { LABEL, LEASES, embedded, scratch } from './support.ts';

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
const run = (args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> =>
  runProgram(args, { env, timeoutMs: 40_000 });

/** Leases as several hosts left them. */
async function seed(at: Seen): Promise<void> {
  const make = async (host: string, secondsAgo: number, change: object = {}, name = leaseName(host)): Promise<void> => {
    const renewTime = new Date(Date.now() - secondsAgo * 1000).toISOString().replace('Z', '000Z');
    const labels = { [LABEL]: 'kube-apiserver', 'kubernetes.io/hostname': host };
    const spec = { holderIdentity: `${name}_1`, leaseDurationSeconds: 3600, renewTime, ...change };
    const { status } = await at.call('POST', LEASES, { metadata: { name, labels }, spec });
    assert.equal(status, 201);
  };
  await make('live', 0);
  await make('live', 2, {}, 'apiserver-x');
  await make('stale', 1_800);
  await make('expired', 7_200);
  await make('released', 0, { holderIdentity: '' });
}

describe('looking at the leases', { concurrency: 3 }, () => {
  let kubeconfig: string[];
  const hooks: (() => Promise<void>)[] = [];
  before(async () => {
    const world = await embedded({ after: (hook) => void hooks.push(hook) });
    kubeconfig = ['--kubeconfig', world.kubeconfig];
    await seed(world.at);
  });
  after(async () => {
    for (const hook of hooks) await hook();
  });

  it('get prints a table, one row a lease, as kubectl does', async () => {
    const { code, stdout, stderr } = await run(['get', ...kubeconfig, '--fresh-for=10m']);
    assert.deepEqual([code, stderr], [0, '']);
    const [header, ...rows] = stdout.trimEnd().split('\n');
    assert.match(header!, /^NAME +HOSTNAME +STATE +HOLDER +RENEWED +AGE$/);
    const cells = rows.map((row) => row.split(/ {2,}/).slice(1, 3).join(' '));
    const expected = ['expired Expired', 'live Live', 'live Live', 'released Released', 'stale Stale'];
    assert.deepEqual(cells.sort(), expected);
    assert.ok(!stdout.includes('\u001b'), 'no colours where there is no terminal');
  });

  it('get -o wide, json, yaml and name', async () => {
    const of = async (form: string): Promise<string> =>
      (await run(['get', ...kubeconfig, '--fresh-for=10m', '-o', form])).stdout;
    const [wide, json, yaml, name] = await Promise.all(['wide', 'json', 'yaml', 'name'].map(of));
    assert.match(wide!, /^NAME .* DURATION +TRANSITIONS +ACQUIRED +LABELS +PAYLOAD +PEER +UID\n/);
    interface Document {
      readonly counts: object;
      readonly items: { readonly metadata: { readonly name: string }; readonly status: { readonly state: string } }[];
    }
    for (const document of [JSON.parse(json!), parse(yaml!)] as Document[]) {
      assert.deepEqual(document.counts, { instances: 2, live: 1, stale: 1, expired: 1, released: 1 });
      const state = document.items.find((item) => item.metadata.name === leaseName('stale'))?.status.state;
      assert.deepEqual([document.items.length, state], [5, 'stale']);
    }
    const names = name!.trimEnd().split('\n');
    assert.equal(names.length, 5);
    for (const line of names) assert.match(line, /^lease\.coordination\.k8s\.io\/(kube-)?apiserver-/);
  });

  it('count prints one number; --expect compares what is printed', async () => {
    const cases: [string[], Outcome][] = [
      [[], { code: 0, stdout: '2\n', stderr: '' }],
      [['--live', '--fresh-for=10m'], { code: 0, stdout: '1\n', stderr: '' }],
      [['--live', '--fresh-for=10m', '--expect=1'], { code: 0, stdout: '1\n', stderr: '' }],
      [['--live', '--fresh-for=40m', '--expect', '2'], { code: 0, stdout: '2\n', stderr: '' }],
      [['--expect=3'], { code: 3, stdout: '2\n', stderr: 'leasekeeper: expected 3 instances, there are 2\n' }],
    ];
    for (const [args, expected] of cases) {
      const { code, stdout, stderr } = await run(['count', ...kubeconfig, ...args]);
      assert.deepEqual({ code, stdout, stderr }, expected);
    }
  });

  it('nothing there is no error; a line says what was looked for', async () => {
    const args = [...kubeconfig, '-n', 'default'];
    const [get, count] = await Promise.all([run(['get', ...args]), run(['count', ...args])]);
    const what = 'with label apiserver.kubernetes.io/identity=kube-apiserver in namespace default\n';
    assert.deepEqual([get.code, get.stdout, get.stderr], [0, '', `No resources found ${what}`]);
    assert.deepEqual([count.code, count.stdout, count.stderr], [0, '0\n', `leasekeeper: no lease found ${what}`]);
  });

  it('by name, by selector, of every namespace, without headers', async (t) => {
    const { at, kubeconfig: other } = await embedded(t);
    for (const name of ['one', 'two']) {
      const metadata = { name, labels: { app: name } };
      await at.call('POST', LEASES, { metadata, spec: { holderIdentity: 'x', leaseDurationSeconds: 15 } });
    }
    const get = (...args: string[]): ReturnType<typeof run> => run(['get', '--kubeconfig', other, ...args]);
    const [named, json, missing, selected, all, both] = await Promise.all([
      get('one', '-o', 'name'),
      get('one', '-o', 'json'),
      get('one', 'three', '-o', 'name'),
      get('-l', 'app=two', '--no-headers'),
      get('-A', '-l', '', '-o', 'name'),
      get('one', '-l', 'app=one'),
    ]);
    const line = (name: string): string => `lease.coordination.k8s.io/${name}\n`;
    assert.deepEqual([named.code, named.stdout], [0, line('one')]);
    assert.equal((JSON.parse(json.stdout) as { metadata: { name: string } }).metadata.name, 'one');
    assert.deepEqual([missing.code, missing.stdout], [1, line('one')]);
    assert.match(missing.stderr, /no such lease in namespace kube-system: three/);
    assert.match(selected.stdout, /^two +<none> /);
    assert.equal(all.stdout, line('one') + line('two'));
    assert.equal(both.code, 2);
  });

  it('count tells shards, which nobody renews, from a server without a clock', async (t) => {
    const { at, kubeconfig: other } = await embedded(t);
    const labels = { [LABEL]: 'kube-apiserver', 'leasekeeper.dev/kind': 'shard' };
    await at.call('POST', LEASES, { metadata: { name: 'shard', labels }, spec: { holderIdentity: 'x' } });
    const { code, stdout, stderr } = await run(['count', '--kubeconfig', other]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^leasekeeper: the leases of shards are among them, which nobody renews/);
  });

  it('a renewTime in the future is not live, and a warning; --observe judges by change', async (t) => {
    const { at, kubeconfig: other } = await embedded(t);
    const labels = { [LABEL]: 'kube-apiserver', 'kubernetes.io/hostname': 'dead' };
    const renewTime = new Date(Date.now() + 7_200_000).toISOString().replace('Z', '000Z');
    await at.call('POST', LEASES, {
      metadata: { name: 'dead', labels },
      spec: { holderIdentity: 'x', leaseDurationSeconds: 30, renewTime },
    });
    const count = (...args: string[]): ReturnType<typeof run> => run(['count', '--kubeconfig', other, ...args]);
    const [live, observed, bare] = await Promise.all([
      count('--live', '--fresh-for=3s', '--expect=1'),
      count('--live', '--observe=1s'),
      count('--observe', '--live', '--fresh-for=nonsense'),
    ]);
    assert.deepEqual([live.code, live.stdout], [3, '0\n']);
    assert.match(
      live.stderr,
      /warning: lease kube-system\/dead: its renewTime is 1[12]\dm ahead of the API server's clock/,
    );
    assert.deepEqual([observed.code, observed.stdout], [0, '0\n']);
    assert.doesNotMatch(bare.stderr, /--observe/, 'a value may be left out');
  });

  it('a reader that goes away is no error', async (t) => {
    const { at, kubeconfig: other } = await embedded(t);
    for (let i = 0; i < 1_500; i++) {
      const labels = { [LABEL]: 'kube-apiserver', 'kubernetes.io/hostname': `h${i}` };
      await at.call('POST', LEASES, { metadata: { name: `l${i}`, labels }, spec: { holderIdentity: 'x' } });
    }
    const child = spawn(process.execPath, [CLI, 'get', '--kubeconfig', other, '-o', 'json'], { stdio: 'pipe' });
    let stderr = '';
    child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.deepEqual([code, stderr], [0, '']);
  });
});

describe('an API that cannot be asked', { concurrency: 3 }, () => {
  for (const command of ['get', 'count', 'count --expect=0', 'get -o json']) {
    it(`${command}: exit 1, one line on stderr, nothing on stdout`, async (t) => {
      const { server, kubeconfig } = await embedded(t);
      await server.close();
      const { code, stdout, stderr } = await run([...command.split(' '), '--kubeconfig', kubeconfig]);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(
        stderr,
        /^leasekeeper: list leases of kube-system: no connection to http:[^\n]*ECONNREFUSED[^\n]*\n$/,
      );
    });
  }

  it('one that never answers: ends after --request-timeout', async (t) => {
    const { server, kubeconfig } = await embedded(t);
    const proxy = await startTcpProxy(server.url);
    t.after(() => proxy.close());
    server.faults.add({ fault: { type: 'hang' } });
    const { code, stdout, stderr } = await run(['count', '--kubeconfig', kubeconfig, '--request-timeout=300ms']);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      /^leasekeeper: list leases of kube-system: no answer within 300 ms: the network or the server is slow\n$/,
    );
  });

  it('one that refuses: the server’s words, and what to do', async (t) => {
    const tokens = { secret: { user: 'jane', allow: () => false } };
    const { kubeconfig } = await embedded(t, { tokens });
    const { code, stdout, stderr } = await run(['count', '--kubeconfig', kubeconfig]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      /^leasekeeper: [^\n]*403 Forbidden[^\n]*"jane" cannot list resource "leases"[^\n]*RoleBinding[^\n]*\n$/,
    );
    assert.ok(!stderr.includes('secret'));
  });
});

describe('usage', { concurrency: 3 }, () => {
  const refused: [string, RegExp][] = [
    ['count --liev', /^leasekeeper: unknown option '--liev'\n\(Did you mean --live\?\)\n$/],
    ['cuont', /^leasekeeper: unknown command 'cuont'\n\(Did you mean count\?\)\n$/],
    ['count three', /^leasekeeper: too many arguments for 'count'[^\n]*\n$/],
    ['get -o xml', /^leasekeeper: --output "xml": must be one of wide, json, yaml, name\n$/],
    ['get --namespace Kube_System', /^leasekeeper: --namespace "Kube_System": must be [^\n]*\n$/],
    ['get --kubeconfig', /^leasekeeper: option '--kubeconfig <FILE>' argument missing\n$/],
    ['get --kubeconfig /nonexistent', /^leasekeeper: kubeconfig \/nonexistent: no such file[^\n]*\n$/],
    ['publish --renew-interval=1h', /^leasekeeper: --renew-interval "1h": [^\n]*shorter than the lease duration\n$/],
    ['dev --port=70000', /^leasekeeper: --port "70000": must be a whole number from 0 to 65535\n$/],
  ];
  for (const [args, expected] of refused) {
    it(`${args}: exit 2`, async () => {
      const { code, stdout, stderr } = await run(args.split(' '));
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, expected);
    });
  }

  it('all bad values are reported at once, each with its rule', async () => {
    const { code, stdout, stderr } = await run([
      'publish',
      ...['--hostname-override=', '--lease-duration=10', '--renew-interval=soon', '--shutdown-policy=never'],
      ...['--server-health-url=ftp://x', '--log-level=loud', '--server-health-threshold=0'],
    ]);
    assert.deepEqual([code, stdout], [2, '']);
    const lines = stderr.trimEnd().split('\n');
    const options = lines.map((line) => /^leasekeeper: (--[a-z-]+) "?[^"]*"?: must [a-z0-9]/.exec(line)?.[1]);
    const all = ['--hostname-override', '--lease-duration', '--log-level', '--renew-interval'];
    all.push('--server-health-threshold', '--server-health-url', '--shutdown-policy');
    assert.deepEqual(options.sort(), all, stderr);
  });

  it('version, and help that names every command and option', async () => {
    const short = await run(['-V']);
    assert.deepEqual([short.code, short.stdout], [0, `${packageJson.version}\n`]);
    const long = await run(['version']);
    assert.match(
      long.stdout,
      new RegExp(`^leasekeeper ${packageJson.version} \\(Node\\.js \\d+\\.\\d+\\.\\d+, \\w+ \\w+\\)\\n$`),
    );
    const [help, none, publish] = await Promise.all([run(['--help']), run([]), run(['publish', '--help'])]);
    assert.deepEqual([help.code, none.code, publish.code, help.stderr], [0, 0, 0, '']);
    assert.equal(none.stdout.trimEnd(), help.stdout.trimEnd());
    for (const command of ['publish', 'get', 'count', 'dev', 'demo', 'version'])
      assert.match(help.stdout, new RegExp(`^  ${command} `, 'm'));
    const flags = ['--kubeconfig', '--namespace', '--hostname-override', '--lease-duration', '--renew-interval'];
    flags.push('--shutdown-policy', '--server-health-url', '--log-level', '--log-format');
    for (const flag of flags) assert.ok(publish.stdout.includes(`${flag} <`), flag);
    for (const line of help.stdout.split('\n')) assert.ok(line.length <= 160, line);
  });

  it('the log as JSON: one object a line, with time and level', async (t) => {
    const dir = await scratch(t);
    const { kubeconfig } = await embedded(t);
    const { startProgram } = await import('../support/process.ts');
    const program = startProgram(
      ['publish', '--kubeconfig', kubeconfig, '--hostname-override=master-1', '--log-format=json'],
      { t, cwd: dir },
    );
    await program.waitForLine(/created the lease/);
    program.signal('SIGINT');
    assert.equal((await program.exitWithin(120_000)).code, 0);
    const lines = program.stderr.map((line) => JSON.parse(line) as Record<string, string>);
    for (const { time, level, msg } of lines) {
      assert.match(`${time} ${level}`, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warn)$/);
      assert.ok(msg);
    }
    assert.equal(lines.find(({ msg }) => msg === 'created the lease')?.['lease'], leaseName('master-1'));
  });
});
