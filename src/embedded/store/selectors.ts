/**
 * Label and field selectors.
 *
 * Guarantees: `parseLabelSelector` reads Kubernetes' whole syntax (`a=b`, `==`, `!=`, `in`, `notin`, `a`, `!a`, `>`, `<`,
 * comma for and) and throws SelectorError for anything else; `!=` and `notin` also match where the key is absent.
 */
import { isLabelKey, isLabelValue } from '../objects/validation.ts';

export class SelectorError extends Error {
  override readonly name = 'SelectorError';
  readonly code = 'InvalidSelector';
}

type Labels = Readonly<Record<string, string>>;
type LabelPredicate = (labels: Labels) => boolean;

/** Values of the fields that a type lets select by. */
type FieldValues = Readonly<Record<string, string>>;

interface FieldRequirement {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

const TOKEN = /\s*(?:(,|\(|\)|==|=|!=|!|>|<)|([^\s,()=!<>]+))/y;

class Tokens {
  readonly #text: string;
  readonly #tokens: { readonly text: string; readonly symbol: boolean }[] = [];
  #next = 0;

  constructor(text: string) {
    this.#text = text;
    let at = 0;
    const end = text.trimEnd().length;
    while (at < end) {
      TOKEN.lastIndex = at;
      const m = TOKEN.exec(text);
      if (!m) throw this.error(`unexpected character at ${at}`);
      this.#tokens.push({ text: (m[1] ?? m[2]) as string, symbol: m[1] !== undefined });
      at = TOKEN.lastIndex;
    }
  }

  get done(): boolean {
    return this.#next >= this.#tokens.length;
  }

  /** Takes the next token when it is this symbol. */
  symbol(text: string): boolean {
    const token = this.#tokens[this.#next];
    if (!token?.symbol || token.text !== text) return false;
    this.#next++;
    return true;
  }

  /** Takes the next token when it is a word. */
  word(): string | undefined {
    const token = this.#tokens[this.#next];
    if (!token || token.symbol) return undefined;
    this.#next++;
    return token.text;
  }

  error(why: string): SelectorError {
    return new SelectorError(`unable to parse requirement: ${why} in ${JSON.stringify(this.#text)}`);
  }
}

/** @throws SelectorError */
export function parseLabelSelector(text: string): LabelPredicate | undefined {
  const tokens = new Tokens(text);
  if (tokens.done) return undefined;
  const all: LabelPredicate[] = [];
  do all.push(requirement(tokens));
  while (tokens.symbol(','));
  if (!tokens.done) throw tokens.error("expected ',' or the end");
  if (all.length === 1) return all[0];
  return (labels) => all.every((matches) => matches(labels));
}

function requirement(tokens: Tokens): LabelPredicate {
  const absent = tokens.symbol('!');
  const key = tokens.word();
  if (key === undefined) throw tokens.error('expected a key');
  if (!isLabelKey(key)) throw tokens.error(`key ${JSON.stringify(key)} is invalid`);
  if (absent) return (labels) => !Object.hasOwn(labels, key);
  if (tokens.symbol('=') || tokens.symbol('==')) {
    const value = singleValue(tokens);
    return (labels) => Object.hasOwn(labels, key) && labels[key] === value;
  }
  if (tokens.symbol('!=')) {
    const value = singleValue(tokens);
    return (labels) => !Object.hasOwn(labels, key) || labels[key] !== value;
  }
  for (const [symbol, sign] of [
    ['>', 1],
    ['<', -1],
  ] as const) {
    if (!tokens.symbol(symbol)) continue;
    const limit = singleValue(tokens);
    if (!isInt64(limit)) throw tokens.error(`${JSON.stringify(limit)} must be an integer`);
    return (labels) =>
      Object.hasOwn(labels, key) && isInt64(labels[key] as string) && Number(labels[key]) * sign > Number(limit) * sign;
  }
  const operator = tokens.word();
  if (operator === undefined) return (labels) => Object.hasOwn(labels, key);
  if (operator !== 'in' && operator !== 'notin') throw tokens.error(`unknown operator ${JSON.stringify(operator)}`);
  const values = valueSet(tokens);
  return operator === 'in'
    ? (labels) => Object.hasOwn(labels, key) && values.has(labels[key] as string)
    : (labels) => !Object.hasOwn(labels, key) || !values.has(labels[key] as string);
}

const isInt64 = (text: string): boolean =>
  /^[+-]?\d+$/.test(text) && BigInt.asIntN(64, BigInt(text.replace(/^\+/, ''))) === BigInt(text.replace(/^\+/, ''));

function singleValue(tokens: Tokens): string {
  return checkedValue(tokens, tokens.word() ?? '');
}

function checkedValue(tokens: Tokens, value: string): string {
  if (!isLabelValue(value)) throw tokens.error(`value ${JSON.stringify(value)} is invalid`);
  return value;
}

function valueSet(tokens: Tokens): Set<string> {
  if (!tokens.symbol('(')) throw tokens.error("expected '('");
  const values = new Set<string>();
  do values.add(checkedValue(tokens, tokens.word() ?? ''));
  while (tokens.symbol(','));
  if (!tokens.symbol(')')) throw tokens.error("expected ')'");
  return values;
}

/** In the words of a type that has fields of its own, and of one that has none. */
const unknownField = (field: string, supported: readonly string[]): string =>
  supported.length > 2
    ? `field label not supported: ${field}`
    : `${JSON.stringify(field)} is not a known field selector: only ${supported.map((s) => JSON.stringify(s)).join(', ')}`;

/**
 * `a=b`, `a==b` and `a!=b`, comma for and; a backslash takes the next character literally.
 * @throws SelectorError
 */
export function parseFieldSelector(text: string, supported: readonly string[]): FieldRequirement[] {
  const out: FieldRequirement[] = [];
  for (const part of text.split(/(?<!\\),/)) {
    // A part that names neither field nor value selects everything.
    if (/^(?:!=|==?)?$/.test(part)) continue;
    const m = /^([^=!]+)(!=|==|=)((?:[^\\,=]|\\[\\,=])*)$/.exec(part);
    if (!m) throw new SelectorError(`invalid field selector: ${JSON.stringify(text)}`);
    const field = m[1] as string;
    if (!supported.includes(field)) throw new SelectorError(unknownField(field, supported));
    out.push({ field, equal: m[2] !== '!=', value: (m[3] as string).replace(/\\(.)/g, '$1') });
  }
  return out;
}

export const matchesFields = (requirements: readonly FieldRequirement[], values: FieldValues): boolean =>
  requirements.every((r) => (values[r.field] === r.value) === r.equal);
