/**
 * Where a value came from, and how a mistake in it is told: always in one line that names its place. Pure.
 */
import { UserError } from '../errors.ts';
import { type SettingName, settings } from './settings.ts';

/** Where a given value came from; a flag's name is as typed: `-w` or `--workers`; a file's, too: `conf/app.mjs`. */
export type GivenOrigin =
  | { from: 'flag'; name: string }
  | { from: 'env'; name: string }
  | { from: 'file'; name: string; line?: number };

/** Where a value came from; `with` names the setting that makes its default another one. */
export type Origin = GivenOrigin | { from: 'default'; with?: 'watch' | 'inspect' };

/** A value before it is read: text, or from a config file any data. */
export interface Source {
  value: unknown;
  origin: GivenOrigin;
}

/** `conf/app.mjs:3`, or without the line where it is not known. */
export function placeInFile({ name, line }: { name: string; line?: number }): string {
  return line === undefined ? name : `${name}:${line}`;
}

/** The name of what was given, as people wrote it: `-w`, `WEB_CONCURRENCY`, `workers (fasticorn.config.mjs:3)`. */
export function writtenAs(key: string, origin: GivenOrigin): string {
  return origin.from === 'file' ? `${key} (${placeInFile(origin)})` : origin.name;
}

/** The value as it may stand in a message. */
export function quoted(value: unknown): string {
  if (typeof value === 'number') return String(value);
  return ['string', 'boolean', 'object'].includes(typeof value) ? JSON.stringify(value) : `a ${typeof value}`;
}

/** The error that says where the value of a setting, or of the app, stands, and what was expected there. */
export function invalid(
  key: SettingName | 'app',
  { value, origin }: { value: unknown; origin: GivenOrigin },
  expected: string,
): UserError {
  const shown = quoted(value);
  if (origin.from === 'env' && key !== 'app') {
    return new UserError(`${origin.name}=${shown} (the variable for --${settings[key].flag}): ${expected}`);
  }
  const place = origin.from === 'file' ? `${placeInFile(origin)}: ${key}` : origin.name;
  return new UserError(`${place}: ${shown} is not valid: ${expected}`);
}
