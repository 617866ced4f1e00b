/**
 * Certificate, key, client CA and token of the HTTP endpoints, from their files.
 *
 * Guarantees: what cannot be used ends the command at its start, by the name of the option. Files that are replaced are
 * read again, all of them: what goes together is in force from the next connection on, and what does not changes nothing.
 */
import { readFileText } from '../config/config-file.ts';
import { FileWatch } from '../config/file-watch.ts';
import { HTTP_SECURITY_OPTIONS } from '../config/http-flags.ts';
import type { SecurityFiles } from '../config/http-flags.ts';
import type { HttpServer, Security } from '../http/server.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Service } from '../runtime/services.ts';
import { ConfigurationError } from './command.ts';

const FLAGS: Readonly<Record<keyof SecurityFiles, string>> = {
  cert: HTTP_SECURITY_OPTIONS.httpTlsCert.flag,
  key: HTTP_SECURITY_OPTIONS.httpTlsKey.flag,
  clientCa: HTTP_SECURITY_OPTIONS.httpClientCa.flag,
  token: HTTP_SECURITY_OPTIONS.httpTokenFile.flag,
};

type Texts = Readonly<Partial<Record<keyof SecurityFiles, string>>>;

/** @throws ConfigurationError */
export async function readSecurity(files: SecurityFiles): Promise<{ security: Security; texts: Texts }> {
  const texts: Partial<Record<keyof SecurityFiles, string>> = {};
  for (const [what, path] of Object.entries(files) as [keyof SecurityFiles, string | undefined][]) {
    if (path === undefined) continue;
    const file = await readFileText(path);
    const problem = 'unreadable' in file ? file.unreadable : file.text.trim() === '' ? 'is empty' : undefined;
    if (problem !== undefined) throw new ConfigurationError(`${FLAGS[what]} ${path}: ${problem}`);
    if ('text' in file) texts[what] = file.text;
  }
  const { cert = '', key = '', clientCa, token } = texts;
  const { createSecureContext } = process.getBuiltinModule('node:tls');
  const { X509Certificate } = process.getBuiltinModule('node:crypto');
  const usable = (what: string, use: () => unknown): void => {
    try {
      use();
    } catch (cause) {
      throw new ConfigurationError(`${what}: cannot be used: ${(cause as Error).message}`, { cause });
    }
  };
  usable(`${FLAGS.cert} and ${FLAGS.key}`, () => createSecureContext({ cert, key }));
  // As a list of CAs any text would do.
  if (clientCa !== undefined) usable(FLAGS.clientCa, () => new X509Certificate(clientCa));
  return { security: { cert, key, clientCa, token: token?.trim() }, texts };
}

/** @param known the texts that the server was made with */
export function followSecurity(
  files: SecurityFiles,
  known: Texts,
  server: Pick<HttpServer, 'secure'>,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Service[] {
  const onChange = async (): Promise<void> => {
    try {
      server.secure((await readSecurity(files)).security);
      log.info('certificate, key or credentials of the HTTP endpoints were replaced: in force from now on');
    } catch (error) {
      log.warn({ err: error }, 'the replaced files of the HTTP endpoints cannot be used: going on with those in force');
    }
  };
  return Object.entries(known).map(([what, text]) => {
    const path = files[what as keyof SecurityFiles] ?? '';
    const watch = new FileWatch({ path, known: { text }, clock, onChange });
    return { name: `file ${path}`, run: (signal) => watch.run(signal) };
  });
}
