/**
 * What must hold of identity leases at every commit: who may write, take over and delete what, and when; also beside an API
 * server that publishes itself.
 *
 * Left out, because DESIGN says so: leaseTransitions that an operator sets back; a lease whose label an operator took away
 * (it is nobody's to touch until it is mended by its holder); sweeps of a lease whose holder's wall clock is wrong by
 * more than its duration allows, where two looks cannot tell (only that it was silent between them).
 */
import { isDeepStrictEqual } from 'node:util';
import { publishedExpiry } from '../../../src/lease/expiry.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import { MicroTime } from '../../../src/lease/micro-time.ts';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE, hostnameOf } from '../../../src/lease/names.ts';
import type { Commit } from '../../support/memory-api.ts';
import { IDENTITIES, PublisherActor, RELEASE_LOOK_MS, ReleaserActor, ServerActor, SweeperActor } from '../actors.ts';
import { EPOCH_MS } from '../world.ts';
import type { Actor } from '../actors.ts';
import type { Judge } from '../judge.ts';
import type { Network } from '../network.ts';
import { windowMs } from '../plan.ts';

const RATE = 0.985;
/** A clock that is off by no more than this does not make a renewed lease look expired. */
const SMALL_SKEW_MS = 1_000;
/** A request under way, and the DELETE; milliseconds. */
const GATE_MS = 12_000;
/** A POST that was sent before may come so much later; it is deleted then. */
const LATE_POST_MS = 30_000;
/** Kubernetes' bound on a label value. */
const MOST_OF_A_LABEL = 63;
/** How long what a server deletes at its start is left to it. */
const SERVER_START_MS = 5_000;
/** Writes over a living server's: two until it is known for one, and as many whose answers were lost. */
const OVER_SERVER = 4;
/** A look may be this much older than its answer. */
const READ_SLACK_MS = 12_000;
/** A server is known to be gone by then: three probes in a row, two seconds each, and a write that was under way. */
const SERVER_GONE_MS = 25_000;

export const isIdentity = (lease: Lease | undefined): boolean =>
  lease?.metadata.labels[IDENTITY_LABEL] === IDENTITY_LABEL_VALUE;

/** How far a renewTime is ahead of the moment when it was written, in milliseconds. */
export const aheadMs = ({ spec }: Lease, at: number): number => (spec.renewTime?.epochMs ?? Infinity) - EPOCH_MS - at;

/** A server's own, with the mark of peer proxying. */
export const isPeer = ({ metadata, spec }: Lease): boolean =>
  metadata.annotations['kubernetes.io/peer-advertise-address'] !== undefined && spec.leaseTransitions === undefined;

export class IdentityRules {
  readonly #network: Network;
  readonly #judge: Judge;
  readonly #actors: ReadonlyMap<string, Actor>;
  readonly #serversDown: ReadonlyMap<string, number>;
  /** When each version that is there was written, by lease name. */
  readonly writtenAt = new Map<string, number>();
  /** When its spec, which is all that a renewal writes, was last another one. */
  readonly renewedAt = new Map<string, number>();
  /**
   * Since when the lease of a hostname has been renewed again and again, when last, and when that write was sent; true
   * milliseconds.
   */
  readonly present = new Map<
    string,
    {
      since: number;
      /** When it was renewed first; undefined: it was not. */
      renewedAt: number | undefined;
      lastAt: number;
      sentAt: number;
      /** When it was last renewed with a renewTime that is no longer, or not yet, true. */
      wrongAt: number;
    }
  >();
  /** When publishers wrote; the last few. */
  #renewals: number[] = [];
  /** Leases whose record was put back, and the commit that made it first. */
  readonly #restored = new Map<string, Commit>();
  /** When that was last done, as an index of the history. */
  readonly #restoredAt = new Map<string, number>();
  /** Who held them then and must write again, and since when. */
  readonly #putBack = new Map<string, { readonly by: string; readonly at: number }>();
  /** Leases that an operator has edited. */
  readonly #edited = new Set<string>();
  /** The last write of a server to each lease, and when a server last deleted it and since when it had been there. */
  readonly #serverWrote = new Map<string, number>();
  readonly #serverDeleted = new Map<string, { readonly at: number; readonly afterMs: number }>();
  /** Hosts whose server takes part in peer proxying. */
  readonly #peers = new Set<string>();
  /** When each lease was created. */
  readonly #createdAt = new Map<string, number>();
  /** How often a publisher has written over a server's write, since that one's start or its last silence. */
  readonly #overServer = new Map<string, number>();
  sweeps = 0;
  takeOvers = 0;

  constructor(
    network: Network,
    judge: Judge,
    actors: ReadonlyMap<string, Actor>,
    serversDown: ReadonlyMap<string, number>,
  ) {
    this.#network = network;
    this.#judge = judge;
    this.#actors = actors;
    this.#serversDown = serversDown;
  }

  commit(commit: Commit): void {
    const { by, name, at, after } = commit;
    const writtenAt = this.writtenAt.get(name) ?? -Infinity;
    if (by !== 'somebody') {
      const actor = this.#actors.get(by);
      if (actor instanceof PublisherActor && commit.verb === 'delete' && actor.sweeps && name !== actor.leaseName) {
        this.#swept(commit, actor, writtenAt);
      } else if (actor instanceof PublisherActor) this.#published(commit, actor);
      else if (actor instanceof SweeperActor) this.#swept(commit, actor, writtenAt);
      else if (actor instanceof ServerActor) this.#served(commit);
      else if (actor instanceof ReleaserActor) this.#released(commit, actor);
      else this.#fail('only publishers and sweepers write', `${by} wrote ${name}`);
    } else if (commit.verb === 'update' && !this.#restored.has(name)) this.#edited.add(name);
    if (by !== 'somebody') this.#restored.delete(name);
    // Written again by its holder, or changed by others.
    if (this.#putBack.get(name)?.at !== at) this.#putBack.delete(name);
    const { before } = commit;
    const renewed = before?.metadata.uid !== after?.metadata.uid || !isDeepStrictEqual(before?.spec, after?.spec);
    if (renewed) this.renewedAt.set(name, at);
    if (commit.verb === 'create') this.#createdAt.set(name, at);
    if (!(this.#actors.get(by) instanceof ServerActor)) this.#serverWrote.delete(name);
    if (after) this.writtenAt.set(name, at);
    else this.writtenAt.delete(name);
    this.#seen(commit);
  }

  /** A lease is about to be put back to what this commit made of it. */
  restored(original: Commit): void {
    const { name } = original;
    this.#restored.set(name, original);
    this.#restoredAt.set(name, this.#network.api.history.length);
    // Its holder's clock went back since: then its time proves nothing.
    const { history } = this.#network.api;
    const last = history.findLast((c) => c.name === name && c.by === original.by && c.after)?.after;
    const [then, now] = [original.after?.spec.renewTime, last?.spec.renewTime];
    if (then && now && then.compare(now) >= 0) this.#edited.add(name);
    const { now: at } = this.#network.world;
    const holder = [...this.#actors.values()].find(
      (a) => a instanceof PublisherActor && a.leaseName === name && a.publisher.status.phase === 'holding',
    );
    const there = history.findLast((c) => c.name === name)?.after;
    const provable =
      original.by === holder?.name ||
      (isIdentity(original.after) &&
        there?.metadata.uid === original.after?.metadata.uid &&
        (original.after?.spec.leaseTransitions ?? 0) < (there?.spec.leaseTransitions ?? 0));
    if (holder && provable && there?.spec.holderIdentity === (holder as PublisherActor).holder)
      this.#putBack.set(name, { by: holder.name, at });
  }

  /** Who is switched off gives its lease up, where nothing hinders it. */
  #verifyGates(): void {
    const { api, world, outage, outageEndedAt } = this.#network;
    for (const p of this.#actors.values()) {
      if (!(p instanceof PublisherActor) || !p.gateOff || !p.living) continue;
      const { offAt } = p.gate;
      if (world.now - offAt < GATE_MS) continue;
      const hindered =
        p.process.state !== 'running' || p.process.runningSince > offAt || !(p.link.fairSince <= offAt - LATE_POST_MS);
      if (hindered || outage !== undefined || outageEndedAt > offAt) continue;
      const held = api.peek({ namespace: IDENTITIES.namespace, name: p.leaseName });
      if (
        held?.spec.holderIdentity === p.holder &&
        // A server keeps the holder that it finds.
        !this.#serverWrote.has(p.leaseName) &&
        !this.#edited.has(p.leaseName) &&
        !this.#restoredAt.has(p.leaseName)
      )
        this.#fail('who is switched off holds no lease', `${p.name}, ${world.now - offAt} ms after`);
    }
  }

  /** What is put back is right again within two renewals, where nothing hinders its holder. */
  verify(): void {
    this.#verifyGates();
    const { now } = this.#network.world;
    for (const [name, { by, at }] of this.#putBack) {
      const p = this.#actors.get(by) as PublisherActor;
      const dueMs = 2 * p.slot.intervalMs * 1.05 + 6_000;
      const hindered =
        !p.living ||
        p.gateOff ||
        p.process.state !== 'running' ||
        p.process.runningSince > at ||
        !(p.link.fairSince <= at) ||
        this.#network.outage !== undefined ||
        this.#network.noSpace ||
        this.#network.outageEndedAt > at ||
        this.#serversDown.has(p.slot.hostname) ||
        this.#peers.has(p.slot.hostname);
      if (hindered) this.#putBack.delete(name);
      else if (now - at > dueMs)
        this.#fail('what is put back is claimed at once', `${by} has not written for ${Math.round(now - at)} ms`);
    }
  }

  /**
   * How long a lease may have been silent to who looks now and then: what was put back may be what was there at the look
   * before, and nothing tells of the renewals between.
   */
  silentMs({ metadata: { name, uid }, spec }: Lease, at: number): number {
    const first = this.#restored.has(name)
      ? this.#network.api.history.find(
          ({ after }) =>
            after?.metadata.name === name && after.metadata.uid === uid && isDeepStrictEqual(after.spec, spec),
        )?.at
      : this.renewedAt.get(name);
    return at - (first ?? -Infinity);
  }

  /** What is there was put back to before this publisher's last write, or made by another from that. */
  #older({ metadata, spec }: Lease, by: string): boolean {
    // Without the commit that is judged.
    const history = this.#network.api.history.slice(0, -1);
    const last = history.findLastIndex((c) => c.name === metadata.name && c.by === by && c.verb !== 'delete');
    const original = this.#restored.get(metadata.name);
    if (original) return last > history.indexOf(original);
    const since = (this.#restoredAt.get(metadata.name) ?? -1) > last;
    return since && (spec.leaseTransitions ?? 0) < (history[last]?.after?.spec.leaseTransitions ?? 0);
  }

  /** Holders are unique here: only an operator's edit can look like a second writer. */
  secondWriter(publisher: PublisherActor): void {
    if (!this.#edited.has(publisher.leaseName)) this.#fail('a lost answer is no second writer', publisher.name);
  }

  #served({ verb, name, after, at }: Commit): void {
    const host = after && isPeer(after) && hostnameOf(after);
    if (host) this.#peers.add(host);
    if (verb !== 'delete') this.#serverWrote.set(name, at);
    else this.#serverDeleted.set(name, { at, afterMs: at - (this.#createdAt.get(name) ?? -Infinity) });
    if (verb !== 'update')
      for (const key of this.#overServer.keys()) if (key.startsWith(name)) this.#overServer.delete(key);
  }

  /** Under one name with a server: it is left to that one while it lives. */
  #besideServer({ verb, name, before, at, request }: Commit, p: PublisherActor): void {
    const deleted = this.#serverDeleted.get(name);
    const sentAt = request?.at ?? at;
    // Where its looks failed for long it does not know that the lease was there in between.
    const knew = deleted && Math.max(p.heldSince, p.link.fairSince + READ_SLACK_MS) < deleted.at;
    if (verb === 'create' && deleted && sentAt > deleted.at && knew) {
      if (deleted.afterMs > SERVER_START_MS && sentAt - deleted.at < SERVER_START_MS * RATE)
        this.#fail(
          'what a server deletes is made by nobody else at once',
          `${p.name}, ${sentAt - deleted.at} ms after`,
        );
    }
    const wroteAt = this.#serverWrote.get(name);
    if (!before || wroteAt === undefined) return;
    const silentMs = this.silentMs(before, at);
    const key = `${name} ${p.name}`;
    const alone = silentMs >= windowMs(p.slot) * RATE;
    const times = alone ? 0 : (this.#overServer.get(key) ?? 0) + 1;
    this.#overServer.set(key, times);
    if (times > OVER_SERVER)
      this.#fail('no fight with a server over one name', `${p.name} wrote over it ${times} times`);
    const { acquireTime, leaseTransitions, holderIdentity } = before.spec;
    const servers = acquireTime === undefined && leaseTransitions === undefined && holderIdentity !== '';
    if (servers && !alone)
      this.#fail("a server's lease is claimed only after silence", `${p.name}, after ${silentMs} ms`);
  }

  #fail(rule: string, message: string): never {
    return this.#judge.fail(rule, message);
  }

  #published(commit: Commit, p: PublisherActor): void {
    const { verb, name, before, after, at, request } = commit;
    const was = before?.spec.holderIdentity ?? '';
    if (name !== p.leaseName) this.#fail('publishers write their own lease', `${p.name} wrote ${name}`);
    if (verb !== 'delete') this.#renewals = [...this.#renewals.slice(-99), at];
    if (p.outcome === 'deleted' || p.outcome === 'absent' || p.outcome === 'notOurs') {
      this.#fail('nothing after leaving', `${p.name} said ${p.outcome}, then ${verb}d its lease`);
    }
    if (p.slot.nameFormat === 'apiserver') this.#besideServer(commit, p);
    // What is left under its own name would disturb the server's peers.
    if (verb === 'delete' && this.#peers.has(p.slot.hostname) && p.slot.nameFormat === 'sha256') {
      const silentMs = this.silentMs(before!, at);
      if (was !== p.holder && silentMs < windowMs(p.slot) * RATE)
        this.#fail('a successor is never touched', `${p.name} deleted the lease of ${was}`);
      return;
    }
    if (verb === 'delete') {
      if (p.besideServer && this.#serverWrote.has(name) && this.silentMs(before!, at) < windowMs(p.slot) * RATE)
        this.#fail('a server is left its lease', `${p.name} deleted what the server wrote`);
      if (was !== p.holder) this.#fail('a successor is never touched', `${p.name} deleted the lease of ${was}`);
      const sentAt = request?.at ?? at;
      const off = sentAt >= p.gate.offAt && sentAt <= p.gate.onAt;
      if (!p.stopping && !off)
        this.#fail('a lease is never recreated', `${p.name} deleted its lease while it publishes`);
      if (p.slot.policy === 'keep' && !off) this.#fail('policy keep keeps', `${p.name} deleted its lease`);
      return;
    }
    if (verb === 'create' && request?.verb === 'update') this.#fail('a PUT never makes a lease', p.name);
    if (request && request.at > p.gate.offAt && request.at < p.gate.onAt)
      this.#fail('nothing is published while the gate is off', `${p.name}, ${request.at - p.gate.offAt} ms after`);
    if (after?.spec.holderIdentity !== p.holder) this.#fail('publishers write their own holder', p.name);
    const { hostname } = p.slot;
    const whole = after?.metadata.annotations['leasekeeper.dev/hostname'];
    if (whole !== (hostname.length > MOST_OF_A_LABEL ? hostname : undefined))
      this.#fail('a lease names its host, and no other', `${p.name} left ${whole} on it`);
    this.#forServer(p, request?.at ?? at);
    if (before) this.#over(before, after!, p, { was, silentMs: this.silentMs(before, at), sentAt: request?.at ?? at });
  }

  /** One PUT of a publisher over what was there. */
  #over(before: Lease, after: Lease, p: PublisherActor, how: { was: string; silentMs: number; sentAt: number }): void {
    const { was, silentMs, sentAt } = how;
    const [from, to] = [before.spec.leaseTransitions ?? 0, after.spec.leaseTransitions ?? 0];
    if (before.metadata.uid !== after.metadata.uid) this.#fail('a take-over keeps the object', p.name);
    if (!isIdentity(before) && was !== p.holder)
      this.#fail('foreign leases are left alone', `${p.name} wrote over ${was}`);
    if (was === p.holder) {
      if (to !== from) this.#fail('renewals keep leaseTransitions', `${p.name}: ${from} to ${to}`);
      return;
    }
    this.takeOvers++;
    if (to !== from + 1) this.#fail('a take-over adds one transition', `${p.name}: ${from} to ${to}`);
    if (was === '' || p.heldSince >= sentAt || this.#older(before, p.name)) return;
    if (silentMs < windowMs(p.slot) * RATE) {
      this.#fail('the superseded does not fight', `${p.name} took the lease back from ${was} after ${silentMs} ms`);
    }
  }

  #forServer(p: PublisherActor, sentAt: number): void {
    const downAt = this.#serversDown.get(p.slot.hostname);
    if (p.slot.health && downAt !== undefined && sentAt > Math.max(downAt, p.process.runningSince) + SERVER_GONE_MS) {
      this.#fail('no renewal for a dead server', `${p.name} wrote ${sentAt - downAt} ms after its server was gone`);
    }
  }

  /** What somebody had deleted had been silent for as long as it was looked at. */
  #released({ before, at }: Commit, { name, slot }: ReleaserActor): void {
    const lease = before!;
    if (!isIdentity(lease) || hostnameOf(lease) !== slot.hostname)
      this.#fail("only the host's own leases are released", `${name} deleted ${hostnameOf(lease)}'s`);
    const silentMs = this.silentMs(lease, at);
    if (silentMs < RELEASE_LOOK_MS * RATE)
      this.#fail('what somebody renews is not released', `${name}, after ${silentMs} ms`);
  }

  #swept({ before, name, at, request }: Commit, s: SweeperActor | PublisherActor, writtenAt: number): void {
    this.sweeps++;
    const lease = before!;
    const who = `${s.name} swept ${hostnameOf(lease)}'s lease`;
    const { confirmAfterMs } = s.sweeps!;
    const [first, second] = s.link.lists.filter((look) => look.at <= (request?.at ?? at)).slice(-2);
    const holder = lease.spec.holderIdentity ?? '';
    if (holder === '') this.#fail('released leases stay', who);
    if (!isIdentity(lease) && s.sweeps!.looksFor !== 'everything')
      this.#fail('sweepers delete what they look for', who);
    if (lease.metadata.deletionTimestamp) this.#fail('what is being deleted stays', who);
    if (s instanceof PublisherActor && (name === s.leaseName || holder === s.holder))
      this.#fail('our own lease stays', who);
    if (at - writtenAt < confirmAfterMs * RATE) {
      this.#fail('only what was silent between two looks is swept', `${who}, written ${at - writtenAt} ms before`);
    }
    const expiry = publishedExpiry(lease);
    const serverNow = MicroTime.fromEpochMicros(this.#network.world.wallMicros());
    if (!expiry || serverNow.since(expiry) <= 0) this.#fail('only expired leases are swept', who);
    if (!first?.dated || !second?.dated) this.#fail('no Date, no deletion', who);
    const proof = second!.leases.some((l) => {
      const end = publishedExpiry(l);
      return l.spec.holderIdentity && end && serverNow.since(end) <= at - second!.at + READ_SLACK_MS;
    });
    if (!proof) this.#fail('a pass that would leave no unexpired lease deletes nothing', who);
    this.#living(s, who, holder, first?.at ?? Infinity);
  }

  /**
   * Who lives, and was kept from renewing only by what everybody suffered (an outage, an etcd without space), keeps its
   * lease until it has had the time to renew.
   *
   * Left out, as README says: two outages in a row, when somebody renewed between them before the first look; and, where
   * a pass has to believe others' renewals, worlds in which others' clocks are wrong.
   */
  #living(s: SweeperActor | PublisherActor, who: string, holder: string, firstLookAt: number): void {
    const { world, outageEndedAt, outage, noSpace, troubleBeganAt, backForAMomentAt } = this.#network;
    const publishers = [...this.#actors.values()].filter((a) => a instanceof PublisherActor);
    const alive = publishers.find((a) => a.holder === holder);
    if (!alive?.living || alive.process.state !== 'running' || alive.publisher.status.phase !== 'holding') return;
    const rightClock = (a: Actor): boolean => Math.abs(a.process.wallOffsetMs) <= SMALL_SKEW_MS;
    const before = troubleBeganAt - 2 * alive.slot.intervalMs;
    if (!rightClock(alive) || !(alive.link.fairSince <= before) || alive.process.runningSince > before) return;
    const { confirmAfterMs } = s.sweeps!;
    const inTrouble = outage !== undefined || noSpace;
    if (!inTrouble && world.now - outageEndedAt >= alive.slot.intervalMs) return;
    const twice = !Number.isNaN(backForAMomentAt);
    if ((twice || noSpace || this.#network.wasSpace) && !publishers.every(rightClock)) return;
    // A second look that was due while the API was away has failed, and made the pass void.
    const mayLook = outageEndedAt <= firstLookAt + confirmAfterMs * 1.01 + 1_000;
    const between = this.#renewals.some((at) => at >= backForAMomentAt && at <= firstLookAt);
    if (twice && between && mayLook) return;
    this.#fail(
      "no living holder's lease is swept",
      `${who}, ${inTrouble ? 'in' : `${world.now - outageEndedAt} ms after`} an outage`,
    );
  }

  /** Keeps account of which hosts have a lease that somebody renews. */
  #seen({ before, after, at, by, request }: Commit): void {
    const host = after && hostnameOf(after);
    const gone = before && hostnameOf(before);
    if (gone !== undefined && (gone !== host || !isIdentity(after) || !after?.spec.holderIdentity))
      this.present.delete(gone);
    if (host === undefined || !isIdentity(after) || !after?.spec.holderIdentity) return;
    if (by === 'somebody') {
      // An operator's renewTime is no sign of life, nor of when there was one.
      this.present.delete(host);
      return;
    }
    const known = this.present.get(host);
    const since = known && at - known.lastAt <= 15_000 ? known.since : at;
    const renewedAt = known && (known.renewedAt ?? at);
    const sentAt = request?.at ?? at;
    const wrong = Math.abs(aheadMs(after, at)) > SMALL_SKEW_MS;
    const wrongAt = wrong ? at : (known?.wrongAt ?? -Infinity);
    this.present.set(host, { since, renewedAt, lastAt: at, sentAt, wrongAt });
  }
}
