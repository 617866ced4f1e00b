/**
 * The life of namespaces: the four that every cluster has, who may create in them, and their end.
 *
 * Guarantees: nothing is created in a namespace that is not there or is being deleted; a deleted namespace loses its
 * content at once and goes as soon as nothing holds it: no content with finalizers, no finalizer of its own.
 */
import type { Collection } from '../store/collection.ts';
import { forbidden, notFound } from '../status-errors.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { RESOURCES } from './resources.ts';
import type { ResourceType } from './resources.ts';
import { StoreError } from '../store/collection.ts';
import type { KubeObject } from './object-version.ts';

const SYSTEM = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
/** kube-apiserver refuses to delete these. */
const IMMORTAL = new Set(['default', 'kube-system', 'kube-public']);
const TYPE = RESOURCES.find((type) => type.kind === 'Namespace') as ResourceType;
const CONTENT = [...new Set(RESOURCES.filter((type) => type.namespaced).map((type) => type.collection))];

export class Namespaces {
  readonly #store: ObjectStore;
  readonly #collection: Collection;
  /** Names of those that are being deleted: looked at after every change, so kept apart. */
  readonly #terminating = new Set<string>();

  constructor(store: ObjectStore) {
    this.#store = store;
    this.#collection = store.collection(TYPE.collection);
    for (const name of SYSTEM) {
      const object: KubeObject = { metadata: { name } };
      TYPE.prepare(object as Record<string, unknown>);
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
    this.#terminating.add(name);
    this.finishOne(name);
  }

  /** Lets a namespace that is being deleted go, as far as nothing holds it. */
  finishOne(name: string): void {
    if (this.#terminating.size === 0 || !this.#terminating.has(name)) return;
    let left = 0;
    for (const collection of CONTENT.map((c) => this.#store.collection(c))) {
      for (const { metadata } of collection.objects({ namespace: name })) {
        if (!collection.delete(name, metadata.name).gone) left++;
      }
    }
    const namespace = this.#collection.get('', name);
    if (left > 0) return;
    this.#terminating.delete(name);
    if (!namespace) return;
    try {
      this.#collection.replace({ ...namespace.object, spec: {} });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }
}
