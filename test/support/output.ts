/**
 * What a process has written to a pipe so far, to the last byte: a test that has seen something happen finds what was
 * logged before it, though no data of the pipe has been told to the test by then.
 */
import { readSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

export class Output {
  readonly #stream: Readable | null;
  readonly #decoder = new StringDecoder('utf8');
  readonly #chunk = Buffer.allocUnsafe(65_536);
  #text = '';

  /** @param stream null where it goes elsewhere. */
  constructor(stream: Readable | null) {
    this.#stream = stream;
    stream?.on('data', (data) => {
      this.#text += this.#decoder.write(data);
    });
  }

  get text(): string {
    this.#drain();
    return this.#text;
  }

  /** Takes what waits in the pipe, which the stream would have brought later. */
  #drain(): void {
    // Node has no public way to a stream's descriptor.
    const { _handle: handle } = (this.#stream ?? {}) as { _handle?: { fd: number } | null };
    if (!handle || handle.fd < 0) return;
    try {
      let size: number;
      do {
        size = readSync(handle.fd, this.#chunk);
        this.#text += this.#decoder.write(this.#chunk.subarray(0, size));
      } while (size > 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
