/**
 * How many connections wait in the kernel for a worker to accept them. Node cannot tell, so that `ss` of iproute2 is
 * asked; it knows sockets by their inodes.
 */
import { execFile } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { promisify } from 'node:util';

/** Depth and limit of an accept queue, in connections; null where the system does not tell. */
export interface AcceptQueue {
  queue: number | null;
  limit: number | null;
}

/** How long `ss` may take, in milliseconds. */
const TIMEOUT = 1000;

const UNKNOWN: AcceptQueue = { queue: null, limit: null };

/**
 * What lists the listening sockets of one kind, and what a line of it looks like. A path may contain blanks, and
 * even what looks like an inode: the last one counts.
 */
const LISTS = [
  { args: ['-Hxl'], line: /^\S+\s+LISTEN\s+(?<queue>\d+)\s+(?<limit>\d+)\s.*\s(?<inode>\d+)\s+\*\s+\d+\s*$/ },
  { args: ['-Htlne'], line: /^LISTEN\s+(?<queue>\d+)\s+(?<limit>\d+)\s.*\sino:(?<inode>\d+)\s/ },
];

/** The queues of listening sockets of this process, in the order of the descriptors. Never rejects. */
export async function acceptQueues(fds: readonly number[]): Promise<AcceptQueue[]> {
  const inodes = fds.map(socketInode);
  const found = new Map<string, AcceptQueue>();
  for (const { args, line } of LISTS) {
    if (inodes.every((inode) => inode === undefined || found.has(inode))) break;
    for (const text of await linesOf('ss', args)) {
      const groups = line.exec(text)?.groups;
      if (groups) found.set(groups.inode!, { queue: Number(groups.queue), limit: Number(groups.limit) });
    }
  }
  return inodes.map((inode) => (inode && found.get(inode)) || UNKNOWN);
}

/** The inode of a descriptor's socket; undefined if it is none, or on another system than Linux. */
function socketInode(fd: number): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
  } catch {
    return undefined;
  }
}

/** What a program says; nothing if it is missing, fails or takes too long. */
async function linesOf(program: string, args: readonly string[]): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)(program, args, { timeout: TIMEOUT, killSignal: 'SIGKILL' });
    return stdout.split('\n');
  } catch {
    return [];
  }
}
