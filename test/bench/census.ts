/**
 * `serve` over 10,000 leases on the embedded server: how long /v1/count takes at 1,000 requests a second, sent when they are
 * due whether or not the ones before were answered, and what a lease costs in memory.
 *
 *   node test/bench/census.ts CLI [LEASES] [SECONDS]
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { hostnameLabel, leaseName } from '../../src/lease/names.ts';
import { runJson, table } from './measure.ts';

const RATE = 1_000;
const LEASES_PATH = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

/** @param cli the built program's cli.js */
export async function census(cli: string, leases = 10_000, seconds = 10): Promise<string> {
  const server = await startEmbeddedServer({ port: 0 });
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-bench-'));
  const kubeconfig = join(dir, 'kubeconfig');
  await writeFile(kubeconfig, server.kubeconfig());
  const serve = async (): Promise<{ url: string; rss: () => Promise<number>; end: () => void }> => {
    const args = [cli, 'serve', '--kubeconfig', kubeconfig, '--http-address=0'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const url = await new Promise<string>((resolve, reject) => {
      child.on('exit', () => reject(new Error('serve ended')));
      createInterface({ input: child.stderr }).on('line', (line) => {
        const found = /url=(\S+)/.exec(line);
        if (found) resolve(found[1]!);
      });
    });
    const rss = async (): Promise<number> =>
      Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => ''))?.[1]) / 1024;
    return { url, rss, end: () => void child.kill() };
  };
  try {
    const empty = await serve();
    await until(empty.url, 0);
    await wait(2_000);
    const bare = await empty.rss();
    empty.end();
    const put = (i: number, method: 'POST' | 'PATCH'): void => {
      const host = `host-${String(i).padStart(5, '0')}.example`;
      const name = leaseName(host);
      const renewTime = new Date().toISOString().replace('Z', '000Z');
      const labels = {
        'apiserver.kubernetes.io/identity': 'kube-apiserver',
        'kubernetes.io/hostname': hostnameLabel(host),
      };
      const whole = {
        metadata: { name, labels },
        spec: { holderIdentity: `${name}_1`, leaseDurationSeconds: 3600, renewTime },
      };
      const { status } = server.handle({
        method,
        url: method === 'POST' ? LEASES_PATH : `${LEASES_PATH}/${name}`,
        headers: { 'content-type': method === 'POST' ? 'application/json' : 'application/merge-patch+json' },
        body: JSON.stringify(method === 'POST' ? whole : { spec: { renewTime } }),
      });
      if (status > 299) throw new Error(`${method} ${name}: ${status}`);
    };
    for (let i = 0; i < leases; i++) put(i, 'POST');
    const full = await serve();
    await until(full.url, leases);
    await wait(2_000);
    const loaded = await full.rss();
    // All renew in the usual 10 s meanwhile.
    let next = 0;
    const renewing = setInterval(() => {
      for (let k = 0; k < leases / 500; k++) put(next++ % leases, 'PATCH');
    }, 20);
    const args = [import.meta.filename, 'load', `${full.url}/v1/count`, String(seconds)];
    const { times, failed } = await runJson<{ times: number[]; failed: number }>(process.execPath, args);
    clearInterval(renewing);
    full.end();
    times.sort((a, b) => a - b);
    const at = (q: number): string =>
      `${times[Math.min(times.length - 1, Math.floor(times.length * q))]!.toFixed(2)} ms`;
    return `/v1/count with ${leases} leases, all renewing every 10 s, at ${RATE} requests a second for ${seconds} s; budget p99 5 ms.\n\n${table(
      ['requests', 'failed', 'p50', 'p99', 'p99.9', 'memory, no leases', `${leases}`, 'a lease'],
      [
        [
          String(times.length),
          String(failed),
          at(0.5),
          at(0.99),
          at(0.999),
          `${bare.toFixed(0)} MB`,
          `${loaded.toFixed(0)} MB`,
          `${(((loaded - bare) * 1024) / leases).toFixed(1)} KB`,
        ],
      ],
    )}`;
  } finally {
    await server.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function until(url: string, instances: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const answer = (await (await fetch(`${url}/v1/count`)).json()) as { instances: number | null };
    if (answer.instances === instances) return;
    await wait(100);
  }
  throw new Error(`never saw ${instances} instances`);
}

/** Every millisecond what is due: a slow answer does not delay the next question. */
function load(url: string, seconds: number): Promise<{ times: number[]; failed: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const times: number[] = [];
  let failed = 0;
  let sent = 0;
  const began = performance.now();
  const ask = (): void => {
    const asked = performance.now();
    get(url, { agent }, (answer) => {
      answer.resume();
      answer.on('end', () => {
        if (answer.statusCode === 200) times.push(performance.now() - asked);
        else failed++;
      });
    }).on('error', () => failed++);
  };
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(((performance.now() - began) / 1000) * RATE, seconds * RATE);
      for (; sent < due; sent++) ask();
      if (times.length + failed < seconds * RATE) return;
      clearInterval(timer);
      agent.destroy();
      resolve({ times, failed });
    }, 1);
  });
}

if (import.meta.main) {
  const [, , what = '', n = '10000', seconds = '10'] = process.argv;
  // The questions come from a process of their own, or they would wait for the API server of this one.
  if (what === 'load') console.log(JSON.stringify(await load(n, Number(seconds))));
  else console.log(await census(what, Number(n), Number(seconds)));
}
