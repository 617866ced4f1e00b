/** A critical section that waits two seconds for its turn, and no longer: `node lock.ts NAME`. It works until SIGTERM. */
import { openLeases } from 'leasekeeper';

const [, , name = ''] = process.argv;
const leases = await openLeases();
const asked = new Promise((resolve) => process.once('SIGTERM', resolve));
const token = await leases.lock('backup').use(
  async (term) => {
    console.log(`${name}: has the lock`);
    await asked;
    // Throws where the lock is lost: what comes next must not happen twice at once.
    term.check();
    return term.fencingToken;
  },
  { waitMs: 2_000 },
);
console.log(token === null ? `${name}: somebody else has it` : `${name}: done, fencing token ${token}`);
await leases.close();
