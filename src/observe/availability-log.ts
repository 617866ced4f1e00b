/**
 * What the events of a monitor of nodes say in the log: nodes that become Unknown, and Ready again; a few lines a minute.
 */
import type { AvailabilityEvent } from '../availability/node-monitor.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { fewLines } from './few-lines.ts';
import type { Logger } from './log.ts';

export function logAvailability(log: Logger, clock: Clock): Observe<AvailabilityEvent> {
  const one = fewLines(log, clock);
  return (event) => {
    switch (event.type) {
      case 'synced':
        log.info({ nodes: event.nodes }, 'watching the Nodes and their heartbeats');
        return;
      case 'lost':
        log.warn({ code: event.error.code, err: event.error, of: event.of }, 'changes may be missing for now');
        return;
      case 'changed': {
        const { name, status, renewedAgoMs } = event.node;
        const renewed = renewedAgoMs === undefined ? 'never seen' : `${Math.round(renewedAgoMs / 1000)}s ago`;
        if (status === 'Unknown') one('warn', { node: name, renewed }, 'the Node is Unknown');
        else if (event.from === 'Unknown') one('info', { node: name }, `the Node is ${status} again`);
        return;
      }
      case 'gone':
        one('info', { node: event.node.name }, 'the Node is gone');
    }
  };
}
