/** What is served, as kubectl and other clients ask for it before anything else: derived from the table of resources. */
import { RESOURCES } from './objects/resources.ts';
import type { ResourceType } from './objects/resources.ts';
import type { Json } from './objects/schema.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** The version of the Kubernetes API whose behaviour this server shows. */
const SERVER_VERSION: Json = {
  major: '1',
  minor: '36',
  emulationMajor: '1',
  emulationMinor: '36',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '35',
  gitVersion: 'v1.36.0+leasekeeper',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `${process.platform}/${process.arch}`,
};

const groupVersions = new Map<string, ResourceType[]>();
for (const type of RESOURCES) {
  groupVersions.set(type.apiVersion, [...(groupVersions.get(type.apiVersion) ?? []), type]);
}
const pathOf = (apiVersion: string): string => (apiVersion.includes('/') ? `apis/${apiVersion}` : `api/${apiVersion}`);

function resourceList(apiVersion: string, types: readonly ResourceType[]): Json {
  const resources = types.flatMap((type) => {
    const { resource, singular, namespaced, kind, shortNames } = type;
    const main = {
      name: resource,
      singularName: singular,
      namespaced,
      kind,
      verbs: VERBS.filter((verb) => verb !== 'deletecollection' || type.deletesCollections),
      ...(shortNames.length > 0 && { shortNames }),
    };
    const more = Object.keys(type.subresources)
      .sort()
      .map((name) => ({
        name: `${resource}/${name}`,
        singularName: '',
        namespaced,
        kind,
        verbs: name === 'finalize' ? ['update'] : ['get', 'patch', 'update'],
      }));
    return [main, ...more];
  });
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersion, resources };
}

function group(apiVersion: string): Json {
  const [name, version] = apiVersion.split('/');
  const only = { groupVersion: apiVersion, version };
  return { name, versions: [only], preferredVersion: only };
}

const DOCUMENTS = new Map<string, Json>();
for (const [apiVersion, types] of groupVersions) {
  DOCUMENTS.set(`/${pathOf(apiVersion)}`, resourceList(apiVersion, types));
  DOCUMENTS.set(`/openapi/v3/${pathOf(apiVersion)}`, openApi(types));
  if (apiVersion.includes('/')) {
    DOCUMENTS.set(`/apis/${apiVersion.split('/')[0]}`, { kind: 'APIGroup', apiVersion: 'v1', ...group(apiVersion) });
  }
}
DOCUMENTS.set('/apis', {
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: [...groupVersions.keys()].filter((apiVersion) => apiVersion.includes('/')).map(group),
});
DOCUMENTS.set('/version', SERVER_VERSION);
DOCUMENTS.set('/openapi/v3', {
  paths: Object.fromEntries(
    [...groupVersions.keys()].map((v) => [pathOf(v), { serverRelativeURL: `/openapi/v3/${pathOf(v)}?hash=1` }]),
  ),
});
DOCUMENTS.set('/', { paths: [...DOCUMENTS.keys(), '/api', '/livez', '/readyz', '/healthz', '/metrics'].sort() });

/**
 * Just enough OpenAPI for kubectl to see that the server validates fields itself: it looks for the parameter
 * `fieldValidation` of each kind's PATCH.
 */
function openApi(types: readonly ResourceType[]): Json {
  const parameters = ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map((name) => ({
    name,
    in: 'query',
    schema: { type: name === 'force' ? 'boolean' : 'string' },
  }));
  const paths: Json = {};
  const schemas: Json = {};
  for (const type of types) {
    const gvk = { group: type.group, version: type.version, kind: type.kind };
    const scope = type.namespaced ? 'namespaces/{namespace}/' : '';
    paths[`/${pathOf(type.apiVersion)}/${scope}${type.resource}/{name}`] = {
      patch: {
        'x-kubernetes-action': 'patch',
        'x-kubernetes-group-version-kind': gvk,
        parameters,
        responses: { 200: { description: 'OK' } },
      },
    };
    schemas[type.kind] = { type: 'object', 'x-kubernetes-group-version-kind': [gvk] };
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: SERVER_VERSION['gitVersion'] },
    paths,
    components: { schemas },
  };
}

/** The document at a path; undefined when there is none. `host` is what the client called the server. */
export function discoveryDocument(path: string, host: string): Json | undefined {
  if (path !== '/api') return DOCUMENTS.get(path);
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: host }],
  };
}
