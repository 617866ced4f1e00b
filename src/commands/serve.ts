/**
 * `leasekeeper serve`: the census over HTTP, without publishing anything, until SIGTERM.
 */
import { SERVE_TABLE, serveSettings } from '../config/http-flags.ts';
import { leaseQuery, queryRules } from '../config/shared-flags.ts';
import { createLog } from '../observe/pino-log.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { runServices } from '../runtime/services.ts';
import { version } from '../version.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { connectApi } from './compose.ts';
import { censusEndpoints } from './endpoints.ts';
import { staySmall } from './memory.ts';
import { stopSignal, surviveHangup } from './signals.ts';
import { onLeases, permitted } from './permissions.ts';

export async function run({ given, io }: CommandInput): Promise<number> {
  const values = await readValues(SERVE_TABLE, given, (read) => serveSettings(read).wrong);
  const { address, census } = serveSettings(values);
  if (address === undefined) throw new TypeError('serve without an address');
  surviveHangup();
  staySmall();
  const log = createLog({ level: values.logLevel, format: values.logFormat, output: io });
  const clock = createSystemClock();
  const connection = await connectApi(values, { clock, env: io.env, light: true });
  try {
    const query = leaseQuery(values);
    using stop = stopSignal((signal) => log.info({ signal }, 'stopping; a second signal ends at once'));
    const { store, transport } = connection;
    const { url, services } = await censusEndpoints(
      { address, clock, transport, gates: () => values.featureGates },
      { census, store, query, log },
    ).listen();
    log.info({ version, server: connection.server, namespace: query.namespace, url }, 'counting instances');
    await runServices(services, stop.signal);
    return EXIT.ok;
  } finally {
    await connection.close();
  }
}

// The same file may switch the endpoints off for `publish`.
export const grants = permitted(SERVE_TABLE, queryRules, ({ namespace }) => [
  onLeases(namespace, ['list', 'watch'], 'keeps count by one list and one watch'),
]);
