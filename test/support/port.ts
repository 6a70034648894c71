/** Ports on loopback, and what it has. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Whether loopback has an address of IPv6. */
export function hasIPv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses!.some(({ address }) => address === '::1'),
  );
}

/** A port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether somebody listens on a port. */
export async function accepts(port: number): Promise<boolean> {
  const client = connect(port, '127.0.0.1');
  const connected = await once(client, 'connect').then(
    () => true,
    () => false,
  );
  client.destroy();
  return connected;
}
