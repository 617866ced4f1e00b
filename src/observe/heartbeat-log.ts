/**
 * What the events of heartbeats say in the log.
 *
 * Guarantees: an outage of ten thousand nodes is a line for each kind of failure in it and one when it ends, not a line a
 * node; what is logged of single nodes is bounded to a few lines a minute, with how many were left out.
 */
import type { HeartbeatEvent } from '../heartbeat/heartbeat-events.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Clock } from '../runtime/clock.ts';
import { Outage, fewLines } from './log.ts';
import type { Logger } from './log.ts';

/** @param wanted names of Nodes that were asked for: those that are missing are logged */
export function logHeartbeat(
  log: Logger,
  clock: Pick<Clock, 'monotonic'>,
  wanted: readonly string[] = [],
): Observe<HeartbeatEvent> {
  const failing = new Set<string>();
  const outage = new Outage(log);
  const one = fewLines(log, clock);
  return (event) => {
    switch (event.type) {
      case 'nodesSynced': {
        log.info({ nodes: event.names.length }, 'following the Nodes');
        const names = new Set(event.names);
        for (const node of wanted)
          if (!names.has(node)) one('warn', { node }, 'there is no such Node yet: waiting for it');
        return;
      }
      case 'nodesLost':
        log.warn(
          { code: event.error.code, err: event.error },
          event.known > 0
            ? 'the Nodes cannot be followed: those known are renewed'
            : 'the Nodes cannot be read yet: no heartbeat is kept until they are',
        );
        return;
      case 'nodeAdded':
        log.debug({ node: event.node, uid: event.uid }, 'a Node appeared');
        return;
      case 'nodeRecreated':
        one('info', { node: event.node, uid: event.uid }, 'the Node was recreated');
        return;
      case 'nodeGone':
        // With the last that failed what was logged of it is over too: the next failure is news.
        if (failing.delete(event.node) && failing.size === 0) outage.over();
        if (event.moved) log.debug({ node: event.node }, 'another process keeps this heartbeat from now on');
        else one('info', { node: event.node }, 'the Node is gone: its heartbeat ends');
        return;
      case 'claimed':
        if (event.how === 'recreated')
          one('warn', { node: event.node }, 'the lease had been deleted: created it again');
        else one('info', { node: event.node }, event.how === 'created' ? 'created the lease' : 'took the lease over');
        return;
      case 'renewed':
        log.debug({ node: event.node, lateMs: Math.round(event.lateMs) }, 'renewed');
        return;
      case 'disturbed': {
        const { node, by } = event;
        const fields = by.kind === 'otherHolder' ? { node, holder: by.holder.slice(0, 300) } : { node };
        one('warn', fields, 'somebody else writes this heartbeat: a kubelet, or a second leasekeeper?');
        return;
      }
      case 'failed': {
        const { node, operation, error, attempt, retryInMs } = event;
        failing.add(node);
        const fields = { node, attempt, retryIn: `${Math.round(retryInMs)}ms` };
        const text = operation === 'get' ? 'reading a heartbeat failed' : 'writing a heartbeat failed';
        outage.failed(error, text, { what: operation, fields, about: node });
        return;
      }
      case 'recovered':
        failing.delete(event.node);
        if (failing.size > 0) return;
        outage.over();
        log.info('requests succeed again for all nodes');
        return;
      case 'behind':
        log.warn(
          { backlog: event.backlog, lateMs: Math.round(event.lateMs) },
          'renewals are late: the API is slow, or this process is; more --concurrency may help',
        );
        return;
      case 'caughtUp':
        log.info('renewals are on time again');
        return;
    }
  };
}
