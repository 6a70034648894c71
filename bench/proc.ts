/**
 * What the system tells of processes, in `/proc`: who belongs to whom, CPU time, memory, switches, sockets. Of a
 * process that has gone nothing is known; on systems without `/proc` there is nothing to be had, and `hasProc` says so.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Whether the system tells. */
export const hasProc = existsSync('/proc/self/stat');

/** Whether a process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  if (hasProc) return !['', 'Z', 'X'].includes(stat(pid)?.state ?? '');
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The processes of the sessions that these processes have begun, and those below any of them; themselves left out. */
export function kin(first: readonly number[]): number[] {
  const all = pids().flatMap((one) => stat(one) ?? []);
  const found = new Set(first);
  for (const one of all) if (first.includes(one.session)) found.add(one.pid);
  // Until nobody is added: a child may have a smaller number than its parent.
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const one of all) if (found.has(one.parent)) found.add(one.pid);
  }
  for (const pid of first) found.delete(pid);
  return [...found];
}

/** User and system time of all its threads so far, in microseconds; undefined if it has gone, or the kernel does not count it. */
export function cpuTime(pid: number): number | undefined {
  // In nanoseconds, where /proc/PID/stat has hundredths of a second: a share of 1 % needs that.
  return total(perThread(pid, 'schedstat').map((text) => Number(text.split(' ', 1)[0]) / 1000));
}

/** How often any of its threads has gone to sleep so far: about as often as one was woken; undefined if it has gone. */
export function sleeps(pid: number): number | undefined {
  return total(perThread(pid, 'status').map((text) => field(text, 'voluntary_ctxt_switches') ?? 0));
}

/** How many sockets it has open. */
export function openSockets(pid: number): number {
  const directory = `/proc/${pid}/fd`;
  return list(directory).filter((fd) => leadsTo(`${directory}/${fd}`).startsWith('socket:')).length;
}

/** Resident memory, in bytes; undefined if it has gone. */
export function residentMemory(pid: number): number | undefined {
  const kibibytes = field(read(`/proc/${pid}/status`), 'VmRSS');
  return kibibytes && kibibytes * 1024;
}

/**
 * The same in two parts, in bytes: what a process has for itself, and what others have as well, whoever they are. Undefined
 * if the kernel does not tell us.
 */
export function memoryParts(pid: number): { own: number; shared: number } | undefined {
  const text = read(`/proc/${pid}/smaps_rollup`);
  const bytes = (kind: string) =>
    ((field(text, `${kind}_Clean`) ?? 0) + (field(text, `${kind}_Dirty`) ?? 0)) * 1024;
  return text === '' ? undefined : { own: bytes('Private'), shared: bytes('Shared') };
}

interface Stat {
  pid: number;
  state: string;
  parent: number;
  session: number;
}

function stat(pid: number): Stat | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (!text) return undefined;
  // The name before it, in parentheses, may contain anything.
  const [state = '', parent, , session] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid, state, parent: Number(parent), session: Number(session) };
}

function pids(): number[] {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function perThread(pid: number, name: string): string[] {
  return list(`/proc/${pid}/task`)
    .map((thread) => read(`/proc/${pid}/task/${thread}/${name}`))
    .filter(Boolean);
}

/** Undefined for no thread at all. */
function total(threads: readonly number[]): number | undefined {
  return threads.length > 0 ? threads.reduce((sum, one) => sum + one, 0) : undefined;
}

/** The number after a name and a colon. */
function field(text: string, name: string): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text);
  return found ? Number(found[1]) : undefined;
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function leadsTo(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
