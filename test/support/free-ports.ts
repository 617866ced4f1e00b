/**
 * Ports for servers that get theirs by a flag, or start again at the same one.
 *
 * Guarantees: no connection out of this machine takes such a port while its server is away: systems draw theirs from 32768 up (who
 * calls a port of loopback again and again is now and then connected with itself). Processes that run at the same time begin
 * to look at places of their own.
 */
import { createServer } from 'node:net';

const [FIRST, END] = [10_000, 32_000];
/** Process ids follow each other: each has so many ports before those of the next. */
const APART = 20;

let next = (process.pid * APART) % (END - FIRST);

/** On 127.0.0.1. @throws Error where there are none */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tried = 0; ports.length < count; tried++) {
    if (tried === END - FIRST) throw new Error(`there are no ${count} free ports from ${FIRST} to ${END}`);
    const port = FIRST + next;
    next = (next + 1) % (END - FIRST);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
