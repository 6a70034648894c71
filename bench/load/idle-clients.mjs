/**
 * `node idle-clients.mjs COUNT ADDRESS`: opens connections to a path or a port of loopback, has one request answered on
 * each, and then keeps them until it is ended, silent but for one more request now and then, as servers end connections that
 * are not used for about a minute. Says `holding` when all are there; ends with 1 if it loses one.
 */
import { once } from 'node:events';
import { connect } from 'node:net';

/** So many at once: an accept queue has an end, and a Unix socket refuses whoever finds it full. */
const BATCH = 200;
/** How often each asks again, in milliseconds. */
const AGAIN = 40_000;
const REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

const [, , count, address] = process.argv;
for (let left = Number(count); left > 0; left -= BATCH) {
  await Promise.all(Array.from({ length: Math.min(left, BATCH) }, open));
}
console.log('holding');

async function open() {
  const socket = address.startsWith('/') ? connect(address) : connect(Number(address), '127.0.0.1');
  await once(socket, 'connect');
  socket.write(REQUEST);
  const [answer] = await once(socket, 'data');
  if (!answer.toString().startsWith('HTTP/1.1 200 ')) throw new Error(`answered ${answer}`);
  setInterval(() => socket.write(REQUEST), AGAIN);
  socket.resume().on('close', () => {
    console.log('lost a connection');
    process.exit(1);
  });
}
