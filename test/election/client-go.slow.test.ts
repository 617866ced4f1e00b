/**
 * Contending with client-go's leader election for one lease on a real API server.
 *
 * GO_PEER names the program that runs client-go (`elect --name --namespace --id --lease-duration …`, a JSON line for each
 * change). Without it, or without an API server, these tests say that they were skipped.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { RealApi } from '../support/real-api.ts';

const peer = process.env['GO_PEER'];
const skip = realApiSkip() || (peer && existsSync(peer) ? false : 'GO_PEER does not name a client-go program');
const CONTENDER = fileURLToPath(new URL('contender.ts', import.meta.url));
/** client-go's proportions, made short: 15 / 10 / 2. */
const LEASE_S = 3;
/** The longest that client-go waits between two looks. */
const GO_POLL_MS = LEASE_S * (2_000 / 15) * 2.2;

interface Line {
  readonly event: string;
  readonly at: number;
  readonly leader?: string;
  readonly transitions?: number;
}

/** A candidate as a process, and what it says. */
class Contender {
  readonly lines: Line[] = [];
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  #wake: () => void = () => {};

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.lines.push(JSON.parse(line) as Line);
      this.#wake();
    });
    this.exited = new Promise((resolve) => this.#child.once('close', () => resolve()));
  }

  /** Sends a signal, and says when: not after anything that it brings about. */
  kill(signal: NodeJS.Signals): number {
    const now = Date.now();
    this.#child.kill(signal);
    return now;
  }

  /** The first line of this event after an instant; waits for it. */
  async heard(event: string, since = 0, withinMs = 20_000): Promise<Line> {
    let late = false;
    const timeout = setTimeout(() => {
      late = true;
      this.#wake();
    }, withinMs);
    try {
      for (;;) {
        const line = this.lines.find((l) => l.event === event && l.at >= since);
        if (line) return line;
        if (late) {
          throw new Error(`no ${event} within ${withinMs} ms; last: ${JSON.stringify(this.lines.slice(-5))}`);
        }
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timeout);
    }
  }

  async end(): Promise<void> {
    this.kill('SIGKILL');
    await this.exited;
  }
}

describe('beside client-go', { skip, concurrency: true }, () => {
  let api: RealApi;
  let kubeconfig: string;
  const started: Contender[] = [];
  before(async () => {
    api = await startRealApi();
    kubeconfig = await api.kubeconfig();
  });
  after(async () => {
    await Promise.all(started.map((contender) => contender.end()));
    await api.stop();
  });

  const start = (command: string, args: readonly string[]): Contender => {
    const contender = new Contender(command, args);
    started.push(contender);
    return contender;
  };
  const ours = (name: string, id: string): Contender =>
    start(process.execPath, [CONTENDER, kubeconfig, `kube-system/${name}`, id, String(LEASE_S)]);
  const goes = (name: string, id: string): Contender => {
    const times = { 'lease-duration': 1, 'renew-deadline': 2 / 3, 'retry-period': 2 / 15 };
    const flags = Object.entries(times).map(([flag, share]) => `--${flag}=${Math.round(LEASE_S * share * 1_000)}ms`);
    return start(peer!, ['elect', '--kubeconfig', kubeconfig, '--name', name, '--id', id, ...flags]);
  };
  const transitions = async (name: string): Promise<number> => {
    const answer = await api.request('GET', `/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/${name}`);
    return (JSON.parse(answer.text) as { spec: { leaseTransitions: number } }).spec.leaseTransitions;
  };
  /** No guarded step of ours while client-go led. */
  const apart = (us: Contender, from: number, to: number): void => {
    const within = us.lines.filter((line) => line.event === 'step' && line.at > from && line.at < to);
    assert.deepEqual(within, [], `client-go led from ${from} to ${to}`);
  };

  test('each takes over at once, or at its next look, after the other released', async () => {
    const go = goes('released', 'go');
    const began = (await go.heard('started')).at;
    const us = ours('released', 'us');
    await us.heard('leader');
    const asked = go.kill('SIGTERM');
    const took = await us.heard('leading');
    assert(took.at - asked < 500, `took over after ${took.at - asked} ms`);
    assert.deepEqual([took.transitions, await transitions('released')], [1, 1]);
    apart(us, began, asked);
    const next = goes('released', 'next');
    await next.heard('leader');
    await us.heard('step');
    const stopped = us.kill('SIGTERM');
    const back = await next.heard('started');
    assert(back.at - stopped < GO_POLL_MS + 1_000);
    await us.exited;
    assert.equal(await transitions('released'), 2);
    apart(us, back.at, Infinity);
  });

  test('each takes over from the other when it was killed, after its duration', async () => {
    const go = goes('killed', 'go');
    const began = (await go.heard('started')).at;
    const us = ours('killed', 'us');
    await us.heard('leader');
    const killed = go.kill('SIGKILL');
    const took = await us.heard('leading');
    const waited = took.at - killed;
    assert(waited <= LEASE_S * 1_000 + 500, `took over ${waited} ms after the kill`);
    assert(waited >= LEASE_S * 1_000 * 0.8, `took over ${waited} ms after the kill`);
    apart(us, began, killed);
    assert.equal(await transitions('killed'), 1);
    const next = goes('killed', 'next');
    await next.heard('leader');
    us.kill('SIGKILL');
    const back = await next.heard('started');
    apart(us, back.at, Infinity);
    assert.equal(await transitions('killed'), 2);
  });

  test('each takes over from the other when it stood still; nothing guarded runs when it goes on', async () => {
    const us = ours('paused', 'us');
    await us.heard('step');
    const go = goes('paused', 'go');
    await go.heard('leader');
    us.kill('SIGSTOP');
    const began = (await go.heard('started')).at;
    const resumed = us.kill('SIGCONT');
    await us.heard('stopped', resumed);
    await us.heard('leader', resumed);
    // Long enough for any guarded step that was still to come.
    await go.heard('never', 0, LEASE_S * 1_000).catch(() => {});
    apart(us, began, Infinity);
    const paused = go.kill('SIGSTOP');
    const took = await us.heard('leading', paused);
    apart(us, began, paused);
    assert.deepEqual([took.transitions, await transitions('paused')], [2, 2]);
    go.kill('SIGCONT');
    await go.heard('stopped');
    // What was woken has not disturbed who leads.
    await us.heard('step', Date.now());
    assert.equal(us.lines.filter((line) => line.event === 'leading').length, 2);
  });
});
