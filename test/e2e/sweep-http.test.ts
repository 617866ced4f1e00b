/** `sweep --http-address`: probes and metrics of a sweeper that runs on its own. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runProgram, startProgram } from '../support/process.ts';
import type { Program } from '../support/process.ts';
import { embedded, terminate, until } from './support.ts';

const SWEEP = ['sweep', '--confirm-after=0s', '--http-address=127.0.0.1:0', '--schedule=0 0 1 1 *'];

async function urlOf(program: Program): Promise<string> {
  const line = await program.waitForLine(/ url=/);
  return / url="?(http:\/\/127\.0\.0\.1:\d+)/.exec(line)![1]!;
}

async function fetchText(url: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(url);
  return { status: answer.status, text: await answer.text() };
}

describe('sweep --http-address', () => {
  it('is ready once the leases were listed, and counts its passes', async (t) => {
    const { kubeconfig } = await embedded(t);
    const program = startProgram([...SWEEP, '--kubeconfig', kubeconfig], { t });
    const url = await urlOf(program);
    await until('a pass in /metrics', async () => {
      const { text } = await fetchText(`${url}/metrics`);
      return /^leasekeeper_sweep_passes_total\{.*,outcome="completed",reason=""\} 1$/m.test(text);
    });
    assert.match((await fetchText(`${url}/metrics`)).text, /^leasekeeper_clock_distance_seconds -?[\d.e-]+$/m);
    assert.deepEqual(await fetchText(`${url}/livez`), { status: 200, text: 'ok' });
    const { status, text } = await fetchText(`${url}/readyz?verbose`);
    assert.equal(status, 200);
    assert.match(text, /\[\+\]sweep ok: last pass completed/);
    assert.equal((await fetchText(`${url}/v1/count`)).status, 404, 'a sweeper counts nothing');
    await terminate(program);
  });

  it('is not ready while it may not list, and says why', async (t) => {
    const { kubeconfig, server } = await embedded(t);
    const forbidden = { type: 'status', code: 403, reason: 'Forbidden', message: 'cannot list leases' } as const;
    server.faults.add({ match: { verb: /list/ }, fault: forbidden });
    const program = startProgram([...SWEEP, '--kubeconfig', kubeconfig], { t });
    const url = await urlOf(program);
    await program.waitForLine(/pass void/);
    const { status, text } = await fetchText(`${url}/readyz`);
    assert.equal(status, 503);
    assert.match(
      text,
      /\[-\]sweep failed: the leases were not listed yet; last pass void \(listFailed\); .*cannot list/,
    );
    assert.equal((await fetchText(`${url}/livez`)).status, 200);
    await terminate(program);
  });

  it('refuses what is no address', async () => {
    const { code, stderr } = await runProgram(['sweep', '--http-address=here']);
    assert.deepEqual(
      [code, stderr.trim()],
      [2, 'leasekeeper: --http-address "here": must be PORT, HOST:PORT, [IPV6]:PORT, :PORT or off'],
    );
  });
});
