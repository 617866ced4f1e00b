/** kubectl, where the machine has one that is new enough, and what its errors are about. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { outcome } from './outcome.ts';
import type { Outcome, Sense } from './outcome.ts';
import type { Situation } from './situations.ts';
import type { World } from './world.ts';

const KUBECTL = process.env['KUBECTL'] ?? 'kubectl';

/** Undefined where there is none of 1.30 or later. */
export function kubectlVersion(): string | undefined {
  const { stdout } = spawnSync(KUBECTL, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  // A dispatcher asks the server for its version, with credentials of its own reading, before it starts a kubectl.
  const version = /"gitVersion": "v(1\.(\d+)\.\d+)"/.exec(stdout ?? '');
  return Number(version?.[2]) >= 30 ? version?.[1] : undefined;
}

const SENSES: readonly [RegExp, Sense][] = [
  [/x509|failed to verify certificate|certificate signed by unknown/, 'trust'],
  [/getting credentials|id-token|refresh token|oidc/, 'credentials'],
  [
    /Unable to connect to the server|connection to the server|proxyconnect|dial tcp|HTTP response to HTTPS client|HTTP request to an HTTPS|client rate limiter/,
    'connection',
  ],
  [/ServiceUnavailable|could not find the requested resource|Bad Request|server rejected/i, 'connection'],
  [/^[Ee]rror: |^error/m, 'configuration'],
];

export async function askKubectl(
  situation: Situation,
  world: World,
  dir: string,
  shown?: (words: string) => void,
): Promise<Outcome> {
  const { kubeconfig = 'config', context } = situation;
  const args = [
    ...(kubeconfig === null ? [] : ['--kubeconfig', join(dir, kubeconfig)]),
    ...(context === undefined ? [] : ['--context', context]),
    ...['version', '-o', 'json', '--request-timeout', '5s'],
  ];
  return outcome(situation, world, dir, async (env) => {
    const { code, words } = await new Promise<{ code: unknown; words: string }>((resolve) => {
      const child = execFile(KUBECTL, args, { env, timeout: 60_000 }, (error, _stdout, stderr) =>
        resolve({ code: error ? (error.code ?? 'killed') : 0, words: stderr }),
      );
      child.stdin?.end();
    });
    shown?.(words);
    if (code === 0) return 'ok';
    return SENSES.find(([pattern]) => pattern.test(words))?.[1] ?? 'configuration';
  });
}
