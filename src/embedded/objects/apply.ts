/**
 * Server-side apply, in its minimal form: the applied configuration is merged into the object; what this manager
 * applied before and now leaves out is removed; a field that another manager applied with another value is a conflict
 * unless forced. Ownership by ordinary updates is not kept, so they never conflict.
 */
import { listKind } from './patch.ts';
import { isList, isObject, setKey } from './schema.ts';
import type { Json } from './schema.ts';

interface ManagedFields {
  manager: string;
  operation: 'Apply';
  apiVersion: string;
  time: string;
  fieldsType: 'FieldsV1';
  fieldsV1: Json;
}

export interface ApplyOptions {
  readonly manager: string;
  readonly apiVersion: string;
  readonly force: boolean;
  readonly time: string;
}

export interface ApplyResult {
  readonly object: Json;
  /** Fields that others applied with another value, and the managers: empty when applied. */
  readonly conflicts: readonly { readonly field: string; readonly manager: string }[];
}

export function serverSideApply(current: Json | undefined, config: Json, options: ApplyOptions): ApplyResult {
  const entries = managedFieldsOf(current);
  const mine = entries.find((e) => e.manager === options.manager);
  const { apiVersion: _version, kind: _kind, ...content } = config;
  const { managedFields: _ignored, name: _name, namespace: _namespace, ...meta } = object(content['metadata']);
  const applied: Json = { ...content, metadata: meta };
  const fields = fieldsOf(applied);

  const conflicts: { field: string; manager: string }[] = [];
  const others: ManagedFields[] = [];
  for (const entry of entries) {
    if (entry.manager === options.manager) continue;
    const clashing = clashes(applied, current, entry.fieldsV1, '');
    for (const field of clashing) conflicts.push({ field, manager: entry.manager });
    const left = clashing.length === 0 ? entry.fieldsV1 : without(entry.fieldsV1, fields);
    if (left !== undefined && Object.keys(left).length > 0) others.push({ ...entry, fieldsV1: left });
  }
  if (conflicts.length > 0 && !options.force) return { object: current ?? {}, conflicts };

  let base: Json = current ?? {};
  if (mine) {
    let dropped = without(mine.fieldsV1, fields);
    for (const other of others) dropped = dropped && without(dropped, other.fieldsV1);
    if (dropped) base = removeFields(base, dropped);
  }
  const merged = merge(base, { ...applied, metadata: { ...meta, name: _name, namespace: _namespace } }) as Json;
  const unchanged = mine && JSON.stringify(mine.fieldsV1) === JSON.stringify(fields);
  const entry: ManagedFields = {
    manager: options.manager,
    operation: 'Apply',
    apiVersion: options.apiVersion,
    time: unchanged ? mine.time : options.time,
    fieldsType: 'FieldsV1',
    fieldsV1: fields,
  };
  const managedFields = Object.keys(fields).length === 0 ? others : [entry, ...others];
  return { object: { ...merged, metadata: { ...object(merged['metadata']), managedFields } }, conflicts: [] };
}

const object = (v: unknown): Json => (isObject(v) ? v : {});

function managedFieldsOf(current: Json | undefined): ManagedFields[] {
  const list = object(current?.['metadata'])['managedFields'];
  return isList(list)
    ? list.filter((e): e is ManagedFields => isObject(e) && e['operation'] === 'Apply' && isObject(e['fieldsV1']))
    : [];
}

/** FieldsV1: `f:name` for a field, `k:{…}` for a list element by key, `v:…` for an element of a set; `{}` for a leaf. */
function fieldsOf(value: Json): Json {
  const out: Json = {};
  for (const [name, item] of Object.entries(value)) {
    if (item === undefined || item === null) continue;
    const kind = listKind(name);
    if (isObject(item)) {
      const inner = fieldsOf(item);
      if (Object.keys(inner).length > 0) out[`f:${name}`] = inner;
    } else if (isList(item) && kind === 'set') {
      out[`f:${name}`] = Object.fromEntries(item.map((v) => [`v:${JSON.stringify(v)}`, {}]));
    } else if (isList(item) && typeof kind === 'object') {
      const { key } = kind;
      out[`f:${name}`] = Object.fromEntries(
        item.filter(isObject).map((v) => [`k:${JSON.stringify({ [key]: v[key] })}`, fieldsOf(v)]),
      );
    } else out[`f:${name}`] = {};
  }
  return out;
}

/** The fields of `a` that are not in `b`; undefined when none is left. */
function without(a: Json, b: Json): Json | undefined {
  const out: Json = {};
  for (const [key, inner] of Object.entries(a)) {
    if (!Object.hasOwn(b, key)) out[key] = inner;
    else {
      const left = without(object(inner), object(b[key]));
      if (left) out[key] = left;
    }
  }
  return Object.keys(out).length === 0 ? undefined : out;
}

/** Paths that both configurations set, with a value other than the current one. */
function clashes(applied: Json, current: unknown, owned: Json, path: string): string[] {
  const out: string[] = [];
  for (const [name, value] of Object.entries(applied)) {
    const inner = owned[`f:${name}`];
    if (!isObject(inner) || value === undefined || value === null) continue;
    const now = object(current)[name];
    if (isObject(value)) out.push(...clashes(value, now, inner, `${path}.${name}`));
    else if (!isList(value) || listKind(name) === undefined) {
      if (JSON.stringify(value) !== JSON.stringify(now)) out.push(`${path}.${name}`);
    }
  }
  return out;
}

function removeFields(value: Json, fields: Json): Json {
  const out: Json = {};
  for (const [name, item] of Object.entries(value)) {
    const inner = fields[`f:${name}`];
    if (!isObject(inner)) setKey(out, name, item);
    else if (isList(item) && Object.keys(inner).length > 0) {
      const kind = listKind(name);
      out[name] = item.filter((v) => {
        const id =
          kind === 'set' || kind === undefined
            ? `v:${JSON.stringify(v)}`
            : `k:${JSON.stringify({ [kind.key]: object(v)[kind.key] })}`;
        return !Object.hasOwn(inner, id);
      });
    } else if (isObject(item) && Object.keys(inner).length > 0) out[name] = removeFields(item, inner);
  }
  return out;
}

function merge(base: unknown, applied: unknown, field = ''): unknown {
  const kind = listKind(field);
  if (isList(applied) && kind !== undefined) {
    const list: unknown[] = isList(base) ? [...base] : [];
    if (kind === 'set') return [...new Set([...list, ...applied])];
    for (const item of applied) {
      const at = list.findIndex((o) => object(o)[kind.key] === object(item)[kind.key]);
      if (at >= 0) list[at] = merge(list[at], item);
      else list.push(item);
    }
    return list;
  }
  if (!isObject(applied)) return applied;
  const out: Json = { ...object(base) };
  for (const [name, item] of Object.entries(applied)) {
    if (item !== undefined && item !== null) setKey(out, name, merge(out[name], item, name));
  }
  return out;
}
