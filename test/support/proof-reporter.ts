/** A reporter of node:test: a line of JSON for each test that is none of others, as `npm run proof` counts them. */
import type { TestEvent } from 'node:test/reporters';

export default async function* proofReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of source) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details.type === 'suite') continue;
    yield `${JSON.stringify({ passed: type === 'test:pass', skipped: data.skip !== undefined })}\n`;
  }
}
