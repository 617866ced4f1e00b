/**
 * `npm run proof`: tries the faults, fuzzes the parsers, runs the simulation of services and of recipes, explores the small
 * scenarios, and prints one Markdown table of what was tried and survived. Every number is counted by the runs themselves.
 * Exit code 1 when anything was not survived.
 *
 * `-- --fuzz N` (default 5) multiplies the inputs, `--seeds N` is for the simulation, `--explore SECONDS` (default 30) for each
 * scenario that is explored (0 leaves either out), `--readme` writes the table into docs/proof.md between its markers.
 * Faults need a real API server: KUBEBUILDER_ASSETS. Without one the table says so.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FaultTried, ParserFuzzed, ProofLine, PropertyHeld } from './support/proof.ts';
import { realApiSkip } from './support/real-api.ts';
import { ScriptProgress } from './support/script-progress.ts';

const { values } = parseArgs({
  options: {
    fuzz: { type: 'string', default: '5' },
    seeds: { type: 'string' },
    explore: { type: 'string', default: '30' },
    readme: { type: 'boolean', default: false },
  },
});
const [BEGIN, END] = ['<!-- proof:begin -->', '<!-- proof:end -->'];
const SIMULATION = 'test/simulation/run.ts';
const EXPLORATION = 'test/explore/run.ts';

/** What `npm run simulate -- --json FILE` writes. */
interface Simulated {
  readonly seeds: number;
  readonly simulatedHours: number;
  readonly violations: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly mutants?: readonly { readonly rule: string; readonly caughtAfter: number | null }[];
}

/** What `npm run explore -- --json FILE` writes. */
interface ExploredScenario {
  readonly scenario: string;
  readonly runs: number;
  readonly complete: number;
  readonly seconds: number;
  readonly violation: string | null;
}

const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-proof-'));
const file = join(dir, 'proof.jsonl');
await writeFile(file, '');
let failed = false;

async function run(title: string, args: readonly string[], env: Record<string, string> = {}): Promise<void> {
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
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code === 0) return;
  failed = true;
  process.stderr.write(`${title}: ended with ${code}\n${text}\n`);
}

/** One file at a time: the faults have bounds in time. */
const TEST = ['--test', '--test-concurrency=1', '--test-reporter=spec'];
const properties = globSync('test/**/*.test.ts').filter(
  (path) => !/^test\/(fuzz|faults|simulation|e2e)\//.test(path) && readFileSync(path, 'utf8').includes("'fast-check'"),
);
const noFaults = realApiSkip();
if (!noFaults) await run('faults', [...TEST, ...globSync('test/faults/*.test.ts')]);
await run('fuzzing', [...TEST, ...globSync('test/fuzz/*.test.ts')], { FUZZ_RUNS: values.fuzz });
await run('properties', ['--import', './test/support/count-properties.ts', ...TEST, ...properties]);
const simulatedFile = join(dir, 'simulation.json');
const { seeds } = values;
if (seeds !== '0') {
  await run('simulation', [SIMULATION, '--json', simulatedFile, ...(seeds === undefined ? [] : ['--seeds', seeds])]);
}
const exploredFile = join(dir, 'exploration.json');
if (values.explore !== '0')
  await run('exploration', [EXPLORATION, '--seconds', values.explore, '--json', exploredFile]);

const lines = (await readFile(file, 'utf8'))
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as ProofLine);
const faults = lines.filter((line): line is FaultTried => line.kind === 'fault');
const parsers = lines.filter((line): line is ParserFuzzed => line.kind === 'fuzz');
const held = lines.filter((line): line is PropertyHeld => line.kind === 'property');

type Row = readonly [what: string, tried: string, survived: string, note: string];
const count = (n: number): string => n.toLocaleString('en-US');
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const inputs = (of: readonly { inputs: number }[]): number => sum(of.map((line) => line.inputs));
const all = (of: readonly { survived: boolean; inputs: number }[]): string =>
  of.every(({ survived }) => survived) ? count(inputs(of)) : 'NOT ALL';

function faultRows(): Row[] {
  if (noFaults) return [['faults of a real API server', '0', '0', noFaults]];
  return [...Map.groupBy(faults, ({ fault }) => fault)].map(([fault, tried]): Row => {
    const slowest = Math.max(...tried.map(({ backAfterMs }) => backAfterMs ?? NaN));
    const who = tried.map(({ capability }) => capability).join(', ');
    const survived = tried.filter((one) => one.survived).length;
    // Where the fault has no end there is nothing to be well after.
    const note = slowest > 0 ? `${who}; all well ${(slowest / 1000).toFixed(1)} s after its end` : who;
    return [`fault: ${fault}`, `${tried.length}`, `${survived}`, note];
  });
}

async function simulationRows(): Promise<Row[]> {
  if (!existsSync(simulatedFile))
    return [
      [
        'simulation',
        '0',
        '0',
        seeds === '0' ? 'left out of this run: `npm run simulate` prints its own' : 'it did not end',
      ],
    ];
  const told = JSON.parse(await readFile(simulatedFile, 'utf8')) as Simulated;
  if (told.violations > 0) failed = true;
  const mutants = told.mutants ?? [];
  const caught = mutants.filter(({ caughtAfter }) => caughtAfter !== null).length;
  if (caught < mutants.length) failed = true;
  return [
    [
      'simulation: seeds',
      count(told.seeds),
      told.violations === 0 ? count(told.seeds) : `${told.violations} violations`,
      `services and recipes; ${count(Math.round(told.simulatedHours))} hours`,
    ],
    ...Object.entries(told.faults).map(([kind, n]): Row => [
      `simulated fault: ${kind}`,
      count(n),
      told.violations === 0 ? count(n) : 'NOT ALL',
      '',
    ]),
    ...(mutants.length > 0
      ? [
          [
            'safety rules removed, one at a time',
            `${mutants.length}`,
            `${caught} caught`,
            `after at most ${Math.max(...mutants.map(({ caughtAfter }) => caughtAfter ?? NaN))} seeds`,
          ] as Row,
        ]
      : []),
  ];
}

async function explorationRows(): Promise<Row[]> {
  if (!existsSync(exploredFile))
    return [['exploration', '0', '0', values.explore === '0' ? 'left out of this run' : 'it did not end']];
  const { scenarios } = JSON.parse(await readFile(exploredFile, 'utf8')) as { scenarios: readonly ExploredScenario[] };
  const broken = scenarios.filter(({ violation }) => violation !== null);
  if (broken.length > 0) failed = true;
  const runs = sum(scenarios.map((one) => one.runs));
  return [
    ...scenarios.map(({ scenario, runs: tried, complete, seconds, violation }): Row => {
      const all = complete < 1 ? 'a part of those with one deviation' : `all with up to ${complete} deviations`;
      return [`explored: ${scenario}`, count(tried), violation ?? count(tried), `${all}; ${seconds} s`];
    }),
    [
      '**schedules explored, in all**',
      count(runs),
      broken.length === 0 ? count(runs) : `${broken.length} violations`,
      `${scenarios.length} scenarios, ${count(sum(scenarios.map(({ seconds }) => seconds)))} s`,
    ],
  ];
}

const rows: Row[] = [
  ...faultRows(),
  [
    '**faults of a real API server, in all**',
    count(faults.length),
    count(faults.filter(({ survived }) => survived).length),
    'fault × capability',
  ],
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
  ...(await simulationRows()),
  ...(await explorationRows()),
];
const cell = (text: string): string => text.replaceAll('|', '\\|');
const table = [
  '| what | tried | survived | |',
  '| --- | ---: | ---: | --- |',
  ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
].join('\n');
console.log(table);
await rm(dir, { recursive: true, force: true });
failed ||= lines.some(({ survived }) => !survived);
if (values.readme) {
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
process.exitCode = failed ? 1 : 0;
