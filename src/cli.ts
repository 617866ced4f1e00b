#!/usr/bin/env node
/**
 * The program's entry: checks the Node version, runs one command, ends the process with its exit code.
 *
 * Guarantees: built, it is understood by every Node since 12.20, so that an old one gets one line instead of a syntax
 * error; nothing else is loaded before that check. It is the only file that exits the process. An unexpected error is
 * one line on stderr and exit code 1, with a stack trace only for --log-level=debug. A reader of stdout that goes
 * away (`| head`) is no error: a command that listens for SIGTERM is asked to stop by it, any other ends with 0.
 *
 * No static imports here: they would be loaded before the check.
 */

/** The floor of package.json's `engines`, which is client-node's and undici's own. */
const FLOOR = { major: 22, minor: 19 };

function run(): void {
  const current = process.versions.node;
  const [major = 0, minor = 0] = current.split('.').map(Number);
  if (major < FLOOR.major || (major === FLOOR.major && minor < FLOOR.minor)) {
    process.stderr.write(
      'leasekeeper: needs Node.js ' + FLOOR.major + '.' + FLOOR.minor + ' or later, this is ' + current + '\n',
    );
    process.exitCode = 2;
    return;
  }
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  process.stdout.on('error', stdoutFailed);
  const built = !import.meta.url.endsWith('.ts');
  // Saves parsing the program again at each start. Where the cache cannot be written Node goes on without.
  const cache = built ? cacheDirectory() : undefined;
  if (cache !== undefined) process.getBuiltinModule('node:module').enableCompileCache(cache);
  const args = process.argv.slice(2);
  // kubectl asks a program of this name what a plugin's words may become.
  if (/[/\\]kubectl_complete-[^/\\]*$/.test(process.argv[1] ?? '')) args.unshift('__complete');
  const [command = ''] = args;
  const short = /^(count|get|leases)$/.test(command) && !args.some((word) => /^(-h|--help|help)$/.test(word));
  if (!short) commands = import('./commands/main.ts');
  else commands = built ? shortCommands(command, cache) : import('./commands/short-commands.ts');
  commands.then(({ main }) => main(args)).then(end, fail);
}

type Commands = Pick<typeof import('./commands/main.ts'), 'main' | 'finish'>;
let commands: Promise<Commands>;

/**
 * Runs the script of the short commands from what V8 compiled of it. Node's own cache holds a file as it was before it ran:
 * nearly every function of it is compiled again at each start, a tenth of all that a short command takes. Here it is kept
 * as it is once a command has succeeded.
 */
async function shortCommands(command: string, cache: string | undefined): Promise<Commands> {
  const fs = process.getBuiltinModule('node:fs');
  const vm = process.getBuiltinModule('node:vm');
  const script = new URL('./cli/short-commands.cjs', import.meta.url);
  const source = fs.readFileSync(script, 'latin1');
  // V8 sees to its own version and flags, but of the script to its length alone: its hash begins it.
  const hash = source.slice(2, 18);
  const file = cache && cache + '/' + command + '-' + process.version + '-' + process.arch + '-' + hash;
  let cachedData: Buffer | undefined;
  try {
    // V8 crashes on what is damaged. Here it lies twice: comparing takes less than loading what could make a checksum.
    const twice = file && fs.readFileSync(file);
    const half = twice && twice.subarray(0, twice.length / 2);
    if (twice && half && half.equals(twice.subarray(half.length))) cachedData = half;
  } catch {
    // Not yet.
  }
  const compiled = new vm.Script(source, { filename: script.href, cachedData });
  const module = {} as { exports: Commands };
  const run = compiled.runInThisContext() as (into: typeof module, importFile: (path: string) => unknown) => void;
  // A script imports nothing by itself.
  run(module, (path) => import(path));
  if (file && (cachedData === undefined || compiled.cachedDataRejected)) {
    process.once('exit', (code) => {
      if (code !== 0) return;
      const fresh = file + '.' + process.pid;
      try {
        // Whole or not at all, also for one that starts now.
        const data = compiled.createCachedData();
        fs.writeFileSync(fresh, Buffer.concat([data, data]), { mode: 0o600, flag: 'wx' });
        fs.renameSync(fresh, file);
      } catch {
        // The next one goes on without, too; but a full disk keeps no half of it.
        try {
          fs.unlinkSync(fresh);
        } catch {
          // Nothing was written.
        }
      }
    });
  }
  return module.exports;
}

/**
 * The user's own; undefined where there is none. What lies in a cache is run unseen: nobody else may write there (`sudo` may
 * keep the home of who calls it), and Node's default is in /tmp, where any other user of the machine could have made it before.
 * It is made here: Node would make a missing home as well, and tries forever where the system lets nobody make one (/proc).
 */
function cacheDirectory(): string | undefined {
  if (process.env['NODE_DISABLE_COMPILE_CACHE']) return undefined;
  const { XDG_CACHE_HOME: caches, HOME: home, LOCALAPPDATA: local } = process.env;
  if (process.platform === 'win32') return local && local + '\\leasekeeper';
  const own = caches !== undefined && caches.startsWith('/') ? caches : home && home + '/.cache';
  if (!own || !own.startsWith('/')) return undefined;
  const { mkdirSync, statSync } = process.getBuiltinModule('node:fs');
  const cache = own + '/leasekeeper';
  try {
    const isOurs = (path: string): boolean => statSync(path).uid === process.geteuid!();
    // Nothing is made in the home of another.
    if (own !== caches && !isOurs(home!)) return undefined;
    for (const path of [own, cache]) {
      try {
        mkdirSync(path, 0o700);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return undefined;
      }
    }
    return isOurs(cache) && (statSync(cache).mode & 0o022) === 0 ? cache : undefined;
  } catch {
    return undefined;
  }
}

/** Ends the process once what was written so far has gone out, as far as anybody reads it. */
function end(code: number, lastWords?: string): void {
  // What has failed stays failed, also when the command itself comes to its end before or after.
  process.exitCode = failed ? 1 : code;
  void commands
    .then(({ finish }) => finish(lastWords))
    .catch(() => {
      // What should have been loaded is not there.
      if (lastWords !== undefined) process.stderr.write(lastWords);
      return true;
    })
    .then((free) => {
      if (free || !process.execve) process.exit();
      // An exit waits for all threads, and one is stuck in a write to stderr. Another program in this process has none.
      process.execve(process.execPath, [process.execPath, '-e', 'process.exitCode = ' + process.exitCode], {});
    });
}

let failed = false;

function fail(error: unknown): void {
  if (failed) return;
  failed = true;
  const wantsStack = isDebug(process.argv.slice(2), process.env['LEASEKEEPER_LOG_LEVEL']);
  end(1, 'leasekeeper: ' + describe(error, wantsStack) + '\n');
}

function describe(error: unknown, wantsStack: boolean): string {
  if (wantsStack && error instanceof Error && error.stack !== undefined) return printable(error.stack);
  const text = !(error instanceof Error) ? String(error) : error.message === '' ? error.name : error.message;
  return printable(text.replace(/\s*\n\s*/g, ' '));
}

/** As runtime/printable.ts, which is not loaded yet, but for line breaks: a server's words must not steer a terminal. */
function printable(text: string): string {
  return text.replace(/(?!\n)[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? '\\x' + code.toString(16).padStart(2, '0') : '\\u{' + code.toString(16) + '}';
  });
}

/** Whether debug logging was asked for. Read here by hand: the error may come from before options were parsed. */
function isDebug(args: readonly string[], environment: string | undefined): boolean {
  let level = environment;
  for (let i = 0; i < args.length && args[i] !== '--'; i++) {
    const arg = args[i] ?? '';
    if (arg === '--log-level') level = args[i + 1];
    else if (arg.startsWith('--log-level=')) level = arg.slice('--log-level='.length);
  }
  return level === 'debug' || level === 'trace';
}

let readerGone = false;

function stdoutFailed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') {
    fail(error);
    return;
  }
  if (readerGone) return;
  readerGone = true;
  // A service gives its leases up in order, as for any other request to stop.
  if (process.listenerCount('SIGTERM') > 0) process.emit('SIGTERM', 'SIGTERM');
  else process.exit(0);
}

run();
