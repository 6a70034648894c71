/**
 * How this server becomes the one that others find, and ceases to be it: its sockets' names, the control socket and
 * the pid file, the predecessor that made way. Knows in which order these change hands, so that at every moment each
 * of them leads to a server that serves; whether that is wanted is decided by `arbiter.ts`.
 */

import type { Config } from '../config/settings.ts';
import { UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { controlPath } from '../status.ts';
import type { ControlFace, ControlSocket } from './control.ts';
import type { Listener } from './listener.ts';
import { PidFile } from './pid-file.ts';
import { obstacleAt } from './socket-probe.ts';
import type { Predecessor } from './upgrade.ts';

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
  readonly #controlPath: string | undefined;
  #control: ControlSocket | undefined;
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

  /**
   * Makes sure that we can take office one day; changes nothing.
   *
   * @throws UserError if the pid file is another's, or a server that we are to take over from cannot be asked.
   */
  async examine(): Promise<void> {
    const { predecessor, config } = this.#options;
    if (predecessor) return;
    if (!(config.takeover && (await this.#rival()))) return this.#pidFile?.claim();
    if (this.#controlPath === undefined)
      throw new UserError('--takeover: the control socket is off, and without it nobody can be asked to go');
    await this.#ask(({ ask }) => ask(this.#controlPath!, 'GET', '/healthz'));
  }

  /** Opens the control socket, which can be reached once we are in office; without one life goes on. */
  async openControl(face: ControlFace): Promise<void> {
    if (this.#controlPath === undefined) return;
    // Only here, so that the workers are started before it is loaded.
    const { ControlSocket } = await import('./control.ts');
    const control = new ControlSocket(this.#controlPath, face);
    try {
      await control.open();
      this.#control = control;
      if (this.#assumed) await this.#publishControl(control);
    } catch (error) {
      await control.close();
      this.#control = undefined;
      this.#options.log.warn(`${(error as Error).message}; going on without a control socket`);
    }
  }

  /**
   * Takes office: asks whoever serves to make way, and puts our names in place.
   *
   * @returns false if it was withdrawn meanwhile.
   * @throws UserError if somebody else is there.
   */
  async assume(listeners: readonly Listener[]): Promise<boolean> {
    const { predecessor, config } = this.#options;
    await predecessor?.ask(listeners);
    const rival = !predecessor && config.takeover ? await this.#rival() : undefined;
    const yielded = rival ? await this.#ask(({ askToYield }) => askToYield(this.#controlPath!)) : undefined;
    try {
      for (const listener of listeners) if (!(await listener.publish(yielded !== undefined))) return false;
      // While the control socket is still theirs. A server that does not answer any more goes by itself.
      await yielded?.confirm().catch(() => {});
      this.#assumed = true;
      this.#writePid();
      if (this.#control)
        await this.#publishControl(this.#control).catch((error: Error) =>
          this.#options.log.warn(error.message),
        );
      predecessor?.inOffice();
    } finally {
      yielded?.release();
    }
    return true;
  }

  /** Who has just taken over is the only one who serves: no pid file is a reason to end then. */
  #writePid(): void {
    try {
      this.#pidFile?.write();
    } catch (error) {
      if (!this.isContested) throw error;
      this.#options.log.error((error as Error).message);
    }
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

  /** Only who has the sockets takes this name: of several that start at once the others never get here. */
  #publishControl(control: ControlSocket): Promise<void> {
    return control.publish({ replace: this.isContested });
  }

  /** The path at which a live server stands in our way. */
  async #rival(): Promise<string | undefined> {
    for (const address of this.#options.config.bind) {
      if (address.kind === 'unix' && (await obstacleAt(address.path))?.live) return address.path;
    }
    return undefined;
  }

  async #ask<T>(question: (client: typeof import('../control-client.ts')) => Promise<T>): Promise<T> {
    try {
      return await question(await import('../control-client.ts'));
    } catch (error) {
      throw new UserError(
        `--takeover: the server that is there cannot be asked to go: ${(error as Error).message}`,
      );
    }
  }
}
