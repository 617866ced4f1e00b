/**
 * Grants as the YAML of Roles and their bindings, ready for `kubectl apply -f -`.
 *
 * Guarantees: one rule for what is granted on the same objects, with why in comments; a verb on all objects is not said
 * again for some. What is of a namespace is in a Role there, what is of the cluster in a ClusterRole.
 */
import { Document, YAMLMap, YAMLSeq, visit } from 'yaml';
import type { RbacSettings } from '../../config/rbac-flags.ts';
import type { Grant, Resource, Verb } from '../permissions.ts';
import { escapeQuoted } from './text-width.ts';

const API_VERSION = 'rbac.authorization.k8s.io/v1';
const API_GROUP = 'rbac.authorization.k8s.io';
const GROUPS: Readonly<Record<Resource, string>> = {
  leases: 'coordination.k8s.io',
  nodes: '',
  events: 'events.k8s.io',
};
/** As people write them. */
const VERBS: readonly Verb[] = ['get', 'list', 'watch', 'create', 'update', 'delete'];

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly Resource[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly Verb[];
}

/** A Role or ClusterRole and its binding. */
interface Bound {
  readonly role: { readonly kind: 'Role' | 'ClusterRole'; readonly metadata: object; readonly rules: readonly Rule[] };
  readonly binding: { readonly kind: 'RoleBinding' | 'ClusterRoleBinding' };
  /** Of each rule, in lines. */
  readonly reasons: readonly string[];
}

export function rbacObjects(grants: readonly Grant[], { name, subjects }: RbacSettings): Bound[] {
  const namespaces = [...new Set(grants.map(({ namespace }) => namespace))];
  return namespaces.map((namespace) => {
    const cluster = namespace === undefined ? 'Cluster' : '';
    const metadata = {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { 'app.kubernetes.io/name': 'leasekeeper' },
    };
    const rules = rulesOf(grants.filter((grant) => grant.namespace === namespace));
    const kind = `${cluster}Role` as const;
    return {
      role: { apiVersion: API_VERSION, kind, metadata, rules: rules.map(({ rule }) => rule) },
      reasons: rules.map(({ reason }) => reason),
      binding: {
        apiVersion: API_VERSION,
        kind: `${cluster}RoleBinding` as const,
        metadata,
        roleRef: { apiGroup: API_GROUP, kind, name },
        subjects,
      },
    };
  });
}

function rulesOf(grants: readonly Grant[]): { rule: Rule; reason: string }[] {
  const keyOf = ({ resource, names }: Grant): string => JSON.stringify([resource, names]);
  const onAll = (resource: Resource): ReadonlySet<Verb> =>
    new Set(grants.filter((grant) => grant.resource === resource && !grant.names).flatMap(({ verbs }) => verbs));
  return [...new Set(grants.map(keyOf))].flatMap((key) => {
    const alike = grants.filter((grant) => keyOf(grant) === key);
    const [{ resource, names } = { resource: 'leases' as const, names: undefined }] = alike;
    const said = names ? onAll(resource) : new Set<Verb>();
    const granted = new Set(alike.flatMap(({ verbs }) => verbs));
    const verbs = VERBS.filter((verb) => granted.has(verb) && !said.has(verb));
    if (verbs.length === 0) return [];
    const apiGroups = [GROUPS[resource]];
    const rule = { apiGroups, resources: [resource], ...(names && { resourceNames: names }), verbs };
    const reasons = alike.flatMap((grant) => {
      const verbsHere = grant.verbs.filter((verb) => verbs.includes(verb));
      return verbsHere.length > 0 ? [` ${verbsHere.join(', ')}: ${grant.why}`] : [];
    });
    return [{ rule, reason: reasons.join('\n') }];
  });
}

/** @param about the first line, a comment */
export function rbacYaml(bound: readonly Bound[], about: string): string {
  const documents = bound.flatMap(({ role, binding, reasons }, i) => {
    const document = new Document(role, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
    if (i === 0) (document.contents as unknown as YAMLMap).commentBefore = ` ${about}`;
    const rules = document.get('rules') as YAMLSeq;
    rules.items.forEach((rule, n) => ((rule as YAMLMap).commentBefore = reasons[n] ?? null));
    return [document, new Document(binding, { aliasDuplicateObjects: false, compat: 'yaml-1.1' })];
  });
  return documents
    .map((document) => {
      visit(document, {
        Seq(_key, node) {
          if (node.items.every((item) => !(item instanceof YAMLMap))) node.flow = true;
        },
      });
      return escapeQuoted(document.toString({ lineWidth: 0, flowCollectionPadding: false, singleQuote: true }));
    })
    .join('---\n');
}
