/**
 * The manifests of deploy/, read for tests.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments, parseDocument } from 'yaml';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const DEPLOY = join(ROOT, 'deploy');

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // Tests read deep into many kinds: what is not there fails them all the same.

  readonly [field: string]: any;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: readonly { name: string; valueFrom: { fieldRef: { fieldPath: string } } }[];
  readonly ports?: readonly { name: string; containerPort: number }[];
  readonly securityContext: Readonly<Record<string, Json>>;
  readonly resources: { requests?: object; limits?: { memory?: string } };
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}
export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string | number; readonly host?: string };
}

/** Every file below deploy/, relative to it; examples are programs, and tested by themselves. */
export const files = (): string[] =>
  readdirSync(DEPLOY, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(DEPLOY, join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('examples'))
    .sort();

/** The directories that kustomize builds. */
export const kustomizations = (): string[] =>
  files()
    .filter((file) => file.endsWith('kustomization.yaml'))
    .map((file) => join(file, '..'));

export const text = (file: string): string => readFileSync(join(DEPLOY, file), 'utf8');

/** Its documents. @throws Error for what YAML itself refuses: a key twice, for one */
export function documents(file: string): Manifest[] {
  return parseAllDocuments(text(file)).map((document) => {
    const [fault] = [...document.errors, ...document.warnings];
    if (fault) throw new Error(`${file}: ${fault.message}`);
    return document.toJS() as Manifest;
  });
}

export interface Kustomization {
  readonly resources: readonly string[];
  readonly images?: readonly { readonly name: string; readonly newTag: string }[];
  readonly configMapGenerator?: readonly { readonly files: readonly string[] }[];
}

export const kustomization = (directory: string): Kustomization =>
  parseDocument(text(join(directory, 'kustomization.yaml'))).toJS() as Kustomization;

/** The objects that a kustomization holds, as its files say them, those of what it includes too. */
export function objects(directory: string): Manifest[] {
  return kustomization(directory).resources.flatMap((resource) =>
    resource.endsWith('.yaml') ? documents(join(directory, resource)) : objects(join(directory, resource)),
  );
}

/** Every object once. */
export function allObjects(): Manifest[] {
  const seen = new Map<string, Manifest>();
  for (const directory of kustomizations())
    for (const object of objects(directory)) {
      const { kind, metadata } = object;
      seen.set(`${kind} ${metadata.namespace}/${metadata.name}`, object);
    }
  return [...seen.values()];
}

export interface Workload {
  readonly what: string;
  readonly pod: Manifest;
  readonly container: Container;
}

/** What runs leasekeeper: the pods of workloads, and the sidecar. */
export function workloads(): Workload[] {
  const templates = allObjects().flatMap((object) => {
    const { spec, kind, metadata } = object;
    const template = (kind === 'CronJob' ? spec.jobTemplate.spec.template : spec?.template) as Manifest | undefined;
    return template === undefined ? [] : [{ what: `${kind} ${metadata.name}`, pod: template }];
  });
  const [patch] = documents(SIDECAR_PATCH);
  return [...templates, { what: 'sidecar', pod: patch! }].map(({ what, pod }) => {
    const { containers, initContainers = [] } = pod['spec'] as Record<'containers' | 'initContainers', Container[]>;
    const container = [...containers, ...initContainers].find(({ name }) => name === 'leasekeeper');
    if (!container) throw new Error(`${what} has no container leasekeeper`);
    return { what, pod, container };
  });
}

export const SIDECAR_PATCH = 'overlays/sidecar/patches/kube-apiserver+strategic.yaml';

/** Which `leasekeeper rbac` prints each of these files. */
export const RBAC_FILES: Readonly<Record<string, readonly string[]>> = {
  'base/publish/rbac.yaml': ['publish', '--server-health-url', 'https://127.0.0.1:6443/livez'],
  'base/sweep/rbac.yaml': ['sweep'],
  'base/serve/rbac.yaml': ['serve'],
  'base/heartbeat/rbac.yaml': [
    ...['heartbeat', '--nodes-selector', 'type=virtual-kubelet', '--share', 'leasekeeper/heartbeat'],
  ],
  'overlays/leader-service/rbac.yaml': [
    ...['elect', '--lease', 'default/web', '--service-account', 'default/web', '--name', 'web'],
  ],
  'overlays/sidecar/rbac.yaml': [
    ...['publish', '--server-health-url', 'https://127.0.0.1:6443/livez'],
    ...['--name', 'leasekeeper-sidecar', '--user', 'leasekeeper-sidecar'],
  ],
};

interface Instruction {
  readonly stage: number;
  readonly word: string;
  readonly rest: string;
}

/** Of deploy/Containerfile: one a line, as it is written. */
export function instructions(): Instruction[] {
  let stage = -1;
  return text('Containerfile')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [word = '', ...rest] = line.split(' ');
      if (word === 'FROM') stage += 1;
      return { stage, word, rest: rest.join(' ') };
    });
}
