/** A cron of which one replica runs each fire: `node cron.ts NAME`, until SIGTERM. */
import cron from 'node-cron';
import { leaseCoordinator } from 'leasekeeper/node-cron';

cron.setRunCoordinator(await leaseCoordinator());
cron.schedule('* * * * * *', ({ date }) => console.log(date.toISOString()), { name: 'tick', distributed: true });
