/** The examples do what their READMEs print, command by command: on the embedded server and on a real API server. */
import assert from 'node:assert/strict';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { embedded, scratch } from '../e2e/support.ts';
import { consoleSteps, runConsole } from '../support/console.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';

const EXAMPLES = fileURLToPath(new URL('../../deploy/examples', import.meta.url));
const GUIDE = fileURLToPath(new URL('../../docs/guides/identity.md', import.meta.url));
const NAMES = ['members', 'controller', 'virtual-node', 'once', 'operator'];
/** Of these the embedded server shows enough. */
const EMBEDDED = ['cron', 'lock', 'semaphore', 'queues', 'chat'];

/** In a copy: they write logs beside themselves. */
async function tell(t: it.TestContext, name: string, kubeconfig: string): Promise<void> {
  const dir = await scratch(t);
  await cp(EXAMPLES, dir, { recursive: true });
  // Beside it would stand the package.json of anyone who uses the library.
  await writeFile(join(dir, 'package.json'), '{ "type": "module" }');
  const steps = await consoleSteps(join(dir, name, 'README.md'));
  await runConsole(steps, { t, cwd: join(dir, name), scratch: dir, kubeconfig });
}

// Mostly waiting for leases to expire: both servers at once.
describe('the examples', { concurrency: true }, () => {
  describe('on the embedded server', { concurrency: 3 }, () => {
    for (const name of [...NAMES, ...EMBEDDED]) it(name, async (t) => tell(t, name, (await embedded(t)).kubeconfig));

    it('the recipe for leases of your own product, in its guide', async (t) => {
      const dir = await scratch(t);
      await cp(join(EXAMPLES, 'members', 'chat.yaml'), join(dir, 'chat.yaml'));
      const steps = await consoleSteps(GUIDE, '## Leases of your own product');
      await runConsole(steps, { t, cwd: dir, scratch: dir, kubeconfig: (await embedded(t)).kubeconfig });
    });
  });

  // One after another: a controller sees the Nodes of the others, too.
  describe('on a real API server', { skip: realApiSkip(), concurrency: 1 }, () => {
    let api: RealApi;
    before(async () => void (api = await startRealApi()));
    after(() => api.stop());
    for (const name of NAMES) {
      it(name, async (t) => {
        // Nodes that another example left behind would be shared too.
        const { status, text } = await api.request('DELETE', '/api/v1/nodes');
        assert.equal(status, 200, text);
        await tell(t, name, await api.kubeconfig());
      });
    }
  });
});
