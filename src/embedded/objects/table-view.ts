/** Objects as rows of a Table, the form in which kubectl asks for what it prints. */
import { isList, isObject } from './schema.ts';
import type { Json } from './schema.ts';
import { humanDuration } from './time-formats.ts';
import type { KubeObject } from './object-version.ts';

export interface Column {
  readonly name: string;
  readonly description: string;
  /** Default string. */
  readonly type?: 'integer';
  readonly format?: 'name';
  /** 1 for what only `-o wide` shows. */
  readonly priority?: number;
  cell(object: KubeObject, nowMicros: number): string | number;
}

const NAME: Column = {
  name: 'Name',
  description: 'Name of the object, unique within its namespace.',
  format: 'name',
  // A bookmark has none.
  cell: (object) => text(object.metadata.name),
};
const AGE: Column = {
  name: 'Age',
  description: 'Time since the object was created.',
  cell: (object, now) => age(object.metadata.creationTimestamp, now),
};

function age(timestamp: unknown, nowMicros: number): string {
  if (typeof timestamp !== 'string') return '<unknown>';
  return humanDuration(nowMicros / 1e6 - Date.parse(timestamp) / 1000);
}

const field = (value: unknown, ...path: string[]): unknown =>
  path.reduce((at: unknown, part) => (isObject(at) ? at[part] : undefined), value);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

export const leaseColumns: readonly Column[] = [
  NAME,
  {
    name: 'Holder',
    description: 'Identity of the current holder.',
    cell: (o) => text(field(o, 'spec', 'holderIdentity')),
  },
  AGE,
];

export const namespaceColumns: readonly Column[] = [
  NAME,
  { name: 'Status', description: 'Active, or Terminating.', cell: (o) => text(field(o, 'status', 'phase')) },
  AGE,
];

const address = (o: KubeObject, type: string): string => {
  const addresses = field(o, 'status', 'addresses');
  const found = isList(addresses) ? addresses.find((a) => field(a, 'type') === type) : undefined;
  return text(field(found, 'address')) || '<none>';
};
const nodeInfo = (name: string, key: string): Column => ({
  name,
  description: `As the kubelet reports it: ${key}.`,
  priority: 1,
  cell: (o) => text(field(o, 'status', 'nodeInfo', key)) || '<unknown>',
});
const ROLE = 'node-role.kubernetes.io/';

export const nodeColumns: readonly Column[] = [
  NAME,
  {
    name: 'Status',
    description: 'Whether the node is ready.',
    cell: (o) => {
      const conditions = field(o, 'status', 'conditions');
      const ready = isList(conditions) ? conditions.find((c) => field(c, 'type') === 'Ready') : undefined;
      const status = ready === undefined ? 'Unknown' : field(ready, 'status') === 'True' ? 'Ready' : 'NotReady';
      return field(o, 'spec', 'unschedulable') === true ? `${status},SchedulingDisabled` : status;
    },
  },
  {
    name: 'Roles',
    description: 'Roles by label.',
    cell: (o) => {
      const labels = Object.entries(o.metadata.labels ?? {});
      const roles = labels.map(([key, value]) =>
        key.startsWith(ROLE) ? key.slice(ROLE.length) : key === 'kubernetes.io/role' ? value : '',
      );
      return [...new Set(roles.filter(Boolean))].sort().join(',') || '<none>';
    },
  },
  AGE,
  {
    name: 'Version',
    description: 'Version of the kubelet.',
    cell: (o) => text(field(o, 'status', 'nodeInfo', 'kubeletVersion')),
  },
  { name: 'Internal-IP', description: 'Inside the cluster.', priority: 1, cell: (o) => address(o, 'InternalIP') },
  { name: 'External-IP', description: 'Outside of the cluster.', priority: 1, cell: (o) => address(o, 'ExternalIP') },
  nodeInfo('OS-Image', 'osImage'),
  nodeInfo('Kernel-Version', 'kernelVersion'),
  nodeInfo('Container-Runtime', 'containerRuntimeVersion'),
];

const seenFirst = (o: KubeObject): unknown => o['firstTimestamp'] ?? o['eventTime'];
const seenLast = (o: KubeObject): unknown =>
  field(o, 'series', 'lastObservedTime') ?? o['lastTimestamp'] ?? seenFirst(o);

export const eventColumns: readonly Column[] = [
  { name: 'Last Seen', description: 'Time since the event was seen last.', cell: (o, now) => age(seenLast(o), now) },
  { name: 'Type', description: 'Normal, or Warning.', cell: (o) => text(o['type']) },
  { name: 'Reason', description: 'Why, in one word.', cell: (o) => text(o['reason']) },
  {
    name: 'Object',
    description: 'What the event is about.',
    cell: (o) => {
      const [kind, name] = ['kind', 'name'].map((key) => text(field(o, 'involvedObject', key)));
      return (kind as string).toLowerCase() + (name ? `/${name}` : '');
    },
  },
  {
    name: 'Subobject',
    description: 'The part of it.',
    priority: 1,
    cell: (o) => text(field(o, 'involvedObject', 'fieldPath')),
  },
  {
    name: 'Source',
    description: 'Who reports it.',
    priority: 1,
    cell: (o) => {
      const component = text(field(o, 'source', 'component')) || text(o['reportingComponent']);
      const host = text(field(o, 'source', 'host')) || text(o['reportingInstance']);
      return host === '' ? component : `${component}, ${host}`;
    },
  },
  { name: 'Message', description: 'What happened.', cell: (o) => text(o['message']).trim() },
  {
    name: 'First Seen',
    description: 'Time since the event was seen first.',
    priority: 1,
    cell: (o, now) => age(seenFirst(o), now),
  },
  {
    name: 'Count',
    description: 'How often it was seen.',
    type: 'integer',
    priority: 1,
    cell: (o) => Number(field(o, 'series', 'count') ?? o['count'] ?? 1),
  },
  { ...NAME, priority: 1 },
];

/** What each row has of its object. */
export type TableInclude = 'None' | 'Metadata' | 'Object';

interface TableOptions {
  readonly columns: readonly Column[];
  readonly nowMicros: number;
  readonly include: TableInclude;
  /** Of meta.k8s.io. */
  readonly version: string;
  /** The object as the resource shows it, with kind and apiVersion. */
  readonly show: (object: KubeObject) => Json;
  /** False for all but the first table of a watch. */
  readonly headers: boolean;
}

export const partialMetadata = (metadata: unknown, version: string): Json => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata,
});

export function table(metadata: Json, objects: readonly KubeObject[], options: TableOptions): Json {
  const { columns, nowMicros, include, version } = options;
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata,
    columnDefinitions: options.headers
      ? columns.map(({ name, description, type = 'string', format = '', priority = 0 }) => ({
          name,
          type,
          format,
          description,
          priority,
        }))
      : null,
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, nowMicros)),
      object:
        include === 'None'
          ? null
          : include === 'Object'
            ? options.show(object)
            : partialMetadata(object.metadata, version),
    })),
  };
}
