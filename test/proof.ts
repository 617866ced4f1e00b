/**
 * `npm run proof`: what was tried and survived, as one Markdown table, counted by the runs themselves. Exit code 1 when anything
 * was not survived, or is not there.
 *
 * Its parts are below, each with its default: faults, inputs, upstream, simulation, mutants, exploration, explored-mutants,
 * contend. All of them take about forty minutes on two processors that are otherwise idle. A part that ended well leaves a
 * record, which names the code that it was made on (the trees of src and test, and the packages): it is taken as it is for as long as that code
 * and the part's setting are the same. So parts can be run at different times, at the same time, or by several people.
 *
 * `-- --parts a,b` runs these (and makes no page), `--seeds N` (each kind of worlds), `--fuzz N` (multiplies the inputs),
 * `--explore SECONDS` (each scenario), `--contend MINUTES` (each contest), `--records DIR` (default node_modules/.cache/proof),
 * `--readme` writes the table into docs/proof.md between its markers, if all was survived. Faults, upstream and contend need a
 * real API server: KUBEBUILDER_ASSETS.
 */
import { execFileSync, spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FaultTried, ParserFuzzed, ProofLine, PropertyHeld } from './support/proof.ts';
import { realApiSkip } from './support/real-api.ts';
import { ScriptProgress } from './support/script-progress.ts';

const { values } = parseArgs({
  options: {
    parts: { type: 'string' },
    fuzz: { type: 'string', default: '5' },
    seeds: { type: 'string', default: '10000' },
    explore: { type: 'string', default: '150' },
    contend: { type: 'string', default: '2.5' },
    records: { type: 'string', default: 'node_modules/.cache/proof' },
    readme: { type: 'boolean', default: false },
  },
});
const [BEGIN, END] = ['<!-- proof:begin -->', '<!-- proof:end -->'];

/** What `npm run simulate -- --json FILE` writes. */
interface Simulated {
  readonly seeds: number;
  readonly simulatedHours: number;
  readonly violations: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly mutants: readonly { readonly rule: string; readonly caughtAfter: number | null }[];
}

/** What `npm run explore -- --json FILE` writes. */
interface ExploredScenario {
  readonly scenario: string;
  readonly runs: number;
  readonly complete: number;
  readonly seconds: number;
  readonly violation: string | null;
}

/** What `npm run explore -- --mutants= --json FILE` writes. */
interface ExploredRules {
  readonly rules: readonly { readonly rule: string; readonly by: string | null }[];
  readonly outside: readonly { readonly reason: string; readonly rules: readonly string[] }[];
}

/** What `npm run contend -- --json FILE` writes. */
interface Contended {
  readonly what: string;
  readonly rounds: number;
  readonly problems: number;
  readonly summary: readonly string[];
}

type Row = readonly [what: string, tried: string, survived: string, note: string];

interface Part {
  /** What it was run with: a record of another setting is none. */
  readonly setting: string;
  /** Runs it, and gives its rows. Where something was not survived, `failed` is set. */
  run(): Promise<readonly Row[]>;
}

/** Of one part, as its file holds it. */
interface ProofRecord {
  readonly code: string;
  readonly commit: string;
  readonly setting: string;
  readonly minutes: number;
  readonly rows: readonly Row[];
}

const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
const PROVED = ['src', 'test', 'package-lock.json'];
const commit = git('rev-parse', '--short', 'HEAD');
const code = PROVED.map((path) => git('rev-parse', `HEAD:${path}`)).join(' ');
if (git('status', '--porcelain', '--', ...PROVED) !== '') {
  throw new Error('src, test or package-lock.json differ from HEAD: a proof is of one commit');
}

const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-proof-'));
let failed = false;

/** Runs one program of this project to its end, and gives the lines of PROOF_FILE that it wrote. */
async function run(title: string, args: readonly string[], env: Record<string, string> = {}): Promise<ProofLine[]> {
  const file = join(dir, `${title}.jsonl`);
  await writeFile(file, '');
  process.stderr.write(`${title} …\n`);
  using progress = new ScriptProgress();
  progress.begin(title);
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PROOF_FILE: file, ...env },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => (text = (text + piece).slice(-20_000)));
  }
  const ended = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (ended !== 0) {
    failed = true;
    process.stderr.write(`${title}: ended with ${ended}\n${text}\n`);
  }
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as ProofLine);
}

/** The same for a program that writes its figures as JSON. */
async function figures<T>(title: string, args: readonly string[]): Promise<T> {
  const file = join(dir, `${title}.json`);
  await run(title, [...args, '--json', file]);
  return JSON.parse(await readFile(file, 'utf8')) as T;
}

/** Inputs that no run had before, unless FUZZ_SEED says which; a failure prints its seed. */
const FRESH = { FUZZ_SEED: process.env['FUZZ_SEED'] ?? 'random' };
/** One file at a time: the faults have bounds in time. */
const TEST = ['--test', '--test-concurrency=1', '--test-reporter=spec'];
const count = (n: number): string => n.toLocaleString('en-US');
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const inputs = (of: readonly { inputs: number }[]): number => sum(of.map((line) => line.inputs));
const all = (of: readonly { survived: boolean; inputs: number }[]): string =>
  of.every(({ survived }) => survived) ? count(inputs(of)) : 'NOT ALL';

function needRealApi(): void {
  const skip = realApiSkip();
  if (skip) throw new Error(skip);
}

async function faults(): Promise<Row[]> {
  needRealApi();
  const lines = (await run('faults', [...TEST, ...globSync('test/faults/*.test.ts')])) as FaultTried[];
  return [
    ...[...Map.groupBy(lines, ({ fault }) => fault)].map(([fault, tried]): Row => {
      const slowest = Math.max(...tried.map(({ backAfterMs }) => backAfterMs ?? NaN));
      const who = tried.map(({ capability }) => capability).join(', ');
      const survived = tried.filter((one) => one.survived).length;
      // Where the fault has no end there is nothing to be well after.
      const note = slowest > 0 ? `${who}; all well ${(slowest / 1000).toFixed(1)} s after its end` : who;
      return [`fault: ${fault}`, `${tried.length}`, `${survived}`, note];
    }),
    [
      '**faults of a real API server, in all**',
      count(lines.length),
      count(lines.filter(({ survived }) => survived).length),
      'fault × capability',
    ],
  ];
}

async function fuzzed(): Promise<Row[]> {
  const properties = globSync('test/**/*.test.ts').filter(
    (path) =>
      !/^test\/(fuzz|faults|simulation|e2e)\//.test(path) && readFileSync(path, 'utf8').includes("/fast-check.ts'"),
  );
  const fuzz = [...TEST, ...globSync('test/fuzz/*.test.ts')];
  const parsers = (await run('fuzzing', fuzz, { ...FRESH, FUZZ_RUNS: values.fuzz })) as ParserFuzzed[];
  const counted = ['--import', './test/support/count-properties.ts', ...TEST, ...properties];
  const held = (await run('properties', counted, FRESH)) as PropertyHeld[];
  return [
    ...[...Map.groupBy(parsers, ({ parser }) => parser)].map(([parser, of]): Row => [
      `parser: ${parser}`,
      count(inputs(of)),
      all(of),
      '',
    ]),
    ...[...Map.groupBy(held, ({ file: path }) => path)].map(([path, of]): Row => [
      `properties: ${path}`,
      count(inputs(of)),
      all(of),
      '',
    ]),
    ['**inputs, in all**', count(inputs(parsers) + inputs(held)), all([...parsers, ...held]), ''],
  ];
}

async function upstream(): Promise<Row[]> {
  needRealApi();
  const lines = (await run('upstream', [
    ...TEST,
    '--test-reporter-destination=stdout',
    '--test-reporter=./test/support/proof-reporter.ts',
    `--test-reporter-destination=${join(dir, 'upstream.jsonl')}`,
    ...globSync('test/upstream/*.test.ts'),
  ])) as unknown as { passed: boolean; skipped: boolean }[];
  const tried = lines.filter(({ skipped }) => !skipped);
  const skipped = lines.length - tried.length;
  return [
    [
      '**upstream’s own assertions**',
      count(tried.length),
      count(tried.filter(({ passed }) => passed).length),
      skipped > 0 ? `${skipped} more need a full API server, or client-go` : '',
    ],
  ];
}

async function simulation(): Promise<Row[]> {
  const args = ['test/simulation/run.ts', '--no-mutants', '--seeds', values.seeds];
  const { seeds, violations, simulatedHours, faults: kinds } = await figures<Simulated>('simulation', args);
  if (violations > 0) failed = true;
  const survived = (n: number): string => (violations === 0 ? count(n) : 'NOT ALL');
  return [
    ...Object.entries(kinds).map(([kind, n]): Row => [`simulated fault: ${kind}`, count(n), survived(n), '']),
    [
      '**simulated worlds, in all**',
      count(seeds),
      violations === 0 ? count(seeds) : `${violations} violations`,
      `services and recipes; ${count(Math.round(simulatedHours))} hours`,
    ],
  ];
}

async function mutants(): Promise<Row[]> {
  const { mutants: hunted } = await figures<Simulated>('mutants', ['test/simulation/run.ts', '--no-seeds']);
  const caught = hunted.filter(({ caughtAfter }) => caughtAfter !== null);
  if (caught.length < hunted.length) failed = true;
  return [
    [
      '**safety rules taken out, one at a time**',
      `${hunted.length}`,
      `${caught.length} noticed`,
      `after at most ${Math.max(...caught.map(({ caughtAfter }) => caughtAfter!))} worlds`,
    ],
  ];
}

async function exploration(): Promise<Row[]> {
  // More deviations than are done in that time: what has all with two goes on for as long as the others.
  const args = ['test/explore/run.ts', '--seconds', values.explore, '--deviations', '3'];
  const { scenarios } = await figures<{ scenarios: readonly ExploredScenario[] }>('exploration', args);
  const broken = scenarios.filter(({ violation }) => violation !== null);
  if (broken.length > 0) failed = true;
  const runs = sum(scenarios.map((one) => one.runs));
  return [
    ...scenarios.map(({ scenario, runs: tried, complete, seconds, violation }): Row => {
      const which =
        complete < 1
          ? 'a part of those with one deviation'
          : complete === 1
            ? 'all with one deviation'
            : `all with up to ${complete} deviations`;
      return [`explored: ${scenario}`, count(tried), violation ?? count(tried), `${which}; ${seconds} s`];
    }),
    [
      '**schedules explored, in all**',
      count(runs),
      broken.length === 0 ? count(runs) : `${broken.length} violations`,
      `${scenarios.length} scenarios, ${count(sum(scenarios.map(({ seconds }) => seconds)))} s`,
    ],
  ];
}

/** Longest time of one rule in one scenario; nearly all take a second or two. */
const HUNT_SECONDS = '60';

async function exploredMutants(): Promise<Row[]> {
  const args = ['test/explore/run.ts', '--mutants=', '--seconds', HUNT_SECONDS];
  const { rules, outside } = await figures<ExploredRules>('explored mutants', args);
  const left = rules.filter(({ by }) => by === null).map(({ rule }) => rule);
  if (left.length > 0) failed = true;
  return [
    ...outside.map(({ reason, rules: out }): Row => [
      `out of the exploration’s reach: ${reason}`,
      `${out.length}`,
      '',
      out.join('; '),
    ]),
    [
      '**safety rules within its reach taken out, one at a time**',
      `${rules.length}`,
      `${rules.length - left.length} noticed`,
      left.length > 0 ? `not: ${left.join('; ')}` : `each by a schedule with at most two deviations`,
    ],
  ];
}

async function contended(): Promise<Row[]> {
  needRealApi();
  const args = ['test/contend/run.ts', '--minutes', values.contend];
  const contests = await figures<readonly Contended[]>('contend', args);
  return contests.map(({ what, rounds, problems, summary }) => {
    if (problems > 0) failed = true;
    const survived = problems === 0 ? count(rounds) : `${problems} problems`;
    return [`**rounds of contention in ${values.contend} min: ${what}**`, count(rounds), survived, summary.join('; ')];
  });
}

const PARTS: Readonly<Record<string, Part>> = {
  faults: { setting: '', run: faults },
  inputs: { setting: values.fuzz, run: fuzzed },
  upstream: { setting: '', run: upstream },
  simulation: { setting: values.seeds, run: simulation },
  mutants: { setting: '', run: mutants },
  exploration: { setting: values.explore, run: exploration },
  'explored-mutants': { setting: HUNT_SECONDS, run: exploredMutants },
  contend: { setting: values.contend, run: contended },
};

async function recordOf(name: string): Promise<ProofRecord | undefined> {
  const text = await readFile(join(values.records, `${name}.json`), 'utf8').catch(() => undefined);
  const found = text === undefined ? undefined : (JSON.parse(text) as ProofRecord);
  return found?.code === code && found.setting === PARTS[name]!.setting ? found : undefined;
}

async function prove(name: string): Promise<ProofRecord> {
  const { setting, run: begin } = PARTS[name]!;
  const began = performance.now();
  failed = false;
  const rows = await begin().catch((error: unknown): Row[] => {
    failed = true;
    process.stderr.write(`${name}: ${String(error)}\n`);
    return [[`**${name}**`, '0', '0', 'IT DID NOT END']];
  });
  const minutes = Math.round((performance.now() - began) / 6_000) / 10;
  const made = { code, commit, setting, minutes, rows };
  if (failed) return made;
  await mkdir(values.records, { recursive: true });
  await writeFile(join(values.records, `${name}.json`), `${JSON.stringify(made, null, 2)}\n`);
  return made;
}

const chosen = values.parts?.split(',') ?? Object.keys(PARTS);
const unknown = chosen.filter((name) => !(name in PARTS));
if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: the parts are ${Object.keys(PARTS).join(', ')}`);
const made: ProofRecord[] = [];
let broken = false;
for (const name of chosen) {
  const found = await recordOf(name);
  if (found) process.stderr.write(`${name}: recorded on ${found.commit}, ${found.minutes} min\n`);
  const one = found ?? (await prove(name));
  if (!found) broken ||= failed;
  made.push(one);
}
await rm(dir, { recursive: true, force: true });

const cell = (text: string): string => text.replaceAll('|', '\\|');
const commits = [...new Set(made.map((one) => one.commit))].join(', ');
const minutes = Math.round(sum(made.map((one) => one.minutes)));
const table = [
  `The code of ${commits}, ${minutes} minutes on ${availableParallelism()} processors, Node ${process.versions.node}:`,
  '',
  '| what | tried | survived | |',
  '| --- | ---: | ---: | --- |',
  ...made.flatMap(({ rows }) => rows).map((row) => `| ${row.map(cell).join(' | ')} |`),
].join('\n');
console.log(table);
if (values.readme && values.parts === undefined && !broken) {
  const readme = await readFile('docs/proof.md', 'utf8');
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`docs/proof.md lacks ${BEGIN} … ${END}`);
  const { format, resolveConfig } = await import('prettier');
  const written = `${readme.slice(0, from + BEGIN.length)}\n\n${table}\n\n${readme.slice(to)}`;
  await writeFile(
    'docs/proof.md',
    await format(written, { ...(await resolveConfig('docs/proof.md')), filepath: 'docs/proof.md' }),
  );
}
process.exitCode = broken ? 1 : 0;
