/**
 * Rows in every form that `--output` names: all at once, or one by one as they change.
 *
 * Guarantees: `json` and `yaml` are one document for an answer, and one for each row that changes, as kubectl prints them:
 * JSON one below the other, YAML with `---` between.
 */
import type { Io } from '../command.ts';
import { Table } from './text-table.ts';
import type { Column, TableOptions } from './text-table.ts';
import { escapeQuoted, needsQuotes } from './text-width.ts';

export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml' | 'name';

export interface PrintOptions extends TableOptions {
  readonly output: OutputFormat;
}

/** How rows of one kind are shown. */
export interface Shape<Row> {
  readonly columns: readonly Column<Row>[];
  /** As kubectl names an object, a line. */
  readonly nameLine: (row: Row) => string;
  readonly document: (row: Row) => unknown;
}

export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

/** The option `--output`, and what the terminal can show. */
export const printOptions = (output: string | undefined, io: Io): PrintOptions => ({
  output: (output ?? 'table') as OutputFormat,
  color: io.terminal && !io.env['NO_COLOR'],
});

/**
 * A whole answer.
 * @param nothing what kubectl says where there are no rows
 */
export async function printAnswer<Row>(
  shape: Shape<Row>,
  options: PrintOptions,
  answer: { readonly rows: readonly Row[]; readonly document: () => unknown; readonly nothing: string },
): Promise<Printed> {
  const { rows, document, nothing } = answer;
  const stderr = rows.length === 0 ? `${nothing}\n` : '';
  switch (options.output) {
    case 'json':
      return { stdout: toJson(document()), stderr };
    case 'yaml':
      return { stdout: await toYaml(document()), stderr };
    case 'name':
      return { stdout: rows.map(shape.nameLine).join(''), stderr };
    default:
      return { stdout: new Table(shape.columns, options).print(rows), stderr };
  }
}

/** Prints rows as they come. */
export class RowPrinter<Row> {
  readonly #shape: Shape<Row>;
  readonly #options: PrintOptions;
  readonly #table: Table<Row>;
  readonly #out: (text: string) => void;
  #last: Promise<void> = Promise.resolve();
  #between = '';

  constructor(shape: Shape<Row>, options: PrintOptions, out: (text: string) => void) {
    this.#shape = shape;
    this.#options = options;
    this.#table = new Table(shape.columns, options);
    this.#out = out;
  }

  print(rows: readonly Row[]): void {
    const { nameLine, document } = this.#shape;
    switch (this.#options.output) {
      case 'name':
        return this.#out(rows.map(nameLine).join(''));
      case 'json':
        return this.#out(rows.map((row) => toJson(document(row))).join(''));
      case 'yaml':
        for (const row of rows) this.#last = this.#last.then(() => this.#printYaml(document(row)));
        return;
      default:
        return this.#out(this.#table.print(rows));
    }
  }

  /** All is out: YAML is made asynchronously. */
  settled(): Promise<void> {
    return this.#last;
  }

  async #printYaml(document: unknown): Promise<void> {
    this.#out(`${this.#between}${await toYaml(document)}`);
    this.#between = '---\n';
  }
}

/** kubectl's indent. */
function toJson(document: unknown): string {
  return `${escapeQuoted(JSON.stringify(document, null, 4))}\n`;
}

/** One YAML document; readers of YAML 1.1, as Kubernetes' own, read the same strings in it. */
async function toYaml(document: unknown): Promise<string> {
  const { Document, Scalar, visit } = await import('yaml');
  const yaml = new Document(document, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
  visit(yaml, {
    Scalar(_key, node) {
      if (typeof node.value === 'string' && needsQuotes(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return escapeQuoted(yaml.toString({ lineWidth: 0 }));
}
