/**
 * The sidecar of a kubeadm control plane, as far as it goes without kubeadm: the patch merged into a static pod such as
 * kubeadm writes, with the code that kubeadm uses; the kubeconfig and certificate made and renewed by their script, with which the sidecar's own
 * arguments publish at a real API server under the Role of the overlay.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { kubectlSkip, scratch, terminate, until } from '../e2e/support.ts';
import { leaseName } from '../../src/lease/names.ts';
import { startProgram } from '../support/process.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { DEPLOY, SIDECAR_PATCH, documents } from './support.ts';
import type { Container, Manifest } from './support.ts';

const SCRIPT = join(DEPLOY, 'overlays/sidecar/kubeconfig.sh');
const noOpenssl = spawnSync('openssl', ['version']).error !== undefined && 'openssl is not installed';

/** What matters here of the manifest that kubeadm writes. */
const STATIC_POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'kube-apiserver',
    namespace: 'kube-system',
    labels: { component: 'kube-apiserver', tier: 'control-plane' },
  },
  spec: {
    containers: [
      {
        name: 'kube-apiserver',
        image: 'registry.k8s.io/kube-apiserver:v1.36.0',
        command: ['kube-apiserver', '--secure-port=6443'],
        volumeMounts: [{ mountPath: '/etc/kubernetes/pki', name: 'k8s-certs', readOnly: true }],
      },
    ],
    hostNetwork: true,
    priorityClassName: 'system-node-critical',
    volumes: [{ hostPath: { path: '/etc/kubernetes/pki', type: 'DirectoryOrCreate' }, name: 'k8s-certs' }],
  },
};

function makeCa(dir: string): void {
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const files = ['-keyout', join(dir, 'ca.key'), '-out', join(dir, 'ca.crt')];
  execFileSync('openssl', [...args, '-subj', '/CN=kubernetes', ...files], { stdio: 'pipe' });
}

describe('the sidecar', () => {
  it('is added beside kube-apiserver, which stays as it was', { skip: kubectlSkip() }, async (t) => {
    const file = join(await scratch(t), 'kube-apiserver.yaml');
    await writeFile(file, JSON.stringify(STATIC_POD));
    const patch = ['--type', 'strategic', '--patch-file', join(DEPLOY, SIDECAR_PATCH)];
    const merged = parse(
      execFileSync('kubectl', ['patch', '--local', '-f', file, ...patch, '-o', 'yaml'], { encoding: 'utf8' }),
    ) as Manifest;
    const [wanted] = documents(SIDECAR_PATCH);
    const containers = merged['spec'].containers as Container[];
    assert.deepEqual(
      containers.map(({ name }) => name),
      ['kube-apiserver', 'leasekeeper'],
      'in this order: programs look at the first',
    );
    assert.deepEqual(
      containers.find(({ name }) => name === 'kube-apiserver'),
      STATIC_POD.spec.containers[0],
    );
    assert.deepEqual(
      containers.find(({ name }) => name === 'leasekeeper'),
      wanted!['spec'].containers[0],
    );
    const volumes = (merged['spec'].volumes as { name: string }[]).map(({ name }) => name);
    assert.deepEqual(volumes.sort(), ['k8s-certs', 'leasekeeper']);
    // Whatever the sidecar lacks, kube-apiserver starts: its pod waits for no file, and is not unready with the sidecar.
    assert.equal(wanted!['spec'].volumes[0].hostPath.type, 'DirectoryOrCreate');
    assert.equal(wanted!['spec'].containers[0].readinessProbe, undefined);
    assert.equal(merged['spec'].hostNetwork, true);
  });

  /** Of this user: another needs root. */
  const owner = `${process.getuid?.()}:${process.getgid?.()}`;
  const make = (env: Readonly<Record<string, string>>) =>
    spawnSync('sh', [SCRIPT], { encoding: 'utf8', env: { ...process.env, OWNER: owner, ...env } });

  it('kubeconfig.sh says what it cannot read', async (t) => {
    const { status, stderr, stdout } = make({ PKI: await scratch(t), DIRECTORY: await scratch(t) });
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /^kubeconfig\.sh: cannot read .*ca\.crt$/m);
  });

  describe('kubeconfig.sh', { skip: noOpenssl }, () => {
    const expiresAt = (file: string): number => Date.parse(new X509Certificate(readFileSync(file)).validTo);

    it('makes a certificate for its user alone, and leaves nothing else behind', async (t) => {
      const pki = await scratch(t);
      makeCa(pki);
      const dir = join(await scratch(t), 'leasekeeper');
      const { status, stdout, stderr } = make({ PKI: pki, DIRECTORY: dir });
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, /leasekeeper\/kubeconfig: the certificate of leasekeeper-sidecar holds until \w+ .* GMT\n$/);
      const files = ['client.pem', 'kubeconfig', 'serving.pem', 'token'];
      assert.deepEqual(readdirSync(dir).sort(), files);
      for (const name of files) assert.equal(statSync(join(dir, name)).mode & 0o777, 0o400);
      const config = parse(await readFile(join(dir, 'kubeconfig'), 'utf8')) as {
        clusters: { cluster: Record<string, string> }[];
        users: { user: Record<string, string> }[];
      };
      assert.equal(config.clusters[0]?.cluster['server'], 'https://127.0.0.1:6443');
      assert.equal(config.clusters[0]?.cluster['tls-server-name'], 'kubernetes');
      assert.deepEqual(config.users[0]?.user, { 'client-certificate': 'client.pem', 'client-key': 'client.pem' });
      const pem = join(dir, 'client.pem');
      const shown = execFileSync('openssl', ['x509', '-in', pem, '-noout', '-text'], { encoding: 'utf8' });
      assert.match(shown, /Subject: CN ?= ?leasekeeper-sidecar$/m);
      assert.match(shown, /TLS Web Client Authentication/);
      assert.match(shown, /CA:FALSE/);
      const serving = new X509Certificate(await readFile(join(dir, 'serving.pem')));
      assert.deepEqual([serving.checkHost('leasekeeper'), serving.ca], ['leasekeeper', false]);
      for (const file of [pem, join(dir, 'serving.pem')])
        execFileSync('openssl', ['verify', '-CAfile', join(pki, 'ca.crt'), file], { stdio: 'pipe' });
      assert.equal((await readdir(pki)).join(), 'ca.crt,ca.key');
    });

    it('renews what expires soon, or is of another CA, and leaves any other as it is', async (t) => {
      const pki = await scratch(t);
      makeCa(pki);
      const dir = await scratch(t);
      const pem = join(dir, 'client.pem');
      const run = (env: Readonly<Record<string, string>> = {}): string => {
        const { status, stderr } = make({ PKI: pki, DIRECTORY: dir, ...env });
        assert.deepEqual([status, stderr], [0, '']);
        return readFileSync(pem, 'utf8');
      };
      const token = (): string => readFileSync(join(dir, 'token'), 'utf8');
      const first = run();
      const own = token();
      assert.match(own, /^[0-9a-f]{64}\n$/);
      assert.equal(run(), first);
      assert.equal(token(), own);
      run({ TOKEN: 'of-all-nodes' });
      assert.equal(token(), 'of-all-nodes\n');
      const renewed = run({ RENEW_DAYS: '366' });
      assert.notEqual(renewed, first);
      // Where the key of the CA is not kept, what holds still holds.
      await rename(join(pki, 'ca.key'), join(pki, 'elsewhere'));
      assert.equal(run(), renewed);
      makeCa(pki);
      const other = run();
      assert.notEqual(other, renewed);
      new X509Certificate(other);
      createPrivateKey(other);
    });

    it('nodes set up on one day do not fail on one day', async (t) => {
      const pki = await scratch(t);
      makeCa(pki);
      const days = new Set<number>();
      for (let node = 0; node < 12; node++) {
        const dir = await scratch(t);
        assert.equal(make({ PKI: pki, DIRECTORY: dir }).status, 0);
        const left = Math.round((expiresAt(join(dir, 'client.pem')) - Date.now()) / 86_400_000);
        assert.ok(left >= 305 && left <= 365, String(left));
        days.add(left);
      }
      // One in 61 for each of them: twelve on one day are as good as impossible.
      assert.ok(days.size > 1, [...days].join());
    });
  });

  it('publishes with that kubeconfig, its arguments and its Role', { skip: noOpenssl || realApiSkip() }, async (t) => {
    const pki = await mkdtemp(join(tmpdir(), 'leasekeeper-pki-'));
    t.after(() => rm(pki, { recursive: true, force: true }));
    makeCa(pki);
    // A server's certificate with the names that kubeadm gives it, 127.0.0.1 not among them.
    const server = ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', join(pki, 'apiserver.key')];
    execFileSync('openssl', server, { stdio: 'pipe' });
    await writeFile(join(pki, 'ext'), 'subjectAltName = DNS:kubernetes, DNS:kubernetes.default, IP:10.96.0.1\n');
    const csr = join(pki, 'apiserver.csr');
    const of = ['-subj', '/CN=kube-apiserver', '-out', csr];
    execFileSync('openssl', ['req', '-new', '-key', join(pki, 'apiserver.key'), ...of], { stdio: 'pipe' });
    const by = ['-CA', join(pki, 'ca.crt'), '-CAkey', join(pki, 'ca.key'), '-set_serial', '2', '-days', '2'];
    const crt = join(pki, 'apiserver.crt');
    const sign = ['x509', '-req', '-in', csr, ...by, '-extfile', join(pki, 'ext'), '-out', crt];
    execFileSync('openssl', sign, { stdio: 'pipe' });
    // kubeadm's server trusts clients of the same CA.
    const api = await startRealApi({
      apiServerArgs: [
        `--client-ca-file=${join(pki, 'ca.crt')}`,
        `--tls-sni-cert-key=${crt},${join(pki, 'apiserver.key')}:kubernetes`,
      ],
    });
    t.after(() => api.stop());
    for (const object of documents('overlays/sidecar/rbac.yaml')) {
      const path = `/apis/${object.apiVersion}/namespaces/kube-system/${object.kind.toLowerCase()}s`;
      await api.json('POST', path, object);
    }
    const dir = await scratch(t);
    const kubeconfig = join(dir, 'kubeconfig');
    const env = { PKI: pki, SERVER: api.url, DIRECTORY: dir };
    assert.equal(make(env).status, 0);
    assert.doesNotMatch(await readFile(kubeconfig, 'utf8'), /127\.0\.0\.1:6443/);
    const [patch] = documents(SIDECAR_PATCH);
    const args = (patch!['spec'].containers[0].args as string[]).map((arg) =>
      arg
        .replace('/etc/kubernetes/leasekeeper', dir)
        .replace('https://127.0.0.1:6443', api.url)
        .replace('=:10270', '=127.0.0.1:0'),
    );
    const program = startProgram([...args, '--hostname-override=control-plane-1', '--renew-interval=1s'], { t });
    await program.waitForLine(/created the lease/, { timeoutMs: 30_000 });
    const [, url = ''] = /(https:\/\/127\.0\.0\.1:\d+)/.exec(program.output().replaceAll(api.url, '')) ?? [];
    const curl = (path: string, token?: string): Promise<[number, string]> =>
      new Promise((resolve, reject) => {
        const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
        const ca = readFileSync(join(pki, 'ca.crt'));
        get(new URL(path, url), { ca, servername: 'leasekeeper', headers: authorization }, (answer) => {
          let body = '';
          answer.setEncoding('utf8').on('data', (part: string) => (body += part));
          answer.on('end', () => resolve([answer.statusCode ?? 0, body]));
        }).on('error', reject);
      });
    assert.deepEqual(await curl('/livez'), [200, 'ok']);
    assert.equal((await curl('/metrics'))[0], 401);
    const given = (await readFile(join(dir, 'token'), 'utf8')).trim();
    assert.match((await curl('/metrics', given))[1], /^leasekeeper_lease_held\{.*\} 1$/m);
    // Renewed while it runs: the same command, and nothing else.
    const first = await readFile(join(dir, 'client.pem'), 'utf8');
    assert.equal(make({ ...env, RENEW_DAYS: '366' }).status, 0);
    assert.notEqual(await readFile(join(dir, 'client.pem'), 'utf8'), first);
    const lease = `/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/${leaseName('control-plane-1')}`;
    const { resourceVersion } = ((await api.json('GET', lease)) as Manifest).metadata as { resourceVersion?: string };
    await until(
      'a renewal',
      async () =>
        ((await api.json('GET', lease)) as { metadata: { resourceVersion: string } }).metadata.resourceVersion !==
        resourceVersion,
      30_000,
    );
    await terminate(program);
    assert.doesNotMatch(program.output(), /forbidden|does not answer/i);
    assert.match(program.output(), /the lease stays for the next start/, 'the server beside it still answers');
  });
});
