/** Lists as servers should not give them: pages too large, without end, in circles, slow; each is read or refused in bounds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listPages } from '../../src/lease/list-pages.ts';
import type { ListPagesOptions, Page, PagePart, WholeList } from '../../src/lease/list-pages.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';

interface Numbers extends Page {
  readonly items: readonly number[];
}

const fault = (code: 'Expired' | 'TooLarge' | 'Unavailable'): LeaseStoreError =>
  new LeaseStoreError(code, { message: 'no' });
const from = ({ continue: token = '0' }: PagePart): number => Number(token);
/** A server with so many items, numbered. */
const serving =
  (count: number, more: Partial<Numbers> = {}) =>
  (part: PagePart): Numbers => {
    const next = Math.min(count, from(part) + part.limit);
    const items = Array.from({ length: next - from(part) }, (_, i) => from(part) + i);
    return { items, resourceVersion: '7', ...(next < count && { continue: String(next) }), ...more };
  };

function list(
  answer: (part: PagePart) => Numbers,
  more: Partial<ListPagesOptions<Numbers, number>> = {},
): { whole: Promise<WholeList<number>>; asked: PagePart[] } {
  const asked: PagePart[] = [];
  const ask = async (part: PagePart): Promise<Numbers> => {
    asked.push(part);
    return answer(part);
  };
  return { whole: listPages({ ask, keep: ({ items }) => items, now: () => 0, ...more }), asked };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test('all pages, as of the earliest Date; whether one had none', async () => {
  const dates = [5, 3, 4].map((s) => MicroTime.fromEpochMs(s * 1000));
  const { whole, asked } = list((part) => ({ ...serving(1_200)(part), serverDate: dates[from(part) / 500] }));
  const { items, pages, resourceVersion, serverDate, undated } = await whole;
  assert.deepEqual([items, pages, resourceVersion, serverDate, undated], [upTo(1_200), 3, '7', dates[1], false]);
  assert.deepEqual(asked, [{ limit: 500 }, { limit: 500, continue: '500' }, { limit: 500, continue: '1000' }]);
  assert.equal((await list(serving(1)).whole).undated, true);
});

test('a page that is too large is asked for again with fewer items, and so is the rest', async () => {
  const { whole, asked } = list((part) => {
    if (part.limit > 7) throw fault('TooLarge');
    return serving(70)(part);
  });
  assert.deepEqual((await whole).items, upTo(70));
  assert.deepEqual(
    asked.slice(0, 6).map(({ limit }) => limit),
    [500, 125, 31, 7, 7, 7],
  );
  const none = list(() => {
    throw fault('TooLarge');
  });
  await assert.rejects(none.whole, { code: 'TooLarge' });
  assert.equal(none.asked.at(-1)?.limit, 1);
});

test('a state that was compacted away is read again from the first page, so often and no more', async () => {
  let expired = 2;
  const answer = (part: PagePart): Numbers => {
    if (part.continue !== undefined && expired-- > 0) throw fault('Expired');
    return serving(600)(part);
  };
  assert.deepEqual((await list(answer, { attempts: 3 }).whole).items, upTo(600));
  expired = 1;
  await assert.rejects(list(answer).whole, { code: 'Expired' });
});

test('what else fails is thrown at once', async () => {
  const { whole, asked } = list(
    () => {
      throw fault('Unavailable');
    },
    { attempts: 3 },
  );
  await assert.rejects(whole, { code: 'Unavailable' });
  assert.equal(asked.length, 1);
});

test('circles are refused, of one page and of several', async () => {
  for (const length of [1, 3]) {
    let calls = 0;
    const { whole, asked } = list(() => ({ items: [], resourceVersion: '1', continue: `${calls++ % length}` }));
    await assert.rejects(whole, { code: 'BadAnswer' });
    assert.equal(asked.length, length + 1);
  }
});

test('a list without end is refused: of items, of empty pages, of bytes; so is a token of megabytes', async () => {
  const endless = list(serving(Infinity));
  await assert.rejects(endless.whole, { code: 'BadAnswer', message: /more than is read of one/ });
  assert.ok(endless.asked.length <= 501);
  await assert.rejects(list(serving(Infinity), { maxItems: 1_000 }).whole, /1500 items in 3 pages/);
  const empty = list((part) => ({ items: [], resourceVersion: '1', continue: `${from(part) + 1}` }));
  await assert.rejects(empty.whole, { code: 'BadAnswer' });
  assert.ok(empty.asked.length <= 10_000);
  const large = list(serving(Infinity, { bytes: 4e6 }));
  await assert.rejects(large.whole, { code: 'BadAnswer' });
  assert.ok(large.asked.length < 40);
  await assert.rejects(list(serving(1, { continue: 'x'.repeat(5_000) })).whole, { code: 'BadAnswer' });
});

test('its time is that of the whole list; each page is given what is left', async () => {
  let now = 0;
  const left: (number | undefined)[] = [];
  const ask = async (part: PagePart, leftMs: number | undefined): Promise<Numbers> => {
    left.push(leftMs);
    now += 400;
    return serving(Infinity)(part);
  };
  const options = { ask, keep: ({ items }: Numbers) => items, now: () => now };
  await assert.rejects(listPages({ ...options, timeoutMs: 1_000 }), { code: 'Timeout' });
  assert.deepEqual(left, [1_000, 600, 200]);
  left.length = 0;
  await assert.rejects(listPages(options), { code: 'Timeout' });
  assert.deepEqual([left[0], left.length], [undefined, 150]);
});
