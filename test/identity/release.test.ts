/** One instance removed: only when nobody renews it, only in the version that was seen, unless forced. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { identityLeases } from '../../src/census/census-query.ts';
import { releaseHost } from '../../src/identity/release.ts';
import type { ReleaseOptions } from '../../src/identity/release.ts';
import { RELEASE_TABLE } from '../../src/config/shared-flags.ts';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE, hostnameMarks, leaseName } from '../../src/lease/names.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { hostname, ref, start } from './support.ts';

const query = { namespace: 'kube-system', labelSelector: `${IDENTITY_LABEL}=${IDENTITY_LABEL_VALUE}` };

function setup() {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const put = (host: string, name = leaseName(host), finalizers: string[] = []) => {
    const marks = hostnameMarks(host);
    const labels = { [IDENTITY_LABEL]: IDENTITY_LABEL_VALUE, ...marks.labels };
    const renewTime = MicroTime.fromEpochMicros(clock.wallMicros());
    const spec = { holderIdentity: `${name}_1`, leaseDurationSeconds: 3600, renewTime };
    return store.put({ name, labels, annotations: marks.annotations, finalizers, spec });
  };
  const release = async (given: Partial<ReleaseOptions> = {}) => {
    const { signal } = new AbortController();
    const done = releaseHost({ store, clock, query, hostname, observeMs: 12_000, force: false, signal, ...given });
    await clock.advance(12_000);
    return (await done).map(({ lease, outcome }) => [lease.metadata.name, outcome]);
  };
  const names = () => store.api.all().map(({ metadata }) => metadata.name);
  return { clock, store, put, release, names };
}

describe('releasing a host', () => {
  it('deletes its leases, a server’s own too, however fresh they look, and nobody else’s', async () => {
    const { put, release, names } = setup();
    const long = 'h'.repeat(100);
    const own = leaseName(hostname, 'apiserver');
    put(hostname);
    put(hostname, own);
    put('master-2');
    put(long);
    assert.deepEqual(new Set((await release()).flat()), new Set([ref.name, own, 'deleted']));
    assert.deepEqual(await release({ hostname: long }), [[leaseName(long), 'deleted']]);
    assert.deepEqual(names(), [leaseName('master-2')]);
    assert.deepEqual(await release(), [], 'there is none any more');
  });

  it('leaves another product’s lease of the host alone, whatever says which are ours', async () => {
    const { store, put, release, names } = setup();
    put(hostname);
    const labels = { 'k8s-app': 'my-proxy', ...hostnameMarks(hostname).labels };
    store.put({ name: 'other', labels, spec: { holderIdentity: 'x' } });
    const query = identityLeases('kube-system', IDENTITY_LABEL, IDENTITY_LABEL_VALUE);
    assert.deepEqual(await release({ query, force: true }), [[ref.name, 'deleted']]);
    assert.deepEqual(names(), ['other']);
  });

  it('is refused while a publisher renews, and deletes nothing then', async () => {
    const { clock, store, put, release, names } = setup();
    const p = start({ clock, store: store.client({}) });
    await clock.advance(5_000);
    put(hostname, leaseName(hostname, 'apiserver'));
    assert.deepEqual(await release(), [[ref.name, 'renewed']]);
    assert.equal(names().length, 2);
    await p.stop();
  });

  it('sees who renews every 30 s; who renews every 10 s is seen at the second look', async () => {
    for (const [renewIntervalMs, tookMs] of [
      [30_000, 35_000],
      [10_000, 12_000],
    ] as const) {
      const { clock, store } = setup();
      const p = start({ clock, store: store.client({}), options: { renewIntervalMs } });
      await clock.advance(100);
      const { signal } = new AbortController();
      const observeMs = RELEASE_TABLE.releaseObserve.default;
      const done = releaseHost({ store, clock, query, hostname, observeMs, force: false, signal });
      let outcome: unknown;
      void done.then(([one]) => (outcome = one?.outcome));
      await clock.advance(tookMs - 1);
      assert.equal(outcome, undefined);
      await clock.advance(1);
      assert.equal(outcome, 'renewed');
      await p.stop();
    }
  });

  it('takes a label or an annotation for no renewal, and one that comes with the DELETE for what it is', async () => {
    const { clock, store, put, release, names } = setup();
    put(hostname);
    const annotate = () =>
      store.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, annotations: { n: String(clock.monotonic()) } } }));
    clock.schedule(5_000, annotate);
    assert.deepEqual(await release(), [[ref.name, 'deleted']]);
    put(hostname);
    store.faults = ({ verb }) => void (verb === 'delete' && annotate());
    assert.deepEqual(await release(), [[ref.name, 'renewed']]);
    assert.deepEqual(names(), [ref.name]);
  });

  it('leaves alone what is renewed just before the DELETE, and a lease that comes between the looks', async () => {
    const { clock, store, put, release, names } = setup();
    put(hostname);
    let deletions = 0;
    store.faults = ({ verb }) => {
      const renewTime = MicroTime.fromEpochMicros(clock.wallMicros() + 1);
      if (verb === 'delete' && ++deletions === 1) store.edit(ref, () => ({ spec: { renewTime } }));
      return undefined;
    };
    assert.deepEqual(await release(), [[ref.name, 'renewed']]);
    assert.deepEqual([deletions, names()], [1, [ref.name]]);
    const own = leaseName(hostname, 'apiserver');
    clock.schedule(5_000, () => put(hostname, own));
    assert.deepEqual(await release(), [[own, 'renewed']]);
    assert.equal(names().length, 2);
  });

  it('forced: at once, even when somebody renews', async () => {
    const { clock, store, put, release, names } = setup();
    put(hostname);
    let renewals = 0;
    store.faults = ({ verb }) => {
      const renewTime = MicroTime.fromEpochMicros(clock.wallMicros() + ++renewals);
      if (verb === 'delete' && renewals < 4) store.edit(ref, () => ({ spec: { renewTime } }));
      return undefined;
    };
    assert.deepEqual(await release({ force: true }), [[ref.name, 'deleted']]);
    assert.deepEqual(names(), []);
  });

  it('says when finalizers hold it', async () => {
    const { put, release } = setup();
    put(hostname, ref.name, ['example.com/hold']);
    assert.deepEqual(await release(), [[ref.name, 'terminating']]);
  });
});
