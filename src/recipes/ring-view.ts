/**
 * What a member sees of its ring: who is a member, who holds which key, and which key may be taken. Pure: time comes as an
 * argument.
 *
 * A key's Lease names the *member term* that holds it: the member's Lease by name and uid, its holder, its transitions and
 * duration. It counts as held by exactly that term, however it was renewed since; so a member renews one Lease, whatever
 * number of keys it holds.
 *
 * Guarantees: a key is free
 * - when its holder released it, and nothing newer was seen before;
 * - when the member term that it names was seen to end while it named it: the member released its Lease, or somebody took
 *   that Lease after its silence (transitions grow by nothing else);
 * - else (the term it names does not match the member's Lease, or either of the two is not there) only after the duration from
 *   when that was first seen: names come back, and objects are deleted and restored, while a holder that is cut off goes
 *   on until its deadline. Where no record says that duration it is the longest that was seen of a member.
 * A member's Lease may be taken when its record has been silent for its own duration, as seen from here.
 */
import type { Lease } from '../lease/lease.ts';
import { TERM_ANNOTATION, termMark } from '../lease/marks.ts';
import { recordOf, sameRecord } from '../lease/record.ts';
import type { LeaseEvent } from '../lease/store.ts';

/** Which member term holds a key. */
export const MEMBER_ANNOTATION = 'leasekeeper.dev/member';
/** A longer duration is read as this one, so that no text can keep a key for years. */
const MAX_DURATION_MS = 3_600_000;
const NONE: readonly never[] = [];

export interface MemberTerm {
  /** The member's Lease, in the ring's namespace. */
  readonly lease: string;
  readonly uid: string;
  readonly holder: string;
  readonly transitions: number;
  readonly durationMs: number;
}

export function memberTermText(key: string, { lease, uid, holder, transitions, durationMs }: MemberTerm): string {
  return JSON.stringify({ key, lease, uid, holder, transitions, duration: durationMs / 1000 });
}

/** Reads what a key's Lease says of its holder; undefined: nobody, or it cannot be read. */
export function parseMemberTerm(text: string | undefined): MemberTerm | undefined {
  if (text === undefined || text === '') return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { lease, uid, holder, transitions, duration } = json as Record<string, unknown>;
  if (typeof lease !== 'string' || typeof uid !== 'string' || typeof holder !== 'string') return undefined;
  if (typeof transitions !== 'number' || typeof duration !== 'number' || !(duration > 0)) return undefined;
  return { lease, uid, holder, transitions, durationMs: Math.min(duration * 1000, MAX_DURATION_MS) };
}

/** The member term that a member's Lease shows; undefined: nobody holds it. */
export function memberTermOf({ metadata, spec }: Lease, fallbackMs: number): MemberTerm | undefined {
  if (!spec.holderIdentity) return undefined;
  const seconds = spec.leaseDurationSeconds;
  return {
    lease: metadata.name,
    uid: metadata.uid,
    holder: spec.holderIdentity,
    transitions: spec.leaseTransitions ?? 0,
    durationMs: seconds === undefined ? fallbackMs : Math.min(seconds * 1000, MAX_DURATION_MS),
  };
}

export const sameMemberTerm = (a: MemberTerm, b: MemberTerm): boolean =>
  a.lease === b.lease && a.uid === b.uid && a.holder === b.holder && a.transitions === b.transitions;

interface MemberEntry {
  lease: Lease;
  /** Monotonic milliseconds at which this record was first seen. */
  since: number;
  term: MemberTerm | undefined;
}

interface KeyEntry {
  lease: Lease;
  term: MemberTerm | undefined;
  /** True once the member's Lease was seen to match while the key named it. */
  matched: boolean;
  /** Whatever is released or ends, it is not taken before then, in monotonic milliseconds. */
  readonly notBefore: number;
  /** When it may be taken, in monotonic milliseconds; Infinity while it is held. */
  freeAt: number;
}

/** How a key stands. */
interface KeyState {
  /** The key's Lease as seen last; undefined: there is none. */
  readonly lease: Lease | undefined;
  /** The member term that holds it, as far as is known. */
  readonly heldBy: MemberTerm | undefined;
  /** Monotonic milliseconds from which it may be taken; Infinity: not before something changes. */
  readonly freeAt: number;
  /** Monotonic milliseconds before which no work begins in what was created: what came and went before may have a holder yet. */
  readonly notBefore: number;
}

export class RingView {
  readonly #durationMs: number;
  #longestMs: number;
  readonly #isMember: (lease: Lease) => boolean;
  readonly #members = new Map<string, MemberEntry>();
  readonly #keys = new Map<string, KeyEntry>();
  /** Since when each key's Lease that was there is gone. */
  readonly #gone = new Map<string, number>();
  /** Terms that keys name, the last of each member; and the labels of the last key. */
  readonly #terms = new Map<string, MemberTerm>();
  #labels: Readonly<Record<string, string>> = {};
  #namespace = '';
  /** When the whole ring was last listed; undefined before the first list. */
  #since: number | undefined;

  /**
   * @param durationMs our own lease duration: how long what is not there is waited for at the least
   * @param isMember tells the two kinds of Lease apart
   */
  constructor(durationMs: number, isMember: (lease: Lease) => boolean) {
    this.#durationMs = durationMs;
    this.#longestMs = durationMs;
    this.#isMember = isMember;
  }

  /** How long one of whom nothing tells may go on, in milliseconds: the longest term that was seen, at least our own. */
  get longestMs(): number {
    return this.#longestMs;
  }

  /** True once the whole ring was seen. */
  get complete(): boolean {
    return this.#since !== undefined;
  }

  /** Folds in what the watch says. @param now monotonic milliseconds, after it arrived */
  see(event: Extract<LeaseEvent, { type: 'list' | 'added' | 'modified' | 'deleted' }>, now: number): void {
    if (event.type === 'list') {
      const names = new Set(event.leases.map(({ metadata }) => metadata.name));
      for (const name of [...this.#members.keys()]) if (!names.has(name)) this.#dropMember(name, now);
      for (const name of [...this.#keys.keys()]) if (!names.has(name)) this.#dropKey(name, now);
      // Keys first: one that names a term which has ended in the meantime is known to have named it before.
      for (const lease of event.leases) if (!this.#isMember(lease)) this.#putKey(lease, now, true);
      for (const lease of event.leases) if (this.#isMember(lease)) this.#putMember(lease, now);
      // What is not there now may have come and gone since the list before.
      this.#since = now;
      return;
    }
    const { name } = event.lease.metadata;
    if (this.#isMember(event.lease)) {
      if (event.type === 'deleted') this.#dropMember(name, now);
      else this.#putMember(event.lease, now);
    } else if (event.type === 'deleted') this.#dropKey(name, now);
    else this.#putKey(event.lease, now);
  }

  /** The Lease of a key or a member, as seen last. */
  lease(name: string): Lease | undefined {
    return this.#keys.get(name)?.lease ?? this.#members.get(name)?.lease;
  }

  /** Names of the Leases of all keys that are there. */
  get keys(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** Members whose Leases somebody holds and that were not silent for their duration, by the names of their Leases. */
  live(now: number): string[] {
    const names: string[] = [];
    for (const [name, { term, since }] of this.#members) {
      if (term && now < since + term.durationMs) names.push(name);
    }
    return names.sort();
  }

  /** The term that a member's Lease shows; undefined: nobody holds it, or there is none. */
  memberTerm(name: string): MemberTerm | undefined {
    return this.#members.get(name)?.term;
  }

  /** Members' Leases whose holders have been silent since then, beyond their duration, or which nobody has held. */
  forsaken(since: number): Lease[] {
    const over = ({ term, since: seen }: MemberEntry): boolean => seen + (term?.durationMs ?? 0) < since;
    return [...this.#members.values()].filter(over).map(({ lease }) => lease);
  }

  /** All members whose Leases somebody holds, silent ones too. */
  members(): { readonly lease: Lease; readonly term: MemberTerm; readonly silentAt: number }[] {
    return [...this.#members.values()].flatMap(({ lease, term, since }) =>
      term ? [{ lease, term, silentAt: since + term.durationMs }] : [],
    );
  }

  /** How a key stands, by the name of its Lease. */
  key(name: string): KeyState {
    const entry = this.#keys.get(name);
    if (!entry) {
      const since = Math.max(this.#gone.get(name) ?? -Infinity, this.#since ?? Infinity);
      const freeAt = since + this.#longestMs;
      return { lease: undefined, heldBy: undefined, freeAt, notBefore: freeAt };
    }
    const { lease, term, freeAt, notBefore } = entry;
    return { lease, heldBy: term, freeAt, notBefore };
  }

  /**
   * The member's Lease to take first, before the keys that name its term may be taken; undefined: none is silent for its
   * duration, or the key does not name it.
   */
  silentMember(name: string, now: number): Lease | undefined {
    const term = this.#keys.get(name)?.term;
    const member = term && this.#members.get(term.lease);
    if (!term || !member?.term || !sameMemberTerm(term, member.term)) return undefined;
    return now >= member.since + member.term.durationMs ? member.lease : undefined;
  }

  /** The next moment at which silence or waiting alone changes something; Infinity: none. */
  next(now: number): number {
    let next = Infinity;
    const consider = (at: number): void => {
      if (at > now && at < next) next = at;
    };
    for (const { term, since } of this.#members.values()) if (term) consider(since + term.durationMs);
    for (const { freeAt } of this.#keys.values()) consider(freeAt);
    if (this.#since !== undefined) consider(this.#since + this.#longestMs);
    for (const at of this.#gone.values()) consider(at + this.#longestMs);
    return next;
  }

  #putMember(lease: Lease, now: number): void {
    const { name } = lease.metadata;
    const before = this.#members.get(name);
    const term = memberTermOf(lease, this.#durationMs);
    if (term) this.#longestMs = Math.max(this.#longestMs, term.durationMs);
    if (before && sameRecord(recordOf(before.lease), recordOf(lease))) {
      before.lease = lease;
      return;
    }
    this.#members.set(name, { lease, since: now, term });
    const putBack = before !== undefined && isPutBack(lease, before.lease);
    for (const key of this.#keys.values()) if (key.term?.lease === name) this.#judge(key, now, putBack);
  }

  #dropMember(name: string, now: number): void {
    this.#members.delete(name);
    this.#terms.delete(name);
    for (const key of this.#keys.values()) if (key.term?.lease === name) this.#judge(key, now);
  }

  #putKey(lease: Lease, now: number, listed = false): void {
    const { name } = lease.metadata;
    const before = this.#keys.get(name);
    const text = lease.metadata.annotations[MEMBER_ANNOTATION];
    const same =
      before &&
      before.lease.metadata.annotations[MEMBER_ANNOTATION] === text &&
      sameRecord(recordOf(before.lease), recordOf(lease));
    if (same) {
      before.lease = this.#slim(lease, before.term);
      return;
    }
    const term = this.#shared(parseMemberTerm(text));
    // Released by its holder: neither a term nor a holder. A text that cannot be read is no release.
    const released = text === undefined && !lease.spec.holderIdentity;
    const notBefore = this.#notBefore(lease, released || listed, now);
    this.#gone.delete(name);
    const freeAt = released ? Math.max(now, notBefore) : Infinity;
    const entry: KeyEntry = { lease: this.#slim(lease, term), term, matched: false, notBefore, freeAt };
    this.#keys.set(name, entry);
    if (!released) this.#judge(entry, now);
  }

  /** What was put back, or brought along, proves nothing: the one that held the key may not have learned of it yet. */
  #notBefore(lease: Lease, doubtful: boolean, now: number): number {
    const { name } = lease.metadata;
    const before = this.#keys.get(name);
    if (before) return follows(lease, before.lease) ? before.notBefore : now + this.#longestMs;
    // What was there when the ring was first seen may be as old as the ring.
    if (this.#since === undefined) return -Infinity;
    // Between two lists, or before what appears released, others may have come and gone unseen.
    const gone = doubtful ? now : Math.max(this.#gone.get(name) ?? -Infinity, this.#since);
    return gone + this.#longestMs;
  }

  /** The same term of a member, of which many keys name one, once. */
  #shared(term: MemberTerm | undefined): MemberTerm | undefined {
    if (!term) return undefined;
    this.#longestMs = Math.max(this.#longestMs, term.durationMs);
    const known = this.#terms.get(term.lease);
    if (known && sameMemberTerm(known, term) && known.durationMs === term.durationMs) return known;
    this.#terms.set(term.lease, term);
    return term;
  }

  /**
   * What is needed of a key's Lease, with as much of it shared as is alike: there may be a hundred thousand. The mark of its
   * term is left out: every write of a key sets it or removes it.
   */
  #slim({ metadata, spec, ...rest }: Lease, term: MemberTerm | undefined): Lease {
    const { [TERM_ANNOTATION]: _, ...annotations } = metadata.annotations;
    const { labels, namespace, ownerReferences, finalizers } = metadata;
    const alike =
      Object.keys(labels).length === Object.keys(this.#labels).length &&
      Object.entries(labels).every(([key, value]) => this.#labels[key] === value);
    if (!alike) this.#labels = labels;
    const { holderIdentity, acquireTime, renewTime } = spec;
    return {
      metadata: {
        ...metadata,
        namespace: namespace === this.#namespace ? this.#namespace : (this.#namespace = namespace),
        labels: this.#labels,
        annotations,
        ownerReferences: ownerReferences.length === 0 ? NONE : ownerReferences,
        finalizers: finalizers.length === 0 ? NONE : finalizers,
      },
      spec: {
        ...spec,
        ...(term && holderIdentity === term.holder && { holderIdentity: term.holder }),
        ...(renewTime && acquireTime?.equals(renewTime) && { acquireTime: renewTime }),
      },
      ...rest,
    };
  }

  #dropKey(name: string, now: number): void {
    if (this.#keys.delete(name)) this.#gone.set(name, now);
  }

  /** Whether the member term that a key names holds; called when either of the two Leases changed. */
  #judge(key: KeyEntry, now: number, putBack = false): void {
    const { term } = key;
    const member = term && this.#members.get(term.lease);
    if (term && member?.term && sameMemberTerm(term, member.term)) {
      key.matched = true;
      key.freeAt = Infinity;
      return;
    }
    if (key.matched && !putBack && term && member && endsTerm(member.lease, term))
      key.freeAt = Math.min(key.freeAt, Math.max(now, key.notBefore));
    // What broke the match once is waited for from then on, whatever follows.
    else if (key.freeAt === Infinity) key.freeAt = Math.max(now + (term?.durationMs ?? this.#longestMs), key.notBefore);
    key.matched = false;
  }
}

/** False for what is older than what was seen, and for another object of the same name. */
const follows = (lease: Lease, seen: Lease): boolean =>
  lease.metadata.uid === seen.metadata.uid && !isPutBack(lease, seen);

/** True for a record that is older than the one that was seen. Each term counts on; within a term one process tells the time. */
function isPutBack({ spec }: Lease, { spec: seen }: Lease): boolean {
  const [is, was] = [spec.leaseTransitions ?? 0, seen.leaseTransitions ?? 0];
  if (is !== was) return is < was;
  return spec.renewTime !== undefined && seen.renewTime !== undefined && spec.renewTime.compare(seen.renewTime) < 0;
}

/** True when this record of a member's Lease proves that the term, which it showed before, has ended. */
function endsTerm(lease: Lease, term: MemberTerm): boolean {
  const { metadata, spec } = lease;
  if (metadata.uid !== term.uid) return false;
  const transitions = spec.leaseTransitions ?? 0;
  const marked = metadata.annotations[TERM_ANNOTATION];
  // Nobody holds it: released, or taken from one that was silent for the whole duration. Beside a mark somebody else did it.
  if (!spec.holderIdentity) return marked === undefined && transitions >= term.transitions;
  // Another term, which needed a release or that silence. A number that somebody raised does not go with its mark.
  return transitions > term.transitions && termMark(lease)?.transitions === transitions;
}
