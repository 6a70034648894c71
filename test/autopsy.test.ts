/**
 * What can be found out about a process that is stuck, and what it says when nothing can.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { AUTOPSY_FLAGS, examine } from '../src/arbiter/autopsy.ts';
import { IN_FLIGHT } from '../src/protocol.ts';
import { isRunning, temporaryDirectory, until } from './support/server.ts';

/** Long enough for a busy machine. */
const PATIENT = 15_000;
/** Enough for an inspector that does not answer not to do so. */
const SHORT = 500;

interface Options {
  flags?: readonly string[];
  /** A descriptor that the process gets as its 3. */
  fd?: number;
}

/** Starts a script that says with `stuck()` that it is about to be, and waits for that. */
async function start(t: TestContext, script: string, { flags = AUTOPSY_FLAGS, fd }: Options = {}) {
  const file = join(temporaryDirectory(t), 'app.mjs');
  const preamble = `import { writeSync } from 'node:fs'; const stuck = () => writeSync(1, 'stuck'); `;
  writeFileSync(file, preamble + script);
  const child = spawn(process.execPath, [...flags, file], {
    stdio: ['ignore', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  await until(() => output.startsWith('stuck') || child.exitCode !== null, 'the script to be stuck');
  return { child, pid: child.pid!, file: pathToFileURL(file).href, output: () => output };
}

const LOOP = 'stuck(); for (;;);';
const RUNAWAY = `/^(a+)+$/.test('a'.repeat(60) + 'b')`;

describe('A process that is stuck', () => {
  it('in an endless loop tells function, file, line and column, the innermost first', async (t) => {
    const { pid, file } = await start(t, `\nfunction spin() {\n  stuck();\n  for (;;);\n}\nspin();`);
    const [inner, outer] = (await examine(pid, PATIENT)).stack.split('\n');
    assert(inner!.startsWith(`    at spin (${file}:4:`), inner);
    assert.equal(outer, `    at <anonymous> (${file}:6:1)`);
  });

  it('in a runaway regular expression tells where that is', async (t) => {
    const { pid, file } = await start(
      t,
      `\nfunction validate() {\n  stuck();\n  ${RUNAWAY};\n}\nvalidate();`,
    );
    const { stack } = await examine(pid, PATIENT);
    assert(stack.includes(`    at validate (${file}:4:`), stack);
  });

  it('in a loop of what Node calls between two turns tells of it, though its own code is short', async (t) => {
    const { pid } = await start(t, `stuck(); const again = () => process.nextTick(again); again();`);
    assert.match((await examine(pid, PATIENT)).stack, /processTicksAndRejections/);
  });

  it('while it is being imported tells so', async (t) => {
    const directory = temporaryDirectory(t);
    const module = pathToFileURL(join(directory, 'module.mjs')).href;
    writeFileSync(
      join(directory, 'module.mjs'),
      `import { writeSync } from 'node:fs';\nwriteSync(1, 'stuck');\nfor (;;);`,
    );
    const { pid } = await start(t, `await import('${module}');`);
    assert((await examine(pid, PATIENT)).stack.includes(`    at <anonymous> (${module}:3:`));
  });

  it('in an event handler tells so', async (t) => {
    const { pid } = await start(t, `setTimeout(function late() { ${LOOP} });`);
    assert.match((await examine(pid, PATIENT)).stack, /^ {4}at late /);
  });

  it('deep in a recursion tells the innermost thirty calls', async (t) => {
    const { pid } = await start(
      t,
      `const dive = (n) => { if (n) dive(n - 1); else { ${LOOP} } }; dive(500);`,
    );
    const lines = (await examine(pid, PATIENT)).stack.split('\n');
    assert.equal(lines.length, 30);
    for (const line of lines) assert.match(line, /^ {4}at dive /);
  });

  it('tells which requests are in flight', async (t) => {
    const requests = [{ method: 'GET', url: '/reports?year=2024', id: 'r-1', age: 31_000 }];
    const { pid } = await start(
      t,
      `globalThis[Symbol.for('${IN_FLIGHT}')] = () => ${JSON.stringify(requests)}; ${LOOP}`,
    );
    assert.deepEqual((await examine(pid, PATIENT)).inFlight, requests);
  });

  it('tells its memory, and has no requests in flight if it keeps no table', async (t) => {
    const { pid } = await start(t, `globalThis.held = Buffer.alloc(100e6, 1); ${LOOP}`);
    const { inFlight, memory } = await examine(pid, PATIENT);
    assert.deepEqual(inFlight, []);
    assert.deepEqual(Object.keys(memory), ['rss', 'heapUsed', 'heapTotal', 'external']);
    assert(memory.rss > 100e6 && memory.external > 100e6);
    assert(memory.heapUsed > 1e6 && memory.heapTotal >= memory.heapUsed);
  });

  it('tells the rest if its table of requests throws', async (t) => {
    const { pid } = await start(
      t,
      `globalThis[Symbol.for('${IN_FLIGHT}')] = () => { throw new Error('broken'); }; ${LOOP}`,
    );
    const { stack, inFlight, memory } = await examine(pid, PATIENT);
    assert.match(stack, /app\.mjs/);
    assert.deepEqual(inFlight, []);
    assert(memory.heapUsed > 0);
  });

  it('tells its stack, and the system its memory, if it cannot answer questions', async (t) => {
    const { pid } = await start(t, `globalThis[Symbol.for('${IN_FLIGHT}')] = () => { for (;;); }; ${LOOP}`);
    const { stack, inFlight, memory } = await examine(pid, 2000);
    assert.match(stack, /app\.mjs/);
    assert.deepEqual(inFlight, []);
    assert(memory.rss > 1e6);
    assert.equal(memory.heapUsed, 0);
  });

  it('is found among the ports that the app listens on itself', async (t) => {
    const { pid } = await start(
      t,
      `import { createServer } from 'node:http';
      const listen = (answer) => new Promise((done) => createServer(answer).listen(0, '127.0.0.1', done));
      await listen((_, response) => response.end('[]'));
      await listen(() => {});
      function spin() { ${LOOP} }
      spin();`,
    );
    assert.match((await examine(pid, PATIENT)).stack, /^ {4}at spin /);
  });

  it('is not sought at a socket that the examiner holds too: another process would be asked', async (t) => {
    let connections = 0;
    const shared = createServer(() => connections++).listen(0, '127.0.0.1');
    t.after(() => shared.close());
    await once(shared, 'listening');
    const { fd } = (shared as unknown as { _handle: { fd: number } })._handle;
    const { pid } = await start(t, LOOP, { fd });
    await examine(pid, PATIENT);
    assert.equal(connections, 0);
  });

  it('can be examined again, or if its inspector was open already', async (t) => {
    const { pid } = await start(t, LOOP);
    await examine(pid, PATIENT);
    assert.match((await examine(pid, PATIENT)).stack, /app\.mjs/);
  });

  it('goes on afterwards, and has said nothing of it', async (t) => {
    const { child, pid, output } = await start(
      t,
      `stuck(); for (const end = Date.now() + 2000; Date.now() < end; ); writeSync(1, ', but not for ever');`,
    );
    await examine(pid, PATIENT);
    await once(child, 'close');
    assert.equal(output().replace(/Debugger.*\n/g, ''), 'stuck, but not for ever');
  });
});

describe('Nothing is found out', () => {
  const refusal = async (pid: number, timeoutMs: number) => {
    const result = await examine(pid, timeoutMs).catch((error: Error) => error.message);
    assert(typeof result === 'string', 'nothing was to be found out');
    assert.doesNotMatch(result, /\n/);
    return result;
  };

  it('of a process that is stopped', async (t) => {
    const { child, pid } = await start(t, LOOP);
    child.kill('SIGSTOP');
    assert.match(await refusal(pid, SHORT), /opens no inspector: it is stopped/);
  });

  it('of a process that waits for a child, which is named without its arguments', async (t) => {
    const wait = `execFileSync('sleep', ['30'])`;
    const { pid } = await start(t, `import { execFileSync } from 'node:child_process'; stuck(); ${wait};`);
    const [, where, child] = /^(.*child process) (\d+) \(sleep\)$/.exec(await refusal(pid, PATIENT)) ?? [];
    process.kill(Number(child), 'SIGKILL');
    const what = 'it is in native code that does not return; perhaps it waits for its child process';
    assert.equal(where, `it opens no inspector: ${what}`);
  });

  it('of a process that is stopped after its inspector was opened', async (t) => {
    const { child, pid } = await start(t, LOOP);
    await examine(pid, PATIENT);
    child.kill('SIGSTOP');
    assert.match(await refusal(pid, SHORT), /it is stopped/);
  });

  it('of a process that is in native code', async (t) => {
    const hash = `pbkdf2Sync('', '', 2 ** 31 - 1, 64, 'sha512')`;
    const { pid } = await start(t, `import { pbkdf2Sync } from 'node:crypto'; stuck(); ${hash};`);
    assert.match(await refusal(pid, SHORT), /native code/);
  });

  it('of a process that waits, with an event loop that is free', async (t) => {
    const { pid } = await start(t, `stuck(); await new Promise((done) => setTimeout(done, 1e6));`);
    assert.match(await refusal(pid, SHORT * 2), /runs no JavaScript/);
  });

  it('of a process that only waits, though a timer goes off now and then', async (t) => {
    const { pid } = await start(t, 'stuck(); setInterval(() => {}, 20);');
    assert.match(await refusal(pid, PATIENT), /runs no JavaScript/);
  });

  it('of a process that has gone', async (t) => {
    const { child, pid } = await start(t, LOOP);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(await refusal(pid, PATIENT), 'it has ended');
  });

  it('of a process that goes meanwhile', async (t) => {
    const { child, pid } = await start(t, LOOP);
    child.kill('SIGSTOP');
    const examined = refusal(pid, 600_000);
    child.kill('SIGKILL');
    assert.equal(await examined, 'it has ended');
  });

  it('of a process that goes while it is being questioned', async (t) => {
    const { child, pid, output } = await start(
      t,
      `stuck(); await new Promise((done) => setTimeout(done, 1e6));`,
    );
    const examined = refusal(pid, 600_000);
    await until(() => output().includes('Debugger attached'), 'Node to tell of who examines it');
    child.kill('SIGKILL');
    assert.equal(await examined, 'it has ended');
  });

  it('of a process that SIGUSR1 would end, and it is left alone', async (t) => {
    const sleeper = spawn('sleep', ['60']);
    t.after(() => sleeper.kill('SIGKILL'));
    assert.equal(await refusal(sleeper.pid!, PATIENT), 'SIGUSR1 would end it');
    assert(isRunning(sleeper.pid!));
  });
});

it('An examination leaves no socket open, however it ends', async (t) => {
  const sockets = () => process.getActiveResourcesInfo().filter((resource) => /^TCP.*Wrap$/.test(resource));
  const { child, pid } = await start(t, LOOP);
  await examine(pid, PATIENT);
  child.kill('SIGSTOP');
  await assert.rejects(examine(pid, SHORT));
  await until(() => sockets().length === 0, 'the sockets to be closed');
});
