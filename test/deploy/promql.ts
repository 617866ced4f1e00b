/**
 * What a PromQL expression asks for: metrics, and the labels that it names. No parser: enough for expressions that are
 * written by hand and have no metric called like a function.
 */

const KEYWORDS = new Set(
  'and or unless by without on ignoring group_left group_right bool offset atan2 inf nan'.split(' '),
);

export interface Asked {
  readonly metric: string;
  /** `label=value` where it asks for one value (each of `a|b` by itself); `label` where a variable gives the value. */
  readonly labels: readonly string[];
}

export interface Asks {
  readonly metrics: readonly Asked[];
  /** By which it groups or joins. */
  readonly grouping: readonly string[];
}

export function asks(expression: string): Asks {
  const metrics: Asked[] = [];
  const grouping: string[] = [];
  let rest = expression.replace(
    /\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g,
    (_, _word, list) => {
      grouping.push(...(list as string).split(',').map((name) => name.trim()));
      return ' ';
    },
  );
  rest = rest.replace(/\[[^\]]*\]/g, ' ');
  // A name and its matchers, unless a parenthesis makes it a function.
  for (const [, name = '', matchers = '', call] of rest.matchAll(
    /(?<![\w.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?\s*(\()?/g,
  )) {
    if (call !== undefined || KEYWORDS.has(name.toLowerCase())) continue;
    const labels = [...matchers.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].flatMap(([, label, , values]) =>
      (values ?? '').split('|').map((value) => (value.startsWith('$') ? label! : `${label}=${value}`)),
    );
    metrics.push({ metric: name, labels });
  }
  return { metrics, grouping };
}
