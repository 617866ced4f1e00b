/**
 * The life of namespaces: the four that every cluster has, who may create in them, and their end.
 *
 * Guarantees: nothing is created in a namespace that is not there or is being deleted. As in a cluster, a deleted
 * namespace keeps its content for GRACE_MS; then that is deleted, and the namespace goes as soon as nothing holds it: no
 * content with finalizers, no finalizer of its own.
 */
import type { Collection } from '../store/collection.ts';
import { forbidden, notFound } from '../status-errors.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { RESOURCES } from './resources.ts';
import type { ResourceType } from './resources.ts';
import type { KubeObject } from './object-version.ts';

const SYSTEM = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
/** kube-apiserver refuses to delete these. */
const IMMORTAL = new Set(['default', 'kube-system', 'kube-public']);
const TYPE = RESOURCES.find((type) => type.kind === 'Namespace') as ResourceType;
const CONTENT = [...new Set(RESOURCES.filter((type) => type.namespaced).map((type) => type.collection))];

/** What the namespace controller of a cluster waits before it deletes content. */
const GRACE_MS = 5_000;

/** Calls back after `ms` milliseconds, unless the server is closed before. */
export type Later = (ms: number, callback: () => void) => void;

export class Namespaces {
  readonly #store: ObjectStore;
  readonly #collection: Collection;
  readonly #later: Later;
  /** Names of those whose content is to go: looked at after every change, so kept apart. */
  readonly #ending = new Set<string>();

  constructor(store: ObjectStore, later: Later) {
    this.#store = store;
    this.#later = later;
    this.#collection = store.collection(TYPE.collection);
    for (const name of SYSTEM) {
      const object: KubeObject = { metadata: { name }, spec: {} };
      TYPE.defaults(object);
      TYPE.prepare(object as Record<string, unknown>, undefined);
      this.#collection.create(object);
    }
  }

  /** @throws ApiError 404 when the namespace is not there, 403 when it is being deleted */
  admit(type: ResourceType, namespace: string, name: string): void {
    const found = this.#collection.get('', namespace);
    if (!found) throw notFound(TYPE, namespace);
    if (found.object.metadata.deletionTimestamp === undefined) return;
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    throw forbidden(type, name, why, [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ]);
  }

  /** @throws ApiError 403 */
  checkDelete(name: string): void {
    if (IMMORTAL.has(name)) throw forbidden(TYPE, name, 'this namespace may not be deleted');
  }

  /** What a namespace looks like from the moment it is being deleted. */
  static readonly mark = (namespace: KubeObject): KubeObject => ({
    ...namespace,
    status: { ...(namespace['status'] as object | undefined), phase: 'Terminating' },
  });

  /** To be called once a namespace was marked. */
  terminate(name: string): void {
    const { uid } = this.#collection.get('', name)?.object.metadata ?? {};
    this.#later(GRACE_MS, () => {
      if (this.#collection.get('', name)?.object.metadata.uid !== uid) return;
      this.#ending.add(name);
      this.finishOne(name);
    });
  }

  /** Lets a namespace whose time has come go, as far as nothing holds it. */
  finishOne(name: string): void {
    if (this.#ending.size === 0 || !this.#ending.has(name)) return;
    let left = 0;
    for (const collection of CONTENT.map((c) => this.#store.collection(c))) {
      for (const { metadata } of collection.objects({ namespace: name })) {
        if (!collection.delete(name, metadata.name).gone) left++;
      }
    }
    if (left > 0) return;
    this.#ending.delete(name);
    const namespace = this.#collection.get('', name);
    if (namespace) this.#collection.replace({ ...namespace.object, spec: {} });
  }
}
