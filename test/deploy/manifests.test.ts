/**
 * The manifests of deploy/ are what they say: they build, name what exists, and start leasekeeper as it can be started.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { main } from '../../src/commands/main.ts';
import { version } from '../../src/version.ts';
import { kubectlSkip } from '../e2e/support.ts';
import { schemaProblems } from './schema.ts';
import {
  DEPLOY,
  RBAC_FILES,
  SIDECAR_PATCH,
  allObjects,
  documents,
  files,
  kustomization,
  kustomizations,
  objects,
  text,
  workloads,
} from './support.ts';
import type { Manifest } from './support.ts';

const idOf = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;

async function runHere(args: readonly string[], env: Record<string, string> = {}) {
  const output = { out: '', err: '' };
  const io = {
    env,
    terminal: false,
    out: (more: string) => void (output.out += more),
    err: (more: string) => void (output.err += more),
  };
  return { code: await main(args, io), ...output };
}

/** What kubelet puts in place of the downward API's fields. */
const FIELDS: Readonly<Record<string, string>> = {
  'spec.nodeName': 'control-plane-1',
  'metadata.name': 'web-1',
  'status.hostIP': '10.0.0.1',
};

describe('the manifests of deploy/', () => {
  it('are objects with a name, once each, with fields and types that Kubernetes knows', () => {
    const problems: string[] = [];
    for (const file of files().filter((name) => name.endsWith('.yaml') && !name.endsWith('kustomization.yaml'))) {
      for (const object of documents(file)) {
        assert.ok(object.apiVersion && object.kind && object.metadata.name, file);
        problems.push(...schemaProblems(object).map((problem) => `${file}: ${problem}`));
      }
    }
    assert.deepEqual(problems, []);
    for (const directory of kustomizations()) {
      const ids = objects(directory).map(idOf);
      assert.deepEqual(ids, [...new Set(ids)], directory);
    }
  });

  it('would be found wrong: the check of fields can fail', () => {
    const [deployment] = documents('overlays/sweeper/deployment.yaml');
    const wrong = structuredClone(deployment) as Manifest;
    wrong['spec'].replicas = '2';
    wrong['spec'].template.spec.containers[0].imagePullPolice = 'Always';
    assert.deepEqual(schemaProblems(wrong), [
      'Deployment leasekeeper-sweep.spec.replicas: "2" is no number',
      'Deployment leasekeeper-sweep.spec.template.spec.containers[0]: unknown field imagePullPolice',
    ]);
    const [monitor] = documents('overlays/monitoring/monitors.yaml');
    assert.deepEqual(schemaProblems({ ...monitor!, spec: { ...monitor!['spec'], endpoint: [] } }), [
      'ServiceMonitor leasekeeper.spec: unknown field endpoint',
    ]);
  });

  it('are all part of a kustomization, whose files exist', () => {
    const used = new Set<string>();
    for (const directory of kustomizations()) {
      const { resources, configMapGenerator = [] } = kustomization(directory);
      const sources = configMapGenerator.flatMap((generator) => generator.files.map((file) => file.split('=').at(-1)!));
      for (const name of [...resources, ...sources]) {
        const file = join(directory, name);
        assert.ok(existsSync(join(DEPLOY, file)), file);
        used.add(file);
      }
    }
    const others = files().filter((file) => !used.has(file) && !file.endsWith('kustomization.yaml'));
    assert.deepEqual(others, ['Containerfile', 'leasekeeper.service', 'overlays/sidecar/kubeconfig.sh', SIDECAR_PATCH]);
  });

  it('kubectl kustomize builds each of them, with the same objects', { skip: kubectlSkip() }, () => {
    for (const directory of kustomizations()) {
      const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', join(DEPLOY, directory)], {
        encoding: 'utf8',
      });
      assert.deepEqual([status, stderr], [0, ''], directory);
      const built = parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
      const generated = kustomization(directory).configMapGenerator
        ? ['ConfigMap monitoring/leasekeeper-dashboard']
        : [];
      assert.deepEqual(built.map(idOf).sort(), [...objects(directory).map(idOf), ...generated].sort(), directory);
      for (const object of built) {
        const images = [...JSON.stringify(object).matchAll(/"image":"([^"]*)"/g)].map(([, image]) => image);
        if (images.length > 0)
          assert.ok(images.includes(`leasekeeper:${version}`), `${directory}: ${idOf(object)}: ${images.join()}`);
      }
    }
  });

  it('name the version that this is', () => {
    for (const directory of kustomizations())
      for (const { newTag } of kustomization(directory).images ?? []) assert.equal(newTag, version, directory);
    const [patch] = documents(SIDECAR_PATCH);
    assert.equal(patch!['spec'].containers[0].image, `leasekeeper:${version}`);
    assert.match(text('Containerfile'), new RegExp(`-t leasekeeper:${version.replaceAll('.', '\\.')} `));
  });

  it('those of the examples too, and their Roles are what `leasekeeper rbac` prints', async () => {
    const printed = {
      'examples/once/deployment.yaml': 'once --lease default/schema --service-account default/shop --name shop',
      'examples/cron/deployment.yaml': 'cron --service-account default/reports --name reports',
    };
    for (const [file, args] of Object.entries(printed)) {
      const objects = documents(file);
      assert.deepEqual(objects.flatMap(schemaProblems), [], file);
      const { out } = await runHere(['rbac', ...args.split(' ')]);
      const [role] = parseAllDocuments(out).map((document) => document.toJS() as Manifest);
      assert.deepEqual(objects.find(({ kind }) => kind === 'Role')?.['rules'], role?.['rules'], file);
    }
  });

  it('the Roles are what `leasekeeper rbac` prints', async () => {
    for (const [file, args] of Object.entries(RBAC_FILES)) {
      const { code, out, err } = await runHere(['rbac', ...args]);
      assert.deepEqual([code, err], [0, ''], file);
      assert.equal(text(file), out, file);
      const shown = text(join(file, '..', 'kustomization.yaml')).replaceAll('\n#  ', '');
      assert.ok(shown.includes(`leasekeeper rbac ${args.join(' ')}\n`), `${file}: the command beside it`);
    }
    assert.deepEqual(
      Object.keys(RBAC_FILES).sort(),
      files().filter((file) => file.endsWith('rbac.yaml')),
    );
  });

  it('every pod is restricted: no root, no capabilities, no writing, bounded memory', () => {
    for (const { what, pod, container } of workloads()) {
      const of = { ...pod['spec'].securityContext, ...container.securityContext } as Record<string, unknown>;
      assert.equal(of['runAsNonRoot'], true, what);
      assert.ok(Number(of['runAsUser']) > 0, what);
      assert.deepEqual(of['seccompProfile'], { type: 'RuntimeDefault' }, what);
      assert.equal(of['allowPrivilegeEscalation'], false, what);
      assert.equal(of['readOnlyRootFilesystem'], true, what);
      assert.deepEqual(of['capabilities'], { drop: ['ALL'] }, what);
      assert.equal(of['privileged'], undefined, what);
      assert.ok(container.resources.limits?.memory && container.resources.requests, what);
    }
  });

  it('every pod starts leasekeeper with options that it takes', async () => {
    for (const { what, container } of workloads()) {
      const fields = (container.env ?? []).map(({ name, valueFrom }) => {
        const value = FIELDS[valueFrom.fieldRef.fieldPath];
        assert.ok(value, `${what}: ${name}`);
        return [name, value] as const;
      });
      const env = Object.fromEntries(fields);
      const args = container.args
        .filter((arg) => !arg.startsWith('--kubeconfig='))
        .map((arg) => arg.replace(/\$\((\w+)\)/g, (_, name: string) => env[name] ?? `unset ${name}`));
      // Everything is checked before the kubeconfig is looked for, which is not there.
      const missing = join(DEPLOY, 'no-such-kubeconfig');
      const { code, err } = await runHere([...args, `--kubeconfig=${missing}`], env);
      assert.equal(code, 2, what);
      const lines = err
        .trim()
        .split('\n')
        .filter((line) => !/^\d{4}-\d\d-\d\d/.test(line));
      assert.deepEqual(
        lines.filter((line) => !line.includes(missing)),
        [],
        what,
      );
      assert.equal(lines.length, 1, `${what}: ${err}`);
    }
  });

  it('probes and monitors ask where the endpoints are', () => {
    const PATHS = new Set(['/livez', '/readyz', '/metrics', '/leader']);
    for (const { what, container } of workloads()) {
      const address = container.args.find((arg) => arg.startsWith('--http-address='));
      const port = Number(address?.split(':').at(-1));
      for (const probe of [container.livenessProbe, container.readinessProbe]) {
        if (!probe) continue;
        assert.ok(address, `${what}: a probe without --http-address`);
        assert.ok(PATHS.has(probe.httpGet.path), what);
        const named = container.ports?.find(({ name }) => name === probe.httpGet.port)?.containerPort;
        assert.equal(named ?? probe.httpGet.port, port, what);
      }
      for (const { containerPort } of container.ports ?? []) assert.equal(containerPort, port, what);
    }
    const ports = new Set(workloads().flatMap(({ container }) => (container.ports ?? []).map(({ name }) => name)));
    const services = allObjects().filter(({ kind }) => kind === 'Service');
    for (const { spec } of services)
      for (const { targetPort } of spec.ports) assert.ok(ports.has(targetPort as string));
    for (const { kind, spec } of allObjects()) {
      const endpoints = (spec?.endpoints ?? spec?.podMetricsEndpoints ?? []) as { port: string; path: string }[];
      const known =
        kind === 'ServiceMonitor'
          ? new Set(services.flatMap((s) => s['spec'].ports.map((p: { name: string }) => p.name)))
          : ports;
      for (const { port, path } of endpoints) {
        assert.ok(known.has(port), `${kind}: ${port}`);
        assert.equal(path, '/metrics');
      }
    }
  });

  it('selectors select, accounts exist, bindings bind', () => {
    const all = allObjects();
    const pods = workloads().map(({ pod }) => pod.metadata.labels ?? {});
    const fits = (selector: Record<string, string>, labels: Readonly<Record<string, string>>): boolean =>
      Object.entries(selector).every(([key, value]) => labels[key] === value);
    const accounts = new Set(all.filter(({ kind }) => kind === 'ServiceAccount').map(idOf));
    for (const object of all) {
      const { kind, spec, metadata } = object;
      const selector = (kind === 'Service' ? spec.selector : (spec?.selector ?? spec?.podSelector)?.matchLabels) as
        Record<string, string> | undefined;
      if (kind === 'ServiceMonitor') {
        const services = all.filter((other) => other.kind === 'Service');
        assert.ok(
          services.some((service) => fits(selector ?? {}, service.metadata.labels ?? {})),
          metadata.name,
        );
      } else if (selector && selector['component'] !== 'kube-apiserver') {
        assert.ok(
          pods.some((labels) => fits(selector, labels)),
          `${kind} ${metadata.name} selects nothing`,
        );
      }
      const template = (spec?.jobTemplate?.spec.template ?? spec?.template) as Manifest | undefined;
      if (template && kind !== 'CronJob')
        assert.ok(fits(selector ?? {}, template.metadata.labels ?? {}), metadata.name);
      if (template) {
        const account = `ServiceAccount ${metadata.namespace}/${template['spec'].serviceAccountName}`;
        assert.ok(accounts.has(account), account);
        assert.equal(template['spec'].automountServiceAccountToken, true, metadata.name);
      }
      if (!kind.endsWith('RoleBinding')) continue;
      for (const subject of object['subjects'] as { kind: string; namespace?: string; name: string }[])
        if (subject.kind === 'ServiceAccount') {
          const account = `ServiceAccount ${subject.namespace}/${subject.name}`;
          assert.ok(accounts.has(account), account);
        }
    }
  });

  it('each overlay brings the account that its pods run as, with its Role', () => {
    for (const directory of kustomizations().filter((name) => name.startsWith('overlays'))) {
      const ids = new Set(objects(directory).map(idOf));
      for (const { kind, spec, metadata } of objects(directory)) {
        const template = (spec?.jobTemplate?.spec.template ?? spec?.template) as Manifest | undefined;
        if (!template) continue;
        const account = template['spec'].serviceAccountName as string;
        assert.ok(ids.has(`ServiceAccount ${metadata.namespace}/${account}`), `${directory}: ${kind}`);
        const of = (prefix: string): string[] =>
          [...ids].filter((id) => id.startsWith(prefix) && id.endsWith(`/${account}`)).map((id) => id.split(' ')[1]!);
        assert.notDeepEqual(of('Role '), [], `${directory}: ${account}`);
        assert.deepEqual(of('RoleBinding '), of('Role '), `${directory}: ${account}`);
      }
    }
  });

  it('what runs twice is kept apart, keeps one pod when nodes are drained, and shares what has one writer', () => {
    for (const directory of kustomizations().filter((name) => name.startsWith('overlays'))) {
      for (const { kind, spec } of objects(directory)) {
        if (kind !== 'Deployment') continue;
        assert.equal(spec.replicas, 2, directory);
        const { labels } = spec.template.metadata as { labels: Record<string, string> };
        if (labels['app.kubernetes.io/name'] !== 'leasekeeper') continue;
        const [apart] = spec.template.spec.topologySpreadConstraints;
        assert.equal(apart.topologyKey, 'kubernetes.io/hostname', directory);
        assert.deepEqual(apart.labelSelector.matchLabels, labels, directory);
        const budgets = objects(directory).filter((object) => object.kind === 'PodDisruptionBudget');
        const specs = budgets.map((budget) => JSON.stringify(budget['spec']));
        const wanted = JSON.stringify({ maxUnavailable: 1, selector: { matchLabels: labels } });
        assert.ok(specs.includes(wanted), `${directory}: ${specs.join(' ')}`);
        const { args } = spec.template.spec.containers[0] as { args: string[] };
        // A heartbeat has one writer, so that two processes have to share.
        if (args[0] === 'heartbeat')
          assert.ok(
            args.some((arg) => arg.startsWith('--share=')),
            directory,
          );
      }
    }
  });

  it('the admission policy lets write those to whom the Roles are bound, and kube-apiserver', () => {
    const [policy] = documents('overlays/admission/policy.yaml');
    const expression = policy!['spec'].validations[0].expression as string;
    const names = [...expression.matchAll(/'([^']*)'/g)].map(([, name]) => name!).filter((name) => name !== 'DELETE');
    const bound = ['base/publish', 'base/sweep', 'overlays/sidecar'].flatMap((directory) =>
      documents(`${directory}/rbac.yaml`)
        .filter(({ kind }) => kind === 'RoleBinding')
        .flatMap(({ subjects }) => subjects as { kind: string; namespace: string; name: string }[])
        .map(({ kind, namespace, name }) => (kind === 'User' ? name : `system:serviceaccount:${namespace}:${name}`)),
    );
    assert.deepEqual(names.sort(), [...bound, 'system:apiserver'].sort());
  });
});
