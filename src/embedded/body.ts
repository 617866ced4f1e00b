/** The body of an HTTP request, bounded. */
import type { IncomingMessage } from 'node:http';
import { tooLarge } from './status-errors.ts';

/** Bytes: kube-apiserver's own limit. */
export const MAX_BODY = 3 * 1024 * 1024;
/** How much of a body that is too large is read and forgotten, so that its sender gets to read the answer. */
const MAX_DISCARDED = 32 * 1024 * 1024;

const EMPTY = Buffer.alloc(0);

/**
 * The whole body; undefined when the client went away before its end.
 * @throws ApiError 413
 */
export function readBody(req: IncomingMessage): Promise<Buffer | undefined> | Buffer {
  const { headers } = req;
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return EMPTY;
  return new Promise((resolve, reject) => {
    if (Number(headers['content-length'] ?? 0) > MAX_DISCARDED) reject(tooLarge(MAX_BODY));
    let chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY) chunks.push(chunk);
      else chunks = [];
      if (size > MAX_DISCARDED) req.destroy();
    });
    req.on('end', () => {
      if (size > MAX_BODY) reject(tooLarge(MAX_BODY));
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    });
    req.on('close', () => resolve(undefined));
    req.on('error', () => resolve(undefined));
  });
}
