/**
 * The resources that are served: one row each. Everything else about a resource (routes, discovery, tables, validation,
 * merging, protobuf, storage) is derived from its row.
 */
import { invalidValue, requiredValue } from '../status-errors.ts';
import type { FieldError, ResourceName } from '../status-errors.ts';
import {
  DecodeContext,
  count,
  flag,
  freeObject,
  generation,
  int32,
  int64,
  isList,
  isObject,
  list,
  microTime,
  optionalText,
  struct,
  text,
  textMap,
  time,
} from './schema.ts';
import type { Codec, Json } from './schema.ts';
import { eventColumns, leaseColumns, namespaceColumns, nodeColumns } from './table-view.ts';
import type { Column } from './table-view.ts';
import { dnsLabel, dnsSubdomain, qualifiedName } from './validation.ts';
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
  /** DELETE without a name deletes all that match. */
  readonly deletesCollections: boolean;
  /** PUT to an absent name creates. */
  readonly createOnUpdate: boolean;
  /** PUT without a resourceVersion overwrites whatever is there. */
  readonly unconditionalUpdate: boolean;
  /** Subresources, each with the field that is written through it alone. */
  readonly subresources: Readonly<Record<string, string>>;
  /** Whether its codec describes all of it, so that protobuf can carry it. */
  readonly protobuf: boolean;
  /** Of the object as this resource shows it. */
  readonly codec: Codec;
  readonly nameRule: NameRule;
  /** @param old what it replaces, for rules about changes */
  validate(object: KubeObject, old: KubeObject | undefined): FieldError[];
  /** What a client need not say: its own fields from then on. */
  defaults(object: KubeObject): void;
  /** What the server fills in, or drops; `old` is what it replaces. */
  prepare(object: Json, old: KubeObject | undefined): void;
  /** Fields, besides name and namespace, that objects can be selected by. */
  readonly fields: readonly string[];
  fieldValue(object: KubeObject, field: string): string;
  readonly columns: readonly Column[];
  /** From the form that is stored to the one that is shown, and back; the same when left out. */
  readonly show?: (stored: KubeObject) => KubeObject;
  readonly store?: (shown: Json) => Json;
}

const ownerReference = struct(
  'OwnerReference',
  {
    apiVersion: text,
    kind: text,
    name: text,
    uid: { ...text, goType: 'types.UID' },
    controller: flag,
    blockOwnerDeletion: flag,
  },
  { atomic: true, numbers: { apiVersion: 5, kind: 1, controller: 6, blockOwnerDeletion: 7 } },
);

const managedFieldsEntry = struct(
  'ManagedFieldsEntry',
  {
    manager: text,
    operation: text,
    apiVersion: text,
    time,
    fieldsType: text,
    fieldsV1: freeObject(),
    subresource: text,
  },
  { numbers: { fieldsType: 6, fieldsV1: 7, subresource: 8 } },
);

const entries = list(managedFieldsEntry);
/** Empty is kept: so a client clears it. */
const managedFields: Codec = {
  ...entries,
  decode: (v, c) => (isList(v) && v.length === 0 ? [] : entries.decode(v, c)),
};

const objectMeta = struct(
  'ObjectMeta',
  {
    name: text,
    generateName: text,
    namespace: text,
    selfLink: text,
    uid: text,
    resourceVersion: text,
    generation,
    creationTimestamp: time,
    deletionTimestamp: time,
    deletionGracePeriodSeconds: int64,
    labels: textMap,
    annotations: textMap,
    ownerReferences: list(ownerReference, { key: 'uid' }),
    finalizers: list(text, 'value'),
    managedFields,
  },
  { numbers: { managedFields: 17 } },
);

/** Protobuf has kind and apiVersion outside of the object, so that metadata is its first field. */
function objectOf(kind: string, fields: Readonly<Record<string, Codec>>, always: Json): Codec {
  const numbers = Object.fromEntries(['metadata', ...Object.keys(fields)].map((name, i) => [name, i + 1]));
  return struct(
    kind,
    { kind: text, apiVersion: text, metadata: objectMeta, ...fields },
    { numbers: { ...numbers, kind: 0, apiVersion: 0 }, always: { metadata: {}, ...always } },
  );
}

const leaseSpec = struct('LeaseSpec', {
  holderIdentity: optionalText,
  leaseDurationSeconds: int32,
  acquireTime: microTime,
  renewTime: microTime,
  leaseTransitions: int32,
  strategy: optionalText,
  preferredHolder: optionalText,
});

/** Behind the gate CoordinatedLeaderElection, which is off: known, and dropped. */
function dropGated(object: Json): void {
  const { strategy: _strategy, preferredHolder: _holder, ...spec } = object['spec'] as Json;
  object['spec'] = spec;
}

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

const objectReference = struct(
  'ObjectReference',
  { kind: text, namespace: text, name: text, uid: text, apiVersion: text, resourceVersion: text, fieldPath: text },
  { atomic: true },
);
const eventSource = struct('EventSource', { component: text, host: text });
const eventSeries = (always: Json): Codec => struct('EventSeries', { count, lastObservedTime: microTime }, { always });

/** The field at a dotted path, as text; '' when there is none. */
function textAt(object: unknown, path: string): string {
  let at: unknown = object;
  for (const part of path.split('.')) at = isObject(at) ? at[part] : undefined;
  return at === undefined || at === null ? '' : typeof at === 'string' ? at : JSON.stringify(at);
}

/** Characters of each text of an Event that has an eventTime. */
const EVENT_LIMITS = { reportingInstance: 128, action: 128, reason: 128, message: 1024 } as const;
const DEPRECATED = ['firstTimestamp', 'lastTimestamp', 'count', 'source.component', 'source.host'];
const IMMUTABLE = [
  'involvedObject',
  'reason',
  'message',
  'source',
  'firstTimestamp',
  'lastTimestamp',
  'count',
  'reportingComponent',
  'reportingInstance',
  'action',
  'related',
  'type',
];

/** Kubernetes' own two sets of rules: Events of the core group need not have an eventTime. */
const validateEvent =
  (strict: boolean) =>
  (event: KubeObject, old: KubeObject | undefined): FieldError[] => {
    const errors: FieldError[] = [];
    const { namespace = '' } = event.metadata;
    const about = textAt(event, 'involvedObject.namespace');
    const elsewhere = invalidValue('involvedObject.namespace', about, 'does not match event.namespace');
    if (textAt(event, 'eventTime') === '') {
      if (namespace !== (about || 'default')) errors.push(elsewhere);
    } else {
      if (about === '' && namespace !== 'default' && namespace !== 'kube-system') errors.push(elsewhere);
      const controller = strict ? 'reportingController' : 'reportingComponent';
      const reporter = textAt(event, 'reportingComponent');
      if (reporter === '') errors.push(requiredValue(controller, ''));
      for (const rule of qualifiedName(reporter)) errors.push(invalidValue(controller, reporter, rule));
      for (const [field, most] of Object.entries(EVENT_LIMITS)) {
        const value = textAt(event, field);
        const name = field === 'message' ? 'note' : field;
        if (value === '' && field !== 'message') errors.push(requiredValue(name, ''));
        if (value.length > most) errors.push(invalidValue(name, '', `can have at most ${most} characters`));
      }
    }
    if (!strict) return errors;
    const series = event['series'] as { count?: number; lastObservedTime?: string } | undefined;
    if (series && JSON.stringify(series) !== JSON.stringify(old?.['series'])) {
      if ((series.count ?? 0) < 2) errors.push(invalidValue('series.count', '', 'should be at least 2'));
      if (!series.lastObservedTime) errors.push(requiredValue('series.lastObservedTime', ''));
    }
    if (old) {
      for (const field of IMMUTABLE) {
        if (JSON.stringify(event[field]) === JSON.stringify(old[field])) continue;
        errors.push(invalidValue(field, event[field] ?? '', 'field is immutable'));
      }
      return errors;
    }
    if (textAt(event, 'eventTime') === '') errors.push(requiredValue('eventTime', ''));
    const type = textAt(event, 'type');
    if (type !== 'Normal' && type !== 'Warning') errors.push(invalidValue('type', '', `has invalid value: ${type}`));
    for (const field of DEPRECATED) {
      if (textAt(event, field) !== '')
        errors.push(invalidValue(field.split('.')[0] as string, '', 'needs to be unset'));
    }
    return errors;
  };

/** The body of a DELETE. */
export const deleteOptions = struct('DeleteOptions', {
  gracePeriodSeconds: int64,
  preconditions: struct('Preconditions', {
    uid: { ...optionalText, goType: 'types.UID' },
    resourceVersion: optionalText,
  }),
  orphanDependents: flag,
  propagationPolicy: optionalText,
  dryRun: list(text),
  ignoreStoreReadErrorWithClusterBreakingPotential: flag,
});

type Row = Pick<ResourceType, 'group' | 'resource' | 'kind' | 'codec' | 'columns'> & Partial<ResourceType>;

const row = (given: Row): ResourceType => ({
  version: 'v1',
  apiVersion: given.group === '' ? 'v1' : `${given.group}/v1`,
  singular: given.kind.toLowerCase(),
  namespaced: true,
  shortNames: [],
  collection: given.resource,
  deletesCollections: true,
  createOnUpdate: false,
  unconditionalUpdate: true,
  subresources: {},
  protobuf: true,
  nameRule: dnsSubdomain,
  validate: () => [],
  defaults: () => undefined,
  prepare: () => undefined,
  fields: [],
  fieldValue: textAt,
  ...given,
});

const EVENT_FIELDS = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];
const event = {
  kind: 'Event',
  resource: 'events',
  createOnUpdate: true,
  shortNames: ['ev'],
  columns: eventColumns,
} as const;

const namespaceCondition = struct(
  'NamespaceCondition',
  { type: text, status: text, lastTransitionTime: time, reason: text, message: text },
  { numbers: { lastTransitionTime: 4, reason: 5, message: 6 }, always: { lastTransitionTime: null } },
);
function labelWithName(metadata: ObjectMeta): void {
  const labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
  metadata.labels = textMap.decode(labels, new DecodeContext()) as Record<string, string>;
}

const byType = (item: Codec): Codec => list(item, { key: 'type' });

const coreEvent = objectOf(
  'Event',
  {
    involvedObject: objectReference,
    reason: text,
    message: text,
    source: eventSource,
    firstTimestamp: time,
    lastTimestamp: time,
    count,
    type: text,
    eventTime: microTime,
    series: eventSeries({ lastObservedTime: null }),
    action: text,
    related: objectReference,
    reportingComponent: optionalText,
    reportingInstance: optionalText,
  },
  {
    involvedObject: {},
    source: {},
    firstTimestamp: null,
    lastTimestamp: null,
    eventTime: null,
    reportingComponent: '',
    reportingInstance: '',
  },
);

const newEvent = objectOf(
  'Event',
  {
    eventTime: microTime,
    series: eventSeries({ count: 0, lastObservedTime: null }),
    reportingController: text,
    reportingInstance: text,
    action: text,
    reason: text,
    regarding: objectReference,
    related: objectReference,
    note: text,
    type: text,
    deprecatedSource: eventSource,
    deprecatedFirstTimestamp: time,
    deprecatedLastTimestamp: time,
    deprecatedCount: count,
  },
  {
    eventTime: null,
    regarding: {},
    deprecatedSource: {},
    deprecatedFirstTimestamp: null,
    deprecatedLastTimestamp: null,
  },
);

export const RESOURCES: readonly ResourceType[] = [
  row({
    group: 'coordination.k8s.io',
    resource: 'leases',
    kind: 'Lease',
    createOnUpdate: true,
    unconditionalUpdate: false,
    codec: objectOf('Lease', { spec: leaseSpec }, { spec: {} }),
    prepare: dropGated,
    validate: validateLease,
    columns: leaseColumns,
  }),
  row({
    group: '',
    ...event,
    codec: coreEvent,
    validate: validateEvent(false),
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
    deletesCollections: false,
    subresources: { status: 'status', finalize: 'spec' },
    nameRule: dnsLabel,
    codec: objectOf(
      'Namespace',
      {
        spec: struct('NamespaceSpec', { finalizers: list(text) }),
        status: struct('NamespaceStatus', { phase: text, conditions: byType(namespaceCondition) }),
      },
      { spec: {}, status: {} },
    ),
    defaults: ({ metadata }) => {
      if (metadata.name !== '') labelWithName(metadata);
    },
    prepare: (object, old) => {
      if (old) return;
      // A name that was generated is known only now.
      labelWithName(object['metadata'] as ObjectMeta);
      const { finalizers = [] } = object['spec'] as { finalizers?: string[] };
      object['spec'] = { finalizers: [...new Set([...finalizers, 'kubernetes'])] };
      object['status'] = { phase: 'Active' };
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
    subresources: { status: 'status' },
    protobuf: false,
    codec: objectOf(
      'Node',
      {
        spec: freeObject({ podCIDRs: list(text, 'value') }),
        status: freeObject({ conditions: byType(freeObject()), addresses: byType(freeObject()) }),
      },
      { spec: {}, status: {} },
    ),
    fields: ['spec.unschedulable'],
    fieldValue: (object, field) => textAt(object, field) || 'false',
    columns: nodeColumns,
  }),
  row({
    group: 'events.k8s.io',
    ...event,
    codec: newEvent,
    validate: validateEvent(true),
    fields: [...EVENT_FIELDS.map((f) => `regarding.${f}`), 'reason', 'reportingController', 'type'],
    fieldValue: (object, field) => textAt(rename(object, CORE_TO_EVENTS), field),
    show: (stored) => newEvent.decode(rename(stored, CORE_TO_EVENTS), new DecodeContext()) as KubeObject,
    store: (shown) => coreEvent.decode(rename(shown, EVENTS_TO_CORE), new DecodeContext()) as Json,
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

/** An object of this type that says nothing, as stored. */
export const emptyObject = ({ codec, store }: ResourceType): Json => {
  const empty = codec.decode({}, new DecodeContext()) as Json;
  return store ? store(empty) : empty;
};
