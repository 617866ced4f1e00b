/**
 * What deploy/Containerfile says. What it copies is run in image.slow.test.ts; `npm run image-check` builds it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { version } from '../../src/version.ts';
import { ROOT, instructions, text } from './support.ts';

const IMAGE = '/image';
/** Of the image's user. */
const UID = 65_532;

describe('deploy/Containerfile', () => {
  it('keeps what it does not copy out of the context', async () => {
    const copied = instructions()
      .filter(({ stage, word }) => stage === 0 && word === 'COPY')
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1));
    const ignore = (await readFile(join(ROOT, '.dockerignore'), 'utf8'))
      .split('\n')
      .filter((line) => /^[^#]/.test(line));
    assert.deepEqual(ignore.sort(), ['*', ...copied.map((path) => `!${path}`)].sort());
  });

  it('ends as user 65532, with the program as its entry and no shell form', () => {
    const last = instructions().filter(({ stage }) => stage === 1);
    const of = (word: string): string[] => last.filter((one) => one.word === word).map(({ rest }) => rest);
    assert.deepEqual(of('FROM'), ['$' + '{RUNTIME_IMAGE}']);
    assert.match(text('Containerfile'), /^ARG RUNTIME_IMAGE=gcr\.io\/distroless\/nodejs24-debian13:nonroot$/m);
    assert.match(
      of('LABEL').join(),
      new RegExp(`org\\.opencontainers\\.image\\.version="${version.replaceAll('.', '\\.')}"`),
    );
    assert.deepEqual(of('COPY'), [`--from=build ${IMAGE} /leasekeeper`]);
    assert.deepEqual(of('USER'), [`${UID}:${UID}`]);
    assert.deepEqual(JSON.parse(of('ENTRYPOINT')[0]!), ['/nodejs/bin/node', '/leasekeeper/dist/cli.js']);
    assert.deepEqual([...of('RUN'), ...of('CMD')], []);
  });
});
