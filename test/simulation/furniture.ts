/** Leases that lie in a world from before it begins. */
import { KIND_LABEL } from '../../src/lease/marks.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import {
  HOSTNAME_ANNOTATION,
  HOSTNAME_LABEL,
  IDENTITY_LABEL,
  IDENTITY_LABEL_VALUE,
  leaseName,
} from '../../src/lease/names.ts';
import type { MemoryApi } from '../support/memory-api.ts';
import type { Plan } from './plan-types.ts';

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
    if (kind === 'misnamed' && host !== undefined)
      api.put({ ...old, annotations: { [HOSTNAME_ANNOTATION]: host }, spec: { ...spec, renewTime: ago(0) } });
    if (kind === 'ring key') {
      const where = { namespace: 'kube-node-lease', name: 'ring-key', labels: { [KIND_LABEL]: 'shard' } };
      api.put({ ...where, spec: { holderIdentity: 'member_1', leaseDurationSeconds: 15, renewTime: ago(1) } });
    }
    if (kind === 'foreign' && host !== undefined) api.put({ name: leaseName(host), labels: { app: 'other' }, spec });
  }
}
