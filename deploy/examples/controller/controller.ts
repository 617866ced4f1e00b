/**
 * A controller of which one replica works: the leader watches the Nodes, and acts when one is not heard of any more.
 * `node controller.ts NAME`, until SIGTERM.
 */
import { openLeases, workloadLeaseName } from 'leasekeeper';
import type { NodeAvailability, Term } from 'leasekeeper';

const [, , id = ''] = process.argv;
const leases = await openLeases();

/** What the controller is there for. Who receives it should refuse a token below one that it has seen. */
function act(node: NodeAvailability, term: Term): void {
  // Throws from the instant at which leadership ends, even if nobody has noticed yet.
  term.check();
  console.log(`${id}: ${node.name} is ${node.status} (fencing token ${term.fencingToken})`);
}

/** Ends as soon as the term does, and has nothing under way by then. */
async function work(term: Term): Promise<void> {
  console.log(`${id}: leading, fencing token ${term.fencingToken}`);
  const monitor = leases.availability({
    // Short, so that there is something to see; node lifecycle controllers wait for 50 seconds.
    graceMs: 4_000,
    observe: (event) => {
      if (event.type === 'changed' && event.node.status !== 'Pending') act(event.node, term);
    },
  });
  await monitor.run(term.signal);
  console.log(`${id}: no longer leading`);
}

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
process.once('SIGINT', () => stop.abort());
await leases.lead(`default/${workloadLeaseName('node-watcher', ['all nodes'])}`, work, { id, signal: stop.signal });
await leases.close();
