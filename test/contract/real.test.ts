import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { leaseStoreContract } from './lease-store.ts';
import { contractOver } from './over-http.ts';

for (const brief of [false, true])
  leaseStoreContract(
    `real API server${brief ? ', as short commands speak to it' : ''}`,
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
        brief,
      );
    },
    realApiSkip(),
  );
