/**
 * What goes wrong on the wire between a process and a real API server: at TCP and in TLS.
 */
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { TcpFault } from '../support/fault-proxy.ts';
import { startTcpProxy } from '../support/fault-proxy.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { survive } from './survive.ts';
import type { FaultCase } from './world.ts';

type More = Pick<FaultCase, 'deaf' | 'holdMs'>;
/** At TCP. `cut`: connections that are open are reset first, so that the fault meets new ones. */
const TCP: readonly (More & { name: string; fault: TcpFault; cut?: boolean })[] = [
  { name: 'connections cut, once', fault: { kind: 'pass' }, cut: true, deaf: false, holdMs: 2_000 },
  { name: 'connections cut and refused', fault: { kind: 'refuse' }, cut: true },
  { name: 'half-open: accepted, never answered', fault: { kind: 'swallow' } },
  { name: 'silent both ways, then everything at once', fault: { kind: 'pause' } },
  { name: 'silent from the server', fault: { kind: 'pause', only: 'answers' } },
  { name: 'silent to the server', fault: { kind: 'pause', only: 'requests' }, deaf: false },
  { name: 'slow: answers trickle in', fault: { kind: 'slow', bytesPerSecond: 250 } },
  { name: 'reset in the middle of an answer', fault: { kind: 'reset', afterBytes: 2_500 }, deaf: false },
  { name: 'TLS cut in the handshake', fault: { kind: 'tear', afterRecords: 0 }, cut: true },
  { name: 'TLS cut in the middle of a record', fault: { kind: 'tear', afterRecords: 9 }, deaf: false },
  { name: 'bytes spoiled on the way', fault: { kind: 'corrupt' } },
];

describe('faults on the way to a real API server', { skip: realApiSkip(), concurrency: 2 }, () => {
  let api: RealApi;
  let beside: string;
  before(async () => {
    api = await startRealApi();
    beside = await api.kubeconfig();
  });
  after(() => api?.stop());

  for (const { name, fault, cut, ...more } of TCP) {
    it(name, async (t: TestContext) => {
      const proxy = await startTcpProxy(api.url);
      t.after(() => proxy.close());
      const through = await api.kubeconfig({ server: proxy.url });
      const begin = (): (() => Promise<void>) => {
        proxy.set(fault);
        if (cut) proxy.cut();
        return () => Promise.resolve(proxy.set('pass'));
      };
      await survive(t, api, { name, through, beside, begin, ...more });
    });
  }
});
