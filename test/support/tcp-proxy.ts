/**
 * A TCP proxy on loopback that fails as networks do. TLS passes through it untouched.
 *
 * Guarantees: the fault is in force for open and new connections from the moment it is set; `close` ends every
 * connection, in both directions, and leaves nothing behind.
 */
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { TlsRecords } from './tls-records.ts';

/**
 * - `pass`: as if it were not there.
 * - `refuse`: new connections are reset as soon as they are accepted; open ones go on.
 * - `swallow`: half-open: connections are accepted, what is sent vanishes, nothing comes back.
 * - `pause`: nothing passes in either direction, or in the one that is named, and all of it later.
 * - `slow`: answers pass at so many bytes a second.
 * - `delay`: everything passes so many milliseconds later, in both directions.
 * - `reset`: an answer is cut off by a reset after so many more bytes of it, counted for each connection from now.
 * - `tear`: a reset in the middle of a TLS record of the answers, after so many more of them, counted alike: the first
 *   few of a connection are its handshake.
 * - `corrupt`: one bit of every piece of an answer is turned over.
 */
export type TcpFault =
  | { readonly kind: 'pass' | 'refuse' | 'swallow' | 'corrupt' }
  | { readonly kind: 'pause'; readonly only?: 'requests' | 'answers' }
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'reset'; readonly afterBytes: number }
  | { readonly kind: 'tear'; readonly afterRecords: number };

const ANSWERS_ONLY: readonly TcpFault['kind'][] = ['slow', 'reset', 'tear', 'corrupt'];
/** How often a slow connection sends its share, in milliseconds. */
const SLOW_TICK_MS = 20;

export interface TcpProxy {
  readonly port: number;
  /** `https://127.0.0.1:PORT` or `http://…`, as the target's. */
  readonly url: string;
  /** Connections accepted so far. */
  readonly accepted: number;
  /** Connections open now. */
  readonly open: number;
  /** Puts a fault in force; `pass` ends it. */
  set(fault: TcpFault | 'pass' | 'refuse' | 'swallow' | 'pause' | 'corrupt'): void;
  /** Resets every open connection; new ones are still served. */
  cut(): void;
  close(): Promise<void>;
}

/** @param target where to, for instance `https://127.0.0.1:6443` */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const to = new URL(target);
  const links = new Set<Link>();
  let fault: TcpFault = { kind: 'pass' };
  let accepted = 0;
  // Half-open on both sides, so that an end in one direction is passed on as just that.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted++;
    if (fault.kind === 'refuse') {
      socket.on('error', () => {});
      socket.resetAndDestroy();
      return;
    }
    const link = new Link(socket, connect({ host: to.hostname, port: Number(to.port), allowHalfOpen: true }), () =>
      links.delete(link),
    );
    links.add(link);
    link.apply(fault);
  });
  await new Promise<void>((resolve, reject) => void server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${to.protocol}//127.0.0.1:${port}`,
    get accepted() {
      return accepted;
    },
    get open() {
      return links.size;
    },
    set(next) {
      fault = typeof next === 'string' ? { kind: next } : next;
      for (const link of links) link.apply(fault);
    },
    cut() {
      for (const link of links) link.reset();
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const link of links) link.reset();
      await closed;
      while (links.size > 0) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** One connection: the client's socket and the one to the target. */
class Link {
  readonly #client: Socket;
  readonly #target: Socket;
  readonly #requests: Pipe;
  readonly #answers: Pipe;
  #fault: TcpFault = { kind: 'pass' };

  constructor(client: Socket, target: Socket, gone: () => void) {
    this.#client = client;
    this.#target = target;
    const reset = (): void => this.reset();
    this.#requests = new Pipe(client, target, reset);
    this.#answers = new Pipe(target, client, reset);
    for (const socket of [client, target]) {
      socket.on('error', reset);
      socket.on('close', () => {
        if (client.destroyed && target.destroyed) return gone();
        // Nobody tells a client whose connection is half open.
        if (socket === client || this.#fault.kind !== 'swallow') reset();
      });
    }
  }

  apply(fault: TcpFault): void {
    this.#fault = fault;
    const pass: TcpFault = { kind: 'pass' };
    const only = fault.kind === 'pause' ? fault.only : undefined;
    this.#answers.apply(only === 'requests' ? pass : fault);
    // Only answers are slow, cut off or spoiled.
    this.#requests.apply(ANSWERS_ONLY.includes(fault.kind) || only === 'answers' ? pass : fault);
  }

  reset(): void {
    this.#requests.stop();
    this.#answers.stop();
    resetSocket(this.#client);
    resetSocket(this.#target);
  }
}

/**
 * Ends a connection by RST; by FIN where ours was sent already: Node leaves a socket open for ever, and its event loop
 * spinning, that is reset while it shuts down.
 */
function resetSocket(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}

/** One direction of a connection: what came in, its end included, goes out in order as the fault lets it. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #reset: () => void;
  readonly #queue: (Buffer | 'end')[] = [];
  #fault: TcpFault = { kind: 'pass' };
  #left = 0;
  readonly #records = new TlsRecords();
  #timer: NodeJS.Timeout | undefined;
  /** What is still under way, in order, and when it arrives. */
  readonly #delayed: { readonly piece: Buffer | 'end'; readonly at: number }[] = [];

  constructor(from: Socket, to: Socket, reset: () => void) {
    this.#from = from;
    this.#to = to;
    this.#reset = reset;
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.on('end', () => this.#take('end'));
    to.on('drain', () => this.#pump());
  }

  apply(fault: TcpFault): void {
    this.#fault = fault;
    this.stop();
    if (fault.kind === 'reset') this.#left = fault.afterBytes;
    this.#records.cutAfter(fault.kind === 'tear' ? fault.afterRecords : undefined);
    if (fault.kind === 'slow') this.#timer = setInterval(() => this.#drip(fault.bytesPerSecond), SLOW_TICK_MS);
    this.#pump();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #take(piece: Buffer | 'end'): void {
    const delayMs = this.#fault.kind === 'delay' ? this.#fault.ms : 0;
    if (delayMs === 0 && this.#delayed.length === 0) this.#arrive(piece);
    else {
      // What comes later waits behind what is still under way.
      this.#delayed.push({ piece, at: performance.now() + delayMs });
      if (this.#delayed.length === 1) this.#later();
    }
  }

  #later(): void {
    const next = this.#delayed[0];
    if (!next) return;
    setTimeout(
      () => {
        this.#delayed.shift();
        this.#arrive(next.piece);
        this.#later();
      },
      Math.max(0, next.at - performance.now()),
    );
  }

  #arrive(piece: Buffer | 'end'): void {
    this.#queue.push(piece);
    this.#pump();
  }

  #pump(): void {
    const { kind } = this.#fault;
    if (kind === 'swallow') this.#queue.length = 0;
    while (kind !== 'pause' && kind !== 'slow' && this.#queue.length > 0 && !this.#to.writableNeedDrain) {
      this.#send(this.#queue.shift()!);
    }
    if (this.#queue.length > 0) this.#from.pause();
    else this.#from.resume();
  }

  #send(piece: Buffer | 'end'): void {
    if (piece === 'end') return void this.#to.end();
    // Records are followed all the time: where one begins shows only from the start of a connection.
    const torn = this.#records.push(piece);
    const cut = this.#fault.kind === 'reset' && piece.length >= this.#left ? this.#left : torn;
    if (cut !== undefined) return void this.#to.write(piece.subarray(0, cut), this.#reset);
    this.#left -= piece.length;
    if (this.#fault.kind === 'corrupt') {
      const middle = piece.length >> 1;
      piece.writeUInt8(piece.readUInt8(middle) ^ 1, middle);
    }
    this.#to.write(piece);
  }

  #drip(bytesPerSecond: number): void {
    const piece = this.#queue.shift();
    if (piece === undefined) return;
    const share = Math.max(1, Math.floor((bytesPerSecond * SLOW_TICK_MS) / 1_000));
    if (piece !== 'end' && piece.length > share) this.#queue.unshift(piece.subarray(share));
    this.#send(piece === 'end' ? piece : piece.subarray(0, share));
    if (this.#queue.length === 0) this.#from.resume();
  }
}
