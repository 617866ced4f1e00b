/** `serve --all-namespaces` on a real API server, beside client-go's electors: what it says of a leader that is killed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { startProgram } from '../support/process.ts';
import { LEASE_MS, Peer, now, peerSkip } from './elect-support.ts';
import type { LeaseJson } from './support.ts';
import { until } from './support.ts';

interface Shown {
  readonly name: string;
  readonly held: boolean;
  readonly holder: string;
  readonly leaderlessSeconds: number;
  readonly lastSwitch: {
    readonly from: string;
    readonly to: string;
    readonly how: string;
    readonly seconds: number;
    readonly leaderlessSeconds: number;
  } | null;
}

test(
  'client-go’s leader is killed: leaderless for as long as its standby waits',
  { skip: realApiSkip() || peerSkip() },
  async (t) => {
    const api = await startRealApi();
    t.after(() => api.stop());
    const kubeconfig = await api.kubeconfig();
    const program = startProgram(['serve', '-A', '--http-address', '0', '--kubeconfig', kubeconfig], { t });
    const url = /url=(\S+)/.exec(await program.waitForLine(/counting instances/, { timeoutMs: 30_000 }))![1]!;
    const shown = async (): Promise<Shown | undefined> => {
      const answer = await fetch(new URL('/v1/leases?kind=election', url));
      const { leases } = (await answer.json()) as { leases: Shown[] | null };
      return leases?.find(({ name }) => name === 'theirs');
    };
    const a = new Peer(t, kubeconfig, 'theirs', 'a');
    await until('a to lead', async () => (await shown())?.holder === 'a', 30_000);
    const b = new Peer(t, kubeconfig, 'theirs', 'b');
    await b.heard('leader', 0, 'a');
    a.signal('SIGKILL');
    const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/theirs';
    const { spec } = await api.json<LeaseJson & Record<string, unknown>>('GET', path);
    const expired = Date.parse(spec.renewTime!) + LEASE_MS - Date.now() + now();
    const { at } = await b.heard('started');
    const { lastSwitch, held, leaderlessSeconds } = await until(
      'the switch',
      async () => {
        const one = await shown();
        return one?.lastSwitch && one.held ? { ...one, lastSwitch: one.lastSwitch } : undefined;
      },
      30_000,
    );
    assert.deepEqual(
      [lastSwitch.from, lastSwitch.to, lastSwitch.how, held, leaderlessSeconds],
      ['a', 'b', 'expired', true, 0],
    );
    const gap = (at - expired) / 1000;
    t.diagnostic(`the standby saw ${gap.toFixed(3)} s without a leader, serve ${lastSwitch.leaderlessSeconds} s`);
    // What the watch is late on a loaded machine is in it.
    assert.ok(Math.abs(lastSwitch.leaderlessSeconds - gap) < 5, `${gap}, but ${lastSwitch.leaderlessSeconds}`);
    const text = await (await fetch(new URL('/metrics', url))).text();
    assert.match(text, /^leasekeeper_election_switch_seconds_count\{how="expired"\} 1$/m);
    assert.match(text, /^leasekeeper_election_transitions_total\{lease_namespace="default",name="theirs"\} 1$/m);
  },
);
