/** Files of JSON lines, also while servers write them. */
import { readFileSync } from 'node:fs';

/** The lines that are whole: a reader may see a write of another process half done, also where it appends. */
export function readJsonLines<Line>(path: string): Line[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}
