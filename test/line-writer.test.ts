/**
 * Whole lines on their way to a file, a pipe or a full disk, and what becomes of those that are not taken.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LineBuffer } from '../src/line-buffer.ts';
import { LineWriter, MAX_LINE, openLog } from '../src/line-writer.ts';
import { temporaryDirectory, until } from './support/server.ts';

/** A named pipe whose both ends do not block: as full as it can be, a write to it fails with EAGAIN. */
function pipe(t: TestContext): { fd: number; read(): string } {
  const path = join(temporaryDirectory(t), 'pipe');
  spawnSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  t.after(() => {
    closeSync(fd);
    closeSync(reader);
  });
  const buffer = Buffer.alloc(1 << 20);
  const read = () => {
    let text = '';
    for (;;) {
      try {
        const bytes = readSync(reader, buffer);
        if (bytes === 0) return text;
        text += buffer.toString('utf8', 0, bytes);
      } catch {
        return text;
      }
    }
  };
  return { fd, read };
}

const numbered = (count: number, length = 100) =>
  Array.from({ length: count }, (_, n) => `${String(n).padEnd(length - 1, '.')}\n`);

/** A writer of which lines go out together, as those of the access log. */
function buffered(writer: LineWriter): { write(line: string): void; flush(): void; flushSync(): void } {
  const lines = new LineBuffer({
    most: () => writer.most,
    deliver: (bytes, count) => writer.writeBytes(bytes, count),
  });
  return {
    write: (line) => lines.begin().add(Buffer.from(line)).end(),
    flush: () => lines.flush(),
    flushSync() {
      lines.flush();
      writer.flushSync();
    },
  };
}

/** Reads lines of 100 bytes from a pipe that was too small for them. */
async function assertAllAfterFull(read: () => string, lines: readonly string[]): Promise<void> {
  let text = read();
  assert.ok(text.length < lines.length * 100, 'the pipe was full');
  await until(() => {
    text += read();
    return text.length >= lines.length * 100;
  }, 'all lines');
  assert.equal(text, lines.join(''));
}

/** Opens a named pipe as soon as it has a reader. */
async function untilOpen(path: string): Promise<number> {
  let fd: number | undefined;
  await until(() => {
    try {
      fd = openLog(path);
    } catch {}
    return fd !== undefined;
  }, 'a reader');
  return fd!;
}

/** Reads from a pipe until its writer has told that there is room again, and then what it still holds. */
async function readRest(
  read: () => string,
  writer: { flushSync(): void },
  events: readonly unknown[],
): Promise<string> {
  let text = '';
  await until(() => {
    text += read();
    return events.length > 0;
  }, 'room again');
  writer.flushSync();
  await until(() => {
    const more = read();
    writer.flushSync();
    text += more;
    return more === '';
  }, 'the rest');
  return text;
}

describe('LineWriter behind a buffer', () => {
  it('writes whole lines in chunks of at most 4,096 bytes', (t) => {
    const { fd, read } = pipe(t);
    const writer = buffered(new LineWriter(fd));
    const seen: string[] = [];
    for (const line of numbered(500, 333)) {
      writer.write(line);
      const chunk = read();
      if (chunk) seen.push(chunk);
    }
    writer.flushSync();
    seen.push(read());
    assert.equal(seen.join(''), numbered(500, 333).join(''));
    for (const chunk of seen) {
      assert.ok(chunk.endsWith('\n'));
      assert.ok(chunk.length <= MAX_LINE, `${chunk.length}`);
    }
    assert.ok(seen.length <= Math.ceil(500 / Math.floor(MAX_LINE / 333)), 'no more writes than it takes');
  });

  it('writes more at a time to a file of its own, where every append is atomic', (t) => {
    const path = join(temporaryDirectory(t), 'access.log');
    const writer = buffered(new LineWriter(openLog(path), { ownFile: true }));
    const sizes = new Set<number>();
    const lines = numbered(500, 333);
    for (const line of lines) {
      writer.write(line);
      sizes.add(readFileSync(path).length);
    }
    writer.flushSync();
    assert.equal(readFileSync(path, 'utf8'), lines.join(''));
    const written = [...sizes].sort((one, other) => one - other);
    const steps = written.slice(1).map((size, index) => size - written[index]!);
    assert.ok(steps.length > 1 && steps.every((size) => size > MAX_LINE && size % 333 === 0), `${steps}`);
  });

  it('loses nothing when a pipe is full for a while, and says nothing about it', async (t) => {
    const { fd, read } = pipe(t);
    const events: unknown[] = [];
    const writer = buffered(new LineWriter(fd, { onTrouble: (event) => events.push(event) }));
    const lines = numbered(5000);
    for (const line of lines) writer.write(line);
    writer.flush();
    await assertAllAfterFull(read, lines);
    assert.deepEqual(events, []);
  });

  it('counts the lines of pieces that it had no room for', async (t) => {
    const { fd, read } = pipe(t);
    const events: object[] = [];
    const writer = buffered(new LineWriter(fd, { onTrouble: (event) => events.push(event) }));
    const lines = numbered(30_000);
    for (const line of lines) writer.write(line);
    const text = await readRest(read, writer, events);
    const { lost } = events[0] as { lost: number };
    assert.ok(lost > 10_000, `${lost}`);
    assert.equal(text.split('\n').length - 1, lines.length - lost);
  });
});

describe('LineWriter', () => {
  it('writes a line at once', (t) => {
    const { fd, read } = pipe(t);
    new LineWriter(fd).write('now\n');
    assert.equal(read(), 'now\n');
  });

  it('writes what is not ASCII as UTF-8', (t) => {
    const { fd, read } = pipe(t);
    const writer = new LineWriter(fd);
    const lines = ['plain\n', 'caf\u00e9\n', '\u{1f600}\n'];
    for (const line of lines) writer.write(line);
    assert.equal(read(), lines.join(''));
  });

  it('has no more written at once than a pipe takes as a whole, and more to a file of its own', (t) => {
    const { fd } = pipe(t);
    const path = join(temporaryDirectory(t), 'log');
    const own = openLog(path);
    t.after(() => closeSync(own));
    assert.equal(new LineWriter(fd).most, MAX_LINE);
    assert.equal(new LineWriter(fd, { ownFile: true }).most, MAX_LINE);
    assert.equal(new LineWriter(own).most, MAX_LINE);
    assert.ok(new LineWriter(own, { ownFile: true }).most > MAX_LINE);
  });

  it('keeps what a pipe did not take, whatever becomes of the memory that it was given', async (t) => {
    const { fd, read } = pipe(t);
    const writer = new LineWriter(fd);
    const memory = Buffer.alloc(MAX_LINE);
    let expected = '';
    for (const letter of 'abcdefghijklmnopqrstuvwxyz') {
      memory.fill(letter);
      memory.write('\n', MAX_LINE - 1);
      writer.writeBytes(memory, 1);
      expected += memory.toString();
    }
    let text = read();
    assert.ok(text.length < expected.length, 'the pipe was full');
    await until(() => {
      text += read();
      return text.length >= expected.length;
    }, 'all lines');
    assert.equal(text, expected);
  });

  it('loses nothing when a pipe is full for a while, and says nothing about it', async (t) => {
    const { fd, read } = pipe(t);
    const events: unknown[] = [];
    const writer = new LineWriter(fd, { onTrouble: (event) => events.push(event) });
    // More than a pipe takes, less than may wait.
    const lines = numbered(5000);
    for (const line of lines) writer.write(line);
    await assertAllAfterFull(read, lines);
    assert.deepEqual(events, []);
  });

  it('goes on where a write was cut short, in a line that is longer than a pipe is wide', async (t) => {
    const { fd, read } = pipe(t);
    const writer = new LineWriter(fd);
    const long = `${'x'.repeat(200_000)}\n`;
    writer.write(long);
    writer.write('next\n');
    let text = '';
    await until(() => {
      text += read();
      return text.endsWith('next\n');
    }, 'both lines');
    assert.equal(text, `${long}next\n`);
  });

  it('holds a bounded amount of lines, then drops and counts them', async (t) => {
    const { fd, read } = pipe(t);
    const events: object[] = [];
    const writer = new LineWriter(fd, { onTrouble: (event) => events.push(event) });
    const lines = numbered(30_000);
    for (const line of lines) writer.write(line);
    const text = await readRest(read, writer, events);
    const { lost } = events[0] as { lost: number };
    assert.ok(lost > 10_000, `${lost}`);
    assert.equal(text, lines.slice(0, lines.length - lost).join(''));
  });

  it('writes a line of any length where nothing waits', (t) => {
    const path = join(temporaryDirectory(t), 'log');
    const writer = new LineWriter(openLog(path), { ownFile: true });
    const longest = `${'x'.repeat(3 << 20)}\n`;
    writer.write(longest);
    assert.equal(readFileSync(path, 'utf8'), longest);
  });

  it('tells once that the destination takes nothing, and goes on taking lines', () => {
    const full = openSync('/dev/full', 'a');
    const events: { error?: Error }[] = [];
    const writer = new LineWriter(full, {
      onTrouble: (event) => events.push(event as object),
    });
    for (const line of numbered(50_000)) writer.write(line);
    assert.equal(events.length, 1);
    assert.match(String(events[0]?.error), /ENOSPC/);
    closeSync(full);
  });

  it('gives up a last flush that cannot succeed, and hands back what was not taken', () => {
    const full = openSync('/dev/full', 'a');
    const writer = new LineWriter(full);
    const lines = numbered(20_000);
    for (const line of lines) writer.write(line);
    const left = writer.flushSync();
    const kept = String(left.lines);
    assert.ok(lines.join('').startsWith(kept));
    assert.equal(kept.length / 100 + left.lost, 20_000);
    assert.ok(left.lost > 0 && kept.length > 1_000_000);
    assert.deepEqual(writer.flushSync(), { lines: Buffer.alloc(0), lost: 0 });
    closeSync(full);
  });

  it('waits for the slow reader of a named pipe, rather than lose lines', async (t) => {
    const directory = temporaryDirectory(t);
    const [path, out] = [join(directory, 'pipe'), join(directory, 'out')];
    spawnSync('mkfifo', [path]);
    const reader = spawn('sh', ['-c', 'exec 3<"$0"; sleep 0.5; cat <&3 >"$1"', path, out]);
    t.after(() => reader.kill('SIGKILL'));
    const fd = await untilOpen(path);
    const writer = new LineWriter(fd, { ownFile: true, onTrouble: () => assert.fail() });
    const lines = numbered(30_000);
    for (const line of lines) writer.write(line);
    assert.deepEqual(writer.flushSync(), { lines: Buffer.alloc(0), lost: 0 });
    closeSync(fd);
    await once(reader, 'close');
    assert.equal(readFileSync(out, 'utf8'), lines.join(''));
  });

  it('hands back a line that was cut short from its start', (t) => {
    const { fd, read } = pipe(t);
    const writer = new LineWriter(fd);
    const long = `${'x'.repeat(200_000)}\n`;
    writer.write(`first\n${long}next\n`);
    assert.equal(String(writer.flushSync().lines), `${long}next\n`);
    assert.match(read(), /^first\nx+$/);
  });
});

describe('LineWriter, when its file is opened anew', () => {
  const paths = (t: TestContext) => {
    const path = join(temporaryDirectory(t), 'log');
    return { path, moved: `${path}.1` };
  };

  it('writes what waits to the old file, what comes to the new one, and closes the old one', (t) => {
    const { path, moved } = paths(t);
    const old = openLog(path);
    const writer = new LineWriter(old, { ownFile: true });
    const lines = numbered(1000);
    for (const line of lines.slice(0, 700)) writer.write(line);
    renameSync(path, moved);
    writer.reopen(openLog(path));
    assert.throws(() => fstatSync(old), { code: 'EBADF' });
    for (const line of lines.slice(700)) writer.write(line);
    writer.flushSync();
    assert.equal(readFileSync(moved, 'utf8'), lines.slice(0, 700).join(''));
    assert.equal(readFileSync(path, 'utf8'), lines.slice(700).join(''));
  });

  it('does not close a stream that others have opened', (t) => {
    const { path } = paths(t);
    const { fd, read } = pipe(t);
    const writer = new LineWriter(fd);
    writer.write('old\n');
    writer.reopen(openLog(path));
    assert.equal(read(), 'old\n');
    assert.ok(fstatSync(fd).isFIFO());
  });

  for (const isBuffered of [true, false]) {
    it(`takes what a full disk did not take to the new file, ${isBuffered ? '' : 'not '}buffered`, (t) => {
      const { path } = paths(t);
      const events: object[] = [];
      const writer = new LineWriter(openSync('/dev/full', 'a'), {
        ownFile: true,
        onTrouble: (event) => events.push(event),
      });
      const target = isBuffered ? buffered(writer) : { write: writer.write.bind(writer), flush() {} };
      const lines = numbered(1000);
      for (const line of lines) target.write(line);
      target.flush();
      writer.reopen(openLog(path));
      assert.equal(readFileSync(path, 'utf8'), lines.join(''));
      assert.equal(events.length, 2, 'the trouble and its end');
      assert.deepEqual(events[1], { lost: 0 });
      target.write('next\n');
      target.flush();
      assert.equal(readFileSync(path, 'utf8'), `${lines.join('')}next\n`);
    });
  }

  it('writes a line that was cut short anew, and no line before it again', (t) => {
    const { path } = paths(t);
    const { fd, read } = pipe(t);
    const writer = new LineWriter(fd);
    const long = `${'x'.repeat(200_000)}\n`;
    writer.write(`first\nsecond\n${long}`);
    writer.write('next\n');
    writer.reopen(openLog(path));
    assert.match(read(), /^first\nsecond\nx+$/);
    assert.equal(readFileSync(path, 'utf8'), `${long}next\n`);
    // As much as may wait at most: nothing of before counts any more.
    const longest = `${'y'.repeat((1 << 20) - 1)}\n`;
    writer.write(longest);
    assert.equal(readFileSync(path, 'utf8'), `${long}next\n${longest}`);
  });

  it('is in trouble still when the new one takes nothing either, and says so once', (t) => {
    const { path } = paths(t);
    const events: { error?: Error }[] = [];
    const writer = new LineWriter(openSync('/dev/full', 'a'), {
      ownFile: true,
      onTrouble: (event) => events.push(event as object),
    });
    writer.write('line\n');
    writer.reopen(openSync('/dev/full', 'a'));
    assert.equal(events.length, 1);
    assert.match(String(events[0]?.error), /ENOSPC/);
    writer.reopen(openLog(path));
    assert.equal(readFileSync(path, 'utf8'), 'line\n');
  });
});

describe('openLog', () => {
  it('appends to a file, and creates it', (t) => {
    const path = join(temporaryDirectory(t), 'log');
    for (const line of ['one\n', 'two\n']) {
      const fd = openLog(path);
      new LineWriter(fd, { ownFile: true }).write(line);
      closeSync(fd);
    }
    assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\n');
  });

  it('refuses a directory', (t) => {
    assert.throws(() => openLog(temporaryDirectory(t)), { code: 'EISDIR' });
  });
});
