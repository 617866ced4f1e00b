/**
 * The body of an answer as its caller reads it: errors are LeaseStoreErrors, and the signal ends it.
 */
import type { Clock } from '../../runtime/clock.ts';
import { Chunks } from './chunks.ts';
import { abortedError, socketError } from './api-errors.ts';
import type { Asked } from './api-errors.ts';
import type { Endings } from './endings.ts';
import type { StreamExchange } from './exchange.ts';

/** Bytes read of a refused stream's answer. */
const ERROR_BYTES = 64 * 1024;

/** A body that arrives bit by bit. */
export interface AnswerStream {
  /** The next bytes; undefined at the end. @throws LeaseStoreError when the connection broke, or the signal aborted */
  read(): Promise<Buffer | undefined>;
  /** Ends it; the connection is closed. */
  close(): void;
}

/** The transport that it belongs to. */
interface StreamOwner {
  readonly server: string;
  readonly endings: Endings;
  readonly isClosed: () => boolean;
}

export function streamOf(
  request: Asked & { readonly signal?: AbortSignal | undefined },
  exchange: StreamExchange,
  { server, endings, isClosed }: StreamOwner,
): AnswerStream {
  const { signal } = request;
  const end = (): void => {
    endings.delete(end, signal);
    exchange.giveUp();
  };
  endings.add(end, signal);
  // Nobody listened since the answer came.
  if (signal?.aborted || isClosed()) end();
  return {
    async read() {
      try {
        const chunk = await exchange.read();
        if (chunk !== undefined) return chunk;
      } catch (error) {
        end();
        throw socketError(request, server, error, true);
      }
      const stopped = signal?.aborted || isClosed();
      end();
      if (stopped) throw abortedError(request, true, signal?.reason);
      return undefined;
    },
    close: end,
  };
}

/** What a refused stream says, cut where it is too long or takes too long. Ends the stream. */
export async function readBody(stream: AnswerStream, clock: Clock, timeoutMs: number): Promise<string> {
  const parts = new Chunks();
  const cancel = clock.schedule(timeoutMs, () => stream.close());
  try {
    for (let part = await stream.read(); part && parts.size < ERROR_BYTES; part = await stream.read()) parts.push(part);
  } catch {
    // The status alone says enough.
  } finally {
    cancel();
    stream.close();
  }
  return parts.take().toString('utf8');
}
