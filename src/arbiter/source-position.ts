/**
 * Where the code of a script comes from, by its source map: for stacks that Node has not mapped itself. Knows source maps;
 * whose stack it is does not matter.
 */
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';

/** A script as the inspector names it. */
export interface Script {
  url: string;
  /** What its last comment says: a data: URL, or one relative to the script; empty if there is none. */
  sourceMapURL?: string | undefined;
}

/** A place in a file. Line and column count from 0. */
export interface Position {
  url: string;
  line: number;
  column: number;
}

/** The place in the original source, or the same place if there is no map, or none that can be read. */
export function originalPosition({ url, sourceMapURL }: Script, line: number, column: number): Position {
  const place = { url, line, column };
  if (!sourceMapURL) return place;
  try {
    const map = new SourceMap(JSON.parse(read(new URL(sourceMapURL, url))));
    const entry = map.findEntry(line, column);
    if (!('originalSource' in entry) || !entry.originalSource) return place;
    return {
      url: new URL(entry.originalSource, url).href,
      line: entry.originalLine,
      column: entry.originalColumn,
    };
  } catch {
    return place;
  }
}

function read(url: URL): string {
  if (url.protocol !== 'data:') return readFileSync(url, 'utf8');
  const [, encoding, data = ''] = /^[^,]*?(;base64)?,(.*)$/s.exec(url.pathname) ?? [];
  return encoding ? Buffer.from(data, 'base64').toString() : decodeURIComponent(data);
}
