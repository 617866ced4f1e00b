/**
 * Fields of Kubernetes objects by the published OpenAPI, as client-node's models hold it: an unknown field or a value of
 * another type is reported. What a server checks beyond that (required fields, formats) is not.
 *
 * The kinds of the Prometheus operator are in no package here. Theirs are written by hand, as far as deploy/ uses them,
 * from the operator's API reference (monitoring.coreos.com/v1).
 */
import * as models from '@kubernetes/client-node/dist/gen/models/all.js';
import type { Manifest } from './support.ts';

interface Attribute {
  readonly baseName: string;
  readonly type: string;
}
interface Model {
  getAttributeTypeMap(): readonly Attribute[];
}

type Shape = { readonly [field: string]: Shape } | readonly [Shape] | 'string' | 'labels' | 'int-or-string';

const SELECTOR: Shape = {
  matchLabels: 'labels',
  matchExpressions: [{ key: 'string', operator: 'string', values: ['string'] }],
};
const KEY: Shape = { name: 'string', key: 'string' };
const ENDPOINT: Shape = {
  ...{ port: 'string', path: 'string', interval: 'string', scheme: 'string' },
  tlsConfig: { serverName: 'string', ca: { configMap: KEY } },
  authorization: { credentials: KEY },
};
const MONITOR = { namespaceSelector: { matchNames: ['string'] }, selector: SELECTOR } as const;
const OPERATOR: Readonly<Record<string, Shape>> = {
  ServiceMonitor: { ...MONITOR, endpoints: [ENDPOINT] },
  PodMonitor: { ...MONITOR, podMetricsEndpoints: [ENDPOINT] },
  PrometheusRule: {
    groups: [
      {
        name: 'string',
        rules: [
          {
            record: 'string',
            alert: 'string',
            expr: 'int-or-string',
            for: 'string',
            labels: 'labels',
            annotations: 'labels',
          },
        ],
      },
    ],
  },
};

/** Everything that is wrong with an object, each with its path. */
export function schemaProblems(object: Manifest): string[] {
  const at = `${object.kind} ${object.metadata.name}`;
  const [group = '', version = ''] = object.apiVersion.includes('/')
    ? object.apiVersion.split('/')
    : ['', object.apiVersion];
  if (group === 'monitoring.coreos.com') {
    const { apiVersion: _, kind, metadata, spec, ...more } = object;
    const shape = OPERATOR[kind];
    if (!shape || version !== 'v1') return [`${at}: no such kind in ${object.apiVersion}`];
    return [
      ...Object.keys(more).map((field) => `${at}: unknown field ${field}`),
      ...modelProblems(metadata, 'V1ObjectMeta', `${at}.metadata`),
      ...shapeProblems(spec, shape, `${at}.spec`),
    ];
  }
  return modelProblems(object, `${version.toUpperCase()}${object.kind}`, at);
}

const SCALARS: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
  Date: (value) => typeof value === 'string',
  IntOrString: (value) => typeof value === 'string' || Number.isInteger(value),
  any: () => true,
};

function modelProblems(value: unknown, type: string, at: string): string[] {
  const scalar = SCALARS[type];
  if (scalar) return scalar(value) ? [] : [`${at}: ${JSON.stringify(value)} is no ${type}`];
  const list = /^Array<(.*)>$/.exec(type);
  if (list) {
    if (!Array.isArray(value)) return [`${at}: is no list`];
    return value.flatMap((item, i) => modelProblems(item, list[1]!, `${at}[${i}]`));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${at}: is no object`];
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type);
  if (map) return Object.entries(value).flatMap(([key, item]) => modelProblems(item, map[1]!, `${at}.${key}`));
  const model = (models as unknown as Record<string, Model>)[type];
  if (!model) return [`${at}: no model ${type}`];
  const attributes = new Map(model.getAttributeTypeMap().map((attribute) => [attribute.baseName, attribute.type]));
  return Object.entries(value).flatMap(([field, item]) => {
    // A directive of a strategic merge patch, no field.
    if (field.startsWith('$setElementOrder/')) return [];
    const of = attributes.get(field);
    return of === undefined ? [`${at}: unknown field ${field}`] : modelProblems(item, of, `${at}.${field}`);
  });
}

function shapeProblems(value: unknown, shape: Shape, at: string): string[] {
  if (shape === 'labels') return modelProblems(value, '{ [key: string]: string; }', at);
  if (shape === 'string') return modelProblems(value, 'string', at);
  if (shape === 'int-or-string') return modelProblems(value, 'IntOrString', at);
  if (Array.isArray(shape)) {
    const [of] = shape as readonly [Shape];
    if (!Array.isArray(value)) return [`${at}: is no list`];
    return value.flatMap((item, i) => shapeProblems(item, of, `${at}[${i}]`));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${at}: is no object`];
  return Object.entries(value).flatMap(([field, item]) => {
    const of = (shape as Readonly<Record<string, Shape>>)[field];
    return of === undefined ? [`${at}: unknown field ${field}`] : shapeProblems(item, of, `${at}.${field}`);
  });
}
