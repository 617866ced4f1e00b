/**
 * Prepares a release: checks that everything is ready, and makes the tag. It publishes nothing and pushes nothing.
 *
 * `node scripts/release.ts` checks and tags; `--check` only looks at what is known at once: version, changelog, tag,
 * package.json, working tree. All that is wrong is printed, with exit code 1.
 *
 * What is tagged is published by CI (`npm publish` on the tag): provenance can only be signed where a CI's identity vouches
 * for the build, with permission to ask for it (GitHub Actions: `id-token: write`).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What must pass before a tag, in order: the quick ones first. */
const STEPS = [
  ['typecheck'],
  ['lint'],
  ['docs', '--', '--check'],
  ['test:all'],
  ['build'],
  ['check-package'],
  ['stranger'],
];

interface Manifest {
  readonly version: string;
  readonly repository?: string | { readonly url?: string };
  readonly publishConfig?: { readonly provenance?: boolean; readonly access?: string };
}

/** What keeps this version of this changelog from being released; empty when nothing does. */
export function releaseProblems(manifest: Manifest, changelog: string): string[] {
  const problems: string[] = [];
  const { version, repository, publishConfig } = manifest;
  if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) problems.push(`package.json: version ${version} is none`);
  const url = typeof repository === 'string' ? repository : repository?.url;
  if (url === undefined || url === '') {
    problems.push('package.json: repository is missing: the registry compares it with where the provenance was signed');
  }
  if (publishConfig?.provenance !== true) problems.push('package.json: publishConfig.provenance must be true');
  const sections = changelog.split(/^(?=## )/m).slice(1);
  const titled = (title: string): string | undefined => sections.find((text) => text.startsWith(`## [${title}]`));
  const body = (text: string): string => text.replace(/^.*\n/, '').trim();
  const unreleased = titled('Unreleased');
  if (unreleased === undefined) problems.push('CHANGELOG.md: no section [Unreleased]');
  else if (body(unreleased) !== '') problems.push(`CHANGELOG.md: move what is under [Unreleased] to [${version}]`);
  const released = titled(version);
  if (released === undefined) problems.push(`CHANGELOG.md: no section [${version}]`);
  else {
    if (!/^## \[[^\]]+\] - \d{4}-\d\d-\d\d$/m.test(released)) problems.push(`CHANGELOG.md: [${version}] has no date`);
    if (body(released) === '') problems.push(`CHANGELOG.md: [${version}] is empty`);
  }
  return problems;
}

const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();

if (import.meta.main) {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
  const problems = releaseProblems(manifest, await readFile(join(root, 'CHANGELOG.md'), 'utf8'));
  const tag = `v${manifest.version}`;
  if (git('tag', '--list', tag) !== '') problems.push(`git: ${tag} exists already`);
  if (git('status', '--porcelain') !== '') problems.push('git: the working tree has changes');
  for (const problem of problems) console.error(`release: ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
  else if (!process.argv.includes('--check')) {
    const failed = STEPS.find(([script = '', ...args]) => {
      console.log(`release: npm run ${script}`);
      return spawnSync('npm', ['run', '--silent', script, ...args], { cwd: root, stdio: 'inherit' }).status !== 0;
    });
    if (failed !== undefined) {
      console.error(`release: npm run ${failed[0]} failed; nothing was tagged`);
      process.exitCode = 1;
    } else {
      git('tag', '--annotate', tag, '--message', `leasekeeper ${manifest.version}`);
      console.log(`release: tagged ${tag}. Push the tag; CI publishes it, with provenance: npm publish`);
    }
  }
}
