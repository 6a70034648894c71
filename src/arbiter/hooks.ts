/**
 * Who is to be told what happens: the hooks of the config file in force, if it has any. Knows which file's hooks get an
 * event, and how long the end of the server waits for them; they run elsewhere, and never hold up or harm the server.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Happening, HookFile, ServerEvent } from '../events.ts';
import type { Logger } from '../log.ts';
import { HOOKS_GRACE } from '../timing.ts';
import type { HookSurroundings } from './hook-process.ts';
import type { HookQueue } from './hook-queue.ts';

/** Tells the hooks. */
export class Hooks {
  readonly #surroundings: HookSurroundings;
  readonly #log: Logger;
  #current: HookQueue | undefined;
  /** With those of config files before, that still have something to do. */
  readonly #queues = new Set<HookQueue>();
  #isClosed = false;
  /** Aborted when nobody waits for hooks any more. */
  readonly #killed = new AbortController();

  constructor(surroundings: HookSurroundings, log: Logger) {
    this.#surroundings = surroundings;
    this.#log = log;
  }

  /** From now on the hooks of this file are told; those before it finish what they have been told. */
  async use(hooks: HookFile | undefined): Promise<void> {
    const before = this.#current;
    try {
      this.#current = hooks && (await this.#queue(hooks));
    } catch (error) {
      this.#log.error({ err: error }, `the hooks of ${hooks?.path} cannot be told anything`);
      this.#current = undefined;
    }
    if (before) void before.finish().then(() => this.#queues.delete(before));
  }

  /** Something has happened. Nobody waits for what the hook does. */
  emit(happening: Happening): void {
    this.#current?.push({ ...happening, time: new Date().toISOString() } as ServerEvent);
  }

  /** Resolves when all hooks have run, or there is no time left for them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const queues = [...this.#queues];
    if (queues.length === 0) return;
    for (const queue of queues) queue.hurry();
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#killed.signal]);
    await Promise.race([
      Promise.all(queues.map((queue) => queue.finish())),
      sleep(HOOKS_GRACE * 1000, undefined, { signal }).catch(() => {}),
    ]);
    over.abort();
    for (const queue of queues) queue.kill();
  }

  /** Nobody waits for the end. */
  kill(): void {
    this.#killed.abort();
  }

  async #queue(hooks: HookFile): Promise<HookQueue | undefined> {
    // Loaded only where there are hooks.
    const { HookQueue } = await import('./hook-queue.ts');
    if (this.#isClosed) return undefined;
    const queue = new HookQueue(hooks, this.#surroundings, this.#log);
    this.#queues.add(queue);
    return queue;
  }
}
