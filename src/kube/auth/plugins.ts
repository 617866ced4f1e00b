/**
 * Credentials that something else makes when they are needed: an exec plugin, or an OpenID Connect provider.
 *
 * Guarantees: it is asked once for all who wait, again when its credential expires or was refused, and never twice within
 * 5 s. The time that it takes is its own and counts for no request. Their code is loaded when they are first asked.
 */
import { LeaseStoreError } from '../../lease/store.ts';
import type { Clock } from '../../runtime/clock.ts';
import { headersOf, load, trust } from './material.ts';
import type { CredentialSource, Credentials, PluginAnswer } from './material.ts';
import type { KubeSettings } from './settings.ts';

/** Milliseconds from the end of a run of a plugin to the next. */
const PLUGIN_GAP_MS = 5_000;

export function pluginSource(settings: KubeSettings, clock: Clock, files: () => Credentials): CredentialSource {
  const { exec, oidc } = settings.user;
  const stop = new AbortController();
  let provider: ((signal: AbortSignal) => Promise<PluginAnswer>) | undefined;
  const ask = async (): Promise<PluginAnswer> => {
    if (exec) return (await import('./exec-plugin.ts')).askExec(exec, settings, clock, stop.signal);
    if (!oidc) throw new TypeError('no plugin is configured');
    provider ??= (await import('./oidc.ts')).oidcProvider(oidc, clock);
    return provider(stop.signal);
  };
  let answer: { readonly credentials: Credentials; readonly base: Credentials; readonly expiresAt: number } | undefined;
  let failure: LeaseStoreError | undefined;
  let running: Promise<Credentials> | undefined;
  let lastRun = Number.NEGATIVE_INFINITY;
  let refused = false;

  const run = async (base: Credentials): Promise<Credentials> => {
    try {
      const got = await ask();
      refused = false;
      failure = undefined;
      const { cert, key, token } = got;
      const source = `exec plugin ${exec?.command ?? ''}`;
      const credentials: Credentials = {
        ...base,
        ...(token !== undefined && { headers: headersOf(settings.user, token) }),
        ...(cert !== undefined && trust({ ...settings, source }, { ...load(settings, []), cert, key })),
      };
      answer = { credentials, base, expiresAt: got.expiresAt };
      return credentials;
    } catch (cause) {
      // Its own error as the cause could carry the credential into a log.
      failure = new LeaseStoreError('Credentials', {
        message: cause instanceof Error ? cause.message : 'the credential plugin failed',
      });
      throw failure;
    } finally {
      lastRun = clock.monotonic();
      running = undefined;
    }
  };
  return {
    current() {
      const base = files();
      const valid = answer && answer.base === base && clock.wallMicros() / 1000 < answer.expiresAt;
      if (answer && valid && !refused) return answer.credentials;
      if (running) return running;
      if (clock.monotonic() - lastRun < PLUGIN_GAP_MS) {
        if (failure && !valid) throw failure;
        // Expired or refused already, perhaps by a clock that is wrong: the server decides.
        if (answer) return answer.credentials;
      }
      running = run(base);
      return running;
    },
    rejected(credentials) {
      if (credentials === answer?.credentials) refused = true;
    },
    close: () => stop.abort(),
  };
}
