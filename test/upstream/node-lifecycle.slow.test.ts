/**
 * The node lifecycle controller's verdicts, as upstream asserts them: by `leasekeeper nodes`.
 *
 * Upstream moves a clock by an hour; here the grace period is 5 s, and leases and statuses are renewed meanwhile or are not.
 * What upstream does to pods of such nodes is not ours.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { realApiSkip } from '../support/real-api.ts';
import { runProgram } from '../support/process.ts';
import { until } from '../e2e/support.ts';
import { ago, makeLease, pathOf, startServer } from './support.ts';
import type { Server } from './support.ts';

const WHERE = 'pkg/controller/nodelifecycle/node_lifecycle_controller_test.go';
const LEASES = `${WHERE} TestMonitorNodeHealthUpdateNodeAndPodStatusWithLease`;
const STATUS = `${WHERE} TestMonitorNodeHealthUpdateStatus`;
const NAMESPACE = 'kube-node-lease';

interface Case {
  readonly where: string;
  readonly name: string;
  /** Its creation lies within the startup grace period. */
  readonly recent?: boolean;
  readonly status?: 'posted' | 'posted once';
  readonly lease?: 'renewed' | 'expired';
  readonly verdict: string;
}
const cases: readonly Case[] = [
  { where: `${LEASES}: new, no status, no lease: nothing is decided`, name: 'new', recent: true, verdict: 'Pending' },
  {
    where: `${LEASES}: new, no status, lease renewed: nothing is decided`,
    name: 'new-renewed',
    recent: true,
    lease: 'renewed',
    verdict: 'Pending',
  },
  { where: `${LEASES}: old, no status, no lease: Unknown`, name: 'old', verdict: 'Unknown' },
  {
    where: `${LEASES}: old, no status, lease renewed: a lease alone makes nothing ready (no condition there, which kubectl calls Unknown)`,
    name: 'old-renewed',
    lease: 'renewed',
    verdict: 'Unknown',
  },
  {
    where: `${LEASES}: old, no status, lease expired: Unknown`,
    name: 'old-expired',
    lease: 'expired',
    verdict: 'Unknown',
  },
  {
    where: `${LEASES}: status older than the grace period, lease renewed: stays Ready`,
    name: 'lease-alone',
    status: 'posted once',
    lease: 'renewed',
    verdict: 'Ready',
  },
  {
    where: `${LEASES}: status posted, lease expired: stays Ready`,
    name: 'status-alone',
    status: 'posted',
    lease: 'expired',
    verdict: 'Ready',
  },
  {
    where: `${LEASES}: status older than the grace period, lease expired: Unknown`,
    name: 'both-late',
    status: 'posted once',
    lease: 'expired',
    verdict: 'Unknown',
  },
  {
    where: `${STATUS}: status older than the grace period, no lease: Unknown`,
    name: 'late',
    status: 'posted once',
    verdict: 'Unknown',
  },
  { where: `${STATUS}: status posted, no lease: stays Ready`, name: 'posted', status: 'posted', verdict: 'Ready' },
];

describe('node lifecycle', { skip: realApiSkip() }, () => {
  let server: Server;
  const verdicts = new Map<string, string>();
  const posting = new AbortController();
  let posts: Promise<void> = Promise.resolve();
  after(async () => {
    posting.abort();
    await posts.catch(() => {});
    await server?.api.stop();
  });

  const ready = (): object => {
    const time = `${ago(0).slice(0, 19)}Z`;
    return {
      type: 'Ready',
      status: 'True',
      reason: 'KubeletReady',
      message: '',
      lastHeartbeatTime: time,
      lastTransitionTime: time,
    };
  };
  const post = async (name: string): Promise<void> => {
    const { status } = await server.at.call('PATCH', `/api/v1/nodes/${name}/status`, {
      status: { conditions: [ready()] },
    });
    assert.equal(status, 200);
  };
  const renew = async (name: string): Promise<void> => {
    const { status } = await server.at.call('PATCH', pathOf(NAMESPACE, name), { spec: { renewTime: ago(0) } });
    assert.equal(status, 200);
  };

  /** One run of the program over nodes that are new, or not; what it said until all was as expected, or for a minute. */
  const judge = async (some: readonly Case[], ...graces: string[]): Promise<void> => {
    const names = some.flatMap(({ name }) => ['--node', name]);
    const expected = (): boolean => some.every(({ name, verdict }) => verdicts.get(name) === verdict);
    await until('the verdicts', async () => {
      const args = ['nodes', '--kubeconfig', server.kubeconfig, '--grace=5s', ...graces, ...names];
      const { code, stdout, stderr } = await runProgram(args);
      assert.equal(code, 0, stderr);
      for (const row of stdout.trimEnd().split('\n').slice(1)) {
        const [name = '', verdict = ''] = row.split(/ {2,}/);
        verdicts.set(name, verdict);
      }
      return expected();
    }).catch(() => {});
  };

  before(async () => {
    server = await startServer();
    for (const { name, status, lease } of cases) {
      const { status: made } = await server.at.call('POST', '/api/v1/nodes', {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name },
      });
      assert.equal(made, 201);
      if (status) await post(name);
      const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: ago(3_600) };
      if (lease) await makeLease(server, { name, namespace: NAMESPACE, spec });
    }
    posts = (async () => {
      while (!posting.signal.aborted) {
        await Promise.all([
          ...cases.filter(({ status }) => status === 'posted').map(({ name }) => post(name)),
          ...cases.filter(({ lease }) => lease === 'renewed').map(({ name }) => renew(name)),
        ]);
        // A time in a status has whole seconds: what is posted twice in one is no sign of life.
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
    })();
    await Promise.all([
      judge(
        cases.filter(({ recent }) => recent),
        '--startup-grace=1h',
        '--wait=2s',
      ),
      judge(
        cases.filter(({ recent }) => !recent),
        '--startup-grace=1s',
      ),
    ]);
  });

  for (const { where, name, verdict } of cases) {
    test(where, () => assert.equal(verdicts.get(name), verdict));
  }
});
