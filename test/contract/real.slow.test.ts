import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { leaseStoreContract } from './lease-store.ts';
import { contractOver } from './over-http.ts';

for (const light of [false, true])
  leaseStoreContract(
    `real API server${light ? ', by the light client' : ''}`,
    async () => {
      const api = await startRealApi();
      await api.createTerminatingNamespace('terminating');
      return contractOver(
        {
          url: api.url,
          kubeconfig: (server) => api.kubeconfig({ server }),
          terminatingNamespace: 'terminating',
          close: () => api.stop(),
        },
        light,
      );
    },
    realApiSkip(),
  );
