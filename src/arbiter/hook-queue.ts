/**
 * Tells the hooks of one config file what happens: keeps the events until their hooks have run, one after the other, and
 * has a new process when one has died. Whatever a hook does, nobody waits for it here. Only loaded where there are hooks.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HookError, HookFile, HookName, ServerEvent } from '../events.ts';
import type { Logger } from '../log.ts';
import { HookProcess, type HookSurroundings } from './hook-process.ts';

/** How long a hook may take, in milliseconds. */
const HOOK_LIMIT = 10_000;
/** The same when the server is about to end, so that one that hangs leaves some time to those behind it. */
const LAST_HOOK_LIMIT = 2_000;
/** So many events may wait. */
const MAX_WAITING = 1_000;
/** So many processes in a row may fail to load the file until the events that wait are given up. */
const MAX_LOADS = 3;
/** How long nothing is started after a process has died, in milliseconds: twice as long each time in a row. */
const FIRST_DELAY = 100;
const LONGEST_DELAY = 10_000;

/** The hooks of one config file. */
export class HookQueue {
  readonly #hooks: HookFile;
  readonly #surroundings: HookSurroundings;
  readonly #log: Logger;
  readonly #waiting: ServerEvent[] = [];
  /** Set while somebody works the queue off. */
  #working: Promise<void> | undefined;
  #process: HookProcess | undefined;
  /** How many processes have died in a row. */
  #deaths = 0;
  /** How many events found no place. */
  #lost = 0;
  #isKilled = false;
  /** Aborted when there is no time any more to wait before a process is started. */
  readonly #hurry = new AbortController();

  /** Starts a process at once, so that one knows early of a file that cannot be loaded. */
  constructor(hooks: HookFile, surroundings: HookSurroundings, log: Logger) {
    this.#hooks = hooks;
    this.#surroundings = surroundings;
    this.#log = log;
    this.#work();
  }

  /** Has the hook of this event run after those before it, if there is one. */
  push(event: ServerEvent): void {
    if (!this.#hooks.names.includes(event.type)) return;
    // There is always a place for the last one.
    if (this.#waiting.length >= MAX_WAITING && event.type !== 'onExit') {
      if (this.#lost++ === 0)
        this.#log.error(`the hooks of ${this.#hooks.path} are too slow: events are lost`);
      return;
    }
    this.#waiting.push(event);
    this.#work();
  }

  /** Resolves when all events have been told, and the process has ended. */
  async finish(): Promise<void> {
    while (this.#working) await this.#working;
    await this.#process?.end();
  }

  /** The server is about to end: there is less time for each hook. */
  hurry(): void {
    this.#hurry.abort();
    this.#process?.hurry(LAST_HOOK_LIMIT);
  }

  /** Ends it all at once. */
  kill(): void {
    this.#isKilled = true;
    this.#hurry.abort();
    this.#giveUp();
    this.#process?.kill();
  }

  #work(): void {
    this.#working ??= this.#workOff().finally(() => {
      this.#working = undefined;
      if (this.#waiting.length > 0) this.#work();
    });
  }

  async #workOff(): Promise<void> {
    do {
      const process = await this.#ready();
      const event = process && this.#waiting.shift();
      if (process && event) await this.#run(process, event);
    } while (this.#waiting.length > 0);
    if (this.#lost > 0)
      this.#log.error(`${this.#lost} events were lost, as the hooks of ${this.#hooks.path} were too slow`);
    this.#lost = 0;
  }

  async #run(process: HookProcess, event: ServerEvent): Promise<void> {
    const error = await process.run(event, this.#hurry.signal.aborted ? LAST_HOOK_LIMIT : HOOK_LIMIT);
    if (error) this.#complain(error, event.type);
    this.#deaths = process.isGone ? this.#deaths + 1 : 0;
  }

  /** A process that can run hooks; if none is to be had, what waits is given up. */
  async #ready(): Promise<HookProcess | undefined> {
    if (this.#process?.isGone === false) return this.#process;
    for (let loads = 0; loads < MAX_LOADS; loads++) {
      const delay = this.#deaths === 0 ? 0 : Math.min(FIRST_DELAY * 2 ** (this.#deaths - 1), LONGEST_DELAY);
      await sleep(delay, undefined, { signal: this.#hurry.signal }).catch(() => {});
      if (this.#isKilled) return undefined;
      const error = await this.#start();
      if (!error) return this.#process;
      this.#deaths++;
      this.#complain(error);
    }
    this.#giveUp();
    return undefined;
  }

  async #start(): Promise<HookError | undefined> {
    try {
      this.#process = new HookProcess(this.#hooks.file, this.#surroundings, (error) => this.#complain(error));
      return await this.#process.loaded;
    } catch (error) {
      return { message: (error as Error).message };
    }
  }

  #giveUp(): void {
    for (const { type } of this.#waiting.splice(0))
      this.#log.error({ hook: type }, `${this.#nameOf(type)} was not run`);
  }

  #complain({ message, stack }: HookError, hook?: HookName): void {
    const err = stack !== undefined && { err: Object.assign(new Error(message), { stack }) };
    const name = hook ? this.#nameOf(hook) : `the hooks of ${this.#hooks.path}`;
    this.#log.error({ ...(hook && { hook }), ...err }, `${name}: ${message}`);
  }

  #nameOf(hook: HookName): string {
    return `hook ${hook} (${this.#hooks.path})`;
  }
}
