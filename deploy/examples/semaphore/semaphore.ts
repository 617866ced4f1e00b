/** At most three works at once, wherever they run: `node semaphore.ts NAME`. */
import { openLeases } from 'leasekeeper';

const [, , name = ''] = process.argv;
const leases = await openLeases();
await leases.semaphore('render', 3).use(async (term) => {
  console.log(`${Date.now()} begin ${name} in slot ${term.slot}`);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  console.log(`${Date.now()} end ${name}`);
});
await leases.close();
