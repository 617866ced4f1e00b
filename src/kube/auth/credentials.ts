/**
 * What a request carries to prove who we are, always fresh: headers and the TLS context.
 *
 * Guarantees: nothing without TLS. In steady state `current` answers at once from memory (no file, no promise). The
 * kubeconfig and the files that it names (tokens, client certificates, CAs) are looked at every 10 s at the most often, and
 * at once after the server said 401; what cannot be read then (a rotation half done) leaves what was good in force. A plugin
 * runs only where the configuration has nothing else to prove who we are. Errors name the file, the field or the command,
 * never its content.
 */
import { statSync } from 'node:fs';
import type { Clock } from '../../runtime/clock.ts';
import { headersOf, load, trust, watchedFiles } from './material.ts';
import type { CredentialSource, Credentials } from './material.ts';
import { pluginSource } from './plugins.ts';
import type { KubeSettings } from './settings.ts';

/** Milliseconds between two reads of a file. Kubelet writes a new token at 80 % of its life: minutes before the end. */
const CHECK_MS = 10_000;
/** Milliseconds until the next read after one that failed. */
const RECHECK_MS = 1_000;

const NONE: CredentialSource = {
  current: () => NOTHING,
  rejected: () => undefined,
  close: () => undefined,
};
const NOTHING: Credentials = { headers: [], secureContext: undefined };

/** True when it is time to read files again. */
class Recheck {
  // By the wall clock, which takes a fraction of the time to ask (no system file is read); after a step back it is time, too.
  readonly #clock: Clock;
  #last: number;
  #next: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#last = clock.wallMicros() / 1000;
    this.#next = this.#last + CHECK_MS;
  }

  due(): boolean {
    const now = this.#clock.wallMicros() / 1000;
    if (now < this.#next && now >= this.#last) return false;
    this.#last = now;
    this.#next = now + CHECK_MS;
    return true;
  }

  soon(ms: number): void {
    this.#next = this.#last + ms;
  }
}

/**
 * Reads every file once.
 * @param reload reads the configuration again; called when one of its files changed
 * @throws KubeConfigError when one cannot be read or used
 */
export function createCredentials(
  settings: KubeSettings,
  clock: Clock,
  reload?: () => Promise<KubeSettings>,
): CredentialSource {
  if (!settings.server.startsWith('https:')) return NONE;
  const first = sourceOf(settings, clock);
  const { files = [] } = settings;
  if (!reload || files.length === 0) return first;

  let source = first;
  /** One that was replaced may still wait for its plugin. */
  let before: CredentialSource | undefined;
  let inForce = JSON.stringify(settings);
  let stamps = stampsOf(files);
  let reading: Promise<void> | undefined;
  let refused = false;
  const recheck = new Recheck(clock);

  const read = async (): Promise<void> => {
    const now = stampsOf(files);
    try {
      const next = await reload();
      const text = JSON.stringify(next);
      // Credentials go to the server that they were given for, and to no other.
      if (text !== inForce && next.server === settings.server) {
        const replacement = sourceOf(next, clock);
        before?.close();
        before = source;
        source = replacement;
        inForce = text;
      }
      stamps = now;
    } catch {
      recheck.soon(RECHECK_MS);
    } finally {
      reading = undefined;
      refused = false;
    }
  };
  return {
    current() {
      if (recheck.due() && !reading) {
        if (stampsOf(files) !== stamps) reading = read();
        else refused = false;
      }
      return reading && refused ? reading.then(() => source.current()) : source.current();
    },
    rejected(credentials) {
      refused = true;
      recheck.soon(0);
      source.rejected(credentials);
    },
    close() {
      before?.close();
      source.close();
    },
  };
}

/** What shows that one of the files changed. */
const stampsOf = (files: readonly string[]): string =>
  files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat && `${stat.mtimeMs} ${stat.ctimeMs} ${stat.ino} ${stat.size}`;
    })
    .join();

/** Of one configuration. */
function sourceOf(settings: KubeSettings, clock: Clock): CredentialSource {
  const { user } = settings;
  const files = watchedFiles(settings);
  let state = load(settings, files);
  let current: Credentials = { headers: headersOf(user, state.token), ...trust(settings, state) };
  const recheck = new Recheck(clock);

  const fileSource = (): Credentials => {
    if (files.length === 0 || !recheck.due()) return current;
    try {
      const next = load(settings, files, state);
      if (next.token === state.token && next.tls === state.tls) return current;
      current = {
        ...current,
        ...(next.token !== state.token && { headers: headersOf(user, next.token) }),
        ...(next.tls !== state.tls && trust(settings, next)),
      };
      state = next;
    } catch {
      recheck.soon(RECHECK_MS);
    }
    return current;
  };
  // As client-go does: what the user has of its own goes before a plugin. An id-token may stand beside a certificate.
  const own = state.token !== undefined || user.username !== undefined;
  const plugin = (user.exec && state.cert === undefined) || user.oidc;
  if (!own && plugin) return pluginSource(settings, clock, fileSource);
  return {
    current: fileSource,
    rejected(credentials) {
      if (credentials === current) recheck.soon(0);
    },
    close: () => undefined,
  };
}
