/**
 * For `node --import`: `leasekeeper` means this project's source, so that a user's program runs here without a build.
 */
import { registerHooks } from 'node:module';

const SOURCES: Readonly<Record<string, string>> = {
  leasekeeper: new URL('../../src/index.ts', import.meta.url).href,
  'leasekeeper/testing': new URL('../../src/testing.ts', import.meta.url).href,
};

registerHooks({
  resolve: (specifier, context, next) => next(SOURCES[specifier] ?? specifier, context),
});
