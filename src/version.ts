/**
 * This program's version, as package.json says. A bundler inlines it: the built program reads no file for it.
 */
import manifest from '../package.json' with { type: 'json' };

/** Of this package: `1.2.3`. */
export const version: string = manifest.version;
