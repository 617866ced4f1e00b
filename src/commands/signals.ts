/**
 * SIGTERM and SIGINT as one AbortSignal; SIGHUP as no end.
 *
 * Guarantees: the first of them asks to stop; a second one ends the process at once, because from the first on they have
 * their default action again. Disposed, it leaves no listener.
 */
interface StopSignal extends Disposable {
  readonly signal: AbortSignal;
  /** The signal that came; undefined while none did. */
  readonly received: () => NodeJS.Signals | undefined;
}

const STOPPING = ['SIGTERM', 'SIGINT'] as const;
let asked = false;

/** Whether the process was ever asked to stop. */
export const askedToStop = (): boolean => asked;

export function stopSignal(onStop?: (signal: NodeJS.Signals) => void): StopSignal {
  const controller = new AbortController();
  let received: NodeJS.Signals | undefined;
  const dispose = (): void => {
    for (const name of STOPPING) process.removeListener(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    asked = true;
    received = name;
    dispose();
    onStop?.(name);
    controller.abort();
  };
  for (const name of STOPPING) process.on(name, onSignal);
  return { signal: controller.signal, received: () => received, [Symbol.dispose]: dispose };
}

/** For services, from their start until the process ends: SIGHUP may mean something to them, and ends nothing. */
export function surviveHangup(): void {
  process.on('SIGHUP', () => {});
}
