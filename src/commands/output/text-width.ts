/**
 * The width of text in a table, and what a document must quote.
 *
 * Guarantees: `width` is the number of columns that printable text takes on a terminal.
 */
export { escapeQuoted, printable } from '../../runtime/printable.ts';

const PLAIN = /^[ -~]*$/;

/** Columns that printable text takes on a terminal. */
export function width(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += columnsOf(character);
  return columns;
}

// See runtime/printable.ts for why these classes stand here.
function columnsOf(character: string): number {
  if (/[\p{Mn}\p{Me}]/u.test(character)) return 0;
  const wide =
    /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
  return wide.test(character) ? 2 : 1;
}

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

/** The text when it fits, else its beginning and its last four characters with `…` between. */
export function middleCut(text: string, columns: number): string {
  if (columns < 8 || width(text) <= columns) return truncate(text, columns);
  const end = [...text].slice(-4).join('');
  const cut = truncate(text, columns - width(end));
  return `${cut}${end}`;
}

/** True for text that `escapeQuoted` must find in quotes. */
export const needsQuotes = (text: string): boolean => /[\p{C}\p{Zl}\p{Zp}]/u.test(text);
