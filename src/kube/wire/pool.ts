/**
 * Kept-alive connections to one origin, opened when all others are busy and up to a limit.
 *
 * Guarantees: the connection used last is used first, so a sequence of requests needs one; beyond the limit exchanges
 * wait in order; urgent ones have a limit of their own, so they never wait for others; one that was given up while its
 * connection was still being opened takes that attempt with it, so the next request does not wait behind it. undici's own Pool opens a second connection for a request made at the moment
 * the answer before it arrives, and has no way to end a request that waits.
 */
import type { CreateHttpClient, HttpClient, WireRequest } from './http-client.ts';
import type { Connector } from './connector.ts';
import type { PooledConnection, Exchange, StreamExchange } from './exchange.ts';

type AnyExchange = Exchange | StreamExchange;
interface Slot extends PooledConnection {
  readonly client: HttpClient;
  /** Where the exchange that it carries is counted. */
  lane: Lane;
  stopConnecting: () => void;
}
/** The exchanges of one urgency: those under way, of which there are up to the limit, and those that wait. */
interface Lane {
  running: number;
  waiting: { readonly exchange: AnyExchange; readonly request: WireRequest }[];
}

export class ConnectionPool {
  readonly #origin: string;
  readonly #createClient: CreateHttpClient;
  readonly #connector: Connector;
  readonly #limit: number;
  readonly #slots = new Set<Slot>();
  readonly #free: Slot[] = [];
  readonly #urgent: Lane = { running: 0, waiting: [] };
  readonly #ordinary: Lane = { running: 0, waiting: [] };
  #closing: (() => void) | undefined;

  /** @param limit exchanges under way, of the urgent and of the others each */
  constructor(origin: string, createClient: CreateHttpClient, connector: Connector, limit: number) {
    this.#origin = origin;
    this.#createClient = createClient;
    this.#connector = connector;
    this.#limit = limit;
  }

  /** Carries the exchange out as soon as a connection is free. */
  run(request: WireRequest, exchange: AnyExchange, urgent: boolean): void {
    const lane = urgent ? this.#urgent : this.#ordinary;
    if (lane.running < this.#limit) this.#start(lane, request, exchange);
    else lane.waiting.push({ request, exchange });
  }

  /** The one used last of those that are connected, else the one used last. */
  #takeFree(): Slot | undefined {
    const last = this.#free.length - 1;
    const at = this.#free[last]?.client.connected ? last : this.#free.findLastIndex(({ client }) => client.connected);
    return at === -1 ? this.#free.pop() : this.#free.splice(at, 1)[0];
  }

  /** Sockets that are open now. */
  get connected(): number {
    let count = 0;
    for (const { client } of this.#slots) if (client.connected) count++;
    return count;
  }

  /** Closes what is idle now and the rest when it has ended. Nothing may be run any more. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#closing = resolve;
      for (const slot of this.#free.splice(0)) this.#remove(slot);
      this.#settleClose();
    });
  }

  async destroy(): Promise<void> {
    this.#urgent.waiting = [];
    this.#ordinary.waiting = [];
    const slots = [...this.#slots];
    this.#slots.clear();
    this.#free.length = 0;
    await Promise.all(
      slots.map(({ client, stopConnecting }) => {
        stopConnecting();
        return client.destroy();
      }),
    );
    this.#settleClose();
  }

  #add(lane: Lane): Slot {
    const client = this.#createClient({
      origin: this.#origin,
      open: (callback) => (slot.stopConnecting = this.#connector.open(callback)),
      onConnect: () => (slot.served = 0),
    });
    const slot: Slot = {
      client,
      lane,
      served: 0,
      stopConnecting: () => undefined,
      release: (exchange) => this.#release(slot, exchange),
    };
    this.#slots.add(slot);
    return slot;
  }

  #start(lane: Lane, request: WireRequest, exchange: AnyExchange): void {
    const slot = this.#takeFree() ?? this.#add(lane);
    slot.lane = lane;
    lane.running++;
    // By a field: a closure made here for each request made V8 keep them past minor collections, at twice the memory.
    exchange.connection = slot;
    slot.client.dispatch(request, exchange);
  }

  #release(slot: Slot, exchange: { readonly sent: boolean }): void {
    if (!this.#slots.has(slot)) return;
    const { lane } = slot;
    lane.running--;
    if (!exchange.sent) this.#remove(slot);
    else this.#free.push(slot);
    while (lane.waiting.length > 0 && lane.running < this.#limit) {
      const next = lane.waiting.shift();
      if (next && !next.exchange.settled) this.#start(lane, next.request, next.exchange);
    }
    if (this.#closing && this.#urgent.waiting.length + this.#ordinary.waiting.length === 0) {
      for (const idle of this.#free.splice(0)) this.#remove(idle);
      this.#settleClose();
    }
  }

  #remove(slot: Slot): void {
    this.#slots.delete(slot);
    slot.stopConnecting();
    // What it carried has ended: there is nothing to wait for.
    void slot.client.destroy().catch(() => undefined);
  }

  #settleClose(): void {
    if (this.#slots.size === 0) this.#closing?.();
  }
}
