// The app of the load, unless a test has set the flag: then it fails while it boots.
import { existsSync } from 'node:fs';
import echo from './echo.mjs';

export default async function echoOrCrash(app) {
  if (existsSync(process.env.BROKEN_IF)) throw new Error('broken on purpose');
  await echo(app);
}
