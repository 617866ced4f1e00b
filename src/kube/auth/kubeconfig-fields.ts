/**
 * The fields of a kubeconfig's entries, read from untrusted YAML. Every fault is a KubeConfigError `InvalidField` that
 * names file, field and rule, and never a value.
 */
import { dirname, isAbsolute, join } from 'node:path';
import { KubeConfigError } from './settings.ts';
import type { PemSource, UserSettings } from './settings.ts';

export type Json = Record<string, unknown>;
/** A cluster, a user or a context, and the file that it is in. */
export interface Entry {
  readonly value: Json;
  readonly file: string;
}
export function userSettings(entry: Entry, at: string): UserSettings {
  const tokenFile = string(entry, at, 'tokenFile');
  const impersonated = string(entry, at, 'as');
  const exec = mapping(entry, at, 'exec');
  if (exec && typeof exec['command'] !== 'string') throw wrong(entry.file, `${at}.exec.command`, 'must be a string');
  const command = exec?.['command'];
  return {
    certificate: pem(entry, at, 'client-certificate'),
    key: pem(entry, at, 'client-key'),
    token: string(entry, at, 'token'),
    tokenFile: tokenFile === undefined ? undefined : beside(entry.file, tokenFile),
    username: string(entry, at, 'username'),
    password: string(entry, at, 'password'),
    ...(impersonated === undefined ? {} : { impersonate: impersonation(entry, at, impersonated) }),
    // As kubectl: a command with a slash in it is relative to its file, one without is looked up in PATH.
    exec:
      typeof command === 'string' && /[/\\]/.test(command) ? { ...exec, command: beside(entry.file, command) } : exec,
    authProvider: mapping(entry, at, 'auth-provider'),
  };
}

function impersonation(entry: Entry, at: string, user: string): NonNullable<UserSettings['impersonate']> {
  const uid = string(entry, at, 'as-uid');
  const groups = strings(entry.value['as-groups']);
  const extra = Object.entries(mapping(entry, at, 'as-user-extra') ?? {}).map(
    ([key, values]) => [key, strings(values)] as const,
  );
  const check = (key: string, good: boolean): void => {
    if (!good) throw wrong(entry.file, `${at}.${key}`, 'holds characters that no header can carry');
  };
  check('as', isHeaderText(user));
  check('as-uid', uid === undefined || isHeaderText(uid));
  check('as-groups', groups.every(isHeaderText));
  check(
    'as-user-extra',
    extra.every(([key, values]) => key.isWellFormed() && values.every(isHeaderText)),
  );
  return { user, uid, groups, extra: Object.fromEntries(extra) };
}

/** Printable ASCII: what lies beyond it arrives differently at each server. */
const isHeaderText = (text: string): boolean => /^[\x20-\x7e]*$/.test(text);

export function pem(entry: Entry, at: string, key: string): PemSource | undefined {
  const data = string(entry, at, `${key}-data`);
  const file = string(entry, at, key);
  if (data !== undefined) return { data: Buffer.from(data, 'base64').toString('latin1'), field: `${at}.${key}-data` };
  return file === undefined ? undefined : { file: beside(entry.file, file), field: `${at}.${key}` };
}

/** A string that is not empty; absent and null are undefined. */
export function string(entry: Entry, at: string, key: string): string | undefined {
  const value = entry.value[key];
  if (value === undefined || value === null || value === '') return undefined;
  // YAML reads an unquoted 12345 as a number: a password or a token made of digits is meant.
  if (typeof value === 'number') throw wrong(entry.file, `${at}.${key}`, 'must be a string; put it in quotes');
  if (typeof value !== 'string') throw wrong(entry.file, `${at}.${key}`, 'must be a string');
  return value;
}

function mapping(entry: Entry, at: string, key: string): Json | undefined {
  const value = entry.value[key];
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw wrong(entry.file, `${at}.${key}`, 'must be a mapping');
  return value;
}

const strings = (value: unknown): string[] => (Array.isArray(value) ? value.filter((v) => typeof v === 'string') : []);
const beside = (file: string, path: string): string => (isAbsolute(path) ? path : join(dirname(file), path));
export const wrong = (file: string, field: string, rule: string): KubeConfigError =>
  new KubeConfigError('InvalidField', `${file}: ${field} ${rule}`, { file, field });
export const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);
