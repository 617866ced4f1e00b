/** Leases that expired, or did not, for the tests of sweeping. */
import type { Connection } from '../../src/kube/connection.ts';
import { newLease } from '../../src/lease/lease.ts';
import type { Lease, LeaseSpec } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { HOSTNAME_LABEL } from '../../src/lease/names.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { LABEL } from './support.ts';

export const clock = createSystemClock();
export const HOUR = 3600;

export interface Sketch {
  readonly name: string;
  /** Seconds since the last renewal. */
  readonly age: number;
  readonly namespace?: string;
  readonly product?: string | undefined;
  readonly holder?: string;
  readonly duration?: number;
}

export function sketched({
  name,
  age,
  namespace = 'kube-system',
  product = 'kube-apiserver',
  holder,
  duration,
}: Sketch): Lease {
  const labels = { ...(product === '' ? {} : { [LABEL]: product }), [HOSTNAME_LABEL]: `host-${name}` };
  const spec: LeaseSpec = {
    holderIdentity: holder ?? `${name}_1`,
    leaseDurationSeconds: duration ?? HOUR,
    renewTime: MicroTime.fromEpochMicros(clock.wallMicros() - age * 1e6),
  };
  return newLease({ name, namespace, labels }, spec);
}

/** Makes many leases, 32 at a time. */
export async function seed({ store }: Connection, sketches: readonly Sketch[]): Promise<void> {
  const left = sketches.values();
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (const sketch of left) await store.create(sketched(sketch));
    }),
  );
}
