/**
 * The command that contenders run: `node steps.ts FILE` appends a line every 20 ms for as long as it runs, with one write:
 * holder, fencing token, its process and the machine's monotonic milliseconds. It ignores SIGTERM: what ends it is leasekeeper.
 */
import { appendFileSync } from 'node:fs';

const EVERY_MS = 20;
const [file = ''] = process.argv.slice(2);
const { LEASEKEEPER_HOLDER: holder, LEASEKEEPER_FENCING_TOKEN: token } = process.env;
const step = (): void =>
  appendFileSync(file, `${holder} ${token} ${process.pid} ${Number(process.hrtime.bigint()) / 1e6}\n`);
step();
setInterval(step, EVERY_MS);
process.on('SIGTERM', () => {});
