/**
 * Several services as one, with an ordered start and stop.
 *
 * Guarantees: they are started in the order given and stopped in the reverse order, each only once the one after it has
 * ended; when one fails, all others are stopped in that order and its error is thrown; nothing runs any more when
 * `runServices` settles. A service that ends by itself without an error does not stop the others.
 */
export interface Service {
  /** For messages. */
  readonly name: string;
  /** Settles when its work has ended; must end when the signal aborts. */
  run(signal: AbortSignal): Promise<unknown>;
}

export async function runServices(services: readonly Service[], signal: AbortSignal): Promise<void> {
  const failures: unknown[] = [];
  let wakeStop = (): void => {};
  const stopping = new Promise<void>((resolve) => (wakeStop = resolve));
  const running: { stop: AbortController; ended: Promise<void> }[] = [];
  if (signal.aborted) return;
  signal.addEventListener('abort', wakeStop, { once: true });
  for (const service of services) {
    const stop = new AbortController();
    // Asynchronous, so that one that throws before it gives a promise fails like any other.
    const ended = (async () => service.run(stop.signal))().then(
      () => undefined,
      (error: unknown) => {
        failures.push(error);
        wakeStop();
      },
    );
    running.push({ stop, ended });
  }
  await Promise.race([stopping, Promise.all(running.map(({ ended }) => ended))]);
  for (const { stop, ended } of running.reverse()) {
    stop.abort();
    await ended;
  }
  signal.removeEventListener('abort', wakeStop);
  if (failures.length > 0) throw failures[0];
}
