/**
 * What keeps a version from being released.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseProblems } from '../../scripts/release.ts';

const MANIFEST = {
  version: '1.2.3',
  repository: { url: 'git+https://example.org/leasekeeper.git' },
  publishConfig: { provenance: true },
};
const CHANGELOG = '# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n\n### Added\n\n- This.\n';

test('ready', () => {
  assert.deepEqual(releaseProblems(MANIFEST, CHANGELOG), []);
});

for (const [what, manifest, changelog, expected] of [
  ['no repository', { ...MANIFEST, repository: undefined }, CHANGELOG, /repository is missing/],
  ['no provenance', { ...MANIFEST, publishConfig: {} }, CHANGELOG, /provenance must be true/],
  ['another version', { ...MANIFEST, version: '1.3.0' }, CHANGELOG, /no section \[1\.3\.0\]/],
  ['no version', { ...MANIFEST, version: 'next' }, CHANGELOG.replace('1.2.3', 'next'), /version next is none/],
  ['no date', MANIFEST, CHANGELOG.replace(' - 2026-01-02', ''), /has no date/],
  ['nothing to tell', MANIFEST, CHANGELOG.replace(/### Added.*/s, ''), /\[1\.2\.3\] is empty/],
  ['left over', MANIFEST, CHANGELOG.replace('d]\n', 'd]\n\n- That.\n'), /move what is under \[Unreleased\]/],
] as const) {
  test(what, () => {
    const problems = releaseProblems(manifest as typeof MANIFEST, changelog);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0] ?? '', expected);
  });
}
