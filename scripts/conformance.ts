/**
 * Runs a conformance runner against the embedded API server, one tier after the other.
 *
 * `node scripts/conformance.ts [path/to/run.mjs] [tier …]`; the runner that CONFORMANCE names, and all tiers, by default.
 * The runner is started as `node run.mjs --server URL --tier TIER`. Exit code 0 when it ends with 0 for every tier, else 1.
 */
import { spawn } from 'node:child_process';
import { startEmbeddedServer } from '../src/embedded/embedded-server.ts';

const TIERS = ['core', 'watch', 'kubectl', 'extra', 'more'];
/** Milliseconds a tier may take; a server that hangs must not hang CI. */
const TIER_TIMEOUT_MS = 120_000;

const named = process.argv.slice(2);
const runner = named[0] !== undefined && !TIERS.includes(named[0]) ? named.shift() : process.env['CONFORMANCE'];
if (!runner) {
  console.error(
    'usage: node scripts/conformance.ts [path/to/run.mjs] [tier …]\nThe runner may also be named by CONFORMANCE.',
  );
  process.exitCode = 2;
} else {
  const server = await startEmbeddedServer({ port: 0 });
  try {
    for (const tier of named.length > 0 ? named : TIERS) {
      console.log(`conformance: ${tier}`);
      if ((await run(runner, ['--server', server.url, '--tier', tier])) !== 0) process.exitCode = 1;
    }
  } finally {
    await server.close();
  }
}

function run(script: string, args: readonly string[]): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit', timeout: TIER_TIMEOUT_MS });
    child.once('error', reject);
    child.once('close', resolve);
  });
}
