/**
 * `leasekeeper serve`: the census over HTTP, without publishing anything, until SIGTERM.
 */
import { HTTP_OPTIONS, SERVE_ADDRESS, httpSettings } from '../config/http-flags.ts';
import { API_OPTIONS, CONFIG_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS } from '../config/shared-flags.ts';
import { readOptions, ruleProblems } from '../config/option-spec.ts';
import { createLog } from '../observe/log.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { runServices } from '../runtime/services.ts';
import { version } from '../version.ts';
import { EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { connectApi } from './compose.ts';
import { httpEndpoints } from './http-endpoints.ts';
import { leaseQuery, queryProblems } from './identity-leases.ts';
import { staySmall } from './memory.ts';
import { stopSignal, surviveHangup } from './signals.ts';

export const SERVE_TABLE = { ...LOG_OPTIONS, ...API_OPTIONS, ...LEASE_OPTIONS, ...HTTP_OPTIONS, ...CONFIG_OPTIONS };

export async function run({ given, io }: CommandInput): Promise<number> {
  const { values, problems } = readOptions(SERVE_TABLE, given);
  const http = httpSettings(values, SERVE_ADDRESS);
  const broken = [...http.problems, ...queryProblems(values)];
  const { address, census } = http.settings;
  if (address === undefined && http.problems.length === 0) {
    broken.push({ option: HTTP_OPTIONS.httpAddress.flag, value: 'off', rule: 'serve has nothing else to do' });
  }
  const wrong = [...problems, ...ruleProblems(broken, SERVE_TABLE, given, problems)];
  if (wrong.length > 0 || address === undefined) throw new UsageError(wrong);
  surviveHangup();
  staySmall();
  const log = createLog({ level: values.logLevel, format: values.logFormat, output: io });
  const clock = createSystemClock();
  const connection = await connectApi(values, { clock, env: io.env, light: true });
  try {
    const query = leaseQuery(values);
    using stop = stopSignal((signal) => log.info({ signal }, 'stopping; a second signal ends at once'));
    const { url, services } = await httpEndpoints({
      address,
      census,
      store: connection.store,
      transport: connection.transport,
      query,
      clock,
      log,
      gates: () => values.featureGates,
    });
    log.info({ version, server: connection.server, namespace: query.namespace, url }, 'counting instances');
    await runServices(services, stop.signal);
    return EXIT.ok;
  } finally {
    await connection.close();
  }
}
