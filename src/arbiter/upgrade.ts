/**
 * A new arbiter in the place of this one: how it is started with our sockets, and what the two say to each other
 * until it has taken over or has failed. Knows processes and descriptors; when to go is decided by `succession.ts`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Outcome } from '../commands.ts';
import type { Config } from '../config/settings.ts';
import { UserError } from '../errors.ts';
import { startError } from '../start-error.ts';
import { type Heirloom, heirloomOf, type Listener } from './listener.ts';
import { FIRST_SOCKET_FD } from './worker-handle.ts';

/** The variable in which a successor finds its heirlooms, as JSON. */
export const HEIRLOOMS = 'FASTICORN_HEIRLOOMS';
/** What a successor gets on top of its workers' own time, in milliseconds: for its config file, and to end. */
const EXTRA = 15_000;

/** How this process was started, so that its like can be started again. */
export interface Invocation {
  /** The script and its arguments, without Node. */
  argv: readonly string[];
  directory: string;
  env: NodeJS.ProcessEnv;
  /** The umask that this process began with, if it has another one by now. */
  umask: number | undefined;
  /** Why a successor could not stay alive here, in words; undefined if it can. */
  tiedToUs: string | undefined;
}

/** Successor to predecessor. */
type Message =
  /** Its workers are ready: it asks to take over, and to keep the listeners with these keys. */
  | { type: 'ready'; keeps: string[] }
  /** It has taken over. */
  | { type: 'in-office' }
  | { type: 'failed'; message: string; stack?: string | undefined };
/** Predecessor to successor: everything is yours. */
export interface Consent {
  type: 'yours';
  /** The path of the control socket that is to be replaced; absent without one. */
  controlPath?: string | undefined;
}

/** A successor that is being started. */
export class Successor {
  readonly #child: ChildProcess;
  readonly #done: Promise<Outcome>;
  /** Milliseconds after SIGTERM. */
  readonly #timeToEnd: number;
  #finish: (outcome: Outcome) => void = () => {};

  /**
   * @param config of this server: the Node binary to run it with, and what its workers may take to boot and to finish their
   *   requests.
   * @param onReady it could take over, and keeps the listeners with these keys: do what has to be done before that;
   *   undefined to refuse.
   * @throws UserError if the binary cannot be run at all.
   */
  constructor(
    config: Pick<Config, 'node' | 'bootTimeout' | 'gracefulTimeout'>,
    { argv, directory, env, umask }: Invocation,
    listeners: readonly Listener[],
    onReady: (keeps: string[]) => Consent | undefined,
  ) {
    const { node = process.execPath, bootTimeout, gracefulTimeout } = config;
    const unstartable = ({ message }: Error) =>
      `${config.node === undefined ? '' : '--node '}${node} could not be started: ${message}`;
    const heirlooms = listeners.map((listener, index) => heirloomOf(listener, FIRST_SOCKET_FD + index));
    this.#done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    const ours = umask === undefined ? undefined : process.umask(umask);
    try {
      this.#child = spawn(node, [...process.execArgv, ...argv], {
        cwd: directory,
        env: { ...env, [HEIRLOOMS]: JSON.stringify(heirlooms) },
        stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...listeners.map(({ fd }) => fd)],
      });
    } catch (error) {
      // Some errors of exec(3) Node throws, and others it emits.
      throw new UserError(unstartable(error as Error));
    } finally {
      if (ours !== undefined) process.umask(ours);
    }
    this.#timeToEnd = gracefulTimeout * 1000 + EXTRA;
    const fail = (message: string, stack?: string) => this.#finish({ ok: false, message, stack });
    const limit = bootTimeout * 1000 + EXTRA;
    const late = setTimeout(
      () =>
        fail(
          `the new arbiter was not ready after ${limit / 1000} s (--boot-timeout ${bootTimeout}, as it is here, and ${EXTRA / 1000} s)`,
        ),
      limit,
    );
    void this.#done.then(() => clearTimeout(late));
    this.#child.on('message', (message: Partial<Message> | null) => {
      // Code that is preloaded into it has the channel as well, and a newer release may have more to say.
      if (message?.type === 'failed' && typeof message.message === 'string')
        fail(message.message, message.stack);
      else if (message?.type === 'in-office')
        this.#finish({ ok: true, message: `the arbiter with pid ${this.#child.pid} serves` });
      else if (message?.type === 'ready' && Array.isArray(message.keeps)) {
        const consent = onReady(message.keeps);
        if (consent) this.#child.send(consent, () => {});
      }
    });
    this.#child.on('error', (error) => fail(unstartable(startError(error, directory))));
    this.#child.on('exit', (code, signal) =>
      fail(`the new arbiter ended before it could take over (${signal ?? `exit code ${code}`})`),
    );
  }

  /** Its process id, for the log. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Resolves when it serves, or cannot; its process has ended then. */
  async outcome(): Promise<Outcome> {
    const outcome = await this.#done;
    if (outcome.ok) {
      this.#child.disconnect();
      this.#child.unref();
    } else await this.#ended();
    return outcome;
  }

  /** Has it end without taking over, with its requests or quickly. */
  abort(signal: 'SIGTERM' | 'SIGINT'): void {
    const child = this.#child;
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), signal === 'SIGINT' ? EXTRA : this.#timeToEnd);
    child.once('exit', () => clearTimeout(timer));
  }

  async #ended(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.abort('SIGTERM');
    await ended;
  }
}

/** What a successor says to its predecessor. */
export interface Predecessor {
  heirlooms: readonly Heirloom[];
  /** Asks to take over. Resolves when we may: with its consent, or with none because it has gone. */
  ask(listeners: readonly Listener[]): Promise<Consent | undefined>;
  /** We have taken over. */
  inOffice(): void;
  /** We cannot. */
  failed(message: string, stack?: string): void;
}

/** Reads what a predecessor has left us, or undefined if there is none. The channel to it is this process's own. */
export function predecessor(heirlooms: string | undefined): Predecessor | undefined {
  if (heirlooms === undefined || !process.send) return undefined;
  const send = (message: Message) => {
    if (process.connected) process.send!(message, undefined, undefined, () => {});
  };
  return {
    heirlooms: JSON.parse(heirlooms) as Heirloom[],
    ask: (listeners) =>
      new Promise((resolve) => {
        process.once('message', (consent: Consent) => resolve(consent));
        process.once('disconnect', () => resolve(undefined));
        if (!process.connected) resolve(undefined);
        send({ type: 'ready', keeps: listeners.map(({ key }) => key) });
      }),
    inOffice: () => send({ type: 'in-office' }),
    failed: (message, stack) => send({ type: 'failed', message, stack }),
  };
}
