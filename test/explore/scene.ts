/**
 * A small world in which every message and every timer is one step, and a schedule says which steps go otherwise than they
 * would by default: by default messages arrive at once, in the order of their sending, and time goes on when none is under way.
 *
 * Guarantees: the same scenario with the same schedule gives the same steps; nothing waits for a real clock. Processes run the
 * shipped code; a message is a request, its answer, or an event of a watch.
 */
import type { Lease } from '../../src/lease/lease.ts';
import { withChanges } from '../../src/lease/lease.ts';
import { STEP_DOWN_ANNOTATION, stepDownMark, stepDownMarkText, termMark } from '../../src/lease/marks.ts';
import { isCalled } from '../../src/lease/names.ts';
import type {
  CallOptions,
  LeaseEvent,
  LeasePage,
  LeaseQuery,
  LeaseRef,
  LeaseStore,
  PageQuery,
  Preconditions,
} from '../../src/lease/store.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { chance } from '../simulation/chance.ts';
import { Violation } from '../simulation/judge.ts';
import { MemoryApi, storeError } from '../support/memory-api.ts';
import type { Commit } from '../support/memory-api.ts';
import { matcher } from '../support/selectors.ts';

/** One thing that goes otherwise: before the step of this number, in this way. */
export interface Deviation {
  readonly at: number;
  readonly what: string;
}

export type Schedule = readonly Deviation[];

export const scheduleText = (schedule: Schedule): string => schedule.map(({ at, what }) => `${at} ${what}`).join(', ');

export function parseSchedule(text: string): Deviation[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [, at, what] = /^(\d+) (.+)$/.exec(part) ?? [];
      if (at === undefined || what === undefined) throw new Error(`no deviation: ${part}`);
      return { at: Number(at), what };
    });
}

interface Message {
  readonly id: number;
  readonly kind: 'request' | 'answer' | 'event';
  readonly who: Process;
  /** Of a request: the Lease's name, or empty where it asks for many. */
  readonly lease: string;
  readonly write: boolean;
  readonly watch: number;
  readonly label: string;
  readonly deliver: () => void;
}

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly who: Process | undefined;
  readonly fire: () => void;
}

/** What may go otherwise before a step, by scenario. */
export type Trouble =
  | 'lose'
  | 'hold'
  | 'stall'
  | 'crash'
  | 'restart'
  | 'leave'
  | 'pause'
  | 'cut'
  | 'step'
  | 'delete'
  | 'empty'
  | 'restore'
  | 'ask';

export interface Choices {
  /** Number of the step before which these may be done. */
  readonly at: number;
  /** Steps done by default until then: the same for two schedules that lead to the same place. */
  readonly done: number;
  readonly options: readonly { readonly what: string; readonly cost: 0 | 1 }[];
}

const EPOCH_MS = Date.UTC(2026, 0, 1);
/** More steps than any scenario takes. */
const MOST_STEPS = 20_000;

export interface Rules {
  /** Called after each commit. */
  readonly commit?: (commit: Commit) => void;
  /** Called after each step. */
  readonly verify?: () => void;
  /** Called when it has been quiet. */
  readonly quiet?: () => void;
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** The first deviation comes within so many milliseconds: later ones are the same again, some renewals on. */
  readonly firstMs: number;
  /** Milliseconds in which things go otherwise, and then in which nothing does. */
  readonly horizonMs: number;
  readonly quietMs: number;
  readonly troubles: readonly Trouble[];
  /** Starts the processes, and says what must hold. */
  readonly start: (scene: Scene) => Rules;
}

export class Scene {
  now = 0;
  readonly api: MemoryApi;
  readonly story: string[] = [];
  readonly choices: Choices[] = [];
  readonly scenario: Scenario;
  /** Deviations that found nothing to apply to. */
  readonly missed: Deviation[] = [];
  readonly processes: Process[] = [];
  /** By the end of what was done so far, nobody can tell two runs with the same digest apart. */
  readonly #sequences = new Map<string, readonly [number, number]>();
  #timers: Timer[] = [];
  #messages: Message[] = [];
  #held: Message[] = [];
  readonly #stalled = new Set<number>();
  #ids = 0;
  #order = 0;
  #done = 0;
  failure: Violation | undefined;
  /** Calm: nothing goes otherwise any more. */
  calm = false;
  /** The kinds of trouble that were made. */
  readonly made = new Set<string>();

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.api = new MemoryApi({
      monotonic: () => this.now,
      wallMicros: () => (EPOCH_MS + this.now) * 1000,
      schedule: (ms, fire) => this.schedule(undefined, ms, fire),
    });
  }

  /** A process under this name; `begin` starts its services, and is called again when it is restarted. */
  process(name: string, begin: (process: Process) => void, startMs = 0): void {
    const process = new Process(this, name, this.processes.filter((p) => p.slot === name).length + 1, begin);
    this.processes.push(process);
    this.schedule(undefined, startMs, () => {
      this.tell(process.name, 'starts');
      begin(process);
    });
  }

  /** This happens at that time in any case: it is part of the scenario. */
  happens(ms: number, what: string): void {
    const timer = { at: ms, order: 0, who: undefined, fire: () => void this.#apply(what, timer) };
    this.schedule(undefined, ms, timer.fire);
  }

  fail(rule: string, message: string): void {
    this.failure ??= new Violation(rule, message);
  }

  tell(who: string, what: string): void {
    // The hash of a hostname says nothing to a reader.
    const said = what.replaceAll(/kube-apiserver-[0-9a-f]{64}/g, 'its lease');
    this.story.push(`${(this.now / 1000).toFixed(3).padStart(9)} s  ${who}: ${said}`);
  }

  /** The history as each process and each Lease saw it: equal for orders that nobody can tell apart. */
  digest(): string {
    return [...this.#sequences.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([who, hashes]) => `${who}:${hashes.map((hash) => hash.toString(36)).join('.')}`)
      .join(' ');
  }

  /** Two hashes of 32 bits: with one, among a million histories some would be taken for another's. */
  #saw(who: string, what: string): void {
    let [a, b] = this.#sequences.get(who) ?? [0x811c9dc5, 0x9e3779b9];
    for (let i = 0; i < what.length; i++) {
      a = Math.imul(a ^ what.charCodeAt(i), 0x01000193);
      b = Math.imul((b << 5) | (b >>> 27), 0x85ebca6b) ^ what.charCodeAt(i);
    }
    this.#sequences.set(who, [a >>> 0, b >>> 0]);
  }

  schedule(who: Process | undefined, ms: number, fire: () => void): () => void {
    const timer = { at: this.now + Math.max(0, ms), order: this.#order++, who, fire };
    let i = this.#timers.length;
    while (i > 0 && this.#timers[i - 1]!.at > timer.at) i--;
    this.#timers.splice(i, 0, timer);
    return () => {
      const at = this.#timers.indexOf(timer);
      if (at >= 0) this.#timers.splice(at, 1);
    };
  }

  send(message: Omit<Message, 'id'>): void {
    const sent = { ...message, id: ++this.#ids };
    // What is sent over a cut arrives when it is healed, as connections do it; or never.
    if (message.who.cut || this.#stalled.has(message.watch)) this.#held.push(sent);
    else this.#messages.push(sent);
  }

  /** Lets go of the services of a scene that was run: Node keeps what waits for a signal made of several. */
  end(): void {
    for (const process of this.processes) process.stop();
  }

  /** Runs the scenario with these deviations, until the end or the first thing that must not be. */
  async run(schedule: Schedule): Promise<void> {
    const rules = this.scenario.start(this);
    this.api.onCommit((commit) => {
      const { by, verb, name, after } = commit;
      const { holderIdentity = '', leaseTransitions } = after?.spec ?? {};
      const asked = after && stepDownMark(after);
      this.#saw(name, `${verb} ${by} ${holderIdentity} ${leaseTransitions}${asked ? ` for ${asked.to}` : ''}`);
      const what = after ? `holder ${holderIdentity || 'nobody'}, transitions ${leaseTransitions ?? '-'}` : 'gone';
      this.tell('API server', `${verb} of ${name} by ${by}: ${what}`);
      try {
        rules.commit?.(commit);
      } catch (error) {
        if (!(error instanceof Violation)) throw error;
        this.failure ??= error;
      }
    });
    const last = schedule.at(-1)?.at ?? -1;
    let next = 0;
    await turn();
    for (let index = 0; ; index++) {
      if (index > MOST_STEPS) throw new Error('something never rests');
      const item = this.#next(this.scenario.horizonMs);
      if (!item) break;
      const deviation = schedule[next]?.at === index ? schedule[next++] : undefined;
      if (deviation) {
        if (this.#apply(deviation.what, item)) this.made.add(deviation.what.split(' ')[0]!);
        else this.missed.push(deviation);
      } else {
        if (index > last && (last >= 0 || this.now <= this.scenario.firstMs))
          this.choices.push({ at: index, done: this.#done, options: this.#options(item) });
        this.#take(item);
        this.#done++;
      }
      await turn();
      rules.verify?.();
      if (this.failure) return;
    }
    await this.#quiet(rules);
  }

  async #quiet(rules: Rules): Promise<void> {
    this.now = Math.max(this.now, this.scenario.horizonMs);
    this.tell('WORLD', 'nothing goes otherwise any more');
    this.calm = true;
    this.#stalled.clear();
    for (const process of this.processes) {
      process.cut = false;
      process.resume();
    }
    this.#messages.push(...this.#held.splice(0).filter(({ kind }) => kind === 'event'));
    const until = this.now + this.scenario.quietMs;
    for (let item = this.#next(until); item; item = this.#next(until)) {
      this.#take(item);
      await turn();
      rules.verify?.();
      if (this.failure) return;
    }
    this.now = until;
    rules.quiet?.();
  }

  /** The next step by default: a message, or else time goes on. */
  #next(until: number): Message | Timer | undefined {
    this.#messages = this.#messages.filter(({ who, kind }) => who.alive || kind === 'request');
    const message = this.#messages.find(({ who, kind }) => kind === 'request' || !who.paused);
    if (message) return message;
    this.#timers = this.#timers.filter(({ who }) => who?.alive !== false);
    const timer = this.#timers.find(({ who }) => !who?.paused);
    return timer && timer.at <= until ? timer : undefined;
  }

  #take(item: Message | Timer): void {
    if ('fire' in item) {
      this.#timers.splice(this.#timers.indexOf(item), 1);
      this.now = Math.max(this.now, item.at);
      if (item.who) this.#saw(item.who.name, `timer ${item.at}`);
      item.fire();
    } else {
      this.#messages.splice(this.#messages.indexOf(item), 1);
      this.#arrive(item);
    }
  }

  #arrive(message: Message): void {
    const { kind, who, label, lease } = message;
    this.#saw(kind === 'request' ? lease || 'all' : who.name, `${kind} ${label}`);
    if (kind !== 'event') this.tell(who.name, kind === 'request' ? `${label} arrives` : `is answered: ${label}`);
    else this.tell(who.name, `sees ${label}`);
    message.deliver();
  }

  /** What may be done in place of this step. Only what can make a difference here. */
  #options(item: Message | Timer): Choices['options'] {
    const options: { what: string; cost: 0 | 1 }[] = [];
    const may = (trouble: Trouble, what: string = trouble): void => {
      if (this.scenario.troubles.includes(trouble)) options.push({ what, cost: 1 });
    };
    const { who } = item;
    // What is gone makes a difference when it is asked for, and by how long it was gone.
    for (const name of this.#gone())
      if (!('kind' in item) || (item.kind === 'request' && item.lease === name))
        for (const version of this.#past(name)) may('restore', `restore ${name} ${version}`);
    if (this.scenario.troubles.includes('ask')) {
      for (const name of new Set(this.api.history.map((commit) => commit.name)))
        for (const to of this.#successors(name)) may('ask', `ask ${name} ${to}`);
    }
    if ('kind' in item) {
      if (item.kind !== 'event') may('lose');
      if (item.kind !== 'event') may('hold');
      else may('stall', `stall ${item.watch}`);
      for (const held of this.#held) {
        // A late message makes a difference before something that concerns the same Lease or the same process.
        const same =
          held.kind === 'request'
            ? item.kind === 'request' && (held.lease === item.lease || held.lease === '' || item.lease === '')
            : item.kind !== 'request' && held.who === who;
        if (same && !held.watch && !held.who.cut) options.push({ what: `release ${held.id}`, cost: 0 });
      }
      if (item.kind === 'request') {
        may('cut', `cut ${who!.name}`);
        if (item.write)
          for (const p of this.processes) if (p.cut && p.alive) options.push({ what: `heal ${p.name}`, cost: 0 });
        if (item.lease !== '' && this.api.peek({ namespace: NAMESPACE, name: item.lease })) {
          may('delete', `delete ${item.lease}`);
          may('empty', `empty ${item.lease}`);
          for (const version of this.#past(item.lease)) may('restore', `restore ${item.lease} ${version}`);
        }
        for (const process of this.processes)
          if (process.paused && process !== who) options.push({ what: `resume ${process.name}`, cost: 0 });
      }
    }
    if (who && !('kind' in item && item.kind === 'request')) {
      for (const watch of new Set(this.#held.filter((m) => m.watch && m.who === who).map((m) => m.watch)))
        if (this.#stalled.has(watch)) options.push({ what: `unstall ${watch}`, cost: 0 });
      for (const held of this.#held)
        if (held.kind === 'answer' && held.who === who && !who.cut && !('kind' in item))
          options.push({ what: `release ${held.id}`, cost: 0 });
      may('crash', `crash ${who.name}`);
      may('restart', `restart ${who.name}`);
      if (!who.leaving) may('leave', `leave ${who.name}`);
      may('pause', `pause ${who.name}`);
      if (!('kind' in item)) {
        may('step', `step ${who.name}`);
        may('step', `step ${who.name} ahead`);
        if (who.cut) options.push({ what: `heal ${who.name}`, cost: 0 });
      }
    }
    return options;
  }

  /** Leases that were there. */
  #gone(): string[] {
    const names = new Set<string>();
    for (const { name, after } of this.api.history) {
      if (after) names.delete(name);
      else names.add(name);
    }
    return [...names];
  }

  /** Earlier states of a Lease that say something else than now: the last one of each holder. */
  #past(name: string): string[] {
    const states = new Map<string, string>();
    const there = this.api.peek({ namespace: NAMESPACE, name });
    const key = ({ metadata, spec }: Lease): string =>
      `${spec.holderIdentity} ${spec.leaseTransitions} ${JSON.stringify(Object.entries(metadata.annotations).filter(([k]) => !k.endsWith('/term')))}`;
    for (const { name: of, after } of this.api.history)
      if (of === name && after) states.set(key(after), after.metadata.resourceVersion);
    if (there) states.delete(key(there));
    return [...states.values()].slice(-2);
  }

  /** For whom the term that a Lease is in may be asked to end, one who is not there among them; none where nobody would heed it, or was asked before. */
  #successors(name: string): string[] {
    const lease = this.api.peek({ namespace: NAMESPACE, name });
    const { holderIdentity: holder, leaseTransitions: transitions } = lease?.spec ?? {};
    if (!lease || !holder || termMark(lease)?.holder !== holder || termMark(lease)?.transitions !== transitions)
      return [];
    const asked = stepDownMark(lease);
    if (asked?.holder === holder && asked.transitions === transitions) return [];
    const others = this.processes.filter(({ alive, slot }) => alive && !isCalled(holder, slot)).map(({ slot }) => slot);
    return ['anybody', 'nobody', ...new Set(others)];
  }

  /** False: there is nothing that this could be done to. */
  #apply(what: string, item: Message | Timer): boolean {
    const [verb, name = '', more = ''] = what.split(' ');
    const process = this.processes.find((p) => p.name === name);
    const ref = { namespace: NAMESPACE, name };
    const there = this.api.peek(ref);
    this.tell('  ***', this.#inWords(what, item));
    switch (verb) {
      case 'lose':
      case 'hold':
        if (!('kind' in item)) return false;
        this.#messages.splice(this.#messages.indexOf(item), 1);
        if (verb === 'hold') this.#held.push(item);
        return true;
      case 'release': {
        const at = this.#held.findIndex(({ id }) => id === Number(name));
        if (at < 0) return false;
        const [message] = this.#held.splice(at, 1);
        if (message!.who.alive || message!.kind === 'request') this.#arrive(message!);
        return true;
      }
      case 'stall':
        this.#stalled.add(Number(name));
        this.#messages = this.#messages.filter((m) => m.watch !== Number(name) || (this.#held.push(m), false));
        return true;
      case 'unstall':
        this.#stalled.delete(Number(name));
        this.#messages.push(...this.#take2((m) => m.watch === Number(name)));
        return true;
      case 'cut':
        if (!process) return false;
        process.cut = true;
        this.#messages = this.#messages.filter((m) => m.who !== process || (this.#held.push(m), false));
        return true;
      case 'heal':
        if (!process) return false;
        process.cut = false;
        this.#messages.push(...this.#take2((m) => m.who === process && !this.#stalled.has(m.watch)));
        return true;
      case 'pause':
        if (!process) return false;
        process.paused = true;
        return true;
      case 'resume':
        process?.resume();
        return process !== undefined;
      case 'crash':
      case 'restart':
        if (!process?.alive) return false;
        process.alive = false;
        if (verb === 'restart') this.process(process.slot, process.begin);
        return true;
      case 'leave':
        if (!process?.living) return false;
        process.leave();
        return true;
      case 'step':
        if (!process) return false;
        process.offsetMs += more === 'ahead' ? 7_200_000 : -7_200_000;
        // Nothing else of the history tells: what comes after would be taken for a run without it.
        this.#saw(process.name, what);
        return true;
      case 'delete':
        return this.api.remove(ref);
      case 'empty':
        if (!there?.spec.holderIdentity) return false;
        this.api.edit(ref, (lease) => withChanges(lease, { spec: { holderIdentity: '' } }));
        return true;
      case 'ask': {
        if (!this.#successors(name).includes(more)) return false;
        const { holderIdentity: holder = '', leaseTransitions: transitions = 0 } = there!.spec;
        const mark = stepDownMarkText({ holder, transitions, to: more === 'anybody' ? undefined : more });
        this.api.edit(ref, (lease) => withChanges(lease, { annotations: { [STEP_DOWN_ANNOTATION]: mark } }));
        return true;
      }
      case 'restore': {
        const old = this.api.history.find((c) => c.name === name && c.resourceVersion === more)?.after;
        if (!old) return false;
        const { labels, annotations } = old.metadata;
        const { spec } = old;
        // Two old records may differ in marks alone.
        this.#saw(name, what);
        if (there) this.api.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, labels, annotations }, spec }));
        // From a backup: another object, with the old record.
        else this.api.put({ ...ref, labels, annotations, spec });
        return true;
      }
      default:
        return false;
    }
  }

  #take2(which: (message: Message) => boolean): Message[] {
    const taken = this.#held.filter(which);
    this.#held = this.#held.filter((message) => !taken.includes(message));
    return taken;
  }

  #inWords(what: string, item: Message | Timer): string {
    const [verb, name = '', more = ''] = what.split(' ');
    const label = 'label' in item ? `${item.who.name}: ${item.kind} ${item.label}` : '';
    const held = this.#held.find(({ id }) => id === Number(name));
    const words: Record<string, string> = {
      lose: `${label} gets lost`,
      hold: `${label} is late`,
      release: `now arrives, late: ${held?.who.name}: ${held?.kind} ${held?.label}`,
      stall: `the watch of ${item.who?.name} stalls`,
      unstall: `the watch of ${item.who?.name} goes on, and shows what it held back`,
      cut: `${name} is cut off`,
      heal: `${name} is cut off no more`,
      pause: `${name} stands still`,
      resume: `${name} goes on`,
      crash: `${name} dies`,
      restart: `${name} dies, and another process starts under its name`,
      leave: `${name} is asked to end`,
      step: `the clock of ${name} is set ${more === 'ahead' ? 'ahead' : 'back'} by two hours`,
      delete: `somebody deletes ${name}`,
      empty: `somebody empties the holder of ${name}`,
      ask: `somebody asks the holder of ${name} to step down for ${more}`,
      restore: `somebody puts ${name} back to its version ${more}`,
    };
    return words[verb!] ?? what;
  }
}

/** Where all Leases of scenarios are. */
export const NAMESPACE = 'default';

/** Everything that was set off has happened when the next macrotask begins. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One process: its clock, its way to the API server, and whether it runs. */
export class Process implements Clock, LeaseStore {
  readonly scene: Scene;
  /** The name under which it is started again. */
  readonly slot: string;
  /** Its own. */
  readonly name: string;
  readonly begin: (process: Process) => void;
  readonly random: () => number;
  alive = true;
  /** It was asked to end; it is alive until all its services have. */
  leaving = false;
  paused = false;
  cut = false;
  offsetMs = 0;
  #ids = 0;
  readonly #stop = new AbortController();
  static #watches = new WeakMap<Scene, number>();

  constructor(scene: Scene, slot: string, start: number, begin: (process: Process) => void) {
    this.scene = scene;
    this.slot = slot;
    this.name = `${slot}${start}`;
    this.begin = begin;
    this.random = chance([...this.name].reduce((sum, c) => sum * 31 + c.charCodeAt(0), 7));
  }

  readonly newId = (): string => `${this.name}#${++this.#ids}`;

  /** What its services run on. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Runs, and goes on. */
  get living(): boolean {
    return this.alive && !this.leaving;
  }

  /** As by SIGTERM. */
  leave(): void {
    this.leaving = true;
    this.stop();
  }

  stop(): void {
    this.#stop.abort();
  }

  resume(): void {
    this.paused = false;
  }

  monotonic(): number {
    return 1_000 + this.scene.now;
  }

  wallMicros(): number {
    return Math.floor((EPOCH_MS + this.scene.now + this.offsetMs) * 1000);
  }

  schedule(ms: number, fire: () => void): () => void {
    return this.scene.schedule(this, ms, fire);
  }

  get(ref: LeaseRef, options?: CallOptions): Promise<Lease> {
    return this.#call('GET', ref.name, false, options, (api) => api.get(ref));
  }

  create(lease: Lease, options?: CallOptions): Promise<Lease> {
    return this.#call('POST', lease.metadata.name, true, options, (api) => api.create(lease, this.name));
  }

  update(lease: Lease, options?: CallOptions): Promise<Lease> {
    return this.#call('PUT', lease.metadata.name, true, options, (api) => api.update(lease, this.name));
  }

  delete(ref: LeaseRef, preconditions: Preconditions, options?: CallOptions): Promise<void> {
    return this.#call('DELETE', ref.name, true, options, (api) => api.delete(ref, preconditions, this.name));
  }

  list(query: PageQuery, options?: CallOptions): Promise<LeasePage> {
    return this.#call('LIST', '', false, options, (api) => api.list(query));
  }

  async *watch(query: LeaseQuery, signal: AbortSignal): AsyncGenerator<LeaseEvent, void, undefined> {
    const { scene } = this;
    const matches = matcher(query);
    const watch = (Process.#watches.get(scene) ?? 0) + 1;
    Process.#watches.set(scene, watch);
    const inbox: LeaseEvent[] = [];
    let wake = (): void => {};
    let leave = (): void => {};
    const send = (event: LeaseEvent, label: string): void =>
      scene.send({
        kind: 'event',
        who: this,
        lease: '',
        write: false,
        watch,
        label,
        deliver: () => {
          inbox.push(event);
          wake();
        },
      });
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted) {
        try {
          const page = await this.#call('WATCH', '', false, { signal, timeoutMs: 10_000 }, (api) => {
            leave();
            leave = api.onCommit(({ before, after, lease, verb, name }) => {
              const [was, is] = [before !== undefined && matches(before), after !== undefined && matches(after)];
              if (!was && !is) return;
              const type = is ? (was ? 'modified' : 'added') : 'deleted';
              const { holderIdentity } = lease.spec;
              send(
                { type, lease } as LeaseEvent,
                `${verb} of ${name} (${after ? holderIdentity || 'nobody' : 'gone'})`,
              );
            });
            return api.list(query);
          });
          inbox.unshift({ type: 'list', leases: page.leases, serverDate: page.serverDate });
          break;
        } catch (error) {
          if (signal.aborted) return;
          yield { type: 'lost', error: error as ReturnType<typeof storeError> };
          await new Promise<void>((resolve) => this.schedule(1_000, resolve));
        }
      }
      while (!signal.aborted) {
        const event = inbox.shift();
        if (event) yield event;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      leave();
      signal.removeEventListener('abort', onAbort);
    }
  }

  #call<T>(
    verb: string,
    lease: string,
    write: boolean,
    options: CallOptions | undefined,
    act: (api: MemoryApi) => T,
  ): Promise<T> {
    const { scene } = this;
    const { signal, timeoutMs = 10_000 } = options ?? {};
    const label = `${verb} ${lease}`.trim();
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) return reject(storeError('Aborted'));
      let settled = false;
      const settle = (how: () => void): void => {
        if (settled) return;
        settled = true;
        cancel();
        signal?.removeEventListener('abort', onAbort);
        how();
      };
      const onAbort = (): void => settle(() => reject(storeError('Aborted', 'aborted', { mayHaveCommitted: write })));
      signal?.addEventListener('abort', onAbort, { once: true });
      const cancel = this.schedule(timeoutMs, () =>
        settle(() => reject(storeError('Timeout', 'no answer', { mayHaveCommitted: write }))),
      );
      const answer = (how: () => void, outcome: string): void =>
        scene.send({
          ...{ kind: 'answer', who: this, lease, write, watch: 0, label: `${label}: ${outcome}` },
          deliver: () => settle(how),
        });
      scene.send({
        ...{ kind: 'request', who: this, lease, write, watch: 0, label },
        deliver: () => {
          let value: T;
          try {
            value = act(scene.api);
          } catch (error) {
            return answer(() => reject(error as Error), (error as { code?: string }).code ?? String(error));
          }
          answer(() => resolve(value), 'done');
        },
      });
    });
  }
}
