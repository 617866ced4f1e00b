/**
 * The sidecar of a kubeadm control plane, as far as it goes without kubeadm: the patch merged into a static pod such as
 * kubeadm writes, with the code that kubeadm uses; the kubeconfig made by its script, with which the sidecar's own
 * arguments publish at a real API server under the Role of the overlay.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { kubectlSkip, scratch, terminate } from '../e2e/support.ts';
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

  it('kubeconfig.sh says what it cannot read', async (t) => {
    const { status, stderr, stdout } = spawnSync('sh', [SCRIPT], {
      encoding: 'utf8',
      env: { ...process.env, PKI: await scratch(t) },
    });
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /^kubeconfig\.sh: cannot read .*ca\.crt$/m);
  });

  it(
    'kubeconfig.sh makes a certificate for its user alone, and leaves nothing behind',
    { skip: noOpenssl },
    async (t) => {
      const pki = await scratch(t);
      makeCa(pki);
      const work = await scratch(t);
      const env = { ...process.env, PKI: pki, DAYS: '30', TMPDIR: work };
      const config = parse(execFileSync('sh', [SCRIPT], { encoding: 'utf8', env, stdio: 'pipe' })) as {
        clusters: { cluster: Record<string, string> }[];
        users: { user: Record<string, string> }[];
      };
      assert.equal(config.clusters[0]?.cluster['server'], 'https://127.0.0.1:6443');
      assert.equal(config.clusters[0]?.cluster['tls-server-name'], 'kubernetes');
      const crt = join(pki, 'client.crt');
      await writeFile(crt, Buffer.from(config.users[0]?.user['client-certificate-data'] ?? '', 'base64'));
      const shown = execFileSync('openssl', ['x509', '-in', crt, '-noout', '-text'], { encoding: 'utf8' });
      assert.match(shown, /Subject: CN ?= ?leasekeeper-sidecar$/m);
      assert.match(shown, /TLS Web Client Authentication/);
      assert.match(shown, /CA:FALSE/);
      execFileSync('openssl', ['verify', '-CAfile', join(pki, 'ca.crt'), crt], { stdio: 'pipe' });
      assert.equal(spawnSync('openssl', ['x509', '-in', crt, '-noout', '-checkend', String(31 * 86_400)]).status, 1);
      assert.equal(execFileSync('find', [work, '-type', 'f'], { encoding: 'utf8' }), '');
    },
  );

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
    const env = { ...process.env, PKI: pki, SERVER: api.url };
    const kubeconfig = join(pki, 'leasekeeper.conf');
    await writeFile(kubeconfig, execFileSync('sh', [SCRIPT], { encoding: 'utf8', env, stdio: 'pipe' }));
    assert.doesNotMatch(await readFile(kubeconfig, 'utf8'), /127\.0\.0\.1:6443/);
    const [patch] = documents(SIDECAR_PATCH);
    const args = (patch!['spec'].containers[0].args as string[]).map((arg) =>
      arg
        .replace('/etc/kubernetes/leasekeeper/kubeconfig', kubeconfig)
        .replace('https://127.0.0.1:6443', api.url)
        .replace('=:10270', '=127.0.0.1:0'),
    );
    const program = startProgram([...args, '--hostname-override=control-plane-1', '--renew-interval=1s'], { t });
    await program.waitForLine(/created the lease/);
    await terminate(program);
    assert.doesNotMatch(program.output(), /forbidden|does not answer/i);
    assert.match(program.output(), /the lease stays for the next start/, 'the server beside it still answers');
  });
});
