/**
 * The safety rules, each with the change that takes it out. What a simulation does not notice when it is gone, it does not
 * prove either.
 *
 * Not here, because no run could tell the difference: the uid among the preconditions of a DELETE beside a resourceVersion
 * (versions are unique in a cluster), the second of uncertainty of a `Date` (two looks lie further apart).
 */
import { change } from './mutation.ts';
import type { Mutant } from './mutation.ts';
import { ELECTION_MUTANTS } from './election-mutants.ts';
import { RECIPE_MUTANTS } from './recipe-mutants.ts';

/** The simulated store refuses what the client would never send; without this it does what an API server does. */
const withoutGuard = change(
  'test/support/memory-store.ts',
  `if (uid === '' || resourceVersion === '')`,
  `if (resourceVersion === '')`,
);

const IDENTITY = 'src/identity/decide.ts';
const PUBLISHER = 'src/identity/publisher.ts';
const RECORD = 'src/lease/record.ts';
const SWEEP = 'src/sweep/decide.ts';
const SWEEPER = 'src/sweep/sweeper.ts';
const RELEASE = 'src/identity/release.ts';
const SHARED_NODES = 'src/heartbeat/shared-nodes.ts';
const OWNERS = 'src/sweep/owners.ts';
const NAMES = 'src/lease/names.ts';
const HEARTBEAT = 'src/heartbeat/heartbeats.ts';
const FRESHNESS = 'src/runtime/freshness.ts';
const CENSUS = 'src/census/live-census.ts';

const SERVICES: readonly Mutant[] = [
  // Publisher.
  {
    rule: 'publisher: a PUT names the uid',
    replace: [
      withoutGuard,
      change(
        IDENTITY,
        'return withChanges(held, {',
        "return withChanges({ ...held, metadata: { ...held.metadata, uid: '' } }, {",
      ),
    ],
  },
  {
    rule: 'publisher: a PUT names the version it was made from',
    replace: [
      change(
        PUBLISHER,
        'await (base ? this.#store.update(lease, call)',
        `await (base ? this.#store.get(lease.metadata, call).then(({ metadata: { uid, resourceVersion } }) =>
            this.#store.update({ ...lease, metadata: { ...lease.metadata, uid, resourceVersion } }, call))`,
      ),
    ],
  },
  {
    rule: 'publisher: a take-over is one PUT, no DELETE and POST',
    replace: [
      change(
        PUBLISHER,
        "this.#claiming = { how: 'takenOver'",
        `await this.#store.delete(verdict.lease.metadata, verdict.lease.metadata).catch(() => undefined);
        this.#claiming = { how: 'takenOver'`,
      ),
    ],
  },
  {
    rule: 'publisher: a take-over counts one transition more',
    replace: [change(IDENTITY, '(from.spec.leaseTransitions ?? 0) + 1', 'from.spec.leaseTransitions ?? 0')],
  },
  {
    rule: 'publisher: a server that keeps our holder is known for one',
    replace: [
      change(IDENTITY, 'self.sharedName && memory.foreignRenewals + 1 >= SERVER_RENEWALS', 'self.sharedName && false'),
    ],
  },
  {
    rule: "publisher: a server's lease is claimed only after silence",
    replace: [
      change(
        IDENTITY,
        'self.sharedName && acquireTime === undefined && leaseTransitions === undefined',
        'self.sharedName && acquireTime !== undefined && leaseTransitions === undefined',
      ),
    ],
  },
  {
    rule: 'publisher: what a server deletes at its start is left to it',
    replace: [change(IDENTITY, 'const SERVER_START_MS = 5_000;', 'const SERVER_START_MS = 0;')],
  },
  {
    rule: 'publisher: holds no lease beside a server that takes part in peer proxying',
    replace: [
      change(PUBLISHER, "this.#options.besideServer === 'auto' ? this.#neighbours.peer : undefined", 'undefined'),
    ],
  },
  {
    rule: 'publisher: the superseded does not fight',
    replace: [change(IDENTITY, 'restored || !(last || watched || isServers(self, record))', 'true')],
  },
  {
    rule: 'publisher: what is provably older is claimed at once',
    replace: [
      change(
        IDENTITY,
        'const restored = !watched && provablyOlder(record, memory) && !madeOf(memory.putBack, record);',
        'const restored = false;',
      ),
    ],
  },
  {
    rule: 'publisher: what was made of a lease that was put back is no older state',
    replace: [change(IDENTITY, ' && !madeOf(memory.putBack, record)', '')],
  },
  {
    rule: 'publisher: our own time put back is no second writer',
    replace: [change(IDENTITY, 'compared(seen.renewTime, last.renewTime) < 0', 'false')],
  },
  {
    rule: 'publisher: a successor whose clock is behind is no older state',
    replace: [change(IDENTITY, 'if (same ? !(then >= now) : sameTerm) return true;', 'return true;')],
  },
  {
    rule: 'publisher: another holder with as many transitions is no older state',
    replace: [change(IDENTITY, 'same && then < now && now < INT32_MAX', 'same && now < INT32_MAX')],
  },
  {
    rule: 'publisher: each renewal of the other begins its silence again',
    replace: [change(RECORD, 'return before && sameRecord(before.record, record) ? before', 'return before ? before')],
  },
  {
    rule: 'publisher: a lease without our label is left alone',
    replace: [
      change(
        IDENTITY,
        "if (seen.metadata.labels[self.labelKey] !== self.labelValue) return { do: 'refuse', lease: seen };",
        '',
      ),
    ],
  },
  {
    rule: 'publisher: after a conflict it looks',
    replace: [
      change(
        PUBLISHER,
        'if (changed || error.mayHaveCommitted) this.#mustRead = true;',
        'if (error.mayHaveCommitted) this.#mustRead = true;',
      ),
    ],
  },
  {
    rule: 'publisher: a lost answer is known again by its renewTime',
    replace: [change(IDENTITY, '({ renewTime }) => renewTime.equals(record.renewTime)', '() => false')],
  },
  {
    rule: 'publisher: waits between attempts',
    replace: [change(PUBLISHER, 'const retryInMs = backoff.next(error.retryAfterMs);', 'const retryInMs = 0;')],
  },
  {
    rule: 'publisher: no renewal for a server that does not answer',
    replace: [change(PUBLISHER, 'this.#health?.healthy === false', 'this.#health === null')],
  },
  {
    rule: 'publisher: the DELETE of a leaver names the version',
    replace: [
      change(
        PUBLISHER,
        'await this.#store.delete({ namespace, name }, { uid, resourceVersion }',
        "await this.#store.delete({ namespace, name }, { uid, resourceVersion: '' }",
      ),
    ],
  },
  {
    rule: 'publisher: a leaver deletes only what it holds',
    replace: [
      change(PUBLISHER, 'if (own && seen.spec.holderIdentity === this.#self.holder) {', 'if (seen) {'),
      change(PUBLISHER, '            this.#stored(own, seen);\n', ''),
    ],
  },
  {
    rule: 'publisher: a leaver waits for its lost POST',
    replace: [change(PUBLISHER, 'if (this.#writes.lost.length > 0) continue;', '')],
  },
  {
    rule: 'publisher: switched off it writes nothing',
    replace: [change(PUBLISHER, 'while (!stop.begun.aborted && this.#enabled) {', 'while (!stop.begun.aborted) {')],
  },
  {
    rule: 'publisher: switched off while it looks, it claims nothing',
    replace: [change(PUBLISHER, 'return !stop.begun.aborted && this.#enabled &&', 'return !stop.begun.aborted &&')],
  },
  {
    rule: 'publisher: switched off it holds no lease',
    replace: [
      change(
        PUBLISHER,
        'if (!this.#enabled) return this.#withdraw(AbortSignal.any([end, this.#switched.signal]));',
        "if (!this.#enabled) return 'kept';",
      ),
    ],
  },
  {
    rule: 'publisher: a hostname that is no label value stands whole beside it',
    replace: [
      change(NAMES, 'annotations: value === hostname ? {} : { [HOSTNAME_ANNOTATION]: hostname },', 'annotations: {},'),
    ],
  },
  {
    rule: "publisher: another host's name is taken off",
    replace: [change(IDENTITY, '...NOT_OURS, [HOSTNAME_ANNOTATION]: undefined,', '...NOT_OURS,')],
  },
  // Sweeper.
  {
    rule: 'sweeper: two looks',
    replace: [
      change(
        SWEEP,
        "if (before === undefined) return 'expiredOnce';\n  return before === resourceVersion ? undefined : 'changed';",
        'return undefined;',
      ),
    ],
  },
  {
    rule: 'sweeper: the same version in both looks',
    replace: [change(SWEEP, "return before === resourceVersion ? undefined : 'changed';", 'return undefined;')],
  },
  {
    rule: 'sweeper: time between the looks',
    replace: [
      change(
        SWEEPER,
        'if (confirmAfterMs > 0 && !(await sleep(this.#clock, confirmAfterMs, signal))) return undefined;',
        'void confirmAfterMs;',
      ),
    ],
  },
  {
    rule: 'sweeper: a failed list voids the pass',
    replace: [
      change(
        SWEEPER,
        'return decide(first, await this.#list(2, signal), this.#policy);',
        `for (;;) {
          try {
            return decide(first, await this.#list(2, signal), this.#policy);
          } catch (error) {
            if (signal.aborted) throw error;
            await sleep(this.#clock, 1_000, signal);
          }
        }`,
      ),
    ],
  },
  {
    rule: 'sweeper: a DELETE names the version',
    replace: [
      change(
        'src/sweep/collector.ts',
        'await store.delete({ namespace, name }, { uid, resourceVersion }',
        "await store.delete({ namespace, name }, { uid, resourceVersion: '' }",
      ),
    ],
  },
  {
    rule: 'sweeper: no Date, no deletion',
    replace: [
      change(
        SWEEPER,
        "import type { MicroTime } from '../lease/micro-time.ts';",
        "import { MicroTime } from '../lease/micro-time.ts';",
      ),
      change(
        SWEEPER,
        'date: undated ? undefined : serverDate',
        'date: earliest ?? MicroTime.fromEpochMicros(clock.wallMicros())',
      ),
    ],
  },
  {
    rule: "sweeper: expiry by the API server's clock",
    replace: [
      change(
        SWEEPER,
        "import type { MicroTime } from '../lease/micro-time.ts';",
        "import { MicroTime } from '../lease/micro-time.ts';",
      ),
      change(
        SWEEPER,
        'date: undated ? undefined : serverDate',
        'date: undated ? undefined : MicroTime.fromEpochMicros(clock.wallMicros())',
      ),
    ],
  },
  {
    rule: 'sweeper: a pass that leaves no unexpired lease deletes nothing',
    replace: [
      change(SWEEP, 'if (unexpired === 0 && !policy.allowAll && expired.length > 0) {', 'if (unexpired < 0) {'),
      change(SWEEP, "return 'unproven';", 'return undefined;'),
    ],
  },
  {
    rule: 'sweeper: somebody has renewed since what goes expired',
    replace: [change(SWEEP, "return 'unproven';", 'return undefined;')],
  },
  {
    rule: 'sweeper: who holds a lease only since the first look proves nothing',
    replace: [
      change(
        'src/sweep/doubt.ts',
        'const known = before || !this.#begunSince(lease) ? wrote : this.#silences?.lastRenewal;',
        'const known = wrote;',
      ),
    ],
  },
  {
    rule: 'sweeper: nothing goes while others recover',
    replace: [change(SWEEP, "if (witnesses.recovering(lease)) return 'recovering';", '')],
  },
  {
    rule: 'sweeper: released leases stay',
    replace: [change(SWEEP, "if (!lease.spec.holderIdentity) return 'released';", '')],
  },
  {
    rule: 'sweeper: our own lease stays',
    replace: [change(SWEEP, "if (isOwn(lease, policy.own)) return 'own';", '')],
  },
  {
    rule: 'sweeper: what says that it is an election stays',
    replace: [
      change(SWEEP, "if (kind !== undefined) return kind !== 'member';", 'if (kind !== undefined) return false;'),
    ],
  },
  {
    rule: 'sweeper: what has changed hands and names no host stays',
    replace: [
      change(
        SWEEP,
        'return labels[HOSTNAME_LABEL] === undefined && (spec.leaseTransitions ?? 0) > 0;',
        'return false;',
      ),
    ],
  },
  // Sweeper of heartbeats whose Node is gone.
  {
    rule: 'owner gone: two looks',
    replace: [
      change(
        OWNERS,
        'else if (nodes.has(name) || !first.has(uid)) kept.owned++;',
        'else if (nodes.has(name)) kept.owned++;',
      ),
      change(
        OWNERS,
        'else if (first.get(uid) !== resourceVersion) kept.changed++;',
        'else if (first.has(uid) && first.get(uid) !== resourceVersion) kept.changed++;',
      ),
    ],
  },
  {
    rule: 'owner gone: the same version in both looks',
    replace: [change(OWNERS, 'else if (first.get(uid) !== resourceVersion) kept.changed++;', '')],
  },
  {
    rule: 'owner gone: whose Node has come back stays',
    replace: [
      change(
        OWNERS,
        'else if (nodes.has(name) || !first.has(uid)) kept.owned++;',
        'else if (!first.has(uid)) kept.owned++;',
      ),
    ],
  },
  {
    rule: 'owner gone: where there is no Node at all, nothing goes',
    replace: [
      change(
        OWNERS,
        'if (nodes.size > 0 || allowAll || collect.length === 0) return { ...plan, collect };',
        'return { ...plan, collect };',
      ),
    ],
  },
  {
    rule: 'owner gone: what is no heartbeat stays',
    replace: [
      change(
        OWNERS,
        "if (!['heartbeat', 'unknown'].includes(kindOf(lease)) || metadata.labels[KIND_LABEL] !== undefined) kept.election++;\n    else if",
        'if',
      ),
    ],
  },
  // Somebody has the leases of a host deleted.
  {
    rule: 'release: what somebody renews stays',
    replace: [change(RELEASE, 'if (renewed.length > 0) return', 'if (renewed.length < 0) return')],
  },
  {
    rule: 'release: looks for as long as it is asked to',
    replace: [change(RELEASE, '} while (leftMs > 0);', '} while (leftMs < 0);')],
  },
  {
    rule: 'release: a DELETE names the version',
    replace: [
      change(
        RELEASE,
        'await store.delete({ namespace, name }, { uid, resourceVersion }',
        "await store.delete({ namespace, name }, { uid, resourceVersion: '' }",
      ),
    ],
  },
  ...ELECTION_MUTANTS,
  {
    rule: 'clock: time suspended is counted',
    replace: [
      change(
        'src/runtime/clock.ts',
        'if (missed > suspended + SUSPEND_TOLERANCE_MS) suspended = missed;',
        'void missed;',
      ),
    ],
  },
  // Heartbeats.
  {
    rule: 'heartbeat: a PUT names the uid',
    replace: [
      withoutGuard,
      change(
        'src/heartbeat/beat.ts',
        'store.update(lease, call)',
        "store.update({ ...lease, metadata: { ...lease.metadata, uid: '' } }, call)",
      ),
    ],
  },
  {
    rule: 'heartbeat: stops for a deleted Node',
    replace: [
      change(
        HEARTBEAT,
        '    beat.gone = true;\n    this.#beats.delete(beat.node.name);',
        '    this.#beats.delete(beat.node.name);',
      ),
      change(HEARTBEAT, 'this.#rota.remove(beat);', ''),
    ],
  },
  {
    rule: 'heartbeat: a recreated Node gets its new uid',
    replace: [change(HEARTBEAT, 'known.node = own;', '')],
  },
  {
    rule: 'heartbeat: renewTime always grows',
    replace: [
      change(
        'src/heartbeat/decide.ts',
        'return own.time(Math.max(wallMicros, last === undefined ? -Infinity : last.epochMicros + 1));',
        'return own.time(wallMicros);',
      ),
    ],
  },
  {
    rule: 'heartbeat: a share that is taken is kept',
    replace: [change(SHARED_NODES, "this.#tell(slot, (node) => ({ type: 'added', node }));", '')],
  },
  {
    rule: 'heartbeat: a share that is given up is left to others',
    replace: [change(SHARED_NODES, "this.#tell(slot, (node) => ({ type: 'deleted', node, moved: true }));", '')],
  },
  {
    rule: 'nodes: the grace period begins with the first read of leases',
    replace: [
      change(
        'src/availability/node-register.ts',
        'if (!known) for (const entry',
        'if (known === undefined) for (const entry',
      ),
    ],
  },
  // Census.
  {
    rule: 'census: an old answer is no answer',
    replace: [change(CENSUS, "return answer && answer.ageMs > this.#options.maxAgeMs ? 'TooOld' : undefined;", '')],
  },
  {
    rule: 'census: a time that has not come is no life',
    replace: [change('src/census/judge.ts', 'if (aheadMs(lease, server?.latest) !== undefined) age = sinceMs;', '')],
  },
  {
    rule: 'census: who wrote between two lists is live, whatever it says',
    replace: [change('src/census/judge.ts', "if (renewed) return 'live';", '')],
  },
  {
    rule: 'census: who wrote nothing between two lists is not live, whatever it says',
    replace: [change('src/census/judge.ts', "return state === 'live' ? 'stale' : state;", 'return state;')],
  },
  {
    rule: 'census: a hostname beside the label counts only where it gives the label',
    replace: [
      change(
        NAMES,
        'hostnameProblem(whole) === undefined && hostnameLabel(whole) === label ? whole',
        'hostnameProblem(whole) === undefined ? whole',
      ),
    ],
  },
  // Both.
  {
    rule: 'freshness: silence counts only as far as it is proved',
    replace: [
      change(FRESHNESS, 'watched.advance(proof);', 'watched.advance(now);'),
      // A late timer that is put off finds a newer proof, most of the time.
      change(FRESHNESS, 'if (this.#putOff) return this.#setTimer(now + ACT_AFTER_MS);', ''),
    ],
  },
];

export const MUTANTS: readonly Mutant[] = [...SERVICES, ...RECIPE_MUTANTS];
