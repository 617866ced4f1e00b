/**
 * Which member is to hold which key. Pure.
 *
 * Guarantees: the same on every member from the same view, in whatever order members and keys are given; the numbers of
 * keys of any two members differ by at most one; of all such assignments one that moves the fewest keys away from the
 * members that hold them now.
 * Does not guarantee that two members have the same view: what makes that safe is the term of each key, not this.
 */

/**
 * @param members who shares the keys; without any, nobody is to hold anything
 * @param keys what is shared
 * @param holderOf who holds a key now; a holder that is no member counts as none
 * @param stays of the keys that a holder has too many of, those with the greater number stay; default all alike
 * @returns for each member, in the order given, the keys that it is to hold, sorted
 */
export function assign(
  members: readonly string[],
  keys: readonly string[],
  holderOf: (key: string) => string | undefined,
  stays: (key: string) => number = () => 0,
): Map<string, string[]> {
  const held = new Map<string, string[]>(members.map((member) => [member, []]));
  const free: string[] = [];
  for (const key of [...new Set(keys)].sort(byText)) {
    const holder = holderOf(key);
    ((holder === undefined ? undefined : held.get(holder)) ?? free).push(key);
  }
  if (held.size === 0) return held;
  const total = free.length + [...held.values()].reduce((sum, own) => sum + own.length, 0);
  const least = Math.floor(total / held.size);
  let larger = total % held.size;
  // Those that hold an odd key already keep it: then the fewest move. Among equals the name decides, whatever else they hold:
  // that changes while keys move, and nobody is to take back a key that it has begun to give away.
  const hasOdd = (member: string): number => Number((held.get(member) as string[]).length > least);
  const ranked = [...held.keys()].sort((a, b) => hasOdd(b) - hasOdd(a) || byText(a, b));
  const shares = new Map(ranked.map((member) => [member, larger-- > 0 ? least + 1 : least]));
  for (const [member, own] of held) {
    own.sort((a, b) => stays(b) - stays(a) || byText(a, b));
    free.push(...own.splice(shares.get(member) ?? 0));
  }
  free.sort(byText);
  let next = 0;
  for (const member of ranked) {
    const own = held.get(member) as string[];
    const missing = (shares.get(member) ?? 0) - own.length;
    own.push(...free.slice(next, next + missing));
    own.sort(byText);
    next += missing;
  }
  return held;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
