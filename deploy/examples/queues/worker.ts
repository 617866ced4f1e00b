/** A worker that shares eight queues with others: `node worker.ts NAME`, until SIGTERM. */
import { openLeases } from 'leasekeeper';

const [, , id = ''] = process.argv;
const leases = await openLeases();
const queues = ['mail', 'push', 'sms', 'invoices', 'reports', 'images', 'search', 'audit'];

const shards = leases.shards(
  'queues',
  queues,
  async (term) => {
    console.log(`begin ${term.key} ${id}`);
    // Reads the queue until it is another's: all that it does has ended when this returns.
    await new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true }));
    console.log(`end ${term.key} ${id}`);
  },
  { id },
);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await shards.run(stop.signal);
await leases.close();
