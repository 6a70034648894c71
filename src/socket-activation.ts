/**
 * Sockets that systemd has bound for us: which they are, by the protocol of sd_listen_fds(3). Pure.
 */
import type { Address } from './address.ts';

/** The variables of the protocol: whoever has taken the sockets removes them, so that no child takes them for its own. */
export const ACTIVATION = ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES'] as const;

/** The first descriptor of the protocol. */
const FIRST = 3;

/**
 * The sockets that were passed to a process; they replace every `bind`, as in Gunicorn. None if those that the
 * variables speak of were passed to another process.
 *
 * @param pid of the process that they have to be for.
 */
export function activatedSockets(env: Readonly<Record<string, string | undefined>>, pid: number): Address[] {
  const { LISTEN_FDS: count = '', LISTEN_PID: meant } = env;
  if (meant !== String(pid) || !/^\d{1,4}$/.test(count)) return [];
  return Array.from({ length: Number(count) }, (_, index) => ({ kind: 'fd', fd: FIRST + index }));
}
