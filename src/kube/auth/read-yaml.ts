/**
 * Reads the YAML or JSON of kubeconfigs and plugins' answers: first by a quick reader of what most of them are written in
 * (block mappings and lists of plain and simply quoted scalars, as kubectl, kubeadm, kind and the clouds write them, and
 * JSON), else by the yaml package.
 *
 * Guarantees: the quick reader understands a text entirely, and then gives what the yaml package gives, or not at all.
 * Loading that package and reading a small file with it takes longer than the request that follows.
 */

import type { DocumentOptions, ParseOptions, SchemaOptions } from 'yaml';

/** The text is no YAML. Its words name the fault and the line, and quote nothing. */
class YamlError extends Error {
  override readonly name = 'YamlError';
}

/**
 * YAML as Kubernetes reads it: 1.1, in which `yes` is true and a key that stands twice counts as it stands last; times and
 * sets, which JSON does not know, are texts.
 */
export const YAML_OPTIONS: ParseOptions & DocumentOptions & SchemaOptions = {
  version: '1.1',
  uniqueKeys: false,
  customTags: (tags) =>
    tags.filter(
      (tag) =>
        typeof tag === 'string' || !(tag.format === 'TIME' || /:(timestamp|set|omap|pairs|binary)$/.test(tag.tag)),
    ),
  // Would quote the line, which may hold a token.
  prettyErrors: false,
  logLevel: 'silent',
};

/** @throws YamlError */
export async function readYaml(text: string): Promise<unknown> {
  const plain = plainYaml(text);
  if (plain !== undefined) return plain;
  const { parseDocument } = await loadYaml();
  const document = parseDocument(text, YAML_OPTIONS);
  const [error] = document.errors;
  if (error) {
    const line = text.slice(0, error.pos[0]).split('\n').length;
    throw new YamlError(`no YAML or JSON: ${error.code} in line ${line}`);
  }
  try {
    return document.toJS();
  } catch {
    throw new YamlError('no usable YAML: its aliases cannot be resolved');
  }
}

/** The yaml package. */
export async function loadYaml(): Promise<typeof import('yaml')> {
  const yaml = await import('yaml');
  // A bundler that splits its output hands a CommonJS module on as its default export alone.
  return 'parseDocument' in yaml ? yaml : (yaml as { default: typeof yaml }).default;
}

/** The value; undefined where a whole YAML reader must look. */
export function plainYaml(text: string): unknown {
  // What YAML makes of these is its own science.
  if (/[\t\r]/.test(text)) return undefined;
  try {
    // What YAML merges, JSON does not.
    if (/^[ \n]*\{/.test(text)) return /"(__proto__|<<)"/.test(text) ? undefined : JSON.parse(text);
    return new Reader(text).document();
  } catch {
    return undefined;
  }
}

interface Line {
  readonly indent: number;
  readonly text: string;
}

/** Also that of a list's item: what stands behind its dash. YAML takes no key of more than 1024 characters here. */
const ENTRY = /^([A-Za-z][\w./-]{0,999}):(?: +(.*))?$/;
const ITEM = /^(- +)(.*)$/;
/** Begins with no indicator and holds none that would end it or begin a comment; numbers are left to the other reader. */
const PLAIN = /^(?!\d[\d.eE+_-]*$|0[xob])(?:[\w/]|--?[A-Za-z])(?:[\w./+=@,%()~-]|:(?=[^ ])|(?<! ) (?=[\w./+=@(-]))*$/;
const SUSPECT = /^(null|true|false|y|yes|n|no|on|off)$/i;
const QUOTED = /^"([\x20-\x21\x23-\x5b\x5d-\x7e]*)"$|^'([\x20-\x26\x28-\x7e]*)'$/;

class Reader {
  readonly #lines: Line[] = [];
  #at = 0;

  constructor(text: string) {
    const all = text.split('\n');
    if (all[0] === '---') all.shift();
    for (const line of all) {
      const content = line.trimStart();
      // Any other white space than blanks is not indentation in YAML, and ends nothing.
      if (!/^ *$/.test(line.slice(0, line.length - content.length))) throw new Error('white space');
      if (content === '' || content.startsWith('#')) continue;
      this.#lines.push({ indent: line.length - content.length, text: content });
    }
  }

  document(): unknown {
    const value = this.#block(0);
    if (this.#at < this.#lines.length) throw new Error('more');
    return value;
  }

  get #line(): Line | undefined {
    return this.#lines[this.#at];
  }

  #block(indent: number): unknown {
    if (this.#line?.indent !== indent) throw new Error('indentation');
    return ITEM.test(this.#line.text) ? this.#list(indent) : this.#mapping(indent);
  }

  #list(indent: number): unknown[] {
    const list: unknown[] = [];
    for (let line = this.#line; line?.indent === indent; line = this.#line) {
      const [, dash = '', rest = ''] = ITEM.exec(line.text) ?? [];
      if (dash === '') break;
      if (ENTRY.test(rest)) {
        // The rest of the line is the first line of a mapping that stands further in.
        this.#lines[this.#at] = { indent: indent + dash.length, text: rest };
        list.push(this.#mapping(indent + dash.length));
      } else {
        this.#at++;
        list.push(scalar(rest));
      }
    }
    return list;
  }

  #mapping(indent: number): Record<string, unknown> {
    const mapping: Record<string, unknown> = {};
    for (let line = this.#line; line?.indent === indent; line = this.#line) {
      const [, key, rest = ''] = ENTRY.exec(line.text) ?? [];
      if (key === undefined) break;
      if (SUSPECT.test(key) || Object.hasOwn(mapping, key)) throw new Error('key');
      this.#at++;
      mapping[key] = rest === '' ? this.#below(indent) : scalar(rest);
    }
    return mapping;
  }

  /** The value of a key with nothing behind it. A list may stand as far in as its key. */
  #below(indent: number): unknown {
    const next = this.#line;
    if (next === undefined || next.indent < indent) return null;
    if (next.indent > indent) return this.#block(next.indent);
    return ITEM.test(next.text) ? this.#list(indent) : null;
  }
}

function scalar(text: string): unknown {
  if (text === '{}') return {};
  if (text === '[]') return [];
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === 'null') return null;
  const quoted = QUOTED.exec(text);
  if (quoted) return quoted[1] ?? quoted[2];
  if (!PLAIN.test(text) || SUSPECT.test(text)) throw new Error('scalar');
  return text;
}
