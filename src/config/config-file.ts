/**
 * The configuration file: YAML or JSON, one map of the options' keys.
 *
 * Guarantees: reading is bounded in size and never throws; every problem is reported at once, each with the file, the key or
 * line, and the rule. A document is data: tags, aliases and merge keys make nothing of it.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { nearest } from './nearest.ts';
import { readOption } from './option-spec.ts';
import type { Problem, Table } from './option-spec.ts';

export const API_VERSION = 'leasekeeper.dev/v1alpha1';
export const KIND = 'LeasekeeperConfiguration';
/** Bytes: many times what all options take. A megabyte of brackets would keep a running process busy for seconds. */
export const MAX_FILE_BYTES = 65_536;
/** Problems reported of one file; what is no configuration at all has more than anybody reads. */
const MAX_PROBLEMS = 20;

/** The file as it is, or why it cannot be read. */
export type FileText = { readonly text: string } | { readonly unreadable: string };

/** Reads the file, in one piece. Never throws. */
export async function readFileText(path: string): Promise<FileText> {
  try {
    // Not blocking: a pipe without a writer would keep `open` for good.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) return { unreadable: 'must be a regular file' };
      const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
        if (bytesRead === 0) break;
        length += bytesRead;
        if (length > MAX_FILE_BYTES) return { unreadable: `must be at most ${MAX_FILE_BYTES} bytes` };
      }
      return { text: new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length)) };
    } finally {
      await file.close();
    }
  } catch (error) {
    return { unreadable: whyUnreadable(error) };
  }
}

function whyUnreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'must be readable by this process: permission denied';
  if (code === 'EISDIR') return 'must be a file, not a directory';
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'must be UTF-8 text';
  return `cannot be read: ${message}`;
}

interface FileValues {
  readonly values: Readonly<Record<string, unknown>>;
  readonly problems: readonly Problem[];
}

/**
 * The options that a file's text sets, and all that is wrong with it.
 * @param path for the problems
 * @param known every option that a file may set, of whatever command: one file serves them all
 */
export async function parseConfig(text: string, path: string, known: Table): Promise<FileValues> {
  const { map, problems } = await parseMap(text, path);
  if (map === undefined) return { values: {}, problems };
  const found = [...problems];
  for (const [key, wanted] of [
    ['apiVersion', API_VERSION],
    ['kind', KIND],
  ] as const) {
    const value = map[key];
    if (value !== wanted) found.push({ option: `${path}: ${key}`, value, rule: `must be ${wanted}` });
  }
  const values: Record<string, unknown> = {};
  for (const [key, raw] of Object.entries(map)) {
    if (key === 'apiVersion' || key === 'kind') continue;
    // Looking for the nearest key takes time; no more is reported anyway.
    if (found.length >= MAX_PROBLEMS) break;
    const spec = Object.hasOwn(known, key) ? known[key] : undefined;
    const option = `${path}: ${key}`;
    if (spec === undefined) {
      const near = nearest(key, Object.keys(known));
      found.push({
        option,
        value: undefined,
        rule: `unknown key${near === undefined ? '' : `; did you mean ${near}?`}`,
      });
    } else if (raw === null) {
      found.push({ option, value: raw, rule: 'must have a value; without the key the default holds' });
    } else {
      values[key] = raw;
    }
  }
  return { values, problems: found.slice(0, MAX_PROBLEMS) };
}

/** What is wrong with values that a command does not read itself, but another one would. */
export function foreignProblems(values: Readonly<Record<string, unknown>>, path: string, foreign: Table): Problem[] {
  return Object.entries(values).flatMap(([key, raw]) => {
    const spec = Object.hasOwn(foreign, key) ? foreign[key] : undefined;
    const rule = spec && spec.kind !== 'gates' ? readOption(spec, { raw, origin: 'file' }).rule : undefined;
    return rule === undefined ? [] : [{ option: `${path}: ${key}`, value: raw, rule }];
  });
}

/** The document's map; without it, why there is none. */
async function parseMap(
  text: string,
  path: string,
): Promise<{ map?: Readonly<Record<string, unknown>>; problems: Problem[] }> {
  // Loaded only where there is a file.
  const { LineCounter, isMap, isScalar, parseDocument, visit } = await import('yaml');
  const whole = (rule: string): { problems: Problem[] } => ({ problems: [{ option: path, value: undefined, rule }] });
  try {
    const lineCounter = new LineCounter();
    // The parser's own look for keys that come twice takes the square of their number. Without warnings of the process:
    // what they tell of is a problem below.
    const options = { lineCounter, uniqueKeys: false, prettyErrors: false, schema: 'core', logLevel: 'error' } as const;
    const document = parseDocument(text, options);
    const line = (offset: number | undefined): string => `${path}:${lineCounter.linePos(offset ?? 0).line}`;
    const problems: Problem[] = [...document.errors, ...document.warnings].map(({ code, pos, message }) => {
      // The parser's own words name a function of its.
      const rule = code === 'MULTIPLE_DOCS' ? 'must be one document, without --- between' : firstLine(message);
      return { option: line(pos[0]), value: undefined, rule };
    });
    visit(document, {
      Alias(_, node) {
        problems.push({ option: line(node.range?.[0]), value: undefined, rule: 'aliases (*name) are not taken' });
      },
      Map(_, { items }) {
        const seen = new Set<unknown>();
        for (const { key } of items) {
          if (!isScalar(key)) continue;
          if (seen.has(key.value)) {
            problems.push({ option: line(key.range?.[0]), value: undefined, rule: 'Map keys must be unique' });
          }
          seen.add(key.value);
        }
      },
    });
    if (problems.length > 0) return { problems: problems.slice(0, MAX_PROBLEMS) };
    if (!isMap(document.contents)) return whole('must be a map of keys to values, with apiVersion and kind');
    return { map: document.toJS() as Record<string, unknown>, problems };
  } catch (error) {
    // Nesting deeper than the stack, for one.
    return whole(`is no configuration: ${firstLine((error as Error).message)}`);
  }
}

const firstLine = (message: string): string => (message.split('\n')[0] ?? '').trim();
