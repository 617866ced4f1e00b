/** What `publish` makes of its flags for labels, annotations and owners. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readChecked } from '../../src/config/bindings.ts';
import { PUBLISH_TABLE, publishSettings } from '../../src/config/publish-flags.ts';
import type { PublishValues } from '../../src/config/publish-flags.ts';

const settings = async (given: Readonly<Record<string, readonly string[]>>) => {
  const options = Object.fromEntries(
    Object.entries(given).map(([key, raw]) => [key, [{ raw, origin: 'flag' as const, name: `--${key.slice(0, -1)}` }]]),
  );
  const read = { options, problems: [] };
  const { values, problems } = await readChecked(PUBLISH_TABLE, read, (v) => publishSettings(v, 'host').wrong);
  return { identity: publishSettings(values as PublishValues, 'host').identity, problems };
};

test('KEY=VALUE, as often as wanted; only the first = divides, commas belong to the value', async () => {
  const { identity, problems } = await settings({
    labels: ['zone=a', 'tier='],
    annotations: ['leasekeeper.dev/payload={"a":"x=y","b":2}'],
    owners: ['v1/Pod/web-0/uid-1', 'apps/v1/Deployment/web/uid-2'],
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(identity.labels, { zone: 'a', tier: '' });
  assert.deepEqual(identity.annotations, { 'leasekeeper.dev/payload': '{"a":"x=y","b":2}' });
  assert.deepEqual(identity.owners, [
    { apiVersion: 'v1', kind: 'Pod', name: 'web-0', uid: 'uid-1' },
    { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'uid-2' },
  ]);
});

test('what cannot be read, or is not allowed, is reported by its flag, all at once', async () => {
  const { problems } = await settings({ labels: ['zone', 'kubernetes.io/hostname=x'], owners: ['Pod/web-0'] });
  const said = problems.map(({ option, rule }) => `${option}: ${rule}`);
  assert.deepEqual(said.sort(), [
    '--label: "kubernetes.io/hostname" is written by leasekeeper itself',
    '--label: must be KEY=VALUE',
    '--owner: must be APIVERSION/KIND/NAME/UID, for instance v1/Pod/web-0/4f1c…',
  ]);
});
