/**
 * `leasekeeper dev`: the embedded API server until SIGTERM, with a kubeconfig that kubectl takes.
 *
 * Guarantees: the kubeconfig it wrote is removed at the end, unless something else stands there by then; a file that was
 * there before is never overwritten, unless an earlier `dev` left it behind.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { DEV_TABLE } from '../config/shared-flags.ts';
import { startEmbeddedServer } from '../embedded/embedded-server.ts';
import { aborted } from '../runtime/clock.ts';
import { CommandError, EXIT, UsageError, programName, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { stopSignal, surviveHangup } from './signals.ts';

/** By its first line a file is known to be ours. */
const MARK = '# Written by `leasekeeper dev`; removed when it ends.\n';

export async function run({ given, io }: CommandInput): Promise<number> {
  const values = await readValues(DEV_TABLE, given);
  const file = values.writeKubeconfig;
  await refuseForeign(file);
  surviveHangup();
  using stop = stopSignal();
  const server = await listen(values.port);
  const written = MARK + server.kubeconfig();
  try {
    await writeFile(file, written, { mode: 0o600 }).catch((error: unknown) => {
      throw new CommandError(`cannot write the kubeconfig ${file}: ${(error as Error).message}`);
    });
    const me = programName();
    io.out(`An API server for Leases, in memory, on ${server.url}
Its kubeconfig is ${file}. Try, in another terminal:

  ${me} publish --kubeconfig ${file} --hostname-override master-1
  ${me} get --kubeconfig ${file}
  kubectl --kubeconfig ${file} -n kube-system get lease --watch

Ctrl-C ends it, and everything in it.
`);
    await aborted(stop.signal);
  } finally {
    await server.close();
    // Another `dev` may have written its own there.
    if ((await readFile(file, 'utf8').catch(() => undefined)) === written) await rm(file, { force: true });
  }
  return EXIT.ok;
}

async function refuseForeign(file: string): Promise<void> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new CommandError(`cannot write the kubeconfig ${file}: ${(error as Error).message}`);
  }
  if (!text.startsWith(MARK)) {
    throw new UsageError([
      {
        option: DEV_TABLE.writeKubeconfig.flag,
        value: file,
        rule: 'exists already, and was not written by leasekeeper dev',
      },
    ]);
  }
}

async function listen(port: number): ReturnType<typeof startEmbeddedServer> {
  try {
    return await startEmbeddedServer({ port });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') {
      throw new CommandError(`port ${port} on 127.0.0.1 is taken: choose another with --port, or 0 for a free one`);
    }
    throw error;
  }
}
