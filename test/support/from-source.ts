/**
 * For `node --import`: `leasekeeper` means this project's source, so that a user's program runs here without a build.
 */
import { registerHooks } from 'node:module';

const SRC = new URL('../../src/', import.meta.url).href;

const BESIDE = /^(@kubernetes\/client-node|node-cron|pino|prom-client)$/;

registerHooks({
  resolve(specifier, context, next) {
    const [, entry] = /^leasekeeper(?:\/(.*))?$/.exec(specifier) ?? [specifier, null];
    // What a user installs beside it, too: an example may lie anywhere.
    if (entry === null && BESIDE.test(specifier)) return next(specifier, { ...context, parentURL: SRC });
    if (entry === null) return next(specifier, context);
    const file = entry === undefined ? 'index' : entry === 'testing' ? entry : `adapters/${entry}`;
    return next(`${SRC}${file}.ts`, context);
  },
});
