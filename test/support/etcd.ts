/**
 * What an operator does to etcd, over its HTTP gateway: write, compact, fill it up, and make room again.
 */
interface Etcd {
  /** Writes `bytes` under a key outside Kubernetes' own. The revision that this made. @throws Error when etcd refuses */
  put(key: string, bytes?: number): Promise<number>;
  /** Drops the history before a revision, so that watches and continue tokens of older ones get 410. */
  compact(revision: number): Promise<void>;
  /** Writes until etcd has no space left: from then on it refuses every write, and only deletions pass. */
  fill(): Promise<void>;
  /** Takes away what `fill` wrote, gives the space back and ends the alarm. */
  makeRoom(): Promise<void>;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const JUNK = 'junk/';

export function etcdAt(url: string): Etcd {
  const call = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`etcd ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  };
  const revisionOf = (answer: Record<string, unknown>): number =>
    Number((answer['header'] as { revision?: string } | undefined)?.revision);
  const etcd: Etcd = {
    put: async (key, bytes = 1) =>
      revisionOf(await call('kv/put', { key: base64(key), value: base64('x'.repeat(bytes)) })),
    compact: async (revision) => void (await call('kv/compaction', { revision, physical: true })),
    async fill() {
      for (let i = 0; i < 1_000; i++) {
        try {
          await etcd.put(`${JUNK}${i}`, 1_000_000);
        } catch (error) {
          if (/space exceeded/.test(String(error))) return;
          throw error;
        }
      }
      throw new Error('etcd has no quota that a gigabyte would fill');
    },
    async makeRoom() {
      const gone = await call('kv/deleterange', { key: base64(JUNK), range_end: base64(`${JUNK}~`) });
      await etcd.compact(revisionOf(gone));
      await call('maintenance/defragment', {});
      const { alarms = [] } = (await call('maintenance/alarm', { action: 'GET' })) as {
        alarms?: { memberID: string }[];
      };
      for (const { memberID } of alarms) {
        await call('maintenance/alarm', { action: 'DEACTIVATE', memberID, alarm: 'NOSPACE' });
      }
    },
  };
  return etcd;
}
