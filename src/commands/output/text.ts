/**
 * Text that others wrote, made fit for a terminal and a table.
 *
 * Guarantees: what comes out has no control character, no line break, nothing that turns the direction of writing and
 * nothing invisible; such characters are shown as `\x1b` or `\u{202e}`. `width` is the number of columns it takes.
 */

/** Control, format, unassigned and private characters, lone surrogates, and separators other than the space. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;
const PLAIN = /^[ -~]*$/;
const ZERO_WIDTH = /[\p{Mn}\p{Me}]/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
/** More marks than this on one letter are cut: a tower of them paints over the lines above. */
const MARKS = /([\p{Mn}\p{Me}]{2})[\p{Mn}\p{Me}]+/gu;

/** The text with everything unprintable spelled out. */
export function printable(text: string): string {
  if (PLAIN.test(text)) return text;
  return text.replace(UNPRINTABLE, spell).replace(MARKS, '$1');
}

function spell(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** Columns that printable text takes on a terminal. */
export function width(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += columnsOf(character);
  return columns;
}

const columnsOf = (character: string): number => (ZERO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1);

/** The text when it fits, else as much of it as does and `…`. */
export function truncate(text: string, columns: number): string {
  // A text of so few characters fits whatever they are; one of a million is not looked at to its end.
  if (text.length * 2 <= columns || (text.length <= 4 * columns && width(text) <= columns)) return text;
  let out = '';
  let used = 0;
  for (const character of text) {
    used += columnsOf(character);
    if (used >= columns) break;
    out += character;
  }
  return `${out}…`;
}

/** JSON or YAML text with what a terminal would act on escaped; only for text where such characters stand in quotes. */
export function escapeQuoted(text: string): string {
  return text.replace(UNSAFE_IN_QUOTES, (character) => {
    let out = '';
    for (let i = 0; i < character.length; i++) out += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
    return out;
  });
}

/** As UNPRINTABLE, without what lays out the document itself. */
const UNSAFE_IN_QUOTES = /(?![\n\ufffd])[\p{C}\p{Zl}\p{Zp}]/gu;

/** True for text that `escapeQuoted` must find in quotes. */
export const needsQuotes = (text: string): boolean => /[\p{C}\p{Zl}\p{Zp}]/u.test(text);
