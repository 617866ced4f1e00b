/**
 * What is tried with a ring of two once all is quiet: chains of happenings that chance hardly ever brings about, in which one
 * member acts on what it saw last while the other, which does not hear of it, still works.
 */
import { withChanges } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { STEP_DOWN_ANNOTATION, stepDownMarkText } from '../../src/lease/marks.ts';
import type { LeaseRef } from '../../src/lease/store.ts';
import type { Actor, Stage } from './actors.ts';
import { stream } from './chance.ts';
import type { RingDrill } from './plan-types.ts';
import { RECIPES, ShardsActor } from './recipe-actors.ts';

/** Until somebody counts as silent, then a look and a request, in milliseconds. */
const SILENT_MS = 15_400;
/** Half of a renewal deadline: what was proved after it holds until somebody who was last heard of before it counts as silent. */
const HALF_MS = 5_200;

/** @param live lets the world live until then */
export async function ringDrill(
  kind: RingDrill,
  stage: Stage,
  actors: Iterable<Actor>,
  live: (until: number) => Promise<void>,
): Promise<void> {
  const { world, api } = stage.network;
  const ring = [...actors].filter((a): a is ShardsActor => a instanceof ShardsActor && a.living);
  const random = stream(stage.seed, 'drill');
  const one = ring[random.hit(0.5) ? 0 : 1];
  const other = ring.find((actor) => actor !== one);
  const [key] = one?.shards.held ?? [];
  if (!one || !other || ring.length > 2 || key === undefined) return;
  const [lease, member] = [refOf(`k-${key}`), refOf(`m-${one.slot.name}`)];
  stage.judge.note('DRILL', `${kind}: ${key} of ${one.name}`);
  const holder = (): string => api.peek(lease)?.spec.holderIdentity ?? '';
  const holds = (actor: ShardsActor): boolean => holder().includes(`_${actor.name}#`);
  /** False: not within so many milliseconds. */
  const until = async (done: () => boolean, ms: number): Promise<boolean> => {
    const end = world.now + ms;
    while (!done() && world.now < end) await live(world.now + 5);
    return done();
  };
  const renewed = (ref: LeaseRef): (() => boolean) => {
    const version = api.peek(ref)?.metadata.resourceVersion;
    return () => api.peek(ref)?.metadata.resourceVersion !== version;
  };
  /** The holder of the key is asked to give it to that one. */
  const ask = ({ slot }: ShardsActor): void => {
    const { holderIdentity = '', leaseTransitions: transitions = 0 } = api.peek(lease)!.spec;
    const mark = stepDownMarkText({ holder: holderIdentity, transitions, to: slot.name });
    api.edit(lease, (l) => withChanges(l, { annotations: { [STEP_DOWN_ANNOTATION]: mark } }));
  };
  /** It stands still for more than half of its time; meanwhile the other one hears for the last time. */
  const standStill = async (): Promise<void> => {
    await until(renewed(member), 6_000);
    await live(world.now + 100);
    const heardAt = world.now;
    one.process.stop();
    await live(heardAt + HALF_MS);
    await until(renewed(refOf(`m-${other.slot.name}`)), 4_500);
    await live(world.now + 50);
    other.link.hush(false);
    const again = renewed(member);
    one.process.goOn(random);
    await until(again, 2_000);
    await live(world.now + 100);
  };
  if (kind === 'heard late') {
    await standStill();
    one.link.hush(false);
    await live(world.now + SILENT_MS - HALF_MS);
  } else if (kind === 'created twice') {
    api.remove(lease);
    const from = world.now;
    await live(from + 100);
    await standStill();
    if (await until(() => holds(one), from + SILENT_MS - world.now)) {
      await live(world.now + 100);
      one.link.hush(false);
      api.remove(lease);
      await until(() => holds(other), 6_000);
      await live(world.now + 500);
      other.link.resume(random.hit(0.5) ? 'replay' : 'relist');
    }
  } else if (kind === 'own record put back') {
    const held = api.peek(lease)!;
    ask(other);
    // It has seen the request, and not yet its own release, where its work takes its time to end.
    await live(world.now + 40);
    one.link.hush(false);
    if (await until(() => holds(other), 8_000)) {
      await live(world.now + 200);
      other.link.hush(false);
      api.edit(lease, (l) => asBefore(l, held));
      one.link.resume('relist');
      await live(world.now + 4_000);
    }
  } else if (kind === 'own term over') {
    // It hears neither that its Lease was deleted nor that it was made again, until the key that is not there may be taken.
    api.remove(lease);
    const from = world.now;
    await live(from + 6_000);
    await until(renewed(member), 6_000);
    await live(world.now + 100);
    one.link.hush(false);
    api.remove(member);
    await until(() => holder() !== '', from + 18_000 - world.now);
    one.link.resume('replay');
    if (await until(() => holds(one), 4_000)) {
      await live(world.now + 9_000);
      await standStill();
      one.link.hush(false);
      await live(world.now + SILENT_MS - HALF_MS);
    }
  } else {
    // There and back: so the other one has seen since its list that the key, once free for it, was taken.
    ask(other);
    if (await until(() => holder() === '', 6_000)) {
      const free = api.peek(lease)!;
      await until(() => holds(other), 3_000);
      await live(world.now + 200);
      ask(one);
      if (await until(() => holds(one), 8_000)) {
        await live(world.now + 500);
        one.link.hush(false);
        api.edit(lease, (l) => asBefore(l, free));
        await until(() => holds(other), SILENT_MS + 1_000);
      }
    }
  }
  await live(world.now + 5_000);
  for (const actor of ring) actor.link.resume('replay');
  await live(world.now + 20_000);
}

const refOf = (part: string): LeaseRef => ({ namespace: RECIPES, name: `ring-${part}` });

const asBefore = (now: Lease, { metadata: { labels, annotations }, spec }: Lease): Lease => ({
  ...now,
  metadata: { ...now.metadata, labels, annotations },
  spec,
});
