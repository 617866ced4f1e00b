/** Leases that lie in a world from before it begins. */
import { MicroTime } from '../../src/lease/micro-time.ts';
import { HOSTNAME_LABEL, IDENTITY_LABEL, IDENTITY_LABEL_VALUE, leaseName } from '../../src/lease/names.ts';
import type { MemoryApi } from '../support/memory-api.ts';
import type { Plan } from './plan.ts';

export function furnish(api: MemoryApi, plan: Plan): void {
  const ago = (hours: number): MicroTime => MicroTime.fromEpochMicros(api.clock.wallMicros() - hours * 3_600e6);
  for (const kind of plan.furniture) {
    const [host] = plan.slots.flatMap((slot) => (slot.kind === 'publisher' ? [slot.hostname] : []));
    const identity = { [IDENTITY_LABEL]: IDENTITY_LABEL_VALUE, [HOSTNAME_LABEL]: kind };
    const spec = { holderIdentity: `${kind}_1`, leaseDurationSeconds: 3600, renewTime: ago(5) };
    const old = { name: leaseName(kind), labels: identity, creationTimestamp: ago(10) };
    if (kind === 'orphan') api.put({ ...old, spec });
    if (kind === 'released') api.put({ ...old, spec: { ...spec, holderIdentity: '' } });
    if (kind === 'untimed') api.put({ ...old, spec: { holderIdentity: spec.holderIdentity } });
    if (kind === 'foreign' && host !== undefined) api.put({ name: leaseName(host), labels: { app: 'other' }, spec });
  }
}
