/**
 * A table as kubectl prints it: upper-case headers, left-aligned columns three spaces apart, nothing after the last.
 *
 * Guarantees: a cell never breaks a line or a terminal, also with the text of others. Columns that may be narrowed are, the widest
 * first, until the table has at most 100 columns of the terminal. Rows that are printed later keep the widths of those before
 * (or wider), so that a table which grows stays a table.
 */
import { printable, truncate, width } from './text-width.ts';

/** kubectl's own padding. */
const GAP = 3;
/** Longer cells are cut: our own holders have 116 characters, Kubernetes' names up to 253. */
const MAX_CELL_COLUMNS = 253;
/** The widest table, where its columns can be narrowed. */
const MAX_TABLE_COLUMNS = 100;
/** A column is never narrower, or than its header. */
const MIN_COLUMNS = 8;

export interface Column<Row> {
  readonly header: string;
  readonly cell: (row: Row) => string | undefined;
  /** The longest cell, in columns of the terminal; default 253. */
  readonly max?: number | undefined;
  /** Cuts a cell where the table would be too wide; without it the column is never narrowed. */
  readonly narrow?: ((cell: string, columns: number) => string) | undefined;
  /** SGR parameters for the cell, `32` for instance; none when `undefined`. */
  readonly colour?: ((row: Row) => string | undefined) | undefined;
}

export interface TableOptions {
  /** Default false. */
  readonly color?: boolean | undefined;
  /** Default false. */
  readonly noHeaders?: boolean | undefined;
}

export class Table<Row> {
  readonly #columns: readonly Column<Row>[];
  readonly #widths: number[];
  readonly #color: boolean;
  #headers: boolean;

  constructor(columns: readonly Column<Row>[], { color = false, noHeaders = false }: TableOptions = {}) {
    this.#columns = columns;
    this.#widths = columns.map(() => 0);
    this.#color = color;
    this.#headers = !noHeaders;
  }

  /** The lines of these rows, each ended; before the first row ever printed, the headers. Nothing for no rows. */
  print(rows: readonly Row[]): string {
    if (rows.length === 0) return '';
    const lines = rows.map((row) => ({
      cells: this.#columns.map(({ cell, max = MAX_CELL_COLUMNS }) => truncate(printable(cell(row) || '<none>'), max)),
      colours: this.#columns.map(({ colour }) => (this.#color ? colour?.(row) : undefined)),
    }));
    if (this.#headers) lines.unshift({ cells: this.#columns.map(({ header }) => header), colours: [] });
    this.#headers = false;
    const before = [...this.#widths];
    for (const { cells } of lines) {
      for (const [i, cell] of cells.entries()) this.#widths[i] = Math.max(this.#widths[i] ?? 0, width(cell));
    }
    this.#narrow(before);
    for (const { cells } of lines) {
      for (const [i, cell] of cells.entries())
        cells[i] = this.#columns[i]?.narrow?.(cell, this.#widths[i] ?? 0) ?? cell;
    }
    return lines.map(({ cells, colours }) => this.#line(cells, colours)).join('');
  }

  /** @param before the widths that rows before were printed with */
  #narrow(before: readonly number[]): void {
    const widths = this.#widths;
    const least = this.#columns.map(({ header, narrow }, i) =>
      narrow ? Math.max(MIN_COLUMNS, header.length, before[i] ?? 0) : Infinity,
    );
    let excess = widths.reduce((sum, columns) => sum + columns + GAP, -GAP) - MAX_TABLE_COLUMNS;
    for (; excess > 0; excess--) {
      let widest = -1;
      for (const [i, columns] of widths.entries()) {
        if (columns > (least[i] ?? Infinity) && columns > (widths[widest] ?? 0)) widest = i;
      }
      if (widest < 0) return;
      widths[widest] = (widths[widest] ?? 0) - 1;
    }
  }

  #line(cells: readonly string[], colours: readonly (string | undefined)[]): string {
    let line = '';
    for (const [i, cell] of cells.entries()) {
      const colour = colours[i];
      line += colour === undefined ? cell : `\u001b[${colour}m${cell}\u001b[0m`;
      if (i < cells.length - 1) line += ' '.repeat((this.#widths[i] ?? 0) - width(cell) + GAP);
    }
    return `${line}\n`;
  }
}
