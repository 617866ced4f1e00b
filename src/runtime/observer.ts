/**
 * How services tell what happened: one function, typed events. They know no logger and no metrics registry.
 * An observer must not throw; one that does is a bug and is not caught here, so that tests see it.
 */
export type Observe<Event> = (event: Event) => void;

/** Several listeners as one. */
export function observers<Event>(...listeners: readonly Observe<Event>[]): Observe<Event> {
  return (event) => {
    for (const listener of listeners) listener(event);
  };
}
