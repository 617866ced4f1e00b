/** Rows as they change: one document after another, in every form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { RowPrinter } from '../../../src/commands/output/printer.ts';
import type { OutputFormat, Shape } from '../../../src/commands/output/printer.ts';

const SHAPE: Shape<{ name: string }> = {
  columns: [{ header: 'NAME', cell: ({ name }) => name }],
  nameLine: ({ name }) => `thing/${name}\n`,
  document: ({ name }) => ({ name }),
};

async function printed(output: OutputFormat): Promise<string> {
  let text = '';
  const printer = new RowPrinter(SHAPE, { output }, (more) => (text += more));
  printer.print([{ name: 'a' }, { name: 'b' }]);
  printer.print([{ name: 'c' }]);
  await printer.settled();
  return text;
}

test('YAML has --- between documents, and none before the first', async () => {
  const text = await printed('yaml');
  assert.equal(text, 'name: a\n---\nname: b\n---\nname: c\n');
  assert.deepEqual(
    parseAllDocuments(text).map((document) => document.toJS() as object),
    [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
  );
});

test('names and tables go on where they were', async () => {
  assert.equal(await printed('name'), 'thing/a\nthing/b\nthing/c\n');
  assert.equal(await printed('table'), 'NAME\na\nb\nc\n');
});
