/**
 * The worker processes of all generations, and what each was made from. Knows processes, orders and descriptors; how
 * many there are to be, and when each has to go, is decided elsewhere.
 */
import { realpathSync } from 'node:fs';
import type { Loaded } from '../config/load.ts';
import { UserError } from '../errors.ts';
import type { Launch } from '../launch.ts';
import { createLogs } from '../log.ts';
import type { Farewell, Order, TlsIdentity } from '../protocol.ts';
import { type Credentials, credentialsOf } from './credentials.ts';
import type { Listener } from './listener.ts';
import { readTlsIdentity } from './tls-identity.ts';
import { FIRST_SOCKET_FD, type WorkerEvents, WorkerHandle } from './worker-handle.ts';

/** What the workers of a generation are made from. */
export interface Setup {
  number: number;
  app: string;
  loaded: Loaded;
  /** Where its workers run: what symbolic links led to when it began, so that all of them run the same code. */
  directory: string;
  launch: Launch;
  /** Who its workers run as; undefined for as we are. */
  credentials?: Credentials | undefined;
  listeners: readonly Listener[];
  /** As it was when the generation began, for all of its workers. */
  identity?: TlsIdentity | undefined;
}

/**
 * What a generation is made from at this moment, but for its sockets.
 *
 * @throws UserError if the directory, or the user that workers run as, has gone, or the certificate cannot be used.
 */
export function setupOf(app: string, loaded: Loaded, launch: Launch): Omit<Setup, 'number' | 'listeners'> {
  const identity = readTlsIdentity(loaded.config);
  const chdir = loaded.config.chdir ?? '.';
  try {
    const credentials = credentialsOf(loaded.config);
    return { app, loaded, launch, credentials, identity, directory: realpathSync(chdir) };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`--chdir ${chdir}: ${(error as Error).message}`);
  }
}

/** Runs the workers. */
export class Crew {
  readonly #handles = new Map<number, { handle: WorkerHandle; setup: Setup }>();

  /** Starts a worker; `standing` says whether its generation serves, and whose the sockets' public names are. */
  spawn(
    id: number,
    slot: number,
    setup: Setup,
    standing: Pick<Extract<Order, { type: 'start' }>, 'serves' | 'published' | 'contested'>,
    events: WorkerEvents,
  ): void {
    const { number, app, loaded, directory, launch, credentials, listeners, identity } = setup;
    const sockets = listeners.map(({ fd }) => fd);
    // Somebody may have moved them away a moment ago.
    if (credentials) createLogs(loaded.config, credentials);
    const handle = new WorkerHandle(sockets, directory, { launch, credentials }, events);
    this.#handles.set(id, { handle, setup });
    handle.tell({
      type: 'start',
      app,
      args: loaded.args,
      config: loaded.config,
      worker: slot,
      generation: number,
      ...standing,
      identity,
      isMemoryLimited: launch.isMemoryLimited,
      sockets: listeners.map(({ key, inherited }, index) => ({
        fd: FIRST_SOCKET_FD + index,
        key,
        ...inherited,
      })),
    });
  }

  /** Tells a worker to go; `kept` are the listeners that others go on accepting on. */
  dismiss(id: number, how: Farewell, kept: readonly Listener[]): void {
    const one = this.#handles.get(id);
    const abandoned = (one?.setup.listeners ?? []).flatMap((listener, index) =>
      kept.includes(listener) ? [] : [FIRST_SOCKET_FD + index],
    );
    one?.handle.tell({ type: 'leave', how, abandoned });
  }

  /** Tells all workers the same. */
  tellAll(order: Order): void {
    for (const { handle } of this.#handles.values()) handle.tell(order);
  }

  /** Those whose process has not ended. */
  get ids(): number[] {
    return [...this.#handles.keys()];
  }

  /** Ends a worker without asking it. */
  kill(id: number): void {
    this.#handles.get(id)?.handle.kill();
  }

  /** A worker has ended. */
  forget(id: number): void {
    this.#handles.delete(id);
  }

  /** The process of a worker, unless it has ended or never was. */
  handle(id: number): WorkerHandle | undefined {
    return this.#handles.get(id)?.handle;
  }
}
