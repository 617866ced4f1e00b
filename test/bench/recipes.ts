/**
 * What recipes cost: writes, counted on a clock that is moved by hand; the assignment of keys and the memory of a key, on this
 * machine.
 */
import { assignMs, bytesAKey, handOvers, memberWrites } from '../recipes/measures.ts';
import { figure } from './figures.ts';
import { median, table } from './measure.ts';

export async function benchRecipes(): Promise<string> {
  const writes = [await memberWrites(1), await memberWrites(64), await memberWrites(1_024)];
  figure('shards', {
    values: [writes[2]! / writes[0]!],
    beside: `${writes.join(', ')} writes a minute with 1, 64, 1,024`,
  });
  const handed = await handOvers(50, 20);
  const assigned = Array.from({ length: 20 }, () => assignMs(10, 10_000));
  return table(
    ['recipes', '', 'budget'],
    [
      ['writes a minute of a member with 1, 64 and 1,024 keys', writes.join(', '), 'the same'],
      ['writes a hand-over of a lock, 50 waiters, median of 20', String(median(handed)), '5'],
      [
        '10,000 keys over 10 members and one that joins, slowest of 20',
        `${Math.max(...assigned).toFixed(1)} ms`,
        '50 ms',
      ],
      ['memory of a key, of 10,000', `${bytesAKey(10_000).toFixed(0)} B`, '1,000 B'],
    ],
  );
}

if (import.meta.main) console.log(await benchRecipes());
