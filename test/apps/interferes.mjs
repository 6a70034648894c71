// Uses the channel to its parent process as if it were its own: while it boots, as AT_BOOT says, and on request.
import { writeSync } from 'node:fs';

const { AT_BOOT, THROW } = process.env;

const ways = {
  talk() {
    const beat = { requests: 'many', inFlight: -1, rss: Number.NaN };
    for (const type of ['ready', 'beat', 'failed', 'broken', 'asked-to-leave', 'start'])
      process.send({ type });
    for (const word of [null, 'ready', 0, true, [], { key: null }, { key: 1, content: null }])
      process.send(word);
    process.send({ type: 'beat', beat });
    process.send({ key: undefined, content: { type: 'failed', exitCode: 9, message: 'made up' } });
  },
  // Where what is made for s6 says that it is ready.
  readiness() {
    for (const text of ['\n', 'READY=1'])
      try {
        writeSync(3, text);
      } catch {}
  },
  // In the channel, which follows the socket; and what Node says to itself.
  noise() {
    for (const text of ['\n', 'ready\n', '{"key":\n']) writeSync(5, text);
    for (const cmd of ['NODE_HANDLE_ACK', 'NODE_']) process.send({ cmd });
  },
  disconnect() {
    process.disconnect();
    process.disconnect();
  },
};

ways[AT_BOOT]?.();

export default async function interferes(app) {
  ways[AT_BOOT]?.();
  if (THROW) throw new Error('thrown on purpose');
  app.get('/', async () => 'hello');
  app.get('/pid', async () => String(process.pid));
  app.get('/do/:way', async (request) => {
    ways[request.params.way]();
    return String(process.pid);
  });
}
