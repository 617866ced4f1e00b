/**
 * Runs an exec credential plugin as client-go does: `client.authentication.k8s.io/v1` and `v1beta1`.
 *
 * Guarantees: the plugin's stderr is ours; it has our standard input where its interactiveMode and the terminal allow; it is
 * given KUBERNETES_EXEC_INFO; it ends with the signal. Errors name the command and its exit code, never what it printed.
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { isatty } from 'node:tty';
import type { Clock } from '../../runtime/clock.ts';
import { inWords } from '../../runtime/printable.ts';
import { clean } from '../wire/foreign-text.ts';
import { isHeaderText, load } from './material.ts';
import type { PluginAnswer } from './material.ts';
import { readYaml } from './read-yaml.ts';
import type { ExecSettings, KubeSettings } from './settings.ts';

/** Milliseconds a plugin may take. */
const ALONE_MS = 60_000;
/** Milliseconds where a terminal is there: somebody may have to sign in. Device codes usually end after a quarter of an hour. */
const ATTENDED_MS = 900_000;
/** Bytes of an answer at the most. */
const ANSWER_BYTES = 1024 * 1024;

const STDIN = 0;
const STDERR = 2;

/** @throws Error in words for the user */
export async function askExec(
  exec: ExecSettings,
  settings: KubeSettings,
  clock: Clock,
  signal: AbortSignal,
): Promise<PluginAnswer> {
  const failed = (words: string): Error => new Error(`exec plugin ${exec.command}: ${words}`);
  const terminal = isatty(STDIN);
  if (exec.interactiveMode === 'Always' && !terminal) {
    throw failed('its interactiveMode is Always, and standard input is not a terminal');
  }
  const interactive = exec.interactiveMode !== 'Never' && terminal;
  const info = JSON.stringify({
    kind: 'ExecCredential',
    apiVersion: exec.apiVersion,
    spec: { ...(exec.cluster && { cluster: clusterInfo(exec.cluster, settings) }), interactive },
  });
  const stdout = await run(exec, info, interactive, clock, signal, failed);
  return readAnswer(stdout, exec.apiVersion, failed);
}

/** As client-go writes it. */
function clusterInfo(cluster: Readonly<Record<string, unknown>>, settings: KubeSettings): object {
  const { server, config = null, 'proxy-url': proxy, 'disable-compression': uncompressed, ...tls } = cluster;
  const { ca } = load({ ...settings, user: {} }, []);
  return {
    server,
    ...tls,
    ...(ca !== undefined && { 'certificate-authority-data': Buffer.from(ca, 'latin1').toString('base64') }),
    ...(proxy !== undefined && { 'proxy-url': proxy }),
    ...(uncompressed !== undefined && { 'disable-compression': uncompressed }),
    config,
  };
}

function run(
  { command, args, env, installHint }: ExecSettings,
  info: string,
  interactive: boolean,
  clock: Clock,
  signal: AbortSignal,
  failed: (words: string) => Error,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const limitMs = isatty(STDIN) || isatty(STDERR) ? ATTENDED_MS : ALONE_MS;
    const chunks: Buffer[] = [];
    let size = 0;
    let ended: string | undefined;
    const child = spawn(command, args, {
      env: { ...process.env, ...env, KUBERNETES_EXEC_INFO: info },
      stdio: [interactive ? 'inherit' : 'ignore', 'pipe', 'inherit'],
    });
    // Where this process has no file descriptor left there is none, and the error comes later.
    const stdout = child.stdout as Readable | undefined;
    const end = (why: string): void => {
      ended ??= why;
      child.kill('SIGKILL');
      // What it started may hold its output open.
      stdout?.destroy();
    };
    const stop = (): void => end('it was ended with the program');
    const cancel = clock.schedule(limitMs, () => end(`it took longer than ${limitMs / 1000} s and was ended`));
    signal.addEventListener('abort', stop, { once: true });
    const settle = (error?: Error): void => {
      cancel();
      signal.removeEventListener('abort', stop);
      if (error) reject(error);
      else resolve(Buffer.concat(chunks).toString('utf8'));
    };
    stdout?.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= ANSWER_BYTES) chunks.push(chunk);
      else end('its answer is longer than 1 MiB');
    });
    child.once('error', ({ code }: NodeJS.ErrnoException) => {
      const hint = installHint === undefined ? '' : `; ${clean(installHint, 1000)}`;
      settle(failed(code === 'ENOENT' ? `there is no such command${hint}` : `it cannot be run (${code ?? 'unknown'})`));
    });
    child.once('close', (code, by) => {
      if (ended !== undefined) settle(failed(ended));
      else if (code !== 0) settle(failed(code === null ? `it was ended by ${by ?? 'a signal'}` : `exit code ${code}`));
      else settle();
    });
    if (signal.aborted) stop();
  });
}

/** What it printed, as JSON or YAML, is checked as client-go checks it. */
async function readAnswer(stdout: string, apiVersion: string, failed: (words: string) => Error): Promise<PluginAnswer> {
  const answer = (await readYaml(stdout).catch(() => {
    throw failed('its answer is no JSON');
  })) as { kind?: unknown; apiVersion?: unknown; status?: unknown } | null;
  if (typeof answer !== 'object' || (answer?.kind ?? 'ExecCredential') !== 'ExecCredential' || answer === null) {
    throw failed('its answer is no ExecCredential');
  }
  if (answer.apiVersion !== apiVersion) {
    throw failed(`its answer is of ${clean(inWords(answer.apiVersion), 100)}, not of ${apiVersion} as configured`);
  }
  const status = (answer.status ?? {}) as Record<string, unknown>;
  const text = (key: string): string | undefined => {
    const value = status[key] ?? '';
    if (typeof value !== 'string') throw failed(`its status.${key} is no string`);
    return value === '' ? undefined : value;
  };
  const token = text('token');
  const cert = text('clientCertificateData');
  const key = text('clientKeyData');
  if (token === undefined && cert === undefined && key === undefined) {
    throw failed('its answer has neither status.token nor status.clientCertificateData and clientKeyData');
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw failed(`its answer has no status.${cert === undefined ? 'clientCertificateData' : 'clientKeyData'}`);
  }
  if (token !== undefined && !isHeaderText(token)) {
    throw failed('its token holds characters that no header can carry');
  }
  const expiry = text('expirationTimestamp');
  const expiresAt = expiry === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiry);
  if (Number.isNaN(expiresAt)) throw failed('its status.expirationTimestamp is no RFC 3339 time');
  return { token, cert, key, expiresAt };
}
