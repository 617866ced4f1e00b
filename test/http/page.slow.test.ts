/**
 * The page, in Chromium: with no answer of an API server, with 3, 200 and 2,000 leases, on a telephone and in the dark.
 * SCREENSHOTS names a directory for a picture of each state.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { json } from '../../src/http/answer.ts';
import { CensusChanges } from '../../src/http/census-changes.ts';
import { pageAnswer, plainPage } from '../../src/http/census-page.ts';
import { listen } from '../../src/http/server.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { lease } from '../census/support.ts';
import { World } from './support.ts';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path));
const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM!,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking'],
    timeout: 120_000,
  });
/** One that is installed may still not start here: without memory to share, or a system call that it wants. */
const started = CHROMIUM === undefined ? undefined : await launch().catch((error: unknown) => error as Error);
const skip =
  started === undefined
    ? 'chromium is not installed'
    : started instanceof Error && `chromium does not start here: ${started.message.slice(0, 300)}`;
/** For a state to show itself, on a machine that has much else to do. */
const TIMEOUT = 30_000;

const WHAT = 'Leases of kube-apiserver in kube-system';
const named = (i: number, more: Parameters<typeof lease>[0] = {}): Lease =>
  lease({
    hostname: `control-plane-${String(i).padStart(4, '0')}.example.internal`,
    acquiredAgoMs: 7_200_000,
    ...more,
  });
const many = (n: number): Lease[] => Array.from({ length: n }, (_, i) => named(i));

/** A script: elements whose text has less than 4.5 times the light of what is behind it, or the other way round. */
const POOR_CONTRAST = `
  const channels = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    if (!element) return 'rgb(255, 255, 255)';
    const { backgroundColor } = getComputedStyle(element);
    return channels(backgroundColor)[3] === 0 ? behind(element.parentElement) : backgroundColor;
  };
  [...document.querySelectorAll('main *')].flatMap((element) => {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) return [];
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return contrast < 4.5 ? [element.tagName + ' ' + element.className + ': ' + contrast.toFixed(2)] : [];
  })`;

describe('the page in Chromium', { skip, timeout: 600_000 }, () => {
  const browser = started as Browser;
  after(() => browser.close());

  interface Shown {
    readonly w: World;
    readonly page: Page;
    readonly url: string;
    /** What its own script complained of. */
    readonly errors: string[];
    /** Stops the server. */
    stop(): Promise<void>;
    /** Lets the page's next look see what has happened by then. */
    moment(): Promise<void>;
    text(id: string): Promise<string>;
    waitFor(what: string, condition: string): Promise<void>;
    picture(name: string): Promise<void>;
  }

  async function show(
    t: it.TestContext,
    options: { width?: number; dark?: boolean; script?: boolean; path?: string; elections?: () => object } = {},
    begin = async (_: World): Promise<void> => {},
  ): Promise<Shown> {
    const w = new World();
    await begin(w);
    const changes = new CensusChanges(w.census, w.clock);
    const server = await listen(
      { host: '127.0.0.1', port: 0 },
      {
        '/': (query) =>
          query.has('plain') ? plainPage(w.census, WHAT) : pageAnswer(w.census, WHAT, options.elections !== undefined),
        ...(options.elections && { '/v1/leases': () => json(200, options.elections?.()) }),
        '/v1/changes': changes.answer,
      },
    );
    const context = await browser.newContext({
      viewport: { width: options.width ?? 1_200, height: 800 },
      colorScheme: options.dark ? 'dark' : 'light',
      javaScriptEnabled: options.script ?? true,
    });
    let stopped: Promise<void> | undefined;
    const stop = (): Promise<void> => (stopped ??= Promise.resolve(server[Symbol.asyncDispose]()));
    t.after(async () => {
      await context.close();
      await stop();
      await w.close();
    });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT);
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(server.url + (options.path ?? '/'));
    const shown: Shown = {
      ...{ w, page, url: server.url, errors, stop },
      moment: () => w.clock.advance(1_000),
      text: async (id) => (await page.locator(`#${id}`).textContent()) ?? '',
      waitFor: async (what, condition) => {
        // Asked from here: the page's policy lets nobody evaluate a text in it.
        const until = performance.now() + TIMEOUT;
        while ((await page.evaluate(condition)) !== true) {
          if (performance.now() > until) throw new Error(`${what}: ${await page.locator('main').innerText()}`);
          await wait(50);
        }
      },
      picture: async (name) => {
        const dir = process.env['SCREENSHOTS'];
        if (dir !== undefined) await page.screenshot({ path: join(dir, `${name}.png`) });
      },
    };
    return shown;
  }

  const rows = (n: number): string => `document.querySelectorAll('#rows tr').length === ${n}`;
  const contains = (id: string, words: string): string =>
    `document.getElementById('${id}').textContent.includes(${JSON.stringify(words)})`;

  it('no API server: says so at once, and what it knew last once it did', async (t) => {
    const s = await show(t);
    await s.waitFor('never known', contains('trouble', 'the leases were not read yet'));
    assert.equal(await s.text('sum'), '? instances');
    await s.picture('never-known');

    await s.w.list(...many(3));
    await s.moment();
    await s.waitFor('known', `${rows(3)} && document.body.className === ''`);
    assert.equal(await s.text('trouble'), '');
    await s.w.tell({
      type: 'lost',
      error: new LeaseStoreError('Unavailable', { message: 'no connection to 10.0.0.1:6443' }),
    });
    await s.w.clock.advance(150_000);
    await s.waitFor('outage', contains('trouble', 'no connection to 10.0.0.1:6443). Below is what was known last.'));
    assert.match(await s.text('fresh'), /^last known 2 min \d+ s ago$/);
    assert.equal(await s.text('sum'), '3 instances');
    assert.match(await s.page.title(), /^unknown/);
    assert.match(
      await s.page.locator('#rows td.age').first().textContent().then(String),
      /^5 s ago$/,
      'as it was then',
    );
    await s.picture('outage');

    await s.w.list(...many(3));
    await s.moment();
    await s.waitFor('known again', `document.body.className === ''`);
    await s.stop();
    await s.waitFor('no leasekeeper', contains('trouble', 'leasekeeper does not answer'));
    await s.picture('no-leasekeeper');
    assert.deepEqual(s.errors, []);
  });

  it('3 leases: what each is, what is selected stays selected while they are renewed', async (t) => {
    const s = await show(t, {}, (w) =>
      w.list(named(0), named(1, { renewedAgoMs: 60_000 }), named(2, { renewedAgoMs: 4e6 }), named(3, { holder: '' })),
    );
    await s.waitFor('shown', rows(4));
    assert.equal(await s.text('parts'), '1 live, 1 stale, 1 expired, 1 released');
    assert.deepEqual(await s.page.locator('#rows tr').evaluateAll((all) => all.map(({ className }) => className)), [
      'stale',
      'expired',
      'live',
      'released',
    ]);
    const live = s.page.locator('#rows tr.live');
    const cell = async (kind: string): Promise<string> => (await live.locator(`td.${kind}`).textContent()) ?? '';
    const { name } = named(0).metadata;
    assert.deepEqual(
      [await cell('lease'), await cell('since'), await cell('state')],
      [name, '2025-12-31 22:00:00', 'live'],
    );
    assert.equal(await cell('holder'), '…_1');
    assert.equal(await live.locator('td.holder').getAttribute('title'), `${name}_1`);
    await s.picture('states');

    await live.locator('td.lease').selectText();
    const selected = (): Promise<string> => s.page.evaluate('String(getSelection()).trim()');
    assert.equal(await selected(), name);
    // Renewed, and another one dies meanwhile, which moves rows.
    for (let i = 0; i < 3; i++) {
      await s.w.tell({ type: 'modified', lease: named(0, { renewedAgoMs: -s.w.clock.monotonic() }) });
      await s.w.tell({ type: 'added', lease: named(10 + i, { renewedAgoMs: 60_000 }) });
      await s.moment();
      await s.waitFor('the next look', contains('sum', `${3 + i} instances`));
    }
    assert.equal(await selected(), name);
    await s.page.evaluate('getSelection().removeAllRanges()');
    await s.w.tell({ type: 'deleted', lease: named(2, { renewedAgoMs: 4e6 }) });
    await s.moment();
    await s.waitFor(
      'rows in order again',
      `document.querySelector('#rows').lastElementChild.className === 'released' && ${rows(6)}`,
    );
    await s.waitFor(
      'what went',
      contains('removed', 'control-plane-0002.example.internal, its lease had expired and is gone'),
    );
    assert.deepEqual(s.errors, []);
  });

  it('has a main part, a live region, labels and names for what is read aloud', async (t) => {
    const s = await show(t, {}, (w) => w.list(...many(3)));
    await s.waitFor('shown', rows(3));
    assert.equal(await s.page.getByRole('main').count(), 1);
    assert.equal(await s.page.getByRole('searchbox', { name: 'Filter' }).count(), 1);
    assert.equal(await s.page.getByRole('table', { name: 'Leases' }).count(), 1);
    assert.equal(await s.page.getByRole('columnheader').count(), 7);
    assert.equal(await s.page.getByRole('row').count(), 4);
    assert.equal(await s.page.locator('#trouble').getAttribute('role'), 'alert');
  });

  for (const dark of [false, true])
    it(`every text stands out from what is behind it, ${dark ? 'dark' : 'light'}`, async (t) => {
      const s = await show(t, { dark }, (w) =>
        w.list(named(0), named(1, { renewedAgoMs: 60_000 }), named(2, { renewedAgoMs: 4e6 })),
      );
      await s.waitFor('shown', rows(3));
      await s.picture(dark ? 'dark' : 'light');
      await s.stop();
      await s.waitFor('trouble', contains('trouble', 'leasekeeper does not answer'));
      const poor = await s.page.evaluate(POOR_CONTRAST);
      assert.deepEqual(poor, []);
    });

  it('200 leases on a telephone: nothing is wider than 360 px', async (t) => {
    const s = await show(t, { width: 360 }, (w) =>
      w.list(...many(199), named(199, { holder: 'x'.repeat(200), hostname: `${'long.'.repeat(40)}example` })),
    );
    await s.waitFor('shown', rows(200));
    const wide = await s.page.evaluate<number>('document.documentElement.scrollWidth');
    assert.ok(wide <= 360, `${wide} px`);
    const heading = `getComputedStyle(document.querySelector('#rows td.age'), '::before').content`;
    assert.match(await s.page.evaluate<string>(heading), /Renewed/);
    await s.picture('telephone');
  });

  it('2,000 leases: those that are not live, and whatever the filter finds', async (t) => {
    const s = await show(t, {}, (w) => w.list(...many(1_999), named(1_999, { renewedAgoMs: 60_000 })));
    await s.waitFor('shown', rows(500));
    assert.equal(await s.text('found'), 'the first 500 of 2000 leases');
    assert.match((await s.page.locator('#rows td.name').first().textContent()) ?? '', /^control-plane-1999/);
    await s.picture('two-thousand');
    await s.page.getByLabel('Filter').fill('LIVE plane-123');
    await s.waitFor('filtered', rows(10));
    assert.equal(await s.text('found'), '10 of 2000 leases');
    await s.page.getByLabel('Filter').fill('stale');
    await s.waitFor('stale ones', rows(1));
    await s.picture('filtered');
    await s.page.getByLabel('Filter').fill('');
    await s.waitFor('all again', rows(500));
    // The next answer holds what has changed alone, compressed.
    const later = await s.page.request.get(`${s.url}/v1/changes?since=${await s.page.evaluate<string>('next')}`);
    assert.equal(later.headers()['content-encoding'], 'gzip');
    assert.ok(Number(later.headers()['content-length']) < 1_000);
    assert.deepEqual(s.errors, []);
  });

  it('elections: who leads, for how long nobody has, and what the last switch took', async (t) => {
    const election = (name: string, more: object) => ({
      ...{ namespace: 'default', name, held: true, holder: 'b_2', renewedSecondsAgo: 1, leaseTransitions: 4 },
      ...{ leaderlessSeconds: 0, lastSwitch: null, ...more },
    });
    const lastSwitch = { from: 'a_1', to: 'b_2', how: 'expired', seconds: 17.2, leaderlessSeconds: 2.1 };
    const empty = { held: false, holder: null, leaderlessSeconds: 75 };
    let answer: object = {
      known: true,
      error: null,
      leases: [election('job', { lastSwitch }), election('none', empty)],
    };
    const s = await show(t, { elections: () => answer }, (w) => w.list(...many(3)));
    await s.waitFor('shown', "document.querySelectorAll('#contended tr').length === 2");
    const texts = (i: number) => s.page.locator('#contended tr').nth(i).locator('td').allTextContents();
    assert.deepEqual(await texts(0), [
      'default/job',
      'b_2',
      '1 s ago',
      '4',
      'took 17 s, expired, nobody led for 2.1 s',
    ]);
    assert.deepEqual((await texts(1)).slice(0, 2), ['default/none', 'nobody for 1 min 15 s']);
    await s.picture('elections');
    answer = { known: false, error: { code: 'Unavailable', message: 'no connection' }, leases: null, last: answer };
    await s.waitFor('outage', contains('contest', 'Unknown (no connection). Below is what was known last.'));
    assert.equal(await s.page.locator('#contended tr').count(), 2);
    assert.deepEqual(s.errors, []);
  });

  it('without a script it is a table of that moment', async (t) => {
    const s = await show(t, { script: false, path: '/?plain' }, (w) => w.list(...many(3)));
    assert.equal(await s.page.locator('#rows tr').count(), 3);
    assert.equal(await s.text('sum'), '3 instances');
    await s.picture('no-script');
  });
});
