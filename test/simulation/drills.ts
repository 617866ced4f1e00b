/** What is tried once all is quiet, one thing a run, to hold each bound of DESIGN to the millisecond. */
import { MemoryApi } from '../support/memory-api.ts';
import { CensusActor, ClientGoActor, ELECTION, ElectorActor, IDENTITIES, PublisherActor } from './actors.ts';
import type { Actor, Stage } from './actors.ts';
import type { ElectionRules } from './rules/election.ts';
import { askedToEnd } from './happenings.ts';
import { RING_DRILLS } from './plan.ts';
import type { Plan } from './plan.ts';
import { ringDrill } from './ring-drills.ts';
import type { World } from './world.ts';

export interface DrillParts {
  readonly kind: Plan['drill'];
  readonly world: World;
  readonly api: MemoryApi;
  readonly stage: Stage;
  readonly actors: ReadonlyMap<string, Actor>;
  readonly election: ElectionRules;
  readonly verify: () => void;
}

/** The longest that a candidate lets others go first, after races that it lost on a slow network. */
const HEAD_START_MS = 1_100;
/** The lease's duration by a clock that is slow, and the way there and back. */
const FAILOVER_MS = 15_000 * 1.01 + 500 + HEAD_START_MS;
/** Work that takes its time to end, the release, and one way there and back. */
const RELEASE_MS = 4_000 + 500 + HEAD_START_MS;
/** The same for standbys that may not watch: client-go's pace of polling. */
const RELEASE_POLLED_MS = RELEASE_MS + 2_000 * 2.2 + 500;
/** The pause between two renewals, and the renewal, which is refused. */
const RENEWAL_MS = 2_000 * 1.1 + 500;
/** A deletion is sent at once, and a read and a write follow. */
const RECREATED_MS = 1_000;
const HOUR_MS = 3_600_000;
/** Longer than the freshness window, by any clock. */
const DEAD_MS = 35_000;
/** A list is there by then, also where it took two. */
const HEARD_MS = 10_000;

export async function drill(parts: DrillParts): Promise<void> {
  if (parts.kind === 'failover' || parts.kind === 'release' || parts.kind === 'step-down') return electors(parts);
  if (parts.kind === 'deletion') return deletion(parts);
  if (parts.kind === 'clock ahead') return clockAhead(parts);
  const { world, stage, actors, verify } = parts;
  const ring = RING_DRILLS.find((kind) => kind === parts.kind);
  if (ring) return ringDrill(ring, stage, actors.values(), (until) => world.live(until, verify));
}

async function electors({ kind, world, api, stage, actors, election, verify }: DrillParts): Promise<void> {
  const living = [...actors.values()].filter((a): a is ElectorActor => a instanceof ElectorActor && a.living);
  // What is measured is ours.
  for (const actor of actors.values()) if (actor instanceof ClientGoActor) actor.process.crash();
  const [leader] = election.leading();
  if (!leader || living.length < 2) return;
  const others = living.filter((a) => a !== leader.elector);
  const watching = others.some((a) => a.link.store.watches.open > 0);
  stage.judge.note('DRILL', `${kind} of ${leader.elector.name}`);
  if (kind === 'failover') leader.elector.process.crash();
  else if (kind === 'release') leader.elector.stop();
  else {
    const { holder } = leader.elector;
    api.edit(ELECTION, (l) => askedToEnd(l, { holder, transitions: l.spec.leaseTransitions ?? 0, to: undefined }));
  }
  // A leader that may not watch finds the request at its next renewal.
  const askedMs = kind === 'step-down' && leader.elector.link.store.watches.open === 0 ? RENEWAL_MS : 0;
  const released = askedMs + (watching ? RELEASE_MS : RELEASE_POLLED_MS);
  const bound = kind === 'failover' ? FAILOVER_MS + (watching ? 0 : 5_000) : released;
  const from = world.now;
  while (!election.leading().some((l) => l !== leader)) {
    if (world.now - from > bound)
      stage.judge.fail(`${kind} within its bound`, `nobody leads ${world.now - from} ms after`);
    await world.live(world.now + 50, verify);
  }
}

/** A publisher that holds the lease of its host, alone. */
const holderOf = ({ actors }: DrillParts): PublisherActor | undefined =>
  [...actors.values()].find(
    (a): a is PublisherActor =>
      a instanceof PublisherActor &&
      a.living &&
      a.publisher.status.phase === 'holding' &&
      a.slot.nameFormat === 'sha256',
  );

/**
 * A host's clock is an hour ahead, and the host dies while a census hears nothing: once the census hears again, that host's
 * renewTime, which has not come, makes nobody live.
 */
async function clockAhead(parts: DrillParts): Promise<void> {
  const { world, api, stage, actors, verify } = parts;
  const holder = holderOf(parts);
  const census = [...actors.values()].find((a): a is CensusActor => a instanceof CensusActor && a.living);
  if (!holder || !census?.census.snapshot().known) return;
  stage.judge.note('DRILL', `${holder.name}, its clock ahead, dies unheard by ${census.name}`);
  census.link.hush(true);
  holder.process.stepWall(HOUR_MS);
  await world.live(world.now + holder.slot.intervalMs * 1.05 + 2_000, verify);
  holder.process.crash();
  const ref = { namespace: IDENTITIES.namespace, name: holder.leaseName };
  const left = api.peek(ref)?.metadata.resourceVersion;
  await world.live(world.now + DEAD_MS, verify);
  census.link.resume('relist');
  await world.live(world.now + HEARD_MS, verify);
  // Another process of the host may have taken it over.
  if (!census.census.snapshot().known || api.peek(ref)?.metadata.resourceVersion !== left) return;
  const shown = census.census.leases()?.leases.find(({ name }) => name === holder.leaseName);
  if (shown?.state === 'live')
    stage.judge.fail(
      'who is silent is not live',
      `${census.name} calls ${holder.name} live by a time that has not come`,
    );
}

/** Somebody deletes the lease of a living publisher: it comes back; at once where no server makes its own first. */
async function deletion(parts: DrillParts): Promise<void> {
  const { world, api, stage, verify } = parts;
  const holder = holderOf(parts);
  if (!holder) return;
  const ref = { namespace: IDENTITIES.namespace, name: holder.leaseName };
  stage.judge.note('DRILL', `deletion of ${holder.name}'s lease`);
  api.remove(ref);
  const watching = holder.link.store.watches.open > 0;
  const bound = watching ? RECREATED_MS : holder.slot.intervalMs * 1.05 + RECREATED_MS;
  await world.live(world.now + bound, verify);
  if (!api.peek(ref)) stage.judge.fail('no lease is lost', `${holder.name}'s did not come back within ${bound} ms`);
}
