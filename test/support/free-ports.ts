/**
 * Ports for servers that get theirs by a flag, or start again at the same one.
 *
 * Guarantees: such a port is given to nobody else while this process runs, and no connection out of this machine takes it while its
 * server is away: systems draw theirs from 32768 up (who calls a port of loopback again and again is now and then connected
 * with itself).
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { EventEmitter } from 'node:events';
import { createServer } from 'node:net';

/** From 11,000: `fetch` refuses 10080. */
const [FIRST, END] = [11_000, 32_000];

let next = Math.floor(Math.random() * (END - FIRST));

/** Of TCP, on 127.0.0.1. @throws Error where there are none */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tried = 0; ports.length < count; tried++) {
    if (tried === END - FIRST) throw new Error(`there are no ${count} free ports from ${FIRST} to ${END}`);
    const port = FIRST + next;
    next = (next + 1) % (END - FIRST);
    if ((await isOurs(port)) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

/** The port of UDP with that number says whose it is, until this process ends: nothing else uses it. */
async function isOurs(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  socket.bind({ port, address: '127.0.0.1', exclusive: true });
  if (!(await listens(socket))) return false;
  socket.unref();
  return true;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen({ port, host: '127.0.0.1', exclusive: true });
  if (!(await listens(server))) return false;
  server.close();
  await once(server, 'close');
  return true;
}

const listens = (socket: EventEmitter): Promise<boolean> =>
  once(socket, 'listening').then(
    () => true,
    () => false,
  );
