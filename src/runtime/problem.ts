/** One thing that is wrong with the options of a capability: which field, the value it has, and the rule it breaks. */
export interface OptionProblem {
  readonly field: string;
  readonly value: unknown;
  readonly rule: string;
}
