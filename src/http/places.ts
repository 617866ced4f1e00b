/**
 * Who keeps a connection when there are more than there are places.
 *
 * Guarantees: a newcomer always gets one of the `MAX_PLACES`. It is taken from a peer that has more than its share, where
 * there is one, else from anybody: first of all a connection that has sent no whole request for a second, then one that is
 * kept for a next request, then the one that has been at its request for the longest.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../runtime/clock.ts';

export const MAX_PLACES = 256;
/** Places that one peer may have while others want some. */
const SHARE = MAX_PLACES / 4;
/** Milliseconds that a request may take to arrive before its connection counts as silent. */
const SILENT_MS = 1_000;

/** A connection: `opened`: no whole request yet; `busy`: one is being answered; `kept`: for a next request. */
interface Place {
  readonly socket: Socket;
  readonly peer: string;
  stage: 'opened' | 'busy' | 'kept';
  since: number;
}

export class Places {
  readonly #clock: Clock;
  /** By the address of the other end: of a connection with TLS two sockets are known, with one address. */
  readonly #places = new Map<string, Place>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  open(socket: Socket): void {
    const { remoteAddress: address } = socket;
    // Closed already.
    if (address === undefined) return void socket.destroy();
    const key = keyOf(socket);
    const place: Place = { socket, peer: peerOf(address), stage: 'opened', since: this.#clock.monotonic() };
    if (this.#places.size >= MAX_PLACES) this.#giveUpOne();
    this.#places.set(key, place);
    socket.once('close', () => {
      if (this.#places.get(key) === place) this.#places.delete(key);
    });
  }

  /**
   * A request has come whole.
   * @returns to be called when it is answered; undefined: one is being answered on this connection already
   */
  request(socket: Socket): (() => void) | undefined {
    const place = this.#places.get(keyOf(socket));
    if (place === undefined || place.stage === 'busy') return undefined;
    this.#enter(place, 'busy');
    return () => this.#enter(place, 'kept');
  }

  #enter(place: Place, stage: Place['stage']): void {
    place.stage = stage;
    place.since = this.#clock.monotonic();
  }

  #giveUpOne(): void {
    const peers = new Map<string, number>();
    for (const { peer } of this.#places.values()) peers.set(peer, (peers.get(peer) ?? 0) + 1);
    const [greedy] = [...peers].filter(([, n]) => n > SHARE).sort(([, a], [, b]) => b - a)[0] ?? [];
    const now = this.#clock.monotonic();
    const rank = ({ stage, since }: Place): number =>
      stage === 'opened' && now - since >= SILENT_MS ? 0 : stage === 'kept' ? 1 : 2;
    const [[key, place] = []] = [...this.#places]
      .filter(([, { peer }]) => greedy === undefined || peer === greedy)
      .sort(([, a], [, b]) => rank(a) - rank(b) || a.since - b.since);
    if (key !== undefined) this.#places.delete(key);
    place?.socket.destroy();
  }
}

const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/** An IPv4 address, or the network of an IPv6 one: who has one address of a /64 has all. */
export function peerOf(address: string): string {
  if (address.includes('.')) return address.slice(address.lastIndexOf(':') + 1);
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array<string>(tail === undefined ? 0 : 8 - first.length - last.length).fill('0');
  return [...first, ...zeros, ...last].slice(0, 4).join(':');
}
