/** A server of a chat that finds the others: `node chat.ts NAME ADDRESS`, until SIGTERM. */
import { openLeases } from 'leasekeeper';

const [, , id = '', address = ''] = process.argv;
const leases = await openLeases();
const members = leases.members('chat', { address }, { id });

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
const running = members.run(stop.signal);
for await (const { type, member } of members.changes()) {
  if (member.self) continue;
  console.log(type === 'left' ? `${member.name} left` : `${member.name} is at ${String(member.payload?.['address'])}`);
}
await running;
await leases.close();
