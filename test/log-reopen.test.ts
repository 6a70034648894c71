/**
 * Log files that are opened anew, as logrotate needs it: whatever is moved away and when, no line is lost or torn.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { LineBuffer } from '../src/line-buffer.ts';
import { type LogSettings, openAccessLog, openErrorLog } from '../src/log.ts';
import { readJsonLines } from './support/json-lines.ts';
import { temporaryDirectory, until } from './support/server.ts';

interface Line {
  level: number;
  msg: string;
  n?: number;
}

const lines = (...paths: string[]) => paths.flatMap((path) => readJsonLines<Line>(path));

const numbers = (...paths: string[]) => lines(...paths).map(({ n }) => n);
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

/** Settings for two logs in a directory of their own. */
function logs(t: TestContext): { settings: LogSettings; directory: string; error: string; access: string } {
  const directory = join(temporaryDirectory(t), 'logs');
  mkdirSync(directory);
  const error = join(directory, 'error.log');
  const access = join(directory, 'access.log');
  const settings = { errorLogfile: error, accessLogfile: access, logLevel: 'info', pretty: false } as const;
  return { settings, directory, error, access };
}

describe('An error log that was moved away', () => {
  it('goes on in a new file, and no line is lost', (t) => {
    const { settings, error } = logs(t);
    const { logger, reopen } = openErrorLog(settings);
    for (const n of [0, 1, 2, 3, 4]) {
      logger.info({ n });
      if (n === 1) renameSync(error, `${error}.1`);
      if (n === 3) reopen();
    }
    assert.deepEqual(numbers(`${error}.1`), [0, 1, 2, 3]);
    assert.deepEqual(numbers(error), [4]);
  });

  it('takes the lines of child loggers along', (t) => {
    const { settings, error } = logs(t);
    const { logger, reopen } = openErrorLog(settings);
    const child = logger.child({ n: 0 });
    renameSync(error, `${error}.1`);
    reopen();
    child.info('after');
    assert.deepEqual(numbers(error), [0]);
  });

  it('goes on at the end of a file that is there already', (t) => {
    const { settings, error } = logs(t);
    const { logger, reopen } = openErrorLog(settings);
    logger.info({ n: 0 });
    reopen();
    logger.info({ n: 1 });
    assert.deepEqual(numbers(error), [0, 1]);
  });

  it('is what the lines of several writers go to, each exactly once, however often it is moved', (t) => {
    const { settings, error } = logs(t);
    const writers = [1, 2, 3].map(() => openErrorLog(settings));
    const files = [error];
    for (let n = 0; n < 300; n++) {
      if (n > 0 && n % 50 === 0) {
        const moved = `${error}.${n}`;
        renameSync(error, moved);
        files.push(moved);
      }
      const { logger, reopen } = writers[n % 3]!;
      // Not all at the same time, as with several processes.
      if (n % 50 > 0 && n % 50 < 4) reopen();
      logger.info({ n });
    }
    assert.deepEqual(
      numbers(...files).sort((one, other) => one! - other!),
      upTo(300),
    );
    assert.ok(files.length > 5 && files.every((file) => lines(file).length > 0));
  });
});

const put = (buffer: LineBuffer, n: number) =>
  buffer
    .begin()
    .add(Buffer.from(`{"n":${n}}\n`))
    .end();

describe('An error log that takes nothing for a while', () => {
  it('says at its end how many lines were lost', (t) => {
    const { settings, error } = logs(t);
    symlinkSync('/dev/full', error);
    const { logger, reopen } = openErrorLog(settings);
    for (const n of upTo(30_000)) logger.info({ n });
    rmSync(error);
    reopen();
    const kept = numbers(error).filter((n) => n !== undefined);
    assert.deepEqual(kept, upTo(kept.length));
    const { level, msg } = lines(error).at(-1)!;
    assert.deepEqual([level, msg], [40, `error log: writing again, ${30_000 - kept.length} lines were lost`]);
  });
});

describe('A log that cannot be opened anew', () => {
  it('stays in use as it was, and says why in one line', (t) => {
    const { settings, directory, error } = logs(t);
    const { logger, reopen } = openErrorLog(settings);
    renameSync(directory, `${directory}.gone`);
    reopen();
    logger.info({ n: 0 });
    const [complaint, line, ...more] = lines(join(`${directory}.gone`, 'error.log'));
    assert.equal(complaint!.level, 50);
    assert.ok(complaint!.msg.startsWith(`--error-logfile ${error}: `));
    assert.match(complaint!.msg, /the old file stays in use: ENOENT: /);
    assert.equal(line!.n, 0);
    assert.deepEqual(more, []);
  });

  it('has the error log speak for the access log', (t) => {
    const { settings, access } = logs(t);
    const said: Line[] = [];
    const {
      lines: buffer,
      reopen,
      flushSync,
    } = openAccessLog(settings, pino({}, { write: (line) => said.push(JSON.parse(line)) }))!;
    put(buffer, 0);
    renameSync(access, `${access}.1`);
    // It has no reader: who opens it waits for one, if he does not take care.
    spawnSync('mkfifo', [access]);
    reopen();
    put(buffer, 1);
    flushSync();
    assert.deepEqual(numbers(`${access}.1`), [0, 1]);
    assert.equal(said.length, 1);
    assert.ok(said[0]!.msg.startsWith(`--access-logfile ${access}: `));
    assert.match(said[0]!.msg, /ENXIO/);
  });
});

describe('An access log that was moved away', () => {
  it('writes the lines that wait to the file for which they came', async (t) => {
    const { settings, access } = logs(t);
    const { lines: buffer, reopen } = openAccessLog(settings, openErrorLog(settings).logger)!;
    put(buffer, 0);
    renameSync(access, `${access}.1`);
    assert.deepEqual(numbers(`${access}.1`), [], 'it waits');
    reopen();
    put(buffer, 1);
    assert.deepEqual(numbers(`${access}.1`), [0]);
    await until(() => numbers(access).length > 0, 'the line in the new file');
    assert.deepEqual(numbers(access), [1]);
  });
});

describe('A standard stream', () => {
  it('is not opened anew', (t) => {
    const { settings } = logs(t);
    const { reopen, logger } = openErrorLog({ ...settings, errorLogfile: '-', logLevel: 'fatal' });
    reopen();
    openAccessLog({ ...settings, accessLogfile: '-' }, logger)!.reopen();
    assert.equal(existsSync('-'), false, 'no file by that name');
    // Were one closed, these would fail.
    for (const fd of [1, 2]) writeFileSync(fd, '');
  });
});
