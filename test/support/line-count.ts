/**
 * Counts lines of logs that grow, and are moved, in a directory.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** The files of a directory whose names begin alike. */
export class LineCount {
  readonly #directory: string;
  readonly #prefix: string;
  readonly #wanted: (line: string) => boolean;
  /** How far each file, by its inode, has been read; and the beginning of a line that is not whole yet. */
  readonly #read = new Map<number, { offset: number; rest: Buffer }>();
  #count = 0;

  constructor(directory: string, prefix: string, wanted: (line: string) => boolean) {
    this.#directory = directory;
    this.#prefix = prefix;
    this.#wanted = wanted;
  }

  /** How many of the wanted lines there are by now. */
  count(): number {
    for (const name of readdirSync(this.#directory)) {
      if (name.startsWith(this.#prefix)) this.#follow(join(this.#directory, name));
    }
    return this.#count;
  }

  #follow(path: string): void {
    const fd = openSync(path, 'r');
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) return;
      const { offset, rest } = this.#read.get(stat.ino) ?? { offset: 0, rest: Buffer.alloc(0) };
      const added = Buffer.alloc(Math.max(0, stat.size - offset));
      const length = readSync(fd, added, 0, added.length, offset);
      const text = Buffer.concat([rest, added.subarray(0, length)]);
      const end = text.lastIndexOf('\n') + 1;
      for (const line of text.toString('utf8', 0, end).split('\n'))
        if (line && this.#wanted(line)) this.#count++;
      this.#read.set(stat.ino, { offset: offset + length, rest: text.subarray(end) });
    } finally {
      closeSync(fd);
    }
  }
}
