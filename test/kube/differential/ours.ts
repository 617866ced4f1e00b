/** What leasekeeper makes of a situation, in this process. */
import { join } from 'node:path';
import { KubeConfigError } from '../../../src/kube/auth/settings.ts';
import { connect } from '../../../src/kube/connection.ts';
import { isStoreError } from '../../../src/lease/store.ts';
import { createSystemClock } from '../../../src/runtime/clock.ts';
import { outcome } from './outcome.ts';
import type { Outcome, Sense } from './outcome.ts';
import type { Situation } from './situations.ts';
import { PATH } from './world.ts';
import type { World } from './world.ts';

const TRUST = /CERT|certificate|ALTNAME|ISSUER|LEAF_SIGNATURE|SELF_SIGNED/;

export async function askUs(
  situation: Situation,
  world: World,
  dir: string,
  shown?: (words: string) => void,
): Promise<Outcome> {
  const { kubeconfig = 'config', context } = situation;
  return outcome(situation, world, dir, async (env): Promise<Sense> => {
    try {
      const connection = await connect({
        kubeconfig: kubeconfig === null ? undefined : join(dir, kubeconfig),
        context,
        env,
        home: dir,
        serviceAccountDir: '/nonexistent',
        clock: createSystemClock(),
        random: Math.random,
        light: true,
        requestTimeoutMs: 5_000,
      });
      try {
        await connection.transport.request({ method: 'GET', what: 'ask', path: PATH });
      } finally {
        await connection.close();
      }
      return 'ok';
    } catch (error) {
      shown?.((error as Error).message);
      if (error instanceof KubeConfigError) return 'configuration';
      if (isStoreError(error, 'Credentials')) return 'credentials';
      if (!isStoreError(error)) throw error;
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
        if (TRUST.test(String((cause as NodeJS.ErrnoException).code))) return 'trust';
      }
      return 'connection';
    }
  });
}
