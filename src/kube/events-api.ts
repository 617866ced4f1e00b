/**
 * Events (events.k8s.io/v1) about objects: what `kubectl describe` and `kubectl get events` show.
 *
 * An Event is one POST, tried once. The API server keeps it for an hour by default, and never changes it.
 */
import type { CallOptions } from '../lease/store.ts';
import type { Transport } from './wire/transport.ts';

/** An Event as the API takes it, without what this file adds. */
interface EventObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly [field: string]: unknown;
}

type PostEvent = (event: EventObject, options?: CallOptions) => Promise<void>;

/** The function throws LeaseStoreError, `Forbidden` without permission to create events. */
export function createEventsApi(transport: Transport): PostEvent {
  return async (event, options) => {
    const { namespace, name } = event.metadata;
    await transport.request({
      ...options,
      method: 'POST',
      what: `create event ${namespace}/${name}`,
      path: `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`,
      body: { apiVersion: 'events.k8s.io/v1', kind: 'Event', ...event },
    });
  };
}
