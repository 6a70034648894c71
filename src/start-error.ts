/**
 * Why a process could not be started. Node says of a working directory that has gone that the program does not exist.
 */
import { existsSync } from 'node:fs';
import { errorCode } from './errors.ts';

/**
 * The error that says what is wrong.
 *
 * @param error what `spawn` has thrown or emitted.
 * @param directory where the process was to run.
 */
export function startError(error: Error, directory: string): Error {
  if (errorCode(error) !== 'ENOENT' || existsSync(directory)) return error;
  return new Error(
    `the directory ${directory} has gone; put it back, or reload if --chdir leads elsewhere by now`,
  );
}
