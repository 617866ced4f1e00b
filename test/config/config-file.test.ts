import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MAX_FILE_BYTES, parseConfig, readFileText } from '../../src/config/config-file.ts';
import { nearest } from '../../src/config/nearest.ts';

let dir: string;
before(async () => void (dir = await mkdtemp(join(tmpdir(), 'leasekeeper-config-'))));
after(() => rm(dir, { recursive: true, force: true }));

test('a file is read whole, without a byte order mark', async () => {
  const path = join(dir, 'good');
  await writeFile(path, '\ufeffkind: ä\n');
  assert.deepEqual(await readFileText(path), { text: 'kind: ä\n' });
});

test('what cannot be read says why, and never blocks', async () => {
  const at = (name: string): string => join(dir, name);
  await writeFile(at('large'), Buffer.alloc(MAX_FILE_BYTES + 1, 'a'));
  await writeFile(at('largest'), Buffer.alloc(MAX_FILE_BYTES, 'a'));
  await writeFile(at('binary'), Buffer.from([0xff, 0xfe, 0x00]));
  await mkdir(at('directory'));
  execFileSync('mkfifo', [at('pipe')]);
  const rule = async (name: string): Promise<string | undefined> => {
    const file = await readFileText(at(name));
    return 'unreadable' in file ? file.unreadable : undefined;
  };
  assert.equal(await rule('large'), `must be at most ${MAX_FILE_BYTES} bytes`);
  assert.equal(await rule('largest'), undefined);
  assert.equal(await rule('binary'), 'must be UTF-8 text');
  assert.equal(await rule('directory'), 'must be a regular file');
  assert.equal(await rule('pipe'), 'must be a regular file');
  assert.equal(await rule('missing'), 'does not exist');
  assert.equal(await rule('missing/deeper'), 'does not exist');
});

test('a file that may not be read', { skip: process.getuid?.() === 0 && 'root may read everything' }, async () => {
  const path = join(dir, 'secret');
  await writeFile(path, 'a');
  await chmod(path, 0);
  assert.deepEqual(await readFileText(path), { unreadable: 'must be readable by this process: permission denied' });
});

test('reading takes time by the length, not by its square', async () => {
  const head = 'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\n';
  const keys = (count: number): string => head + Array.from({ length: count }, (_, i) => `a${i}: b\n`).join('');
  // The least of some: others' load adds to what it takes, and takes nothing away.
  const cpu = async (text: string): Promise<number> => {
    let least = Infinity;
    for (let i = 0; i < 3; i++) {
      const before = process.cpuUsage();
      await parseConfig(text, 'file', {});
      const { user, system } = process.cpuUsage(before);
      least = Math.min(least, user + system);
    }
    return least;
  };
  await cpu(keys(1_000));
  const [few, many] = [await cpu(keys(1_000)), await cpu(keys(4_000))];
  assert.ok(many < few * 10, `four times the keys took ${many / few} times as long`);
});

test('a key that comes twice is reported with its line, in maps within the map too', async () => {
  const text = 'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\nsweep: true\nsweep: false\n';
  assert.deepEqual((await parseConfig(text, 'file', {})).problems, [
    { option: 'file:4', value: undefined, rule: 'Map keys must be unique' },
  ]);
  const inner = await parseConfig('featureGates: {A: true,\n A: false}\n', 'file', {});
  assert.deepEqual(inner.problems, [{ option: 'file:2', value: undefined, rule: 'Map keys must be unique' }]);
});

test('the nearest word', () => {
  const known = ['renewInterval', 'leaseDuration', 'sweep', 'sweepQps', 'logLevel'];
  assert.equal(nearest('renewIntervall', known), 'renewInterval');
  assert.equal(nearest('renew-interval', known), 'renewInterval');
  assert.equal(nearest('RENEWINTERVAL', known), 'renewInterval');
  assert.equal(nearest('leaseDuratoin', known), 'leaseDuration');
  assert.equal(nearest('swep', known), 'sweep');
  assert.equal(nearest('something', known), undefined);
  assert.equal(nearest('x'.repeat(1_000_000), known), undefined);
});
