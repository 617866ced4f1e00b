import { createSystemClock } from '../../src/runtime/clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { leaseStoreContract } from './lease-store.ts';

leaseStoreContract('in memory', async () => {
  const store = new MemoryStore({ clock: createSystemClock() });
  store.api.namespace('terminating', 'terminating');
  return {
    store,
    namespace: 'kube-system',
    otherNamespace: 'default',
    terminatingNamespace: 'terminating',
    silent: store.client({ faults: () => ({ hang: true }) }),
    cleanup: async () => {},
  };
});
