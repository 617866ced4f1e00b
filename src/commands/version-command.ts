/** `leasekeeper version`: one line for people and bug reports. */
import { version } from '../version.ts';
import { EXIT } from './command.ts';
import type { CommandInput } from './command.ts';

export function run({ io }: CommandInput): Promise<number> {
  io.out(`leasekeeper ${version} (Node.js ${process.versions.node}, ${process.platform} ${process.arch})\n`);
  return Promise.resolve(EXIT.ok);
}
