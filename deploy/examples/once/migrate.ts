/**
 * A migration at the start of a replica: `node migrate.ts VERSION`. Whichever replica comes first runs it, the others wait
 * for its success and go on.
 */
import { openLeases } from 'leasekeeper';

const [, , version = 'v1'] = process.argv;
const leases = await openLeases();
const { ran } = await leases.once('schema', version, async (term) => {
  console.log(`migrating to ${version}`);
  for (let step = 1; step <= 3; step++) {
    // Throws from the instant at which another may begin.
    term.check();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
});
console.log(ran ? `migrated to ${version}` : `${version} is there already`);
await leases.close();
