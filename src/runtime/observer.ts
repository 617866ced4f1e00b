/**
 * How services tell what happened: one function, typed events. They know no logger and no metrics registry.
 *
 * Guarantees: an observer that throws changes nothing for the service that called it; the first error of each is reported
 * as a warning of the process, with its stack.
 */
import { inWords } from './printable.ts';

/** How services tell what happened. One that throws changes nothing for its caller; its first error becomes a warning. */
export type Observe<Event> = (event: Event) => void;

/** Several listeners as one; one that throws keeps no other from the event. */
export function observers<Event>(...listeners: readonly (Observe<Event> | undefined)[]): Observe<Event> {
  const contained = listeners.map((listener) => containedObserver(listener));
  return (event) => {
    for (const listener of contained) listener(event);
  };
}

/** Gets the errors that an observer threw: process.emitWarning, or a test's own. */
type ReportThrown = (error: unknown) => void;

const warn: ReportThrown = (error) =>
  process.emitWarning(`an observer threw, and is called again with the next event: ${inWords(error)}`, {
    type: 'LeasekeeperWarning',
    ...(error instanceof Error && typeof error.stack === 'string' && { detail: error.stack }),
  });

/** The observer, without its errors: the first is reported, the service goes on. Undefined: nobody listens. */
export function containedObserver<Event>(
  observe: Observe<Event> | undefined,
  report: ReportThrown = warn,
): Observe<Event> {
  if (observe === undefined) return () => {};
  let reported = false;
  const thrown = (error: unknown): void => {
    if (!reported) report(error);
    reported = true;
  };
  return (event) => {
    try {
      const answer: unknown = observe(event);
      // An asynchronous function fits the type as well; what it throws must not end the process either.
      if (answer instanceof Promise) answer.catch(thrown);
    } catch (error) {
      thrown(error);
    }
  };
}
