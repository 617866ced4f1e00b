/**
 * Who owns which field: `metadata.managedFields` of every write, and server-side apply, as Kubernetes' structured merge
 * does them.
 *
 * Guarantees: an update or patch owns what it changes; an apply owns what it names, conflicts with what others own and
 * it would change, and removes what it owned before and now leaves out, unless others own it too. What is given is not
 * changed.
 */
import {
  DecodeContext,
  DecodeError,
  FREE,
  asObject,
  asText,
  equal,
  isList,
  isObject,
  memberCodec,
  setKey,
} from './schema.ts';
import type { Codec, Json } from './schema.ts';
import { RESOURCES, emptyObject } from './resources.ts';
import type { ResourceType } from './resources.ts';
import type { KubeObject } from './object-version.ts';

/** Who writes, and through which resource. */
export interface FieldWriter {
  readonly type: ResourceType;
  readonly manager: string;
  readonly subresource: string;
  /** Whole seconds, as text. */
  readonly time: string;
}

/** A field that an apply would change although `manager` owns it. */
export interface FieldConflict {
  readonly field: string;
  /** As messages name it. */
  readonly manager: string;
}

/** What an apply cannot make an object of: Kubernetes answers 500. */
export class ApplyError extends Error {
  override readonly name = 'ApplyError';
  readonly code = 'ApplyFailed';
}

/** Paths in FieldsV1's notation, their parts joined by SEPARATOR. */
type FieldSet = ReadonlySet<string>;
const SEPARATOR = '\0';
const NONE: FieldSet = new Set();

interface Entry {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  /** The fields, as a tree. */
  readonly fieldsV1: Json;
}
/** By what tells writers apart. */
type Entries = Map<string, Entry>;

/** More updaters of an object than this are merged into one, the oldest first. */
const MAX_UPDATERS = 10;
const ANCIENT = 'ancient-changes';

/** Nobody's: what the server sets, and what names the object. */
const SERVERS_OWN = ['name', 'namespace', 'creationTimestamp', 'selfLink', 'uid', 'generation', 'managedFields'];
const UNOWNED: FieldSet = new Set([
  'f:kind',
  'f:apiVersion',
  'f:metadata',
  ...[...SERVERS_OWN, 'resourceVersion'].map((name) => `f:metadata${SEPARATOR}f:${name}`),
]);

/**
 * The managed fields of an object that an update or patch stores.
 * @param live what was there, as stored; undefined when it is created
 */
export function managedByUpdate(live: KubeObject | undefined, next: KubeObject, by: FieldWriter): unknown[] {
  const kept = live?.metadata.managedFields ?? [];
  const given = by.subresource === '' ? (next.metadata.managedFields ?? kept) : kept;
  // No entry, or one that is empty, is how a client clears them; they are not kept from then on.
  if (live && given !== kept && given.every((entry) => Object.keys(asObject(entry)).length === 0) && given.length < 2)
    return [];
  let entries = JSON.stringify(given) === JSON.stringify(kept) ? NO_ENTRIES : readEntries(given, true);
  if (entries.size === 0) entries = readEntries(kept);
  if (live && entries.size === 0) return [];
  update(entries, live ?? nothing(by.type), next, by);
  return writeEntries(entries);
}

/**
 * Applies a configuration.
 * @param live what is there, as stored
 * @returns the new object, as stored, with its managed fields; or what conflicts, unless `force` is set
 * @throws ApplyError
 */
export function serverSideApply(
  live: KubeObject | undefined,
  config: Json,
  by: FieldWriter,
  force: boolean,
): KubeObject | readonly FieldConflict[] {
  const { type, manager, subresource } = by;
  const { codec, apiVersion } = type;
  const problems = typeProblems(codec, config, '');
  if (problems.length > 0) {
    const text = problems.length === 1 ? (problems[0] as string) : `errors:${problems.map((p) => `\n  ${p}`).join('')}`;
    throw new ApplyError(`failed to create typed patch object (${described(config, type)}): ${text}`);
  }
  const current = live ?? nothing(type);
  const entries = readEntries(current.metadata.managedFields ?? []);
  if (entries.size === 0) update(entries, nothing(type), current, { ...by, manager: 'before-first-apply' });

  const id = idOf({ manager, operation: 'Apply', apiVersion, subresource });
  const before = entries.get(id);
  const fields = ownable(leavesOf(codec, config), by);
  entries.delete(id);
  let merged = merge(codec, shown(type, current), config);
  if (before) {
    const owned = new Set([...fields, ...[...entries.values()].flatMap(({ fieldsV1 }) => [...pathsOf(fieldsV1)])]);
    merged = without(codec, merged, '', minus(pathsOf(before.fieldsV1), owned));
  }
  const versions = new Versions(current, () => stored(merged as Json, config, type), by, merged as Json);
  const allowed = manager === KUBECTL && live ? lastAppliedFields(live, by) : NONE;
  const conflicts = versions.takeOver(entries).filter(({ field }) => !allowed.has(field));
  if (conflicts.length > 0 && !force) return conflicts;
  const next = stored(merged as Json, config, type);
  const { annotations } = next.metadata;
  if (manager === KUBECTL && annotations?.[LAST_APPLIED]) annotations[LAST_APPLIED] = lastApplied(config);
  const time = live && versions.changes(apiVersion)?.none ? before?.time : by.time;
  if (fields.size > 0)
    entries.set(id, { manager, operation: 'Apply', apiVersion, subresource, time, fieldsV1: treeOf(fields) });
  next.metadata.managedFields = writeEntries(entries);
  return next;
}

/** kubectl's name as applier, and where its client-side apply keeps what was applied last. */
const [KUBECTL, LAST_APPLIED] = ['kubectl', 'kubectl.kubernetes.io/last-applied-configuration'];

/**
 * Names of the fields that kubectl applied by itself last and that are still so: its server-side apply takes them over
 * without a conflict.
 */
function lastAppliedFields(live: KubeObject, by: FieldWriter): FieldSet {
  let last: unknown;
  try {
    last = JSON.parse(live.metadata.annotations?.[LAST_APPLIED] ?? 'null');
  } catch {
    return NONE;
  }
  const { codec } = by.type;
  if (!isObject(last) || typeProblems(codec, last, '').length > 0) return NONE;
  const [changed, removed] = [new Set<string>(), new Set<string>()];
  compare(codec, last, shown(by.type, live), '', changed, removed);
  return new Set([...minus(minus(leavesOf(codec, last), changed), removed)].map(fieldName));
}

/** A configuration as that annotation has it. */
function lastApplied(config: Json): string {
  const metadata = { ...asObject(config['metadata']) };
  delete metadata['managedFields'];
  if (isObject(metadata['annotations'])) {
    metadata['annotations'] = { ...metadata['annotations'] };
    delete (metadata['annotations'] as Json)[LAST_APPLIED];
  }
  const byKey = (_: string, value: unknown): unknown =>
    isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
  return `${JSON.stringify({ ...config, metadata }, byKey)}\n`;
}

/** Lets the writer own what differs, in `entries`. */
function update(entries: Entries, live: KubeObject, next: KubeObject, by: FieldWriter): void {
  const who = {
    manager: by.manager,
    operation: 'Update',
    apiVersion: by.type.apiVersion,
    subresource: by.subresource,
  } as const;
  const id = idOf(who);
  const before = entries.get(id);
  entries.delete(id);
  const versions = new Versions(live, () => next, by);
  versions.takeOver(entries);
  const { changed, removed } = versions.changes(who.apiVersion) as Changes;
  const time = changed.size > 0 ? by.time : before?.time;
  // A renewal, mostly: the writer owns all that changed already.
  const same = before && ownsEach(before.fieldsV1, changed) && !ownsAny(before.fieldsV1, removed);
  const fields = same ? NONE : new Set([...minus(pathsOf(before?.fieldsV1 ?? {}), removed), ...changed]);
  if (same) entries.set(id, { ...before, time });
  else if (fields.size > 0) entries.set(id, { ...who, time, fieldsV1: treeOf(fields) });
  mergeOldest(entries);
}

/** One change of an object, in each of the versions that its writers used. */
class Versions {
  readonly #live: KubeObject;
  readonly #next: () => KubeObject;
  readonly #by: FieldWriter;
  readonly #written: Json | undefined;
  readonly #changes = new Map<string, Changes>();

  /** @param written `next` in the words of its writer, who may write a time otherwise than it is stored */
  constructor(live: KubeObject, next: () => KubeObject, by: FieldWriter, written?: Json) {
    this.#live = live;
    this.#next = next;
    this.#by = by;
    this.#written = written;
  }

  /** Undefined for a version that is not served. */
  changes(apiVersion: string): Changes | undefined {
    const { type } = this.#by;
    const viewed = RESOURCES.find((r) => r.apiVersion === apiVersion && r.collection === type.collection);
    let found = this.#changes.get(apiVersion);
    if (found || !viewed) return found;
    const [changed, removed] = [new Set<string>(), new Set<string>()];
    const next = viewed === type && this.#written ? this.#written : shown(viewed, this.#next());
    compare(viewed.codec, shown(viewed, this.#live), next, '', changed, removed);
    found = { changed: ownable(changed, this.#by), removed: ownable(removed, this.#by), none: false };
    found = { ...found, none: found.changed.size === 0 && found.removed.size === 0 };
    this.#changes.set(apiVersion, found);
    return found;
  }

  /** Takes from these writers what changed. @returns what each of them owned of it, sorted */
  takeOver(entries: Entries): FieldConflict[] {
    const conflicts: FieldConflict[] = [];
    for (const [id, entry] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const changes = this.changes(entry.apiVersion);
      if (!changes) {
        entries.delete(id);
        continue;
      }
      const taken = [...changes.changed].filter((path) => owns(entry.fieldsV1, path));
      conflicts.push(...taken.sort().map((path) => ({ field: fieldName(path), manager: writerName(entry) })));
      if (taken.length === 0 && !ownsAny(entry.fieldsV1, changes.removed)) continue;
      const left = minus(minus(pathsOf(entry.fieldsV1), new Set(taken)), changes.removed);
      if (left.size === 0) entries.delete(id);
      else entries.set(id, { ...entry, fieldsV1: treeOf(left) });
    }
    return conflicts;
  }
}

interface Changes {
  /** Added or modified. */
  readonly changed: FieldSet;
  readonly removed: FieldSet;
  readonly none: boolean;
}

const shown = (type: ResourceType, object: KubeObject): KubeObject => (type.show ? type.show(object) : object);

const nothing = (type: ResourceType): KubeObject => emptyObject(type) as unknown as KubeObject;

function stored(merged: Json, config: Json, type: ResourceType): KubeObject {
  try {
    const { kind: _kind, apiVersion: _version, ...next } = type.codec.decode(merged, new DecodeContext()) as Json;
    const object = (type.store ? type.store(next) : next) as unknown as KubeObject;
    type.defaults(object);
    return object;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const gvk = `${type.apiVersion}, Kind=${type.kind}`;
    throw new ApplyError(
      `failed to convert new object (${described(config, type)}) to proper version: ` +
        `unable to convert unstructured object to ${gvk}: ${error.message}`,
    );
  }
}

function described(config: Json, type: ResourceType): string {
  const { name, namespace } = asObject(config['metadata']);
  return `${asText(namespace)}/${asText(name)}; ${type.apiVersion}, Kind=${type.kind}`;
}

// ---- Sets of fields

const minus = (a: FieldSet, b: FieldSet): FieldSet =>
  b.size === 0 ? a : new Set([...a].filter((path) => !b.has(path)));

/** Without what nobody owns, and what another resource of the object writes. */
function ownable(fields: FieldSet, { type, subresource }: FieldWriter): FieldSet {
  const others = subresource === '' ? 'status' : subresource === 'status' ? 'spec' : undefined;
  const reset = others !== undefined && 'status' in type.subresources ? `f:${others}` : undefined;
  const mine = (path: string): boolean =>
    !UNOWNED.has(path) && (reset === undefined || (path !== reset && !path.startsWith(reset + SEPARATOR)));
  return new Set([...fields].filter(mine));
}

/** `.metadata.ownerReferences[uid="a"]` */
const fieldName = (path: string): string =>
  path
    .split(SEPARATOR)
    .map((part) => {
      if (part.startsWith('f:')) return `.${part.slice(2)}`;
      if (part.startsWith('v:')) return `[=${part.slice(2)}]`;
      const keys = Object.entries(JSON.parse(part.slice(2)) as Json);
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
    })
    .join('');

const join = (path: string, part: string): string => (path === '' ? part : path + SEPARATOR + part);

// ---- Entries

const idOf = ({
  manager,
  operation,
  apiVersion,
  subresource,
}: Pick<Entry, 'manager' | 'operation' | 'apiVersion' | 'subresource'>): string =>
  JSON.stringify([manager, operation, operation === 'Apply' ? '' : apiVersion, subresource]);

const writerName = ({ manager, operation, apiVersion, subresource }: Entry): string =>
  JSON.stringify(manager) +
  (subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`) +
  (operation === 'Update' ? ` using ${apiVersion}` : '');

// ---- Trees of fields, as they are stored

function treeOf(fields: FieldSet): Json {
  const root: Json = {};
  for (const path of [...fields].sort()) {
    const parts = path.split(SEPARATOR);
    let node = root;
    for (const part of parts) {
      if (!Object.hasOwn(node, part)) setKey(node, part, {});
      node = node[part] as Json;
    }
  }
  // A field that has children is a member of its own only where that says so.
  for (const path of fields) {
    const node = path.split(SEPARATOR).reduce((at, part) => at[part] as Json, root);
    if (Object.keys(node).length > 0) node['.'] = {};
  }
  return sorted(root);
}

const sorted = (tree: Json): Json => {
  const out: Json = {};
  for (const key of Object.keys(tree).sort()) setKey(out, key, sorted(tree[key] as Json));
  return out;
};

function pathsOf(tree: Json, path = '', out = new Set<string>()): Set<string> {
  for (const [part, inner] of Object.entries(tree)) {
    if (part === '.') out.add(path);
    else if (Object.keys(asObject(inner)).length === 0) out.add(join(path, part));
    else pathsOf(asObject(inner), join(path, part), out);
  }
  return out;
}

function owns(tree: Json, path: string): boolean {
  let node: unknown = tree;
  for (const part of path.split(SEPARATOR)) node = isObject(node) && Object.hasOwn(node, part) ? node[part] : undefined;
  return isObject(node) && (Object.hasOwn(node, '.') || Object.keys(node).length === 0);
}

const ownsEach = (tree: Json, fields: FieldSet): boolean => [...fields].every((path) => owns(tree, path));
const ownsAny = (tree: Json, fields: FieldSet): boolean => [...fields].some((path) => owns(tree, path));

const NO_ENTRIES: Entries = new Map();

/** Empty when one is malformed. @param foreign a client's, who may have sent anything */
function readEntries(list: readonly unknown[], foreign = false): Entries {
  const entries: Entries = new Map();
  for (const item of list) {
    const {
      manager = '',
      operation,
      apiVersion,
      time,
      fieldsType,
      fieldsV1,
      subresource = '',
    } = asObject(item) as Record<string, string | undefined>;
    if ((operation !== 'Apply' && operation !== 'Update') || fieldsType !== 'FieldsV1') return new Map();
    const tree = asObject(fieldsV1);
    if (foreign && (!apiVersion || manager.length > MAX_MANAGER || !isTree(tree))) return new Map();
    const entry: Entry = { manager, operation, apiVersion: apiVersion ?? '', time, subresource, fieldsV1: tree };
    entries.set(idOf(entry), entry);
  }
  return entries;
}

const MAX_MANAGER = 128;

const isTree = (tree: unknown): boolean =>
  isObject(tree) && Object.entries(tree).every(([part, inner]) => /^(?:\.$|[fkvi]:)/.test(part) && isTree(inner));

/** Appliers first, then the oldest. */
const writeEntries = (entries: Entries): Json[] =>
  [...entries.values()]
    .map((entry) => ({
      entry,
      place: [entry.operation, entry.time ?? '', entry.manager, entry.apiVersion, entry.subresource].join(SEPARATOR),
    }))
    .sort((a, b) => (a.place < b.place ? -1 : 1))
    .map(({ entry: { manager, operation, apiVersion, time, fieldsV1, subresource } }) => ({
      ...(manager !== '' && { manager }),
      operation,
      apiVersion,
      ...(time !== undefined && { time }),
      fieldsType: 'FieldsV1',
      fieldsV1,
      ...(subresource !== '' && { subresource }),
    }));

function mergeOldest(entries: Entries): void {
  const updaters = [...entries].filter(([, { operation }]) => operation === 'Update');
  updaters.sort(([a, { time: s = '' }], [b, { time: t = '' }]) => (s < t || (s === t && a < b) ? -1 : 1));
  const first = new Map<string, string>();
  let left = updaters.length;
  for (const [id, entry] of updaters) {
    if (left <= MAX_UPDATERS) return;
    const { apiVersion } = entry;
    const bucket = { manager: ANCIENT, operation: 'Update', apiVersion, subresource: '' } as const;
    const into = first.get(apiVersion);
    if (into === undefined) {
      first.set(apiVersion, id);
      continue;
    }
    const merged = new Set([...pathsOf((entries.get(into) as Entry).fieldsV1), ...pathsOf(entry.fieldsV1)]);
    entries.delete(into);
    entries.delete(id);
    entries.set(idOf(bucket), { ...bucket, time: entry.time, fieldsV1: treeOf(merged) });
    first.set(apiVersion, idOf(bucket));
    left--;
  }
}

// ---- Values by their shape

interface Member {
  readonly codec: Codec;
  readonly value: unknown;
}

/** What is owned as a whole: a plain value, a list that is not merged. */
function isWhole(codec: Codec, value: unknown): boolean {
  if (codec.atomic) return true;
  if (codec.kind === 'free') return !isObject(value);
  return codec.kind === 'list' ? codec.mergedBy === undefined : codec.kind !== 'struct' && codec.kind !== 'map';
}

/** The parts of an object, or of a list that is merged, by their names in FieldsV1. */
function membersOf(codec: Codec, value: unknown): Map<string, Member> {
  const members = new Map<string, Member>();
  if (isList(value)) {
    const item = codec.item ?? FREE;
    for (const one of value) members.set(itemName(codec, one), { codec: item, value: one });
  } else if (isObject(value)) {
    for (const name of Object.keys(value)) {
      if (value[name] !== undefined) members.set(`f:${name}`, { codec: memberCodec(codec, name), value: value[name] });
    }
  }
  return members;
}

function itemName({ mergedBy }: Codec, item: unknown): string {
  if (mergedBy === undefined || mergedBy === 'value') return `v:${JSON.stringify(item)}`;
  return `k:${JSON.stringify({ [mergedBy.key]: asObject(item)[mergedBy.key] ?? '' })}`;
}

/** Which fields differ from `a` to `b`. */
function compare(codec: Codec, a: unknown, b: unknown, path: string, changed: Set<string>, removed: Set<string>): void {
  if (a === b) return;
  if (!isWhole(codec, b ?? a)) {
    const [before, after] = [membersOf(codec, a), membersOf(codec, b)];
    if (before.size + after.size > 0) {
      for (const [name, { codec: inner, value }] of before) {
        compare(inner, value, after.get(name)?.value, join(path, name), changed, removed);
      }
      for (const [name, { codec: inner, value }] of after) {
        if (!before.has(name)) compare(inner, undefined, value, join(path, name), changed, removed);
      }
      if (a === undefined) changed.add(path);
      else if (b === undefined) removed.add(path);
      return;
    }
  }
  if (b === undefined) removed.add(path);
  else if (!equal(a, b)) changed.add(path);
}

/** The fields that a configuration names. */
function leavesOf(codec: Codec, value: unknown, path = '', out = new Set<string>()): Set<string> {
  if (isWhole(codec, value)) out.add(path);
  else {
    for (const [name, { codec: inner, value: part }] of membersOf(codec, value)) {
      const at = join(path, name);
      leavesOf(inner, part, at, out);
      const declared = Object.hasOwn(codec.fields ?? {}, name.slice(2));
      const empty = part === null || (isObject(part) && Object.keys(part).length === 0);
      if (!declared || empty) out.add(at);
    }
  }
  return out;
}

/** Without these fields, and these items of lists. */
function without(codec: Codec, value: unknown, path: string, fields: FieldSet): unknown {
  if (fields.size === 0 || isWhole(codec, value)) return value;
  if (isList(value)) {
    const kept = value.filter((item) => !fields.has(join(path, itemName(codec, item))));
    return kept.map((item) => without(codec.item ?? FREE, item, join(path, itemName(codec, item)), fields));
  }
  if (!isObject(value)) return value;
  const out: Json = {};
  for (const [name, part] of Object.entries(value)) {
    const at = join(path, `f:${name}`);
    const inner = memberCodec(codec, name);
    if (isWhole(inner, part) && fields.has(at)) continue;
    setKey(out, name, without(inner, part, at, fields));
  }
  return out;
}

/** `config` over `live`. Items of lists keep the order of `config`; those of `live` alone stand where they can. */
function merge(codec: Codec, live: unknown, config: unknown): unknown {
  if (live === undefined || isWhole(codec, config ?? live)) return config;
  if (codec.kind === 'list') {
    const [left, right] = [isList(live) ? live : [], isList(config) ? config : []];
    const name = (item: unknown): string => itemName(codec, item);
    const [before, after] = [membersOf(codec, left), membersOf(codec, right)];
    const merged: unknown[] = [];
    const done = new Set<string>();
    let [l, r] = [0, 0];
    const nextOfBoth = (): string | undefined =>
      right
        .slice(r)
        .map(name)
        .find((id) => before.has(id));
    while (l < left.length || r < right.length) {
      const id = l < left.length ? name(left[l]) : undefined;
      if (id !== undefined && !after.has(id)) merged.push(left[l++]);
      else if (id !== undefined && (done.has(id) || id !== nextOfBoth())) l++;
      else {
        const item = right[r++];
        done.add(name(item));
        merged.push(merge(codec.item ?? FREE, before.get(name(item))?.value, item));
      }
    }
    return merged;
  }
  if (!isObject(config)) return config ?? live;
  const out: Json = { ...asObject(live) };
  for (const [name, value] of Object.entries(config)) {
    setKey(out, name, merge(memberCodec(codec, name), Object.hasOwn(out, name) ? out[name] : undefined, value));
  }
  return out;
}

// ---- The types of a configuration, which is not decoded before it is merged

function typeProblems(codec: Codec, value: unknown, path: string): string[] {
  if (value === null || value === undefined) return [];
  const expected = (what: string, got = typeof value as string): string[] => [`${path}: expected ${what}, got ${got}`];
  const raw = `&value.valueUnstructured{Value:${JSON.stringify(value)}}`;
  switch (codec.kind) {
    case 'text':
    case 'time':
    case 'microTime':
      return typeof value === 'string' ? [] : expected('string', raw);
    case 'int':
      return typeof value === 'number' ? [] : expected('numeric (int or float)');
    case 'flag':
      return typeof value === 'boolean' ? [] : expected('boolean', raw);
    case 'list': {
      if (!isList(value)) return expected('list', raw);
      const names = value.map((item) => itemName(codec, item));
      const twice = codec.mergedBy === undefined ? undefined : names.find((name, i) => names.indexOf(name) !== i);
      if (twice !== undefined) return [`${path}: duplicate entries for key ${fieldName(twice)}`];
      return value.flatMap((item, i) => {
        const at = codec.mergedBy === undefined ? `[${i}]` : fieldName(names[i] as string);
        return typeProblems(codec.item ?? FREE, item, path + at);
      });
    }
    case 'map':
    case 'struct':
      if (!isObject(value)) return expected('map', raw);
      return Object.entries(value).flatMap(([name, part]) => {
        const known = codec.kind === 'map' || Object.hasOwn(codec.fields ?? {}, name);
        return known
          ? typeProblems(memberCodec(codec, name), part, `${path}.${name}`)
          : [`${path}.${name}: field not declared in schema`];
      });
    case 'free':
      return [];
  }
}
