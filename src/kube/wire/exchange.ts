/**
 * One request on the wire, as undici's dispatcher tells it: an Exchange gathers a whole answer, a StreamExchange hands
 * its body on piece by piece.
 *
 * Guarantees: settles once; after `giveUp` nothing more is sent or kept; a body never grows past its limit; a stream
 * that nobody reads stops reading from the socket.
 */
import type { Dispatcher } from 'undici';
import { Chunks } from './chunks.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;
type Controller = Dispatcher.DispatchController;

/** The answer is larger than the limit. */
export class TooLargeError extends Error {
  override readonly name = 'TooLargeError';
}
/** Why undici destroys a connection; only undici sees it. */
const GIVEN_UP = new Error('given up');

/** Where it ends: called once, either of them. */
interface Outcome<T> {
  readonly done: (value: T) => void;
  readonly failed: (error: unknown) => void;
}

/** The connection that an exchange goes out on, as its pool keeps it. */
export interface PooledConnection {
  /** Whole answers on the present socket. */
  served: number;
  /** The exchange has ended: the connection is free again. */
  release(exchange: Base): void;
}

abstract class Base {
  status = 0;
  headers: Headers = {};
  /** True from the moment just before the first byte was written. */
  sent = false;
  /** True as soon as the answer began. */
  started = false;
  /** Set by the pool: the connection that it goes out on. */
  connection: PooledConnection | undefined;
  settled = false;
  protected controller: Controller | undefined;

  onRequestStart(controller: Controller): void {
    if (this.settled) {
      controller.abort(GIVEN_UP);
      return;
    }
    this.sent = true;
    this.controller = controller;
  }

  /** Ends it, whatever it is doing. The connection is destroyed when the request is on it. */
  giveUp(): void {
    if (this.settled) return;
    this.settled = true;
    this.controller?.abort(GIVEN_UP);
    this.connection?.release(this);
  }
}

export interface WholeAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

export class Exchange extends Base implements Dispatcher.DispatchHandler {
  readonly #outcome: Outcome<WholeAnswer>;
  readonly #limit: number;
  /** Most answers come in one piece. */
  #first: Buffer | undefined;
  #more: Chunks | undefined;
  #size = 0;

  constructor(limit: number, outcome: Outcome<WholeAnswer>) {
    super();
    this.#limit = limit;
    this.#outcome = outcome;
  }

  onResponseStart(_controller: Controller, status: number, headers: Headers): void {
    this.started = true;
    this.status = status;
    this.headers = headers;
    if (Number(headers['content-length'] ?? 0) > this.#limit) this.#tooLarge();
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.settled) return;
    this.#size += chunk.length;
    if (this.#size > this.#limit) this.#tooLarge();
    else if (this.#first === undefined) this.#first = chunk;
    else {
      if (!this.#more) {
        this.#more = new Chunks();
        this.#more.push(this.#first);
      }
      this.#more.push(chunk);
    }
  }

  onResponseEnd(): void {
    if (this.settled) return;
    this.settled = true;
    if (this.connection) this.connection.served++;
    this.connection?.release(this);
    const bytes = this.#more?.take() ?? this.#first;
    this.#outcome.done({ status: this.status, headers: this.headers, body: bytes ? bytes.toString('utf8') : '' });
  }

  onResponseError(_controller: Controller | undefined, error: Error): void {
    if (this.settled) return;
    this.settled = true;
    this.connection?.release(this);
    this.#outcome.failed(error);
  }

  #tooLarge(): void {
    if (this.settled) return;
    this.giveUp();
    this.#outcome.failed(new TooLargeError(`the answer is larger than ${this.#limit} bytes`));
  }
}

/** Bytes that may wait for a reader before the socket is paused. */
const HIGH_WATER = 256 * 1024;

export class StreamExchange extends Base implements Dispatcher.DispatchHandler {
  readonly #opened: Outcome<StreamExchange>;
  readonly #chunks = new Chunks();
  #open = false;
  #ended = false;
  #error: Error | undefined;
  #waiting: (() => void) | undefined;

  constructor(opened: Outcome<StreamExchange>) {
    super();
    this.#opened = opened;
  }

  onResponseStart(_controller: Controller, status: number, headers: Headers): void {
    if (this.settled || status < 200) return;
    this.started = true;
    this.status = status;
    this.headers = headers;
    this.#open = true;
    this.#opened.done(this);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.settled) return;
    this.#chunks.push(chunk);
    if (this.#chunks.size > HIGH_WATER) controller.pause();
    this.#wake();
  }

  onResponseEnd(): void {
    if (this.settled) return;
    if (this.connection) this.connection.served++;
    this.#ended = true;
    this.settled = true;
    this.connection?.release(this);
    this.#wake();
  }

  onResponseError(_controller: Controller | undefined, error: Error): void {
    if (this.settled) return;
    this.settled = true;
    this.connection?.release(this);
    this.#ended = true;
    this.#error = error;
    if (this.#open) this.#wake();
    else this.#opened.failed(error);
  }

  override giveUp(): void {
    this.#chunks.clear();
    this.#ended = true;
    super.giveUp();
    this.#wake();
  }

  /** The next piece; undefined at the end. Rejects with the socket's error when it broke. One reader at a time. */
  async read(): Promise<Buffer | undefined> {
    while (this.#chunks.size === 0) {
      if (this.#ended) {
        if (this.#error !== undefined) throw this.#error;
        return undefined;
      }
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
    const chunk = this.#chunks.take();
    if (!this.settled && this.controller?.paused) this.controller.resume();
    return chunk;
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}
