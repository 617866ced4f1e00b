/** What can go wrong, by name; which of it may in this run, and how often it did. */

export const FAULT_KINDS = [
  // One request.
  'connection refused',
  'connection reset',
  'request lost',
  'answer lost',
  'request late',
  'request slow',
  'request repeated',
  '401',
  '403',
  '429',
  '500',
  '503',
  // The API.
  'API outage',
  'no space for writes',
  'no Date',
  'compaction',
  // Watches of one process.
  'watch silent',
  'watch lost',
  'watch cut',
  'watch ended (410)',
  'watch late',
  'watch forbidden',
  // Processes and their clocks.
  'pause',
  'suspend',
  'crash',
  'stop',
  'overlapping restart',
  'clock step',
  'clock skew',
  'duplicate hostname',
  'duplicate holder',
  'server down',
  'feature gate off',
  // People, and other programs.
  'operator deletes',
  'operator edits',
  'operator steps the leader down',
  'restore',
  'node deleted',
  'node recreated',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

export class Chaos {
  readonly counts = new Map<FaultKind, number>();
  readonly #without: ReadonlySet<FaultKind>;

  constructor(without: ReadonlySet<FaultKind>) {
    this.#without = without;
  }

  allows(kind: FaultKind): boolean {
    return !this.#without.has(kind);
  }

  /** True when this may happen; then it counts as having happened. */
  inject(kind: FaultKind): boolean {
    if (!this.allows(kind)) return false;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    return true;
  }
}
