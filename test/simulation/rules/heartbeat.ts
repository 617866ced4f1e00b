/**
 * What must hold of heartbeats at every commit, and of who is called Unknown: also of a sweeper of those whose Node is gone, which
 * deletes only what had no Node at either look, and what nobody wrote in between.
 */
import { AVAILABILITY_ROWS } from '../../../src/availability/availability-options.ts';
import { fillOptions } from '../../../src/runtime/options.ts';
import type { Commit } from '../../support/memory-api.ts';
import { FleetActor, MonitorActor, SweeperActor } from '../actors.ts';
import type { Actor } from '../actors.ts';
import type { Judge } from '../judge.ts';
import { WATCH_LATE_MS } from '../network.ts';
import type { Nodes } from '../nodes.ts';
import type { MicroTime } from '../../../src/lease/micro-time.ts';

const RATE = 0.985;

export class HeartbeatRules {
  readonly #judge: Judge;
  readonly #nodes: Nodes;
  readonly #actors: ReadonlyMap<string, Actor>;
  /** When the renewTime of each node's lease grew past all before it, in true milliseconds; the last few. */
  readonly grown = new Map<string, number[]>();
  /** When each node's lease was last written. */
  readonly writtenAt = new Map<string, number>();
  /** When each lease was last changed, by anybody. */
  readonly #changedAt = new Map<string, number>();
  readonly #highest = new Map<string, { time: MicroTime; owner: string | undefined }>();
  renewals = 0;

  constructor(judge: Judge, nodes: Nodes, actors: ReadonlyMap<string, Actor>) {
    this.#judge = judge;
    this.#nodes = nodes;
    this.#actors = actors;
  }

  /**
   * As the node lifecycle controller counts: a lease that was deleted and made again by a slower clock shows no renewal until
   * it has passed what was seen before, unless it is the first of a recreated Node.
   */
  #grows({ verb, name, after }: Commit): boolean {
    // Who missed a renewal cannot see it once its lease is gone.
    if (verb === 'delete') this.grown.delete(name);
    const time = after?.spec.renewTime;
    if (!time) return false;
    const known = this.#highest.get(name);
    const owner = after.metadata.ownerReferences[0]?.uid;
    const recreated = verb === 'create' && known !== undefined && owner !== known.owner;
    if (known && !recreated && time.compare(known.time) <= 0) return false;
    this.#highest.set(name, { time, owner });
    return true;
  }

  commit(commit: Commit): void {
    const { verb, by, name, before, after, request, at } = commit;
    const [old, now] = [before?.spec.renewTime, after?.spec.renewTime];
    const changedAt = this.#changedAt.get(name) ?? -Infinity;
    this.#changedAt.set(name, at);
    if (this.#grows(commit)) this.grown.set(name, [...(this.grown.get(name) ?? []).slice(-9), at]);
    if (by === 'somebody') return;
    const fleet = this.#actors.get(by);
    if (fleet instanceof SweeperActor) return this.#swept(commit, fleet, changedAt);
    this.writtenAt.set(name, at);
    const fail = (rule: string, message: string): never => this.#judge.fail(rule, message);
    if (!(fleet instanceof FleetActor)) return fail('only fleets write heartbeats', by);
    this.renewals++;
    if (verb === 'delete' || !after) return fail('heartbeats are left to the garbage collector', by);
    if (verb === 'create' && request?.verb === 'update') fail('a PUT never makes a lease', by);
    if (old && now && now.compare(old) <= 0)
      fail('renewTime of a heartbeat grows', `${by} wrote ${now.toString()} for ${name}`);
    const [owner, ...more] = after.metadata.ownerReferences.filter(({ kind }) => kind === 'Node');
    if (!owner || more.length > 0) return fail('a heartbeat is owned by its Node', `${by} wrote ${name}`);
    const seen = fleet.seenNodes.get(name);
    if (!seen || !request || request.at <= seen.at) return;
    if (seen.uid === undefined)
      fail('heartbeats stop for a deleted Node', `${by} wrote ${name} ${request.at - seen.at} ms after`);
    if (seen.uid !== owner.uid) fail('a recreated Node owns its heartbeat', `${by} wrote ${name} for ${owner.uid}`);
  }

  #swept({ name, before, at, request }: Commit, { name: who, sweeps, link }: SweeperActor, changedAt: number): void {
    const fail = (rule: string): never => this.#judge.fail(rule, `${who} deleted ${name}`);
    const deletedAt = request?.at ?? at;
    const [first, second] = link.lists.filter((look) => look.at <= deletedAt).slice(-2);
    const waitedMs = sweeps.confirmAfterMs * RATE;
    if (before?.metadata.labels['leasekeeper.dev/kind'] !== undefined) fail('only heartbeats go with their Nodes');
    if (!first || !second || second.at - first.at < waitedMs || at - changedAt < waitedMs)
      return fail('what was written between two looks stays');
    const [gone, goneAgain] = [
      this.#nodes.missing(name, first.at, second.at - waitedMs),
      this.#nodes.missing(name, second.at, deletedAt),
    ];
    if (!gone || !goneAgain) fail('a heartbeat stays while its Node is there');
  }

  /** A node is Unknown only after the grace period without a renewal that could have arrived. */
  verify(now: number): void {
    for (const actor of this.#actors.values()) {
      if (!(actor instanceof MonitorActor)) continue;
      for (const { node } of actor.changes.splice(0)) {
        if (node.status !== 'Unknown') continue;
        const { graceMs } = fillOptions(AVAILABILITY_ROWS, {});
        // It goes by what it heard; what a silent watch holds back it cannot know.
        const { silence, store } = actor.link;
        const heardUntil = store.watches.held ? Math.min(now, silence.from) : now;
        const last = this.grown.get(node.name)?.findLast((at) => at < heardUntil - WATCH_LATE_MS - 100);
        if (last !== undefined && now - last < graceMs * RATE - WATCH_LATE_MS) {
          this.#judge.fail(
            'Unknown only after the grace period',
            `${actor.name} called ${node.name} Unknown ${now - last} ms after a renewal`,
          );
        }
      }
    }
  }
}
