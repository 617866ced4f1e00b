/** What can happen to a publisher: how it comes about, how the program shows it, and how it must end. */
import { setTimeout as wait } from 'node:timers/promises';
import type { EmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { leaseName } from '../../src/lease/names.ts';
import type { Program } from '../support/process.ts';
import type { Scope, Seen } from './support.ts';
import { LEASES, until } from './support.ts';

export const HOST = 'master-1';
export const QUICK = ['--renew-interval=600ms', '--lease-duration=60s', '--request-timeout=500ms'];

export interface Situation {
  readonly what: string;
  readonly args?: readonly string[];
  readonly policy?: string;
  /** Before the program starts. */
  readonly before?: (world: World) => unknown;
  /** After it has claimed; left out: it never does. */
  readonly during?: (world: World) => unknown;
  /** The line that shows it in that situation. */
  readonly shows?: RegExp;
  readonly code: 0 | 1;
  /** What is there at the end. */
  readonly leaves: 'nothing' | 'ours' | 'theirs' | 'unknown';
}

export interface World {
  readonly server: EmbeddedServer;
  readonly at: Seen;
  readonly t: Scope;
  readonly program: () => Program;
}

const status = (code: number, reason: string, headers: Record<string, string> = {}) =>
  ({ type: 'status', code, reason, message: `refused: ${reason}`, headers }) as const;
export const theirs = {
  holderIdentity: 'somebody',
  leaseDurationSeconds: 3600,
  renewTime: '2026-01-01T00:00:00.000000Z',
};

export const SITUATIONS: readonly Situation[] = [
  {
    what: 'answers are lost',
    during: ({ server }) => server.faults.add({ match: { method: 'PUT' }, fault: { type: 'lose-answer' } }),
    shows: /renewing the lease failed/,
    code: 0,
    leaves: 'nothing',
  },
  {
    what: 'every PUT conflicts',
    during: async ({ server }) => {
      const fault = server.faults.add({ match: { method: 'PUT' }, fault: { type: 'conflict' } });
      await until('conflicts', () => fault.hits > 8);
    },
    code: 0,
    leaves: 'nothing',
  },
  {
    what: 'somebody deleted the lease, and it cannot be made again',
    during: async ({ server, at }) => {
      server.faults.add({ match: { method: 'POST', resource: 'leases' }, fault: status(422, 'Invalid') });
      await at.remove(HOST);
    },
    shows: /creating the lease failed/,
    code: 0,
    leaves: 'nothing',
  },
  {
    // What answers 500 to a write does not say that it will not be stored yet.
    what: 'somebody deleted the lease, and etcd has no space for another',
    during: async ({ server, at }) => {
      server.faults.refuseWrites();
      await at.remove(HOST);
    },
    shows: /creating the lease failed.*database space exceeded/,
    code: 1,
    leaves: 'nothing',
  },
  {
    what: 'the API is gone',
    during: ({ server }) => server.close(),
    shows: /renewing the lease failed/,
    code: 1,
    leaves: 'unknown',
  },
  {
    what: 'the API accepts and never answers',
    during: ({ server }) => server.faults.add({ fault: { type: 'hang' } }),
    shows: /renewing the lease failed/,
    code: 1,
    leaves: 'ours',
  },
  {
    what: 'the API accepts and never answers, and the lease may stay',
    policy: 'keep',
    during: ({ server }) => server.faults.add({ fault: { type: 'hang' } }),
    shows: /renewing the lease failed/,
    code: 0,
    leaves: 'ours',
  },
  {
    what: 'the API never answered at all',
    before: ({ server }) => server.faults.add({ fault: { type: 'hang' } }),
    shows: /reading the lease failed/,
    code: 0,
    leaves: 'nothing',
  },
  {
    what: '429 with a long Retry-After',
    during: ({ server }) => server.faults.add({ fault: { type: 'too-many-requests', retryAfterSeconds: 600 } }),
    shows: /renewing the lease failed/,
    code: 1,
    leaves: 'ours',
  },
  {
    what: '429, and then the server has time again',
    during: ({ server }) =>
      server.faults.add({ times: 4, fault: { type: 'too-many-requests', retryAfterSeconds: 600 } }),
    shows: /renewing the lease failed/,
    code: 0,
    leaves: 'nothing',
  },
  {
    what: '401',
    during: ({ server }) => server.faults.add({ fault: status(401, 'Unauthorized') }),
    shows: /renewing the lease failed/,
    code: 1,
    leaves: 'ours',
  },
  {
    what: '403 for every write',
    during: ({ server }) => server.faults.add({ match: { verb: /update|delete/ }, fault: status(403, 'Forbidden') }),
    shows: /renewing the lease failed/,
    code: 1,
    leaves: 'ours',
  },
  {
    what: 'the namespace is not there',
    args: ['--namespace=nowhere'],
    shows: /creating the lease failed/,
    code: 0,
    leaves: 'nothing',
  },
  {
    what: 'the namespace is being deleted',
    args: ['--namespace=dying'],
    before: async ({ at }) => {
      const finalizers = ['example.com/hold'];
      await at.call('POST', '/api/v1/namespaces', { metadata: { name: 'dying', finalizers } });
      await at.call('DELETE', '/api/v1/namespaces/dying');
    },
    shows: /creating the lease failed.*being terminated/,
    code: 0,
    leaves: 'nothing',
  },
  {
    what: '422',
    before: ({ server }) =>
      server.faults.add({ match: { method: 'POST', resource: 'leases' }, fault: status(422, 'Invalid') }),
    shows: /creating the lease failed/,
    code: 0,
    leaves: 'nothing',
  },
  {
    what: 'superseded',
    during: ({ at }) => at.edit(HOST, { spec: theirs }),
    shows: /superseded/,
    code: 0,
    leaves: 'theirs',
  },
  {
    what: 'the name is taken by somebody else',
    before: ({ at }) => at.call('POST', LEASES, { metadata: { name: leaseName(HOST) }, spec: theirs }),
    shows: /not touching it/,
    code: 0,
    leaves: 'theirs',
  },
  {
    what: 'a second writer writes in our name all the time',
    during: ({ server, at, program }) => {
      // Each DELETE waits until the other has written once more: whose write is the last is no matter of luck.
      const deletes = server.faults.add({ match: { method: 'DELETE' }, fault: { type: 'hang' } });
      const write = async (): Promise<void> => {
        while (program().running) {
          const seen = deletes.hits;
          // As one with a clock has it: a time before our last one would be an older record.
          const renewTime = new Date().toISOString().replace('Z', '000Z');
          const path = `${LEASES}/${leaseName(HOST)}`;
          if ((await at.call('PATCH', path, { spec: { renewTime } })).status === 404) return;
          if (seen > 0) deletes.release();
          await wait(10);
        }
      };
      void write();
    },
    shows: /with our holder identity/,
    code: 0,
    // Only what we wrote ourselves is deleted.
    leaves: 'ours',
  },
  {
    what: 'another lease carries our hostname',
    during: ({ at }) =>
      at.call('POST', LEASES, {
        metadata: {
          name: 'apiserver-x',
          labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver', 'kubernetes.io/hostname': HOST },
        },
        spec: theirs,
      }),
    shows: /another identity lease carries this hostname/,
    code: 0,
    leaves: 'nothing',
  },
];
