/**
 * What the apps answer with, whatever framework they are written in: the records, the chunks of the download, the wait
 * and the hard work. What is a right answer is in `workloads/`.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const records = (count) => ({
  items: Array.from({ length: count }, (_, index) => ({
    id: index,
    name: `item ${index}`,
    price: 100 + index,
    isInStock: index % 3 === 0,
    tags: ['small', 'green'],
    owner: 'somebody',
  })),
});

export const hello = { hello: 'world' };
export const few = records(10);
export const many = records(1000);

const chunk = Buffer.alloc(65_536);

/** 10 MB, chunk by chunk. */
export function* chunks() {
  for (let count = 0; count < 160; count++) yield chunk;
}

/** As long as a database takes. */
export const wait = () => sleep(10);

/** Burns 20 ms of CPU time for 5 % of the requests, at random: two in a row have to be possible. */
export function workNowAndThen() {
  if (Math.random() >= 0.05) return;
  // Its own time, not the clock's: two processes on one CPU burn no less.
  const begin = process.cpuUsage();
  let used = 0;
  while (used < 20_000) {
    const { user, system } = process.cpuUsage(begin);
    used = user + system;
  }
}
