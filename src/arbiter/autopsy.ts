/**
 * What a stuck process was doing: asks Node's inspector, which answers from a thread of its own while the event loop
 * is blocked. Knows /proc and the inspector's protocol; whom to examine, and to kill afterwards, is decided elsewhere.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { http } from '../http.ts';
import { IN_FLIGHT, type InFlight } from '../protocol.ts';
import { originalPosition, type Script } from './source-position.ts';

/**
 * Node flags that a worker must be started with so that it can be examined: any number of them find a free port, and
 * the inspector does not announce its URL on standard error.
 */
export const AUTOPSY_FLAGS: readonly string[] = ['--inspect-port=127.0.0.1:0', '--inspect-publish-uid=http'];

/**
 * How long it may take of a worker that does not get ready, in milliseconds: mostly it waits, and an event loop that is idle
 * tells nothing.
 */
export const BOOT_AUTOPSY_LIMIT = 2_000;
/** How often we look whether the inspector is there, in milliseconds. */
const POLL_EVERY = 20;
/**
 * A process that sleeps for so long, in milliseconds, is in a call that does not return: its inspector opens within a fraction
 * of that once its thread may run.
 */
const ASLEEP = 3_000;
/** So many frames of a stack are kept; an endless recursion has thousands. */
const MAX_FRAMES = 30;

/** What was found out. */
export interface Autopsy {
  /** Lines as in an Error's stack, the innermost first: `    at spin (file:///app.mjs:12:5)`. */
  stack: string;
  /** Empty if the process keeps no such table, or did not tell. */
  inFlight: InFlight[];
  /** Bytes. All but `rss` are 0 if the process did not tell. */
  memory: Memory;
}

type Memory = Pick<NodeJS.MemoryUsage, 'rss' | 'heapUsed' | 'heapTotal' | 'external'>;

/**
 * Examines a process, which goes on with what it did, though a blocking read may fail with EINTR. Its inspector stays
 * open, and Node says `Debugger attached.` on its standard error.
 *
 * @param timeoutMs how long all of it may take, in milliseconds.
 * @throws Error whose message says in one line why nothing could be found out.
 */
export async function examine(pid: number, timeoutMs: number): Promise<Autopsy> {
  if (process.platform !== 'linux') throw new Error('a process can be examined on Linux only');
  const until = performance.now() + timeoutMs;
  return interrogate(pid, await openInspector(pid, until), until);
}

/** Has the process open its inspector, and returns the URL to speak to it. */
async function openInspector(pid: number, until: number): Promise<string> {
  if (isGone(pid)) throw new Error('it has ended');
  // SIGUSR1 would end a process that is no Node, or has only just been started.
  const caught = BigInt(`0x${status(pid, 'SigCgt')}`);
  if (!((caught >> BigInt(constants.signals.SIGUSR1 - 1)) & 1n)) throw new Error('SIGUSR1 would end it');
  process.kill(pid, 'SIGUSR1');

  // The app may listen as well, and somebody may have opened the inspector before: only the answer tells which is it.
  const urls: string[] = [];
  const asked = new Set<number>();
  const over = new AbortController();
  let awake = performance.now();
  try {
    while (urls.length === 0) {
      for (const port of listeningPorts(pid)) {
        if (asked.has(port)) continue;
        asked.add(port);
        debuggerUrl(port, over.signal).then(
          (url) => urls.push(url),
          () => {},
        );
      }
      await sleep(POLL_EVERY);
      if (isGone(pid)) throw new Error('it has ended');
      const now = performance.now();
      if (status(pid, 'State') === 'R') awake = now;
      if (now > Math.min(until, awake + ASLEEP)) throw new Error(`it opens no inspector: ${whatHolds(pid)}`);
    }
    return urls[0]!;
  } finally {
    over.abort();
  }
}

/** Why a process cannot do what it is told by a signal. */
function whatHolds(pid: number): string {
  if (status(pid, 'State') === 'T') return 'it is stopped';
  // The last one that was made is the one of execSync and the like. Not with its arguments, which may be secret.
  const child = readIfThere(`/proc/${pid}/task/${pid}/children`)?.trim().split(' ').at(-1);
  const name = child && readIfThere(`/proc/${child}/comm`)?.trim();
  const suspect = name ? `; perhaps it waits for its child process ${child} (${name})` : '';
  return `it is in native code that does not return${suspect}`;
}

/** The loopback ports that a process listens on, without those of sockets that we hold too: others answer there. */
function listeningPorts(pid: number): number[] {
  const [theirs, ours] = [socketsOf(pid), socketsOf('self')];
  const rows = readFileSync('/proc/self/net/tcp', 'utf8').split('\n').slice(1);
  return rows.flatMap((row) => {
    const [, local = '', , state, , , , , , inode = ''] = row.trim().split(/\s+/);
    // The address is in the machine's byte order.
    const [, port] = /^(?:0100007F|7F000001):(.*)$/.exec(local) ?? [];
    const itsOwn = theirs.has(inode) && !ours.has(inode);
    return port && state === '0A' && itsOwn ? [Number.parseInt(port, 16)] : [];
  });
}

/** The inodes of the sockets that a process has open. */
function socketsOf(pid: number | 'self'): Set<string> {
  const found = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
      if (inode) found.add(inode);
    } catch {
      // Closed since the directory was read.
    }
  }
  return found;
}

/** Where to speak to the inspector at a port. Rejects if what listens there is something else. */
async function debuggerUrl(port: number, signal: AbortSignal): Promise<string> {
  const { json } = await import('node:stream/consumers');
  const targets = await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/json/list', agent: false, signal };
    http()
      .get(options, (response) => resolve(json(response)))
      .on('error', reject);
  });
  const url = (targets as { webSocketDebuggerUrl?: unknown }[])[0]?.webSocketDebuggerUrl;
  if (typeof url !== 'string') throw new Error('no inspector');
  return url;
}

/** What we read of the inspector's messages. Lines and columns count from 0. */
interface Message {
  id?: number;
  method?: string;
  params?: Script & { scriptId: string; callFrames: Frame[] };
  result?: { result?: { value?: Partial<Autopsy> } };
}

interface Frame {
  functionName: string;
  location: { scriptId: string; lineNumber: number; columnNumber?: number };
}

/** Evaluated in the paused process, whose globals may be broken. */
const QUESTION = `(() => {
  const attempt = (ask) => { try { return ask(); } catch {} };
  return {
    inFlight: attempt(() => globalThis[Symbol.for('${IN_FLIGHT}')]?.()),
    memory: attempt(() => {
      const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
      return { rss, heapUsed, heapTotal, external };
    }),
  };
})()`;

/** Pauses the process, asks for its stack and then the rest, and lets it go on. */
async function interrogate(pid: number, url: string, until: number): Promise<Autopsy> {
  const { WebSocket } = await import('ws');
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    const ask = (id: number, method: string, params = {}) => {
      socket.send(JSON.stringify({ id, method, params }));
    };
    const scripts = new Map<string, Script>();
    let stack: string | undefined;
    let silence = 'its inspector does not answer: it is stopped, or in native code that does not return';

    const end = (why: string, answer: Partial<Autopsy> = {}) => {
      clearTimeout(timer);
      socket.terminate();
      if (stack === undefined) return reject(new Error(why));
      const { inFlight = [], memory = { rss: rss(pid), heapUsed: 0, heapTotal: 0, external: 0 } } = answer;
      resolve({ stack, inFlight, memory });
    };
    const timer = setTimeout(() => end(silence), until - performance.now());
    const line = ({ functionName, location: { scriptId, lineNumber, columnNumber = 0 } }: Frame) => {
      const script = scripts.get(scriptId) ?? { url: '' };
      const { url, line, column } = originalPosition(script, lineNumber, columnNumber);
      return `    at ${functionName || '<anonymous>'} (${url}:${line + 1}:${column + 1})`;
    };

    socket.on('error', ({ message }) => end(isGone(pid) ? 'it has ended' : message));
    socket.on('close', () => end('it has ended'));
    socket.on('open', () => {
      ask(1, 'Debugger.enable');
      ask(2, 'Debugger.pause');
    });
    socket.on('message', (data) => {
      const { id, method, params, result } = JSON.parse(String(data)) as Message;
      if (id === 2) silence = 'it runs no JavaScript: it waits for something';
      if (id === 3) end('', result?.result?.value);
      // The frames themselves name no file.
      if (method === 'Debugger.scriptParsed') scripts.set(params!.scriptId, params!);
      if (method === 'Debugger.paused' && stack === undefined) {
        // The first JavaScript after a while without any, such as Node's own of a timer.
        if (params!.callFrames.every((frame) => isOfNobody(frame, scripts))) return end(silence);
        stack = params!.callFrames.slice(0, MAX_FRAMES).map(line).join('\n');
        ask(3, 'Runtime.evaluate', { expression: QUESTION, returnByValue: true, silent: true });
      }
    });
  });
}

/**
 * Whether it is Node's own code that comes by itself, and not for an app that has many modules to load, or that calls
 * `process.nextTick` in a loop.
 */
function isOfNobody({ functionName, location }: Frame, scripts: ReadonlyMap<string, Script>): boolean {
  const { url = '' } = scripts.get(location.scriptId) ?? {};
  return /^node:(?!internal\/modules)/.test(url) && functionName !== 'processTicksAndRejections';
}

/** A field of /proc/<pid>/status. Undefined if there is no such process. */
function status(pid: number, field: string): string | undefined {
  const text = readIfThere(`/proc/${pid}/status`) ?? '';
  return new RegExp(`^${field}:\\s*(\\w+)`, 'm').exec(text)?.[1];
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Bytes. */
const rss = (pid: number) => Number(status(pid, 'VmRSS') ?? 0) * 1024;

/** A process that has ended has no memory, also while its parent has yet to hear of it. */
const isGone = (pid: number) => rss(pid) === 0;
