/**
 * What a request carries to prove who we are, always fresh: headers and the TLS context.
 *
 * Guarantees: in steady state `current` answers at once from memory (no file, no promise). Files that rotate (tokens,
 * client certificates, CAs) are looked at every 10 s at the most often, and at once after the server said 401. What
 * cannot be read then (a rotation half done) leaves what was good in force. A plugin runs only where the configuration
 * has nothing else to prove who we are, and over TLS. Errors name the file, the field or the command, never its content.
 */
import type { Clock } from '../../runtime/clock.ts';
import { headersOf, load, secureContext, watchedFiles } from './material.ts';
import type { CredentialSource, Credentials } from './material.ts';
import { pluginSource } from './plugins.ts';
import type { KubeSettings } from './settings.ts';

/** Milliseconds between two looks at a file. Kubelet writes a new token at 80 % of its life: minutes before the end. */
const CHECK_MS = 10_000;
/** Milliseconds until the next look after one that failed. */
const RECHECK_MS = 1_000;

/**
 * Reads every file once.
 * @throws KubeConfigError when one cannot be read or used
 */
export function createCredentials(settings: KubeSettings, clock: Clock): CredentialSource {
  const { user } = settings;
  const files = watchedFiles(settings);
  let state = load(settings, files);
  let current: Credentials = { headers: headersOf(user, state.token), secureContext: secureContext(settings, state) };
  // By the wall clock, which takes a fraction of the time to ask (no system file is read); after a step back it is time, too.
  const wall = (): number => clock.wallMicros() / 1000;
  let lastCheck = wall();
  let nextCheck = lastCheck + CHECK_MS;

  const fileSource = (): Credentials => {
    if (files.length === 0) return current;
    const now = wall();
    if (now < nextCheck && now >= lastCheck) return current;
    lastCheck = now;
    nextCheck = now + CHECK_MS;
    try {
      const next = load(settings, files, state);
      if (next.token === state.token && next.tls === state.tls) return current;
      current = {
        headers: next.token === state.token ? current.headers : headersOf(user, next.token),
        secureContext: next.tls === state.tls ? current.secureContext : secureContext(settings, next),
      };
      state = next;
    } catch {
      nextCheck = now + RECHECK_MS;
    }
    return current;
  };
  const recheck = (credentials: Credentials): void => {
    if (credentials === current) nextCheck = 0;
  };
  // As in client-go: what the user has of its own goes before its plugins, of which an id-token stands beside a certificate.
  const own = state.token !== undefined || user.username !== undefined;
  const plugin = (user.exec && state.cert === undefined) || user.oidc;
  if (!own && plugin && settings.server.startsWith('https:')) return pluginSource(settings, clock, fileSource);
  return { current: fileSource, rejected: recheck, close: () => undefined };
}
