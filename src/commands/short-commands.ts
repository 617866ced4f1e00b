/**
 * The commands that look once and end, `count`, `get` and `leases`: built into one file, since to look for and read each of thirty
 * took a fifth of their time. Every other command is reached through main.ts.
 */
import * as count from './count-command.ts';
import * as get from './get-command.ts';
import * as leases from './leases-command.ts';
import type { Io } from './command.ts';
import { main as run } from './main.ts';

export { finish } from './main.ts';

/** Imported here: a module that is only loaded when it is asked for is a function, and so is all that it needs. */
const HERE = { count, get, leases };

export const main = (argv: readonly string[], io?: Io): Promise<number> => run(argv, io, HERE);
