/** What a server answers to a list does not decide how much memory and time the built `count` takes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE } from '../../src/lease/names.ts';
import { runProgram } from '../support/process.ts';

const MB = 1024 * 1024;
/** The most that a process had resident at once: of its own memory, not of the one that it was started from. */
const PEAK = `data:text/javascript,import{readFileSync,writeSync}from"node:fs";process.on("exit",()=>
writeSync(2,"\\npeak "+/VmHWM:\\s+(\\d+)/.exec(readFileSync("/proc/self/status","utf8"))[1]+" kB\\n"))`.replace(
  '\n',
  '',
);

const lease = (i: number, holder = `holder-${i}`): object => ({
  metadata: {
    name: `lease-${i}`,
    namespace: 'kube-system',
    uid: `uid-${i}`,
    resourceVersion: String(i + 1),
    labels: { [IDENTITY_LABEL]: IDENTITY_LABEL_VALUE, 'kubernetes.io/hostname': `host-${i}` },
  },
  spec: {
    holderIdentity: holder,
    leaseDurationSeconds: 3600,
    renewTime: new Date().toISOString().replace('Z', '000Z'),
  },
});
const list = (items: readonly object[], next?: string): string =>
  JSON.stringify({ metadata: { resourceVersion: '9', continue: next }, items });

let directory: string;
let cli: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'leasekeeper-lists-'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  const build = resolve(import.meta.dirname, '../../scripts/build.ts');
  execFileSync(process.execPath, [build, join(directory, 'dist')]);
  cli = join(directory, 'dist/cli.js');
});
after(() => rm(directory, { recursive: true, force: true }));

/** Runs `count` against a server that answers so; tells its peak in megabytes, too. */
async function count(t: TestContext, answer: (asked: URLSearchParams, to: ServerResponse) => void, ...args: string[]) {
  let asked = 0;
  const server = createServer(({ url = '' }, response) => {
    asked++;
    response.setHeader('content-type', 'application/json');
    answer(new URL(url, 'http://server').searchParams, response);
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const kubeconfig = join(directory, `${(server.address() as AddressInfo).port}.yaml`);
  const cluster = { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  const contexts = [{ name: 'c', context: { cluster: 'c', user: 'u' } }];
  const config = { clusters: [{ name: 'c', cluster }], users: [{ name: 'u', user: {} }], contexts };
  await writeFile(kubeconfig, JSON.stringify({ ...config, 'current-context': 'c' }));
  const { code, stdout, stderr } = await runProgram(['count', '--kubeconfig', kubeconfig, ...args], {
    script: cli,
    nodeArgs: ['--import', PEAK],
    timeoutMs: 120_000,
  });
  const peakMb = Number(/^peak (\d+) kB$/m.exec(stderr)?.[1]) / 1024;
  t.diagnostic(`${asked} requests, at most ${Math.round(peakMb)} MB resident`);
  return { code, stdout, stderr, peakMb, asked };
}

describe('lists of a hostile server', { skip: !existsSync('/proc/self/status') && 'there is no /proc' }, () => {
  it('70 leases of 1 MB are counted, in at most 200 MB', async (t) => {
    const holder = 'x'.repeat(MB);
    const { code, stdout, peakMb } = await count(t, (asked, to) => {
      const from = Number(asked.get('continue') ?? 0);
      const until = Math.min(70, from + Number(asked.get('limit')));
      const items = Array.from({ length: until - from }, (_, i) => lease(from + i, `${from + i}${holder}`));
      to.end(list(items, until < 70 ? String(until) : undefined));
    });
    assert.deepEqual([code, stdout], [0, '70\n']);
    assert.ok(peakMb <= 200, `${peakMb} MB`);
  });

  it('a list without end is an error, in at most 200 MB', async (t) => {
    let page = 0;
    const { code, stdout, stderr, peakMb } = await count(t, (_asked, to) => {
      page++;
      to.end(
        list(
          Array.from({ length: 500 }, (_, i) => lease(500 * page + i)),
          `page-${page}`,
        ),
      );
    });
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /the list goes on after \d+ items|the list did not end within/);
    assert.ok(peakMb <= 200, `${peakMb} MB`);
  });

  it('one that goes on slowly ends with the time of a request', async (t) => {
    let page = 0;
    const slowly = (_asked: unknown, to: ServerResponse): void => {
      setTimeout(() => to.end(list([lease(++page)], `page-${page}`)), 100);
    };
    const { code, stdout, stderr, asked } = await count(t, slowly, '--request-timeout', '2s');
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /the list did not end within 2000 ms/);
    assert.ok(asked <= 21, `${asked} pages in two seconds`);
  });

  it('60 MB of {} in one answer take at most 300 MB', async (t) => {
    const empty = Buffer.from(`{"metadata":{"resourceVersion":"1"},"items":[{}${',{}'.repeat(20 * MB)}]}`);
    const { code, stdout, stderr, peakMb } = await count(t, (_asked, to) => to.end(empty));
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /larger than|too large/);
    assert.ok(peakMb <= 300, `${peakMb} MB`);
  });
});
