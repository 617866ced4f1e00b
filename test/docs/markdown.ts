/**
 * The project's Markdown, read as far as its tests need: fenced blocks, headings with their anchors, links.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Block {
  readonly file: string;
  /** Of its opening fence, from 1. */
  readonly line: number;
  /** The line of the heading of level two above it; empty where there is none. */
  readonly heading: string;
  readonly language: string;
  readonly text: string;
}

/** Paths, from the project's root, of every Markdown file that is part of it. */
export function markdownFiles(): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'];
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean).sort();
}

export const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const FENCE = /^( *)(```+|~~~+) *([\w-]*)/;

/** The fenced blocks of a file, and its lines with those blocks blank. */
export function blocks(file: string, text = read(file)): { blocks: Block[]; prose: string[] } {
  const found: Block[] = [];
  const prose: string[] = [];
  let open: { indent: number; fence: string; line: number; language: string; text: string[] } | undefined;
  let heading = '';
  text.split('\n').forEach((line, i) => {
    if (open === undefined && line.startsWith('## ')) heading = line;
    const fence = FENCE.exec(line);
    if (open === undefined && fence) {
      const [, indent = '', mark = '', language = ''] = fence;
      open = { indent: indent.length, fence: mark, line: i + 1, language, text: [] };
    } else if (open !== undefined && line.trim() === open.fence) {
      const body = open.text.map((l) => `${l}\n`).join('');
      found.push({ file, line: open.line, heading, language: open.language, text: body });
      open = undefined;
    } else if (open !== undefined) open.text.push(line.slice(open.indent));
    prose.push(open === undefined && !fence ? line : '');
  });
  if (open !== undefined) throw new Error(`${file}:${open.line}: this block has no end`);
  return { blocks: found, prose };
}

/** The anchors of a file's headings, as GitHub makes them. */
export function anchors(text: string): Set<string> {
  const seen = new Map<string, number>();
  const found = new Set<string>();
  for (const line of blocks('', text).prose) {
    const [, heading] = /^#{1,6} +(.*?) *#*$/.exec(line) ?? [];
    if (heading === undefined) continue;
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '');
    const slug = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}\p{Pc} -]/gu, '')
      .replaceAll(' ', '-');
    const n = seen.get(slug) ?? 0;
    seen.set(slug, n + 1);
    found.add(n === 0 ? slug : `${slug}-${n}`);
  }
  return found;
}

/** The targets of a file's links and images, inline and by reference, with their lines. */
export function links(text: string): { target: string; line: number }[] {
  return blocks('', text).prose.flatMap((line, i) => {
    const plain = line.replace(/`[^`]*`/g, (code) => 'x'.repeat(code.length));
    const inline = [...plain.matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)];
    const byReference = [...plain.matchAll(/^ {0,3}\[[^\]]+\]: +<?(\S+?)>?$/g)];
    return [...inline, ...byReference].map(([, target = '']) => ({ target, line: i + 1 }));
  });
}
