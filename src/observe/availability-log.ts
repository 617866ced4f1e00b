/**
 * What the events of a monitor of nodes say in the log: nodes that become Unknown or NotReady, and Ready again; a few lines a minute.
 */
import type { AvailabilityEvent } from '../availability/node-monitor.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { Outage, fewLines } from './log.ts';
import type { Logger } from './log.ts';

export function logAvailability(log: Logger, clock: Pick<Clock, 'monotonic'>): Observe<AvailabilityEvent> {
  const one = fewLines(log, clock);
  const outage = new Outage(log);
  return (event) => {
    switch (event.type) {
      case 'synced':
        if (outage.over()) log.info({ nodes: event.nodes }, 'up to date again');
        else log.info({ nodes: event.nodes }, 'watching the Nodes and their heartbeats');
        return;
      case 'lost':
        outage.failed(event.error, 'changes may be missing for now', {
          what: event.of,
          fields: { of: event.of },
          level: 'warn',
        });
        return;
      case 'changed': {
        const { name, status, renewedAgoMs } = event.node;
        const renewed = renewedAgoMs === undefined ? 'never seen' : `${Math.round(renewedAgoMs / 1000)}s ago`;
        const down = (is: typeof event.from): boolean => is === 'Unknown' || is === 'NotReady';
        if (down(status)) one('warn', { node: name, renewed }, `the Node is ${status}`);
        else if (down(event.from)) one('info', { node: name }, `the Node is ${status} again`);
        return;
      }
      case 'gone':
        one('info', { node: event.node.name }, 'the Node is gone');
    }
  };
}
