/** What kube-apiserver's collector takes and leaves, as upstream asserts it: by one pass of `leasekeeper sweep`. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { realApiSkip } from '../support/real-api.ts';
import { runProgram } from '../support/process.ts';
import { IDENTITY, ago, leaseAt, makeLease, plantLease, startServer } from './support.ts';
import type { LeaseJson } from '../e2e/support.ts';
import type { Server, Sketch } from './support.ts';

interface Case extends Sketch {
  readonly where: string;
  readonly collected: boolean;
  /** Hours since its creation, where that counts. */
  readonly hours?: number;
}
const INTEGRATION = 'test/integration/controlplane/apiserver_identity_test.go TestLeaseGarbageCollection';
const UNIT = 'pkg/controlplane/controller/apiserverleasegc/gc_controller_test.go Test_Controller';

const held = (renewedAgo: number | undefined, leaseDurationSeconds?: number): LeaseJson['spec'] => ({
  holderIdentity: 'somebody',
  ...(renewedAgo !== undefined && { renewTime: ago(renewedAgo) }),
  ...(leaseDurationSeconds !== undefined && { leaseDurationSeconds }),
});

describe('collector', { skip: realApiSkip() }, () => {
  let server: Server;
  after(() => server?.api.stop());

  const cases: readonly Case[] = [
    {
      where: `${INTEGRATION}: an expired identity lease goes`,
      collected: true,
      name: 'expired',
      labels: IDENTITY,
      spec: held(7_200, 3_600),
    },
    {
      where: `${INTEGRATION}: a fresh one stays`,
      collected: false,
      name: 'fresh',
      labels: IDENTITY,
      spec: held(120, 3_600),
    },
    {
      where: `${INTEGRATION}: an expired lease without the identity label stays`,
      collected: false,
      name: 'no-label',
      spec: held(7_200, 3_600),
    },
    {
      where: `${INTEGRATION}: an expired identity lease outside kube-system stays`,
      collected: false,
      name: 'elsewhere',
      namespace: 'default',
      labels: IDENTITY,
      spec: held(7_200, 3_600),
    },
    {
      where: `${UNIT}: one that has not expired stays`,
      collected: false,
      name: 'unexpired',
      labels: IDENTITY,
      spec: held(0, 3_600),
    },
    {
      where: `${UNIT}: an expired one of another component stays`,
      collected: false,
      name: 'component',
      labels: { 'apiserver.kubernetes.io/identity': 'kube-controller-manager' },
      spec: held(60, 10),
    },
    {
      where: `${UNIT}: one whose renewTime has expired goes`,
      collected: true,
      name: 'renew-time',
      labels: IDENTITY,
      spec: held(60, 10),
    },
    {
      where: `${UNIT}: one without a renewTime goes (here once it is an hour old)`,
      collected: true,
      name: 'no-renew-time',
      labels: IDENTITY,
      spec: held(undefined, 10),
      hours: 2,
    },
    {
      where: `${UNIT}: one without a duration goes (here once it is an hour old)`,
      collected: true,
      name: 'no-duration',
      labels: IDENTITY,
      spec: held(60),
      hours: 2,
    },
  ];

  before(async () => {
    server = await startServer();
    for (const one of cases) {
      if (one.hours === undefined) await makeLease(server, one);
      else await plantLease(server, one, one.hours * 3_600);
    }
    const sweep = await runProgram(['sweep', '--once', '--confirm-after=0', '--kubeconfig', server.kubeconfig]);
    assert.equal(sweep.code, 0, sweep.stderr);
  });

  for (const { where, name, namespace = 'kube-system', collected } of cases) {
    test(where, async () => assert.equal((await leaseAt(server, namespace, name)) === undefined, collected));
  }
});
