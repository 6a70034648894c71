/**
 * The line of code that an error comes from, as Node shows it of an error that nobody catches. Knows stacks and files.
 */
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OURS } from '../places.ts';

/** A place in a file, counted from 1. */
interface Place {
  path: string;
  line: number;
  column: number;
}

/** Every path is shorter than this, in bytes, on Linux. */
const PATH_MAX = 4096;
/** A frame of Node's own before the stack: place, line, and carets. */
const FRAME = /^(?:file:\/\/)?\/.*:\d+\n.*\n\s*[\^~]+/;

/** The stack, with the place of its first line of code of the app's own in front, if that can be found and read. */
export function withFrame(stack: string): string {
  const place = FRAME.test(stack) ? undefined : placesIn(stack)[0];
  if (!place) return stack;
  let code: string | undefined;
  try {
    code = readFileSync(place.path, 'utf8').split(/\r?\n/)[place.line - 1];
  } catch {
    return stack;
  }
  // Minified, or not what was run.
  if (code === undefined || code.length > 300 || place.column > code.length + 1) return stack;
  const margin = code.slice(0, place.column - 1).replace(/[^\t]/g, ' ');
  return `${place.path}:${place.line}\n${code}\n${margin}^\n\n${stack}`;
}

/** The files that a stack names, but for installed packages. */
export function filesIn(stack: string): string[] {
  const head = /^(?:file:\/\/)?\/.*?(?=:\d+(\n|$))/m.exec(stack)?.[0];
  const path = head && pathOf(head);
  return [...(path ? [path] : []), ...placesIn(stack).map((place) => place.path)];
}

function placesIn(stack: string): Place[] {
  const found = stack.matchAll(/^\s+at .*?((?:file:\/\/)?\/[^()\n]*?):(\d+):(\d+)\)?$/gm);
  return [...found]
    .flatMap(([, name = '', line, column]) => {
      const path = pathOf(name);
      return path === undefined ? [] : [{ path, line: Number(line), column: Number(column) }];
    })
    .filter(({ path }) => !path.includes('/node_modules/') && !path.startsWith(OURS));
}

/**
 * The file that a name in a stack, or of what Node loads, stands for; undefined for what is none, such as `node:http`.
 * Loaders put queries behind names. The app may say anything: this does not throw, nor return what no file can be called.
 */
export function pathOf(name: string): string | undefined {
  let path = name;
  if (name.startsWith('file:'))
    try {
      path = fileURLToPath(name.replace(/[?#].*$/s, ''));
    } catch {
      return undefined;
    }
  path = path.replace(/\?.*$/s, '');
  return isAbsolute(path) && path.length < PATH_MAX && !path.includes('\0') ? path : undefined;
}
