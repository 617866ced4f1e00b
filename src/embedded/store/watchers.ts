/**
 * Who listens to a collection. A listener for one object is found by that object's key, so that ten thousand of them
 * cost a change of another object nothing.
 */
import { keyOf } from '../objects/object-version.ts';
import type { Change } from '../objects/object-version.ts';

/** Which objects. The namespace of objects that have none is ''; left out it means all. */
export interface Scope {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

export type Listener = (change: Change) => void;

export class Watchers {
  /** By key, by `namespace/`, or '' for all. */
  readonly #topics = new Map<string, Set<Listener>>();

  get size(): number {
    let count = 0;
    for (const listeners of this.#topics.values()) count += listeners.size;
    return count;
  }

  /**
   * @param after changes up to this revision are not sent: it may be one that is yet to come
   * @returns ends it
   */
  add({ namespace, name }: Scope, after: number, listener: Listener): () => void {
    const topic = namespace === undefined ? '' : keyOf(namespace, name ?? '');
    const anyNamespace = namespace === undefined && name !== undefined;
    const tell: Listener = (change) => {
      if (change.revision <= after || (anyNamespace && change.version.object.metadata.name !== name)) return;
      listener(change);
    };
    let listeners = this.#topics.get(topic);
    if (!listeners) this.#topics.set(topic, (listeners = new Set()));
    listeners.add(tell);
    return () => {
      const set = this.#topics.get(topic);
      if (set?.delete(tell) && set.size === 0) this.#topics.delete(topic);
    };
  }

  tell(change: Change): void {
    if (this.#topics.size === 0) return;
    const { key } = change.version;
    for (const topic of [key, key.slice(0, key.indexOf('/') + 1), '']) {
      const listeners = this.#topics.get(topic);
      if (listeners) for (const listener of listeners) listener(change);
    }
  }
}
