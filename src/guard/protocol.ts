/**
 * What leasekeeper and its watchdog say to each other: a JSON document a line, over one socket.
 */
import type { Instant } from './instant.ts';

/** The watchdog's file descriptor of the socket. */
export const FD = 3;

/** To the watchdog. */
export type Order =
  | {
      readonly do: 'start';
      readonly command: string;
      readonly args: readonly string[];
      readonly env: Readonly<Record<string, string | undefined>>;
      /** Milliseconds from being asked to end until being killed. */
      readonly graceMs: number;
      readonly endAt: Instant;
      readonly killAt: Instant;
    }
  /** The lease was renewed. Answered by `heard` with the same number. */
  | { readonly do: 'extend'; readonly n: number; readonly endAt: Instant; readonly killAt: Instant }
  /** Asks the whole group to end. */
  | { readonly do: 'end'; readonly signal: NodeJS.Signals }
  /** For the command alone: what it makes of it is its business. */
  | { readonly do: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly do: 'kill' };

/** From the watchdog. */
export type Report =
  /** `bound`: the kernel ends the command's process with the watchdog. */
  | { readonly report: 'started'; readonly pid: number; readonly bound: boolean }
  | { readonly report: 'notStarted'; readonly code: string; readonly message: string }
  | { readonly report: 'heard'; readonly n: number }
  /** Nothing of the group is left. `asked`: it was asked to end before it did. */
  | {
      readonly report: 'ended';
      readonly code: number | null;
      readonly signal: NodeJS.Signals | null;
      readonly asked: boolean;
    };

export const encode = (message: Order | Report): string => `${JSON.stringify(message)}\n`;

/** Takes pieces of text and gives the messages that they complete. */
export function decoder<Message extends Order | Report>(take: (message: Message) => void): (piece: string) => void {
  let rest = '';
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(JSON.parse(line) as Message);
  };
}
