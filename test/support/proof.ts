/**
 * What a run tried and survived, reported by the run itself: a line of JSON for each fault and each fuzzed parser, appended to the
 * file that PROOF_FILE names. Without that variable nothing is written.
 *
 * Guarantees: a line is one write, so that test files which run at the same time do not mix theirs.
 */
import { appendFileSync } from 'node:fs';

/** One fault against one capability. */
export interface FaultTried {
  readonly kind: 'fault';
  readonly fault: string;
  readonly capability: string;
  readonly survived: boolean;
  /** Milliseconds from the fault's end until all was well again. */
  readonly backAfterMs?: number;
}

/** One property of one parser. */
export interface ParserFuzzed {
  readonly kind: 'fuzz';
  readonly parser: string;
  /** Inputs that it was given, counted as they were. */
  readonly inputs: number;
  readonly survived: boolean;
}

/** One property of a test file outside test/fuzz. */
export interface PropertyHeld {
  readonly kind: 'property';
  readonly file: string;
  readonly inputs: number;
  readonly survived: boolean;
}

export type ProofLine = FaultTried | ParserFuzzed | PropertyHeld;

export function record(line: ProofLine): void {
  const file = process.env['PROOF_FILE'];
  if (file) appendFileSync(file, `${JSON.stringify(line)}\n`);
}
