/**
 * Kubernetes' rules for names, labels and the metadata of any object.
 *
 * Guarantees: each rule answers with Kubernetes' own wording; all broken rules of an object are reported at once; nothing
 * here changes what it looks at.
 */
import { forbiddenValue, invalidValue, requiredValue } from '../status-errors.ts';
import type { FieldError } from '../status-errors.ts';

/** The metadata of an object. */
export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { apiVersion?: string; kind?: string; name?: string; uid?: string; controller?: boolean }[];
  finalizers?: string[];
  managedFields?: unknown[];
}

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const DNS_LABEL = new RegExp(`^${LABEL}$`);
const DNS_SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
/** Of all annotations of an object together, in bytes. */
const MAX_ANNOTATIONS = 256 * 1024;

const SUBDOMAIN_RULE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and " +
  "end with an alphanumeric character (e.g. 'example.com', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with " +
  "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE_RULE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end " +
  "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is " +
  "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART_RULE =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric " +
  "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
  "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

export type NameRule = (name: string) => string[];

export const dnsSubdomain: NameRule = (name) => {
  const broken: string[] = [];
  if (name.length > 253) broken.push('must be no more than 253 characters');
  if (!DNS_SUBDOMAIN.test(name)) broken.push(SUBDOMAIN_RULE);
  return broken;
};

export const dnsLabel: NameRule = (name) => {
  const broken: string[] = [];
  if (name.length > 63) broken.push('must be no more than 63 characters');
  if (!DNS_LABEL.test(name)) broken.push(DNS_SUBDOMAIN.test(name) ? 'must not contain dots' : LABEL_RULE);
  return broken;
};

/** A label's or annotation's key: `[prefix/]name`. */
export const qualifiedName: NameRule = (key) => {
  const parts = key.split('/');
  const broken: string[] = [];
  if (parts.length > 2) {
    return [
      `a valid label key ${NAME_PART_RULE.replace('name part ', '')} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const name = parts.at(-1) as string;
  if (parts.length === 2) {
    const prefix = parts[0] as string;
    if (prefix === '') broken.push('prefix part must be non-empty');
    else broken.push(...dnsSubdomain(prefix).map((rule) => `prefix part ${rule}`));
  }
  if (name === '') broken.push('name part must be non-empty');
  else if (Buffer.byteLength(name) > 63) broken.push('name part must be no more than 63 bytes');
  if (!QUALIFIED_NAME.test(name)) broken.push(NAME_PART_RULE);
  return broken;
};

export const labelValue: NameRule = (value) => {
  const broken: string[] = [];
  if (Buffer.byteLength(value) > 63) broken.push('must be no more than 63 bytes');
  if (!LABEL_VALUE.test(value)) broken.push(LABEL_VALUE_RULE);
  return broken;
};

export const isLabelKey = (key: string): boolean => qualifiedName(key).length === 0;
export const isLabelValue = (value: string): boolean => value.length <= 63 && LABEL_VALUE.test(value);

export function validateMeta(meta: ObjectMeta, nameRule: NameRule): FieldError[] {
  const errors: FieldError[] = [];
  if (meta.generateName !== undefined && meta.generateName !== '') {
    // The prefix may end in a dash: a suffix follows. (Kubernetes puts an `a` in the place of its last two characters.)
    for (const rule of nameRule(meta.generateName.replace(/.-$/s, 'a'))) {
      errors.push(invalidValue('metadata.generateName', meta.generateName, rule));
    }
  }
  if (meta.name === '') errors.push(requiredValue('metadata.name', 'name or generateName is required'));
  else for (const rule of nameRule(meta.name)) errors.push(invalidValue('metadata.name', meta.name, rule));
  if ((meta.generation ?? 0) < 0) {
    errors.push(invalidValue('metadata.generation', meta.generation, 'must be greater than or equal to 0'));
  }
  errors.push(...validateMaps(meta));
  for (const finalizer of meta.finalizers ?? []) {
    for (const rule of qualifiedName(finalizer)) {
      errors.push(invalidValue('metadata.finalizers', finalizer, rule));
    }
  }
  if (meta.finalizers?.includes('orphan') && meta.finalizers.includes('foregroundDeletion')) {
    const rule = 'finalizer orphan and foregroundDeletion cannot be both set';
    errors.push(invalidValue('metadata.finalizers', meta.finalizers, rule));
  }
  return errors;
}

/** Labels, annotations and owners, which Kubernetes looks at again and again when an object changes. */
function validateMaps(meta: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(meta.labels ?? {})) {
    for (const rule of qualifiedName(key)) errors.push(invalidValue('metadata.labels', key, rule));
    for (const rule of labelValue(value)) errors.push(invalidValue('metadata.labels', value, rule));
  }
  let size = 0;
  for (const [key, value] of Object.entries(meta.annotations ?? {})) {
    // Unlike a label's, an annotation's key is judged in lower case.
    for (const rule of qualifiedName(key.toLowerCase())) errors.push(invalidValue('metadata.annotations', key, rule));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > MAX_ANNOTATIONS) {
    errors.push({
      field: 'metadata.annotations',
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${MAX_ANNOTATIONS} bytes`,
    });
  }
  return [...errors, ...validateOwners(meta.ownerReferences ?? [])];
}

function validateOwners(owners: NonNullable<ObjectMeta['ownerReferences']>): FieldError[] {
  const errors: FieldError[] = [];
  for (const owner of owners) {
    const { apiVersion = '', kind = '' } = owner;
    const version = /^(?:[^/]*\/)?([^/]*)$/.exec(apiVersion)?.[1] ?? '';
    if (version === '') {
      errors.push(invalidValue('metadata.ownerReferences.apiVersion', apiVersion, 'version must not be empty'));
    }
    for (const field of ['kind', 'name', 'uid'] as const) {
      if (owner[field]) continue;
      errors.push(invalidValue(`metadata.ownerReferences.${field}`, '', 'must not be empty'));
    }
    if (apiVersion === 'v1' && kind === 'Event') {
      const rule = '/v1, Kind=Event is disallowed from being an owner';
      errors.push(invalidValue('metadata.ownerReferences', owner, rule));
    }
  }
  const [one, other] = owners.filter((owner) => owner.controller);
  if (one && other) {
    const rule =
      'Only one reference can have Controller set to true. ' +
      `Found "true" in references for ${one.kind}/${one.name} and ${other.kind}/${other.name}`;
    errors.push(invalidValue('metadata.ownerReferences', owners, rule));
  }
  return errors;
}

/** What may not change about an object that exists. (Times that the server sets are ignored instead.) */
export function validateMetaUpdate(meta: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors = [...validateMaps(meta), ...validateMaps(meta)];
  if (meta.uid !== undefined && meta.uid !== old.uid) {
    errors.push(invalidValue('metadata.uid', meta.uid, 'field is immutable'));
  }
  for (const field of ['deletionTimestamp', 'deletionGracePeriodSeconds'] as const) {
    // What is set already is carried over.
    const [given, was] = [meta[field], field === 'deletionTimestamp' ? undefined : old[field]];
    if (given === undefined || given === was || (field === 'deletionTimestamp' && old[field] !== undefined)) continue;
    errors.push(invalidValue(`metadata.${field}`, given, 'field is immutable'));
  }
  if (old.deletionTimestamp !== undefined) {
    const added = (meta.finalizers ?? []).filter((f) => !old.finalizers?.includes(f));
    if (added.length > 0) {
      const found = added.map((f) => JSON.stringify(f)).join(', ');
      errors.push(
        forbiddenValue(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${found}}`,
        ),
      );
    }
  }
  return errors;
}
