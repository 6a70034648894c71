// Its loading never comes to an end; FAIL says that it fails a little later.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

createServer((_request, response) => response.end('for ever')).listen(3000);
if (process.env.FAIL) {
  await sleep(500);
  throw new Error('too late');
}
for (;;) await sleep(1000);
