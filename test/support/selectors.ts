/**
 * Kubernetes' selector syntax for the in-memory API, written apart from every other implementation here on purpose.
 *
 * Guarantees: what an API server refuses (`a===b`, an unclosed set, an unknown field) throws `Invalid` with status 400.
 * Like there, `!=` and `notin` also match an object that lacks the key.
 */
import type { Lease } from '../../src/lease/lease.ts';
import { isLabelValue, labelKeyProblem } from '../../src/lease/names.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';

export type Matcher = (lease: Lease) => boolean;

const everything: Matcher = () => true;
const cache = new Map<string, Matcher>();

/** One predicate for both selectors of a query; an empty selector matches everything. */
export function matcher(query: {
  namespace: string;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
}): Matcher {
  const { namespace, labelSelector = '', fieldSelector = '' } = query;
  const byLabel = compiled('label', labelSelector, labelRequirement);
  const byField = compiled('field', fieldSelector, fieldRequirement);
  return (lease) => (namespace === '' || lease.metadata.namespace === namespace) && byLabel(lease) && byField(lease);
}

function compiled(kind: string, selector: string, requirement: (term: string) => Matcher): Matcher {
  if (selector.trim() === '') return everything;
  const key = `${kind}:${selector}`;
  let found = cache.get(key);
  if (!found) {
    // A comma separates requirements unless it stands within a set's parentheses.
    const all = selector.split(/,(?![^(]*\))/).map((term) => requirement(term.trim()));
    found = (lease) => all.every((matches) => matches(lease));
    cache.set(key, found);
  }
  return found;
}

function labelRequirement(term: string): Matcher {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set) {
    const key = labelKey(set[1]!);
    const values = new Set(set[3]!.split(',').map((value) => labelValue(value.trim())));
    const wanted = set[2] === 'in';
    return ({ metadata }) => values.has(metadata.labels[key] ?? '\0') === wanted;
  }
  const equality = /^([^=!<>()\s]+)\s*(==|!=|=)\s*([^=!<>()\s]*)$/.exec(term);
  if (equality) {
    const key = labelKey(equality[1]!);
    const value = labelValue(equality[3]!);
    const wanted = equality[2] !== '!=';
    return ({ metadata }) => (metadata.labels[key] === value) === wanted;
  }
  const wanted = !term.startsWith('!');
  const key = labelKey(wanted ? term : term.slice(1).trim());
  return ({ metadata }) => Object.hasOwn(metadata.labels, key) === wanted;
}

function fieldRequirement(term: string): Matcher {
  const parts = /^(metadata\.name|metadata\.namespace)\s*(==|!=|=)\s*([^=!]*)$/.exec(term);
  if (!parts) throw refused(`field label not supported: ${term}`);
  const field = parts[1] === 'metadata.name' ? 'name' : 'namespace';
  const wanted = parts[2] !== '!=';
  return ({ metadata }) => (metadata[field] === parts[3]) === wanted;
}

function labelKey(key: string): string {
  if (labelKeyProblem(key)) throw refused(`unable to parse requirement: key ${JSON.stringify(key)}`);
  return key;
}

function labelValue(value: string): string {
  if (!isLabelValue(value)) throw refused(`unable to parse requirement: value ${JSON.stringify(value)}`);
  return value;
}

const refused = (message: string): LeaseStoreError => new LeaseStoreError('Invalid', { message, status: 400 });
