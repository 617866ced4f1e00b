/**
 * The whole story of `leasekeeper demo`, played once. DEMO_OUTPUT names a file with what it has printed: then that is read,
 * and it is not played again.
 */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { before, describe, it } from 'node:test';
import { leaseName } from '../../src/lease/names.ts';
import { blocks, markdownFiles } from '../docs/markdown.ts';
import { runProgram } from '../support/process.ts';
import { processesNaming, scratch } from './support.ts';

/** What differs from run to run, by what it is. */
function shape(text: string): string {
  return text
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,27}\b/g, 'UUID')
    .replace(/\b[0-9a-f]{8}\b|\b_[0-9a-f]{12}\b/g, 'ID')
    .replace(/\.\.\._[0-9a-f]{12}/g, 'HOLDER')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\b\d+(\.\d+)?(ms|s|m|h)\b/g, 'AGE')
    .replace(/(127\.0\.0\.1|localhost):\d+/g, 'ADDRESS')
    .replace(/ +/g, ' ')
    .replace(/ +$/gm, '');
}

describe('demo', () => {
  const played = process.env['DEMO_OUTPUT'];
  let printed = '';

  before(async () => void (played && (printed = await readFile(played, 'utf8'))));

  it('ends by itself with 0, and leaves nothing behind', { skip: played && 'it was played before' }, async (t) => {
    const tmp = await scratch(t);
    const { code, stdout, stderr } = await runProgram(['demo'], { env: { TMPDIR: tmp }, timeoutMs: 60_000 });
    assert.deepEqual([code, stderr], [0, '']);
    printed = stdout;
    assert.deepEqual(await readdir(tmp), []);
    assert.deepEqual(await processesNaming(tmp), []);
  });

  it('tells the whole story', () => {
    const order = [
      /^A Lease is a small object/m,
      /Three servers start/,
      /master-1 +Live[^]*?master-3 +Live[^]*?master-2 +Live[^]*?count +3\n[^]*?count --live +3\n/,
      /master-2 crashes \(kill -9\)/,
      /master-2 +Stale[^]*?count +3\n[^]*?count --live +2\n/,
      /master-2 restarts/,
      /master-2 +Live[^]*?count +3\n[^]*?count --live +3\n/,
      /object \(uid\) +(\w{8}) +-> +\1 +the same\n/,
      /transitions +0 +-> +1\n/,
      /a watcher saw ADDED 1, MODIFIED \d+, DELETED 0\n/,
      /master-3 is taken out of service/,
      /count +2\n[^]*?count --live +2\n/,
      /master-4 is lost for good/,
      /master-4 +Expired[^]*?count +2\n[^]*?count --live +2\n/,
      /\$ leasekeeper sweep --once --confirm-after=\d+s\n +deleted an expired lease: master-4, expired for \d+s\n/,
      /\$ leasekeeper get(?:(?!master-[34])[^])*?count +2\n[^]*?count --live +2\n/,
      /Next:[^]*?npx node src\/cli\.ts dev[^]*?--kubeconfig/,
    ];
    let from = 0;
    for (const step of order) {
      const found = step.exec(printed.slice(from));
      assert.ok(found, `${step} after ${from}\n${printed}`);
      from += found.index + found[0].length;
    }
    assert.deepEqual(
      // Rows of leases end with an age, which grows on a slow machine.
      printed.split('\n').filter((line) => line.length > 80 && !line.includes('kube-apiserver-')),
      [],
      'wider than a terminal',
    );
    assert.match(printed, new RegExp(`^ +${leaseName('master-1').slice(0, 18)}`, 'm'));
  });

  it('prints what the documents say', () => {
    const texts = markdownFiles().flatMap((file) => blocks(file).blocks.filter(({ language }) => language === 'text'));
    assert.ok(texts.length > 0);
    for (const { file, line, text } of texts)
      assert.ok(shape(printed).includes(shape(text)), `${file}:${line}:\n${printed}`);
  });
});
