/**
 * The options of `rbac` beside those of a command: who gets its permissions, and how they are called.
 */
import { objectNameProblem } from '../lease/names.ts';
import { wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import type { OptionSpec, OptionValues } from './option-spec.ts';

/** Where the manifests of `deploy/` put what runs in pods of its own. */
const NAMESPACE = 'leasekeeper';

export const RBAC_OPTIONS = {
  rbacServiceAccount: {
    kind: 'strings',
    flag: '--service-account',
    arg: 'NAMESPACE/NAME',
    help: `who gets the permissions; may be given several times; default, unless --user is given: ${NAMESPACE}/<--name>`,
    weakest: 'flag',
  },
  rbacUser: {
    kind: 'strings',
    flag: '--user',
    arg: 'NAME',
    help: "a user who gets them, for instance the common name of a client's certificate; may be given several times",
    weakest: 'flag',
  },
  rbacName: {
    kind: 'string',
    flag: '--name',
    arg: 'NAME',
    help: 'what the Role and its binding are called; default leasekeeper-<command>',
    weakest: 'flag',
  },
} as const satisfies Record<string, OptionSpec>;

/** As a binding names it. */
type Subject =
  | { readonly kind: 'ServiceAccount'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'User'; readonly apiGroup: 'rbac.authorization.k8s.io'; readonly name: string };

export interface RbacSettings {
  readonly name: string;
  readonly subjects: readonly Subject[];
  readonly wrong: readonly Wrong[];
}

/** @param command whose permissions they are */
export function rbacSettings(values: OptionValues<typeof RBAC_OPTIONS>, command: string): RbacSettings {
  const name = values.rbacName ?? `leasekeeper-${command}`;
  const broken = wrong('rbacName', name, objectNameProblem(name));
  const accounts = (values.rbacServiceAccount ?? []).map((text): Subject => {
    const [namespace = '', account = '', ...more] = text.split('/');
    const bad = more.length > 0 || [namespace, account].some((part) => objectNameProblem(part) !== undefined);
    broken.push(...wrong('rbacServiceAccount', text, bad ? 'must be NAMESPACE/NAME' : undefined));
    return { kind: 'ServiceAccount', namespace, name: account };
  });
  const users = (values.rbacUser ?? []).map((user): Subject => {
    broken.push(...wrong('rbacUser', user, user === '' ? 'must not be empty' : undefined));
    return { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user };
  });
  const given = [...users, ...accounts];
  const subjects: Subject[] = given.length > 0 ? given : [{ kind: 'ServiceAccount', namespace: NAMESPACE, name }];
  return { name, subjects, wrong: broken };
}
