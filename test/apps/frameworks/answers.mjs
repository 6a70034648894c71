// What the apps of this directory answer, each in the words of its framework: the load of test/support/load.ts, and
// answers that take long enough for a reload to come in between.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** GET /token/:token?delay= */
export async function token(text, delay = 0) {
  await sleep(Number(delay));
  return `token ${text}`;
}

/** POST /hash?delay= */
export async function hash(body, delay = 0) {
  await sleep(Number(delay));
  return createHash('sha256').update(body).digest('hex');
}

/** GET /download: 16 MiB, which no buffer on the way holds. */
export function download() {
  return Readable.from(blocks());
}

function* blocks() {
  for (let number = 0; number < 256; number++) yield Buffer.alloc(65_536, number);
}

/** GET /events: ten of them, from 0 to 9, in a second. */
export async function* events() {
  for (let number = 0; number < 10; number++) {
    yield number;
    await sleep(100);
  }
}

/** The same as text/event-stream. */
export function eventStream() {
  return Readable.from(
    (async function* () {
      for await (const number of events()) yield `data: ${number}\n\n`;
    })(),
  );
}
