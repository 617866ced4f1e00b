/**
 * `leasekeeper serve`: the census over HTTP, without publishing anything, until SIGTERM.
 */
import { SERVE_TABLE, securityFiles, serveSettings } from '../config/http-flags.ts';
import { leaseQuery, queryRules } from '../config/shared-flags.ts';
import { runServices } from '../runtime/services.ts';
import { version } from '../version.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { censusEndpoints } from './endpoints.ts';
import { runService } from './service.ts';
import { onLeases, permitted } from './permissions.ts';

export async function run({ given, io }: CommandInput): Promise<number> {
  const values = await readValues(SERVE_TABLE, given, (read) => serveSettings(read).wrong);
  const { address, census } = serveSettings(values);
  if (address === undefined) throw new TypeError('serve without an address');
  return runService(values, io, { light: true }, async ({ log, clock, connection, systemd, stop }) => {
    const query = leaseQuery(values);
    const { store, transport } = connection;
    const { url, services } = await censusEndpoints(
      { address, security: securityFiles(values), log, clock, transport, gates: () => values.featureGates },
      { census, store, query, allNamespaces: values.serveAll },
    ).listen();
    log.info({ version, server: connection.server, namespace: query.namespace, url }, 'counting instances');
    systemd.ready(() => 'counting instances');
    await runServices(services, stop);
    return EXIT.ok;
  });
}

// The same file may switch the endpoints off for `publish`.
export const grants = permitted(SERVE_TABLE, queryRules, ({ namespace, serveAll }) => [
  onLeases(serveAll ? undefined : namespace, ['list', 'watch'], 'keeps count by one list and one watch'),
]);
