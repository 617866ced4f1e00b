/** Objects as rows of a Table, the form in which kubectl asks for what it prints. */
import { isList, isObject } from './schema.ts';
import type { Json } from './schema.ts';
import { humanDuration } from './time-formats.ts';
import type { KubeObject } from './object-version.ts';

export interface Column {
  readonly name: string;
  readonly description: string;
  readonly format?: 'name';
  /** 1 for what only `-o wide` shows. */
  readonly priority?: number;
  cell(object: KubeObject, nowMicros: number): string;
}

const NAME: Column = {
  name: 'Name',
  description: 'Name of the object, unique within its namespace.',
  format: 'name',
  cell: (object) => object.metadata.name,
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
      const prefix = 'node-role.kubernetes.io/';
      const roles = Object.keys(o.metadata.labels ?? {}).filter((key) => key.startsWith(prefix));
      return roles.map((key) => key.slice(prefix.length)).join(',') || '<none>';
    },
  },
  AGE,
  {
    name: 'Version',
    description: 'Version of the kubelet.',
    cell: (o) => text(field(o, 'status', 'nodeInfo', 'kubeletVersion')),
  },
];

export const eventColumns: readonly Column[] = [
  {
    name: 'Last Seen',
    description: 'Time since the event was seen last.',
    cell: (o, now) => {
      const seen =
        field(o, 'series', 'lastObservedTime') ?? o['lastTimestamp'] ?? o['eventTime'] ?? o['firstTimestamp'];
      return age(seen ?? o.metadata.creationTimestamp, now);
    },
  },
  { name: 'Type', description: 'Normal, or Warning.', cell: (o) => text(o['type']) },
  { name: 'Reason', description: 'Why, in one word.', cell: (o) => text(o['reason']) },
  {
    name: 'Object',
    description: 'What the event is about.',
    cell: (o) =>
      `${text(field(o, 'involvedObject', 'kind')).toLowerCase()}/${text(field(o, 'involvedObject', 'name'))}`,
  },
  { name: 'Message', description: 'What happened.', cell: (o) => text(o['message']).trim() },
  { ...NAME, priority: 1 },
];

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface TableOptions {
  readonly columns: readonly Column[];
  readonly nowMicros: number;
  readonly include: IncludeObject;
  /** The object as the resource shows it, with kind and apiVersion. */
  readonly show: (object: KubeObject) => Json;
  /** False for all but the first table of a watch. */
  readonly headers: boolean;
}

export const partialMetadata = (metadata: unknown): Json => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata,
});

export function table(metadata: Json, objects: readonly KubeObject[], options: TableOptions): Json {
  const { columns, nowMicros, include } = options;
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: options.headers
      ? columns.map(({ name, description, format = '', priority = 0 }) => ({
          name,
          type: 'string',
          format,
          description,
          priority,
        }))
      : null,
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, nowMicros)),
      ...(include === 'Metadata' && { object: partialMetadata(object.metadata) }),
      ...(include === 'Object' && { object: options.show(object) }),
    })),
  };
}
