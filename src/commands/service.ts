/**
 * What every command has that runs until SIGTERM: a log, a clock, the API's connection, and the signal to stop.
 *
 * Guarantees: SIGHUP ends nothing; the connection is closed and no listener is left when the command ends.
 */
import type { OptionValues } from '../config/option-spec.ts';
import type { API_OPTIONS, LOG_OPTIONS } from '../config/shared-flags.ts';
import type { Connection } from '../kube/connection.ts';
import { logCertificate } from '../observe/certificate-log.ts';
import { createLog } from '../observe/pino-log.ts';
import { createSystemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Io } from './command.ts';
import { connectApi } from './compose.ts';
import type { ApiWorld } from './compose.ts';
import { forgetStart, staySmall } from './memory.ts';
import { stopSignal, surviveHangup } from './signals.ts';
import { Systemd } from './systemd.ts';

export interface ServiceWorld {
  readonly log: ReturnType<typeof createLog>;
  readonly clock: Clock;
  readonly connection: Connection;
  readonly systemd: Systemd;
  /** Aborts with the first SIGTERM or SIGINT. */
  readonly stop: AbortSignal;
  /** The signal that came; undefined while none did. */
  readonly received: () => NodeJS.Signals | undefined;
}

/** @throws ConfigurationError */
export async function runService(
  values: OptionValues<typeof API_OPTIONS & typeof LOG_OPTIONS>,
  io: Io,
  api: Omit<ApiWorld, 'clock' | 'env'>,
  run: (world: ServiceWorld) => Promise<number>,
): Promise<number> {
  surviveHangup();
  staySmall();
  using _start = forgetStart();
  const log = createLog({ level: values.logLevel, format: values.logFormat, output: io });
  const clock = createSystemClock();
  await using connection = await connectApi(values, { ...api, clock, env: io.env });
  using systemd = new Systemd({ variables: io.systemd, clock, log });
  using stop = stopSignal((signal) => {
    log.info({ signal }, 'stopping; a second signal ends at once');
    systemd.stopping();
  });
  const ended = new AbortController();
  const { transport } = connection;
  const watched = logCertificate({ expiresAt: () => transport.certificateExpiresAt(), clock, log }, ended.signal);
  try {
    return await run({ log, clock, connection, systemd, stop: stop.signal, received: stop.received });
  } finally {
    ended.abort();
    await watched;
  }
}
