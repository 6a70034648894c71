/**
 * How this server becomes the one that others find, and ceases to be it: its sockets' names, the control socket and
 * the pid file, the predecessor that made way. Knows in which order these change hands, so that at every moment each
 * of them leads to a server that serves; whether that is wanted is decided by others.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { formatAddress } from '../address.ts';
import type { Config } from '../config/settings.ts';
import { UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { controlPath } from '../status.ts';
import type { ControlFace, ControlSocket } from './control.ts';
import type { Listener } from './listener.ts';
import { PidFile } from './pid-file.ts';
import { assertFree, obstacleAt } from './socket-probe.ts';
import type { Predecessor } from './upgrade.ts';

/** How long the server before us may take to have its names back when we have failed, in milliseconds. */
const TAKING_BACK = 2_000;

export interface OfficeOptions {
  config: Config;
  /** The server that started us to take its place. */
  predecessor: Predecessor | undefined;
  log: Logger;
}

/** Everything by which the server is found. */
export class Office {
  readonly #options: OfficeOptions;
  readonly #pidFile: PidFile | undefined;
  #controlPath: string | undefined;
  #control: ControlSocket | undefined;
  #face: ControlFace | undefined;
  #hasConsent = false;
  /** The control socket of the server that made way for us, by its path: we are to replace it. */
  #replaceable: string | undefined;
  #assumed = false;

  constructor(options: OfficeOptions) {
    this.#options = options;
    const { pid } = options.config;
    this.#pidFile = pid === undefined ? undefined : new PidFile(pid);
    this.#controlPath = controlPath(options.config, process.pid);
  }

  /** Whether another server still serves, so that everything has to be in order before it is replaced. */
  get isContested(): boolean {
    return this.#options.predecessor !== undefined || this.#options.config.takeover;
  }

  /** Whether the sockets are still those of a predecessor, which goes on if we do not. */
  get isGuest(): boolean {
    return this.#options.predecessor !== undefined && !this.#hasConsent;
  }

  /** Where others reach our control socket; undefined if they do not. */
  get controlPath(): string | undefined {
    return this.#control?.isPublished() ? this.#control.path : undefined;
  }

  /**
   * Makes sure that we can take office one day; changes nothing.
   *
   * @throws UserError if the pid file is another's, or a server that we are to take over from cannot be asked.
   */
  async examine(): Promise<void> {
    const { predecessor } = this.#options;
    const before = predecessor ? process.ppid : (await this.#rival())?.pid;
    this.#pidFile?.claim(before);
  }

  /**
   * Opens the control socket, which can be reached once we are in office; without one life goes on.
   *
   * @param otherwise what the log is to say of that.
   */
  async openControl(face: ControlFace, otherwise?: string): Promise<void> {
    this.#face = face;
    if (this.#controlPath === undefined) return;
    // Only here, so that the workers are started before it is loaded.
    const { ControlSocket } = await import('./control.ts');
    const control = new ControlSocket(this.#controlPath, face);
    try {
      await control.open();
      this.#control = control;
      if (this.#assumed) await this.#publishControl(control);
    } catch (error) {
      await this.#dropControl(control, error as Error, otherwise);
    }
  }

  /**
   * Takes office: asks whoever serves to make way, and puts our names in place.
   *
   * @returns false if it was withdrawn meanwhile.
   * @throws UserError if somebody else is there.
   */
  async assume(listeners: readonly Listener[]): Promise<boolean> {
    const { predecessor } = this.#options;
    const consent = await predecessor?.ask(listeners);
    this.#hasConsent = true;
    const rival = predecessor ? undefined : await this.#rival();
    const yielded = rival && (await this.#ask(({ askToYield }, path) => askToYield(path)));
    const free = yielded ? rival.addresses : [];
    this.#replaceable = yielded ? this.#controlPath : consent?.controlPath;
    try {
      for (const listener of listeners)
        if (!(await listener.publish(free.includes(listener.key)))) return false;
      // While the control socket is still theirs.
      await yielded?.confirm();
      this.#assumed = true;
      this.#writePid(rival?.pid);
      const control = this.#control;
      if (control) await this.#publishControl(control).catch((error) => this.#dropControl(control, error));
      predecessor?.inOffice();
    } catch (error) {
      // Whoever served before us takes them up again; until then no name is better gone than ours.
      const theirs = predecessor?.heirlooms.map(({ key }) => key) ?? free;
      const left = listeners.filter(({ key }) => theirs.includes(key));
      for (const listener of left) listener.handOver();
      yielded?.release();
      if (yielded) await untilTaken(left);
      throw error;
    } finally {
      yielded?.release();
    }
    return true;
  }

  #restorePid(): void {
    const { log } = this.#options;
    try {
      if (this.#pidFile?.restore())
        log.warn(`${this.#pidFile.path} was deleted by somebody; it was put back`);
    } catch (error) {
      log.error((error as Error).message);
    }
  }

  /** After a takeover we are the only one who serves, and no pid file is a reason to end; a predecessor is still there. */
  #writePid(before: number | undefined): void {
    try {
      // Another newcomer may have taken over since we looked: the file is then that one's.
      if (before !== undefined) this.#pidFile?.claim(before);
      this.#pidFile?.write();
    } catch (error) {
      if (this.#options.predecessor || !this.isContested) throw error;
      this.#options.log.error((error as Error).message);
    }
  }

  /**
   * A successor has failed: whatever it has taken by then is ours again, and what it left behind goes.
   *
   * @throws UserError if somebody else is there; all others are ours again all the same.
   */
  async resume(listeners: readonly Listener[]): Promise<void> {
    const steps = [
      ...listeners.map((listener) => async () => {
        listener.release();
        await listener.publish();
      }),
      async () => this.#control?.resume(),
      async () => {
        if (!this.#pidFile?.isOurs()) this.#pidFile?.write();
      },
    ];
    const errors: unknown[] = [];
    for (const step of steps) await step().catch((error) => errors.push(error));
    if (errors.length > 0) throw errors[0];
  }

  /**
   * After a reload: the pid file is there again, should somebody have deleted it, and the control socket stays beside the
   * first Unix socket, where those who look for it look.
   */
  async follow(config: Config): Promise<void> {
    this.#restorePid();
    const path = controlPath(config, process.pid);
    if (path === this.#controlPath || !this.#face) return;
    const [before, place] = [this.#control, this.#controlPath];
    this.#controlPath = path;
    this.#control = undefined;
    this.#replaceable = undefined;
    await this.openControl(this.#face, before && `the control socket stays ${before.path}`);
    if (this.#control) before?.retire();
    else [this.#control, this.#controlPath] = [before, place];
  }

  /** Puts deleted names back; to be called now and then. */
  check(): void {
    this.#control?.check();
  }

  /** Gives up what is still ours. Answers that wait have been given by then. */
  async leave(): Promise<void> {
    this.#pidFile?.remove();
    await this.#control?.close();
  }

  async #dropControl(
    control: ControlSocket,
    { message }: Error,
    otherwise = 'going on without a control socket',
  ): Promise<void> {
    this.#control = undefined;
    await control.close();
    this.#options.log.warn(`${message}; ${otherwise}`);
  }

  /** Only who has the sockets takes this name: of several that start at once the others never get here. */
  #publishControl(control: ControlSocket): Promise<void> {
    return control.publish({ replace: control.path === this.#replaceable });
  }

  /**
   * The server that is to make way for us, and the addresses at which it does; undefined if there is none.
   *
   * @throws UserError if somebody is there who cannot be asked.
   */
  async #rival(): Promise<{ pid: number; addresses: string[] } | undefined> {
    const { bind, controlSocket, takeover } = this.#options.config;
    const addresses: string[] = [];
    for (const address of takeover ? bind : []) {
      if (address.kind !== 'unix' || !(await obstacleAt(address.path))?.live) continue;
      addresses.push(formatAddress(address));
    }
    if (addresses.length === 0) return undefined;
    const rival = await this.#ask(({ askWho }, path) => askWho(path));
    if (!rival) return undefined;
    // One alone is the one beside its control socket, and may have another name where that server sees it. A control
    // socket that is named may be anybody's.
    const isBeside = bind.length === 1 && controlSocket === undefined;
    const stranger = addresses.find((one) => !isBeside && !rival.addresses.includes(one));
    if (stranger !== undefined)
      throw new UserError(
        `--takeover: ${stranger} is not a socket of the server that can be asked to go (pid ${rival.pid}); it was left alone`,
      );
    return { pid: rival.pid, addresses };
  }

  /** Asks the rival; undefined if it ended meanwhile. */
  async #ask<T>(
    question: (client: typeof import('../control-client.ts'), path: string) => Promise<T>,
  ): Promise<T | undefined> {
    if (this.#controlPath === undefined)
      throw new UserError('--takeover: the control socket is off, and without it nobody can be asked to go');
    try {
      return await question(await import('../control-client.ts'), this.#controlPath);
    } catch (error) {
      if (await this.#isFree()) return undefined;
      throw new UserError(
        `--takeover: the server that is there cannot be asked to go: ${(error as Error).message}`,
      );
    }
  }

  /** Whether nobody is at our paths; the workers of somebody who was killed may take a moment to go. */
  async #isFree(): Promise<boolean> {
    try {
      for (const address of this.#options.config.bind)
        if (address.kind === 'unix') await assertFree(address.path, false);
      return true;
    } catch {
      return false;
    }
  }
}

/** Whoever still finds us under names that are being taken back has to be answered: ending before that would lose them. */
async function untilTaken(listeners: readonly Listener[]): Promise<void> {
  const until = performance.now() + TAKING_BACK;
  while (performance.now() < until && listeners.some(({ isThere }) => isThere)) await sleep(5);
}
