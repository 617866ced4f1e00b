/** One member of shards.ts: `node shards-program.ts FILE KUBECONFIG ID KEYS`. SIGTERM ends it in order. */
import { openLeases } from '../../src/leases.ts';
import { Works } from './works.ts';

/** A key's work takes up to this long to end, in milliseconds. */
const DRAIN_MS = 100;

const [file = '', kubeconfig = '', id = '', keys = ''] = process.argv.slice(2);
const works = new Works(file);
const leases = await openLeases({ kubeconfig, requestTimeoutMs: 1_500 });
const shards = leases.shards(
  'contended-ring',
  Number(keys),
  (term) => works.run(`key-${term.key}`, term, Infinity, { drainMs: Math.random() * DRAIN_MS }),
  { id, leaseDurationSeconds: 3, renewDeadlineMs: 2_000, retryPeriodMs: 400 },
);
process.on('SIGTERM', () => void leases.close().then(() => process.exit(0)));
await shards.run(new AbortController().signal);
