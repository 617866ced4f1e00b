/**
 * What others wrote, made fit to be shown: text on a terminal, values and errors in messages.
 *
 * Guarantees: what `printable` gives has no control character, no line break, nothing that turns the direction of writing
 * and nothing invisible; `inWords` and `errorText` never throw.
 */

const PLAIN = /^[ -~]*$/;

// Classes of Unicode stand in the functions that need them: to read one takes V8 a millisecond, a twentieth of Node's start.

/** The text with everything unprintable spelled out, as `\x1b` or `\u{202e}`. */
export function printable(text: string): string {
  if (PLAIN.test(text)) return text;
  // Control, format, unassigned and private characters, lone surrogates, and separators other than the space.
  const unprintable = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;
  // More marks than two on one letter are cut: a tower of them paints over the lines above.
  const marks = /([\p{Mn}\p{Me}]{2})[\p{Mn}\p{Me}]+/gu;
  return text.replace(unprintable, spell).replace(marks, '$1');
}

function spell(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/**
 * JSON or YAML text with what a terminal would act on escaped: the same document; only for text where such characters
 * stand in quotes. Line breaks stay.
 */
export function escapeQuoted(text: string): string {
  return text.replace(/(?!\n)[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    let out = '';
    for (let i = 0; i < character.length; i++) out += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
    return out;
  });
}

/**
 * Any value as text: errors and plain values as they print themselves, objects as JSON. Objects that have no form as text
 * (JSON with a `toString` that is no function, one that contains itself) become `{…}`.
 */
export function inWords(value: unknown): string {
  try {
    const json = typeof value === 'object' && !(value instanceof Error) ? JSON.stringify(value) : undefined;
    return json ?? String(value);
  } catch {
    return typeof value !== 'object' ? typeof value : isArray(value) ? '[…]' : '{…}';
  }
}

function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value);
  } catch {
    // A proxy that was revoked.
    return false;
  }
}

/** The message of an error, or in words whatever else was thrown. */
export function errorText(error: unknown): string {
  try {
    if (error instanceof Error) return inWords(error.message);
  } catch {
    // It refuses to be looked at.
  }
  return inWords(error);
}
