/** The embedded server's kubeconfig in client-go, which GO_PEER names: in JSON and protobuf, with and without TLS. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';

const peer = process.env['GO_PEER'] ?? '';
const skip = existsSync(peer) ? false : 'GO_PEER does not name a client-go program';

for (const tokens of [undefined, { secret: { user: 'u' } }]) {
  test(
    `client-go ${tokens ? 'over TLS, with a token' : 'over http'}: renews and collects leases`,
    { skip },
    async (t) => {
      const server = await startEmbeddedServer({ tokens });
      t.after(() => server.close());
      const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-go-'));
      t.after(() => rm(dir, { recursive: true }));
      const config = join(dir, 'config');
      await writeFile(config, server.kubeconfig());
      for (const protobuf of ['true', 'false']) {
        const run = async (command: string, ...args: string[]): Promise<Record<string, number>> => {
          const all = [command, '--kubeconfig', config, `--protobuf=${protobuf}`, ...args];
          const { stdout } = await promisify(execFile)(peer, all, { timeout: 60_000 });
          return JSON.parse(stdout.trim().split('\n').at(-1) as string) as Record<string, number>;
        };
        const before = server.requests.count({ method: 'PUT' });
        await run('renew', '--count', '2', '--interval', '100ms', '--for', '500ms');
        assert.ok(server.requests.count({ method: 'PUT' }) > before + 3, 'renewals');
        assert.equal((await run('seed', '--count', '5', '--age', '2h', '--prefix', 'old-'))['created'], 5);
        assert.equal((await run('collect'))['deleted'], 5);
      }
      assert.deepEqual(new Set(server.requests.entries.map((r) => r.status)), new Set([200, 201, 404]));
    },
  );
}
