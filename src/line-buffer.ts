/**
 * Puts lines together piece by piece, right in the bytes that go out, and hands them on: together, but within a second.
 * Knows nothing of the fields of a line; where lines go is the business of `line-writer.ts`.
 */
import { MAX_LINE } from './line-writer.ts';

/** How long a finished line may wait, in milliseconds. */
const FLUSH_EVERY = 1000;

/** Text that JSON has between quotes as it is, in ASCII, and that speaks to no terminal. */
export const PLAIN = /^[ !#-[\]-~]*$/;

/** By character: 1 for one of these. */
const IS_PLAIN = Uint8Array.from({ length: 128 }, (_, code) => Number(PLAIN.test(String.fromCharCode(code))));

const [POINT, ZERO] = [0x2e, 0x30];

export interface LineBufferOptions {
  /** How many bytes may be handed on together; 0 for each line by itself, at once. Asked now and then. */
  most(): number;
  /** Takes whole lines, and so many of them, in memory that is used again afterwards. */
  deliver(bytes: Buffer, lines: number): void;
}

/**
 * A text of many pieces costs V8 a good deal, as it links them first and copies them later: here each is copied once, and
 * leaves no garbage. A line may have `MAX_LINE` bytes.
 */
export class LineBuffer {
  readonly #options: LineBufferOptions;
  #most: number;
  #bytes: Buffer;
  #length = 0;
  /** Where the line that is being put together begins, and how many are before it. */
  #start = 0;
  #lines = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LineBufferOptions) {
    this.#options = options;
    this.#most = options.most();
    this.#bytes = bytesFor(this.#most);
  }

  /** Begins a line, in the place of one that was not finished. */
  begin(): this {
    this.#length = this.#start;
    return this;
  }

  add(bytes: Uint8Array): this {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Adds a text if it is plain, and otherwise nothing and returns false. */
  addPlain(text: string): boolean {
    const { length } = text;
    const bytes = this.#bytes;
    const at = this.#length;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127 || IS_PLAIN[code] === 0) return false;
      bytes[at + i] = code;
    }
    this.#length += length;
    return true;
  }

  /** Adds a number with three decimals, or none, as `0.250` or `7`. V8 makes a text of whole numbers far more quickly. */
  addThousandths(count: number): this {
    const whole = Math.floor(count / 1000);
    this.addPlain(String(whole));
    const rest = count - whole * 1000;
    if (rest === 0) return this;
    const bytes = this.#bytes;
    const at = this.#length;
    const hundreds = Math.floor(rest / 100);
    const tens = Math.floor(rest / 10);
    bytes[at] = POINT;
    bytes[at + 1] = ZERO + hundreds;
    bytes[at + 2] = ZERO + tens - hundreds * 10;
    bytes[at + 3] = ZERO + rest - tens * 10;
    this.#length = at + 4;
    return this;
  }

  /** Ends a line, which has its newline already. */
  end(): void {
    if (this.#length > this.#most && this.#start > 0) this.#handOn();
    this.#start = this.#length;
    this.#lines++;
    if (this.#most === 0) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_EVERY).unref();
  }

  /** Hands on all finished lines. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#length = this.#start;
    if (this.#lines > 0) this.#handOn();
    const most = this.#options.most();
    if (most === this.#most) return;
    this.#most = most;
    this.#bytes = bytesFor(most);
  }

  /** Hands on the finished lines; a line under construction moves to the front. */
  #handOn(): void {
    this.#options.deliver(this.#bytes.subarray(0, this.#start), this.#lines);
    this.#bytes.copyWithin(0, this.#start, this.#length);
    this.#length -= this.#start;
    this.#start = 0;
    this.#lines = 0;
  }
}

/** Room for what goes out together, and for the line that turns out to be too much. */
function bytesFor(most: number): Buffer {
  return Buffer.allocUnsafeSlow(most + MAX_LINE);
}
