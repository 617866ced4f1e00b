/**
 * The commands that look once and end, `count`, `get` and `leases`: built into one file, since to look for and read each of thirty
 * took a fifth of their time. Every other command is reached through main.ts.
 */
export { finish, main } from './main.ts';
