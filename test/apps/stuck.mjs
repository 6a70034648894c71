// Blocks its event loop in every way, on request or while it boots.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

function spinForEver() {
  for (;;);
}

function backtrack() {
  return /^(a+)+$/.test(`${'a'.repeat(60)}b`);
}

export default async function stuck(app) {
  // Set by a test to have workers block while they boot.
  if (process.env.BLOCK_IF && existsSync(process.env.BLOCK_IF)) spinForEver();

  app.get('/', async () => 'hello');
  app.get('/pid', async () => String(process.pid));
  app.get('/spin', () => spinForEver());
  app.get('/regex', () => backtrack());
  // Told to the test, which cannot see it from outside.
  app.get('/slow', async (request) => {
    if (request.query.mark) writeFileSync(request.query.mark, String(process.pid));
    await sleep(Number(request.query.ms));
    return 'slow';
  });
  app.get('/block', (request, reply) => {
    const { ms, mark } = request.query;
    if (mark) writeFileSync(mark, String(process.pid));
    for (const end = performance.now() + Number(ms); performance.now() < end; );
    reply.send('blocked');
  });
  // Waits in a system call: there is no JavaScript to be seen.
  app.get('/child', ({ query }) => {
    if (query.mark) writeFileSync(query.mark, String(process.pid));
    execFileSync('sleep', ['600']);
  });
  // Busy nearly all the time, though never for long.
  app.get('/bursts', async (request) => {
    for (const end = performance.now() + Number(request.query.ms); performance.now() < end; ) {
      for (const rest = performance.now() + 300; performance.now() < rest; );
      await sleep(1);
    }
    return 'done';
  });
}
