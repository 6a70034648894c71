/** The file that results are written to: there is a place for it from the beginning, and it is there once it is whole. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a place for a file, of which nothing is left unless it is written. What is there of that name stays until then.
 *
 * @returns what writes it.
 * @throws Error if it cannot be written.
 */
export function placeFor(file: string): (text: string) => void {
  makeDirectory(dirname(file));
  const isThere = existsSync(file);
  if (isThere && !statSync(file).isFile()) throw new Error('it is no regular file');
  if (isThere) accessSync(file, constants.W_OK);
  // A link stays one.
  const target = isThere ? realpathSync(file) : file;
  const partial = `${target}.${process.pid}.part`;
  process.on('exit', () => rmSync(partial, { force: true }));
  writeFileSync(partial, '');
  return (text) => {
    writeFileSync(partial, text);
    renameSync(partial, target);
  };
}

/** One by one: `recursive` tries for ever where a directory is there in which none can be made, such as /proc. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path);
}
