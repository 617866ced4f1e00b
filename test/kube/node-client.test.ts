/**
 * What is promised of the transport, and of all that is built on it, with Node's own HTTP client: one process, the same tests.
 */
import { nodeClient } from '../../src/kube/node-client.ts';
import { useClient } from './support.ts';

useClient(nodeClient);
await import('./transport.test.ts');
await import('./hostile.test.ts');
await import('./lease-api.test.ts');
await import('./proxy.test.ts');
await import('./reauthorize.test.ts');
await import('./watch.test.ts');
await import('./watch-circles.test.ts');
await import('./watch-unlisted.test.ts');
