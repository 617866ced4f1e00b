/**
 * Text that a server, a proxy or a plugin wrote, before it becomes part of an error message: the one place where it is made
 * fit for a log.
 *
 * Guarantees: printable, on one line, bounded. Credentials that this process sends are struck out, also where others repeat them, and
 * so is what follows `authorization:`, `Bearer` or `Basic`, and what looks like a JSON Web Token.
 */

/** What stands in a credential's place. */
const STRUCK = '[…]';
/** Characters from which on a secret is struck out of the middle of a word, too. */
const LONG = 8;

interface Holder {
  secrets: readonly string[];
}
/** Of the whole process: one server may repeat what is meant for another. */
const holders = new Set<Holder>();

/** Remembers what an owner sends: what it sends now and what it sent before that, until the function returned is called. */
export function createSecrets(): { sent(headers: readonly string[]): void; forget(): void } {
  const holder: Holder = { secrets: [] };
  let now: string[] = [];
  holders.add(holder);
  return {
    sent(headers) {
      const before = now;
      now = secretsOf(headers);
      holder.secrets = [...new Set([...now, ...before])].sort((a, b) => b.length - a.length);
    },
    forget: () => void holders.delete(holder),
  };
}

/** @param headers name, value, name, value … */
function secretsOf(headers: readonly string[]): string[] {
  return headers.flatMap((name, at) =>
    at % 2 === 0 && /^(proxy-)?authorization$/.test(name) ? secretsIn(headers[at + 1] ?? '') : [],
  );
}

function secretsIn(value: string): string[] {
  const [, scheme = '', secret = ''] = /^(\w+) (.+)$/.exec(value) ?? [];
  if (scheme !== 'Basic') return secret === '' ? [] : [secret];
  const pair = Buffer.from(secret, 'base64').toString();
  return [secret, pair, pair.slice(pair.indexOf(':') + 1)].filter((text) => text !== '');
}

const AUTHORIZATION = /(authorization["']?\s*[:=]\s*)(?:"[^"\n]*"?|'[^'\n]*'?|[^\n]+)/gi;
const SCHEME = /\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi;
const WEB_TOKEN = /\beyJ[\w-]{8,}\.[\w-]+(\.[\w-]*)?/g;

/** The text without credentials. */
export function strike(text: string): string {
  let out = text;
  for (const { secrets } of holders) {
    for (const secret of secrets) {
      if (!out.includes(secret)) continue;
      out = secret.length < LONG ? out.replace(alone(secret), STRUCK) : out.replaceAll(secret, STRUCK);
    }
  }
  return out.replace(AUTHORIZATION, `$1${STRUCK}`).replace(SCHEME, `$1 ${STRUCK}`).replace(WEB_TOKEN, STRUCK);
}

/** A short secret is struck out only where it is a word: `a` as a password must not empty every message. */
const alone = (secret: string): RegExp => new RegExp(`(?<!\\w)${secret.replace(/\W/g, '\\$&')}(?!\\w)`, 'g');

/** Without credentials, printable, on one line, of `length` characters at the most. */
export function clean(text: string, length: number): string {
  const most = length * 4;
  // A credential that the cut goes through would not be known any more.
  const margin = text.length > most ? longest() : 0;
  const cut = strike(text.slice(0, most + margin)).slice(0, margin === 0 ? undefined : -margin);
  const line = cut.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

function longest(): number {
  let most = 0;
  for (const { secrets } of holders) most = Math.max(most, secrets[0]?.length ?? 0);
  return most;
}
