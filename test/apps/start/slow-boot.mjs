// Boots when the file GO is there; hooks leave a mark in the file MARKS.
import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const { GO, MARKS } = process.env;
const mark = (text) => MARKS && appendFileSync(MARKS, `${text}\n`);

export default async function slowBoot(app) {
  mark('booting');
  app.get('/', async () => 'hello');
  app.addHook('onReady', async () => mark('onReady'));
  app.addHook('onListen', async () => mark('onListen'));
  while (GO && !existsSync(GO)) await sleep(10);
}
