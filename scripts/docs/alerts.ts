/**
 * docs/alerts.md and docs/deploy.md's table of alerts, from the rules of deploy/overlays/monitoring.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const RULES_FILE = 'deploy/overlays/monitoring/rules.yaml';

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  /** `description`: what it means; `runbook`: what to do. */
  readonly annotations: Readonly<Record<'summary' | 'description' | 'runbook', string>>;
}

interface Recording {
  readonly record: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Group {
  readonly name: string;
  readonly rules: readonly (Alert | Recording)[];
}

export function ruleGroups(): Group[] {
  const text = readFileSync(fileURLToPath(new URL(`../../${RULES_FILE}`, import.meta.url)), 'utf8');
  return (parse(text) as { spec: { groups: Group[] } }).spec.groups;
}

export const alerts = (): Alert[] =>
  ruleGroups().flatMap(({ rules }) => rules.filter((rule): rule is Alert => 'alert' in rule));

const anchor = (name: string): string => `alerts.md#${name.toLowerCase()}`;
/** The first sentence. */
const first = (words: string): string => words.slice(0, words.search(/\.(?= |$)/));

export function alertsPage(): string {
  return [
    '<!-- Made by `npm run docs`; do not edit. -->',
    '# Alerts',
    `The rules of [${RULES_FILE}](../${RULES_FILE}): what each means, and what to do. They are grouped by \`cluster\` (the label ` +
      'that you give each Prometheus; without one it is empty), by `lease_namespace` and by `product`. How many servers there ' +
      'should be is a number in the group `leasekeeper.expected`, a line for each product: set your own.',
    ...alerts().flatMap(({ alert, expr, for: after, labels, annotations }) => [
      `## ${alert}`,
      `${labels.severity === 'critical' ? '**Critical**' : 'Warning'}${after === undefined ? '' : `, after ${after}`}. ${annotations.description}`,
      `What to do: ${annotations.runbook}`,
      `\`\`\`promql\n${expr.trim()}\n\`\`\``,
    ]),
  ].join('\n\n');
}

/** For README, between its two marks. */
export function alertsTable(): string {
  const rows = alerts().map(
    ({ alert, labels, annotations }) =>
      `| [${alert.replace('Leasekeeper', '')}](${anchor(alert)}) | ${labels.severity} | ${first(annotations.description)} |`,
  );
  return ['| alert | severity | when |', '| --- | --- | --- |', ...rows].join('\n');
}
