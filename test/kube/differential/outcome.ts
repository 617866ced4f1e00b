/** What comes of a situation, in a form that does not depend on ports, directories and keys. */
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Situation } from './situations.ts';
import type { World } from './world.ts';

/**
 * What an error is about: the configuration, a credential that cannot be made, the server's certificate, or the way to it.
 */
export type Sense = 'ok' | 'configuration' | 'credentials' | 'trust' | 'connection';

export interface Outcome {
  readonly sense: Sense;
  /** What servers and proxies got. */
  readonly seen: readonly string[];
  /** An exec plugin was started. */
  readonly started?: true;
}

/** What `run` says, and what was seen while it ran. */
export async function outcome(
  situation: Situation,
  world: World,
  dir: string,
  run: (env: Record<string, string>) => Promise<Sense>,
): Promise<Outcome> {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const here = (text: string): string => text.replaceAll('DIR', dir);
  for (const [name, content] of Object.entries(situation.files)) {
    const path = join(dir, name);
    mkdirSync(dirname(path), { recursive: true });
    if (typeof content === 'string') writeFileSync(path, here(content));
    else if (content instanceof Uint8Array) writeFileSync(path, content);
    else if ('directory' in content) mkdirSync(path);
    else if ('link' in content) symlinkSync(content.link, path);
    else {
      writeFileSync(path, `#!/bin/sh\n${here(content.script)}`);
      chmodSync(path, 0o755);
    }
  }
  const env = Object.fromEntries(Object.entries(situation.env ?? {}).map(([key, value]) => [key, here(value)]));
  world.take();
  const sense = await run({ PATH: process.env['PATH'] ?? '', HOME: dir, ...env });
  const seen = world.take();
  return { sense, seen, ...(existsSync(join(dir, 'started')) && { started: true }) };
}
