/**
 * The safety rules of recipes, each with the change that takes it out; see mutants.ts.
 *
 * Not here, because only unlikely chains of happenings show them, which test/recipes/ring-view.test.ts writes down one by one:
 * what frees a key at once was seen to match before, is of the same uid, was not put back, and goes with its mark. Nor here,
 * but in test/recipes/shards.test.ts: a member's keys end once its Lease shows another term than its own. Without it they end
 * somewhat later, at the deadline of its term, which comes before anybody may take them.
 */
import { change } from './mutation.ts';
import type { Mutant, Replacement } from './mutation.ts';

const LOCK = 'src/recipes/lock.ts';
const ONCE = 'src/recipes/once.ts';
const CRON = 'src/recipes/cron.ts';
const FIRES = 'src/recipes/fires.ts';
const SEMAPHORE = 'src/recipes/semaphore.ts';
const SHARDS = 'src/recipes/shards.ts';
const VIEW = 'src/recipes/ring-view.ts';
const MEMBER = 'src/recipes/ring-member.ts';
const MEMBERS = 'src/recipes/members.ts';

const mutant = (rule: string, ...replace: readonly Replacement[]): Mutant => ({ rule, worlds: 'recipes', replace });

export const RECIPE_MUTANTS: readonly Mutant[] = [
  mutant('lock: the work ends before the release', change(LOCK, 'await begin', 'void begin')),
  mutant('lock: a success in a term that was lost is none', change(LOCK, '() => term.check(),', '() => {},')),
  mutant(
    'once: the record is read within the term, before the work',
    change(ONCE, 'if (done.has(key)) return { ran: false };', ''),
  ),
  mutant('once: a success is recorded before it is reported', change(ONCE, 'await this.#record(key, term);', '')),
  mutant(
    'once: only the holder records',
    change(
      ONCE,
      'term.check();\n        if (lease.spec.holderIdentity !== term.holder) throw this.#unrecorded(key);',
      '',
    ),
    change(ONCE, 'if (term.remainingMs === 0) throw this.#unrecorded(key, cause);', ''),
  ),
  mutant(
    "cron: another's claim is another's",
    change(FIRES, "known.nonce === fire.nonce ? { do: 'run' } : { do: 'refuse', reason: 'claimed' }", "{ do: 'run' }"),
  ),
  mutant(
    'cron: a fire that may have been forgotten is refused',
    change(FIRES, "if (fire.time.compare(horizon) < 0) return { do: 'refuse', reason: 'old' };", ''),
  ),
  mutant(
    "cron: no fire far ahead of the API server's clock",
    change(
      FIRES,
      "if (fire.time.epochMicros > date.epochMicros + CUT_OFF_MICROS + skewMicros) return { do: 'refuse', reason: 'ahead' };",
      '',
    ),
  ),
  mutant('cron: with overlap skip, one fire of a job at a time', change(CRON, 'await ended;', '')),
  mutant(
    'cron: a claim is written over the version that was read',
    change(
      CRON,
      'if (lease) return store.update(withChanges(lease, {',
      'if (lease) return store.get(ref).then((now) => store.update(withChanges(now, {',
    ),
    change(CRON, 'annotations, spec: { renewTime } }), call);', 'annotations, spec: { renewTime } }), call));'),
  ),
  mutant(
    'cron: no Date, no claim',
    change(CRON, 'if (!serverDate)', 'if (serverDate === null)'),
    change(
      CRON,
      'decideClaim(record, fire, serverDate,',
      'decideClaim(record, fire, serverDate ?? MicroTime.fromEpochMicrosClamped(this.#options.clock.wallMicros()),',
    ),
  ),
  mutant(
    'semaphore: the count is agreed on after the acquisition',
    change(SEMAPHORE, 'if (!(await this.#agreed(slot, term, quiet))) return;', ''),
  ),
  mutant(
    'semaphore: holders of the old count go first',
    change(SEMAPHORE, 'if (held.every((other) => counts.get(other) === count)) return true;', 'return true;'),
  ),
  mutant(
    "shards: a silent member's Lease is taken before its keys",
    change(
      SHARDS,
      'if (silent) this.#request(silent.metadata.name, now, () => this.#take(silent));',
      'if (silent) this.#request(name, now, () => this.#acquire(name, lease, own, term, false));',
    ),
  ),
  mutant(
    'shards: a member is silent for its whole duration',
    change(
      VIEW,
      'return now >= member.since + member.term.durationMs ? member.lease : undefined;',
      'return now >= member.since + 6_000 ? member.lease : undefined;',
    ),
    change(
      VIEW,
      'if (term && now < since + term.durationMs) names.push(name);',
      'if (term && now < since + 6_000) names.push(name);',
    ),
  ),
  mutant(
    'shards: a term that does not match is waited for',
    change(
      VIEW,
      'key.freeAt = Math.max(now + (term?.durationMs ?? this.#longestMs), key.notBefore);',
      'key.freeAt = now;',
    ),
  ),
  mutant(
    'shards: a key that is not there is waited for',
    change(VIEW, 'const freeAt = since + this.#longestMs;', 'const freeAt = since;'),
    change(VIEW, 'return gone + this.#longestMs;', 'return gone;'),
  ),
  mutant(
    'shards: what was put back is waited for',
    change(
      VIEW,
      'if (before) return follows(lease, before.lease) ? before.notBefore : now + this.#longestMs;',
      'if (before) return before.notBefore;',
    ),
  ),
  mutant(
    'shards: what is not there is waited for from each list',
    change(VIEW, 'this.#since = now;', 'this.#since ??= now;'),
  ),
  mutant(
    'shards: an empty holder beside its mark proves nothing',
    change(
      VIEW,
      'return marked === undefined && transitions >= term.transitions;',
      'return transitions >= term.transitions;',
    ),
  ),
  mutant(
    "shards: a key whose record is another's ends",
    change(SHARDS, "if (!held.releasing) this.#endRun(held, 'record');", 'if (!held.releasing) return;'),
  ),
  mutant(
    'shards: a key ends when the ring was not seen for a term',
    change(SHARDS, 'this.#viewMs = Math.min(renewDeadlineMs, this.#holdMs);', 'this.#viewMs = Infinity;'),
  ),
  mutant(
    'shards: no check passes when the ring was not seen for a term',
    change(SHARDS, 'if (lost() || clock.monotonic() >= member.proof + viewMs) throw', 'if (lost()) throw'),
  ),
  mutant(
    'shards: what was seen is proved by a write of our own, from its sending',
    change(
      MEMBER,
      'this.#proof = Math.max(this.#proof, this.#echoes[at]?.sentAt ?? -Infinity);',
      'this.#proof = this.#options.clock.monotonic();',
    ),
  ),
  mutant(
    "shards: a member's own term counts only once it is proved",
    change(SHARDS, 'own === undefined && this.#member.proof >= began &&', 'own === undefined &&'),
  ),
  mutant(
    'shards: a key is drained before it is released',
    change(SHARDS, 'moves to another member`));\n      return;', 'moves to another member`));'),
  ),
  mutant(
    'shards: no work begins under a release that is under way',
    change(
      SHARDS,
      'if (!mine.has(held.leaseName) || held.releasing || asked)',
      'if (!mine.has(held.leaseName) || asked)',
    ),
  ),
  mutant(
    'shards: what is created out of nothing waits for the view',
    change(SHARDS, 'held.run && now >= held.startAt && (held.shown || held.atOnce)', 'held.run && now >= held.startAt'),
  ),
  mutant(
    'shards: what was created after another that came and went is waited for',
    change(
      SHARDS,
      'if (!held.shown && !held.atOnce) held.startAt = this.#member.view.key(held.leaseName).notBefore;',
      '',
    ),
  ),
  mutant(
    'shards: an old record of our own that was put back is waited for',
    change(
      SHARDS,
      'if (now < (this.#ghosts.get(name)?.since ?? now) + this.#member.view.longestMs || this.#busy.has(name)) return;',
      'if (this.#busy.has(name)) return;',
    ),
  ),
  mutant(
    'members: who is silent for its duration is not live',
    change(VIEW, 'if (term && now < since + term.durationMs) names.push(name);', 'if (term) names.push(name);'),
  ),
  mutant(
    'shards: a member that renews stays live',
    change(
      VIEW,
      'this.#members.set(name, { lease, since: now, term });',
      'this.#members.set(name, { lease, since: before?.since ?? now, term });',
    ),
  ),
  mutant(
    'members: each renewal says what the member says of itself',
    change(MEMBERS, 'annotations: () => ({ [PAYLOAD_ANNOTATION]: this.#payload }),', 'annotations: () => ({}),'),
  ),
  mutant(
    'members: what those that have gone left is deleted',
    change(MEMBER, 'if (this.view.live(now)[0] !== this.leaseName) continue;', 'continue;'),
  ),
];
