/**
 * The resources that are served: one row each. Everything else about a resource (routes, discovery, tables, validation,
 * storage) is derived from its row.
 */
import { invalidValue } from '../status-errors.ts';
import type { FieldError, ResourceName } from '../status-errors.ts';
import {
  boolean,
  freeObject,
  int32,
  int64,
  isObject,
  list,
  microTime,
  optionalString,
  string,
  stringMap,
  struct,
  time,
} from './schema.ts';
import type { Codec, Json } from './schema.ts';
import { eventColumns, leaseColumns, namespaceColumns, nodeColumns } from './table-view.ts';
import type { Column } from './table-view.ts';
import { dnsLabel, dnsSubdomain } from './validation.ts';
import type { NameRule, ObjectMeta } from './validation.ts';
import type { KubeObject } from './object-version.ts';

export interface ResourceType extends ResourceName {
  readonly version: string;
  /** `coordination.k8s.io/v1`; `v1` in the core group. */
  readonly apiVersion: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  /** The collection that holds the objects; two resources may show the same one. */
  readonly collection: string;
  /** PUT to an absent name creates. */
  readonly createOnUpdate: boolean;
  /** PUT without a resourceVersion overwrites whatever is there. */
  readonly unconditionalUpdate: boolean;
  /** `status` is written through the subresource of that name alone. */
  readonly statusSubresource: boolean;
  readonly codec: Codec;
  readonly nameRule: NameRule;
  validate(object: KubeObject): FieldError[];
  /** What the server fills in. */
  prepare(object: Json): void;
  /** Fields, besides name and namespace, that objects can be selected by. */
  readonly fields: readonly string[];
  fieldValue(object: KubeObject, field: string): string;
  readonly columns: readonly Column[];
  /** From the form that is stored to the one that is shown, and back; the same when left out. */
  readonly show?: (stored: KubeObject) => KubeObject;
  readonly store?: (shown: Json) => Json;
  /** What a bookmark shows besides metadata. */
  readonly empty: Json;
}

const ownerReference = struct({
  apiVersion: string,
  kind: string,
  name: string,
  uid: string,
  controller: boolean,
  blockOwnerDeletion: boolean,
});

const meta = struct({
  name: string,
  generateName: string,
  namespace: string,
  selfLink: string,
  uid: string,
  resourceVersion: string,
  generation: int64,
  creationTimestamp: time,
  deletionTimestamp: time,
  deletionGracePeriodSeconds: int64,
  labels: stringMap,
  annotations: stringMap,
  ownerReferences: list(ownerReference),
  finalizers: list(string),
  managedFields: list(freeObject),
});

const objectOf = (fields: Readonly<Record<string, Codec>>): Codec =>
  struct({ kind: string, apiVersion: string, metadata: meta, ...fields });

// Known fields behind a gate that is off: dropped without being called unknown.
const gated: Codec = () => undefined;
const leaseSpec = struct({
  holderIdentity: optionalString,
  leaseDurationSeconds: int32,
  acquireTime: microTime,
  renewTime: microTime,
  leaseTransitions: int32,
  strategy: gated,
  preferredHolder: gated,
});

const objectReference = struct({
  kind: string,
  namespace: string,
  name: string,
  uid: string,
  apiVersion: string,
  resourceVersion: string,
  fieldPath: string,
});
const eventSource = struct({ component: string, host: string });
const eventSeries = struct({ count: int32, lastObservedTime: microTime });

function validateLease({ spec }: KubeObject): FieldError[] {
  const { leaseDurationSeconds: duration, leaseTransitions: transitions } = spec as Record<string, number>;
  const errors: FieldError[] = [];
  if (duration !== undefined && duration <= 0) {
    errors.push(invalidValue('spec.leaseDurationSeconds', duration, 'must be greater than 0'));
  }
  if (transitions !== undefined && transitions < 0) {
    errors.push(invalidValue('spec.leaseTransitions', transitions, 'must be greater than or equal to 0'));
  }
  return errors;
}

/** The field at a dotted path, as text; '' when there is none. */
export function textAt(object: unknown, path: string): string {
  let at: unknown = object;
  for (const part of path.split('.')) at = isObject(at) ? at[part] : undefined;
  return at === undefined || at === null ? '' : String(at as string | number | boolean);
}

function withDefaults(object: Json, defaults: Json): void {
  for (const [field, value] of Object.entries(defaults)) object[field] ??= structuredClone(value);
}

type Row = Pick<ResourceType, 'group' | 'resource' | 'kind' | 'codec' | 'columns'> & Partial<ResourceType>;

function row(given: Row): ResourceType {
  const empty = given.empty ?? {};
  return {
    version: 'v1',
    apiVersion: given.group === '' ? 'v1' : `${given.group}/v1`,
    singular: given.kind.toLowerCase(),
    namespaced: true,
    shortNames: [],
    collection: given.resource,
    createOnUpdate: false,
    unconditionalUpdate: true,
    statusSubresource: false,
    nameRule: dnsSubdomain,
    validate: () => [],
    prepare: (object) => withDefaults(object, empty),
    fields: [],
    fieldValue: textAt,
    empty,
    ...given,
  };
}

const EVENT_FIELDS = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];
const event = {
  kind: 'Event',
  resource: 'events',
  createOnUpdate: true,
  shortNames: ['ev'],
  columns: eventColumns,
  validate: (object: KubeObject): FieldError[] => {
    const about = textAt(object, 'involvedObject.namespace');
    const expected = about === '' ? 'default' : about;
    return expected === object.metadata.namespace
      ? []
      : [invalidValue('involvedObject.namespace', about, 'does not match event.namespace')];
  },
} as const;

export const RESOURCES: readonly ResourceType[] = [
  row({
    group: 'coordination.k8s.io',
    resource: 'leases',
    kind: 'Lease',
    createOnUpdate: true,
    unconditionalUpdate: false,
    codec: objectOf({ spec: leaseSpec }),
    empty: { spec: {} },
    validate: validateLease,
    columns: leaseColumns,
  }),
  row({
    group: '',
    ...event,
    codec: objectOf({
      involvedObject: objectReference,
      reason: string,
      message: string,
      source: eventSource,
      firstTimestamp: time,
      lastTimestamp: time,
      count: int32,
      type: string,
      eventTime: microTime,
      series: eventSeries,
      action: string,
      related: objectReference,
      reportingComponent: string,
      reportingInstance: string,
    }),
    empty: { involvedObject: {}, source: {} },
    fields: [...EVENT_FIELDS.map((f) => `involvedObject.${f}`), 'reason', 'reportingComponent', 'source', 'type'],
    fieldValue: (object, field) =>
      field === 'source'
        ? textAt(object, 'source.component') || textAt(object, 'reportingComponent')
        : textAt(object, field),
  }),
  row({
    group: '',
    resource: 'namespaces',
    kind: 'Namespace',
    namespaced: false,
    shortNames: ['ns'],
    statusSubresource: true,
    nameRule: dnsLabel,
    codec: objectOf({ spec: freeObject, status: freeObject }),
    empty: { spec: {}, status: {} },
    prepare: (object) => {
      const metadata = object['metadata'] as ObjectMeta;
      metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
      object['spec'] ??= { finalizers: ['kubernetes'] };
      const status = object['status'] as { phase?: string } | undefined;
      object['status'] = { ...status, phase: status?.phase || 'Active' };
    },
    fields: ['status.phase'],
    columns: namespaceColumns,
  }),
  row({
    group: '',
    resource: 'nodes',
    kind: 'Node',
    namespaced: false,
    shortNames: ['no'],
    statusSubresource: true,
    codec: objectOf({ spec: freeObject, status: freeObject }),
    empty: { spec: {}, status: {} },
    fields: ['spec.unschedulable'],
    fieldValue: (object, field) => textAt(object, field) || 'false',
    columns: nodeColumns,
  }),
  row({
    group: 'events.k8s.io',
    ...event,
    codec: objectOf({
      eventTime: microTime,
      series: eventSeries,
      reportingController: string,
      reportingInstance: string,
      action: string,
      reason: string,
      regarding: objectReference,
      related: objectReference,
      note: string,
      type: string,
      deprecatedSource: eventSource,
      deprecatedFirstTimestamp: time,
      deprecatedLastTimestamp: time,
      deprecatedCount: int32,
    }),
    empty: { regarding: {}, deprecatedSource: {} },
    fields: [...EVENT_FIELDS.map((f) => `regarding.${f}`), 'reason', 'reportingController', 'type'],
    fieldValue: (object, field) => textAt(rename(object, CORE_TO_EVENTS), field),
    show: (stored) => rename(stored, CORE_TO_EVENTS) as KubeObject,
    store: (shown) => rename(shown, EVENTS_TO_CORE),
  }),
];

const EVENTS_TO_CORE: Readonly<Record<string, string>> = {
  reportingController: 'reportingComponent',
  regarding: 'involvedObject',
  note: 'message',
  deprecatedSource: 'source',
  deprecatedFirstTimestamp: 'firstTimestamp',
  deprecatedLastTimestamp: 'lastTimestamp',
  deprecatedCount: 'count',
};
const CORE_TO_EVENTS = Object.fromEntries(Object.entries(EVENTS_TO_CORE).map(([a, b]) => [b, a]));

function rename(object: Json, names: Readonly<Record<string, string>>): Json {
  return Object.fromEntries(Object.entries(object).map(([field, value]) => [names[field] ?? field, value]));
}
