/**
 * A socket as systemd's NOTIFY_SOCKET, and what was sent to it. Node has no such socket: perl, which every Debian has, holds
 * it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { leaveNothing } from './children.ts';

const RECEIVER = `
use Socket; $| = 1;
my $s;
socket($s, AF_UNIX, SOCK_DGRAM, 0) && bind($s, sockaddr_un($ARGV[0])) or die $!;
print "bound\\n";
while (defined recv($s, my $m, 65536, 0)) { $m =~ s/\\n/ /g; print "$m\\n" }`;

/** Why there can be none; false: there can. */
export function notifySkip(): string | false {
  const missing = (['perl', 'systemd-notify'] as const).filter((name) => spawnSync(name, ['--version']).error);
  return missing.length > 0 && `${missing.join(' and ')}: not installed`;
}

export interface NotifySocket {
  readonly path: string;
  /** One string a message, its lines apart by spaces; the barriers of systemd-notify left out. */
  readonly messages: readonly string[];
}

export async function notifySocket(t: { after(hook: () => void): void }, directory: string): Promise<NotifySocket> {
  const path = join(directory, 'notify');
  const child = spawn('perl', ['-e', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  leaveNothing(child);
  t.after(() => child.kill('SIGKILL'));
  const messages: string[] = [];
  const lines = createInterface({ input: child.stdout });
  const [first] = (await Promise.race([once(lines, 'line'), once(child, 'exit')])) as unknown[];
  if (first !== 'bound') throw new Error(`perl ended: ${String(first)}`);
  lines.on('line', (line) => line === 'BARRIER=1' || messages.push(line));
  return { path, messages };
}
