/**
 * A service's configuration file, taken again when it changes and on SIGHUP.
 */
import { Reloader } from '../config/reload.ts';
import type { Change, ReloadEvent, ReloaderOptions } from '../config/reload.ts';
import { problemText } from '../config/option-spec.ts';
import type { OptionSpec } from '../config/option-spec.ts';
import type { Logger } from '../observe/log.ts';
import { observers } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Service } from '../runtime/services.ts';
import type { CommandInput } from './command.ts';
import type { Systemd } from './systemd.ts';

interface HotReloadParts {
  readonly log: Logger;
  readonly systemd: Pick<Systemd, 'reloading' | 'reloaded'>;
}

/** The service, where there is a configuration file. To be called once: it takes SIGHUP for the life of the process. */
export function hotReload<T extends Readonly<Record<string, OptionSpec>>>(
  { sources, file }: Pick<CommandInput, 'sources' | 'file'>,
  { log, systemd, ...options }: Omit<ReloaderOptions<T>, 'sources' | 'file' | 'observe'> & HotReloadParts,
): Service[] {
  const observe = observers(logReload(log), () => systemd.reloaded());
  const reloader = file && new Reloader({ ...options, sources, file, observe });
  process.on('SIGHUP', () => {
    if (reloader) {
      systemd.reloading();
      reloader.refresh();
    } else log.info('SIGHUP: there is no configuration file to read again');
  });
  return reloader ? [reloader] : [];
}

function logReload(log: Logger): Observe<ReloadEvent> {
  return (event) => {
    switch (event.type) {
      case 'applied':
        log.info({ changes: changeText(event.changes) }, 'configuration changed');
        return;
      case 'restartNeeded':
        log.warn({ changes: changeText(event.changes) }, 'configuration changed where it needs a restart: not applied');
        return;
      case 'broken':
        log.error(
          { problems: event.problems.map(problemText).join('; ') },
          'the changed configuration file is not usable: going on with what was in force',
        );
        return;
      case 'unchanged':
        log.info('configuration read again: what is in force stays');
        return;
    }
  };
}

const changeText = (changes: readonly Change[]): string =>
  changes.map(({ key, from, to }) => `${key}: ${from || '(not set)'} -> ${to || '(not set)'}`).join('; ');
