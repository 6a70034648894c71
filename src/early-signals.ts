/**
 * What signals do before there is a server that they could be meant for: those that end it end the start, and the others
 * come too early to mean anything. Without that process 1 of a container would not hear of them, USR1 would open Node's
 * inspector, and a stop could leave names or processes behind.
 */
import { constants } from 'node:os';
import { type Command, signals } from './commands.ts';
import { closeInspector } from './inspector.ts';

/** To what terminals and the system send by themselves, the default answer is right. */
const LEFT: readonly string[] = ['SIGWINCH', 'SIGTTIN', 'SIGTTOU'];

/** How long after that we look whether the inspector was opened before we listened, by whomever, in milliseconds. */
const INSPECTOR_CHECK = 1_000;

/** Listens to signals from the moment that it is made. */
export class EarlySignals {
  readonly #listeners = new Map<NodeJS.Signals, () => void>();
  readonly #held: [signal: string, command: Command][] = [];
  readonly #isDebugged: boolean;
  #holds = false;

  /** @param flags what Node was started with, to tell whether it is to be debugged. */
  constructor(flags: readonly string[]) {
    this.#isDebugged = flags.some((flag) => /^--inspect(-brk|-wait)?(=|$)/.test(flag));
    for (const [name, command] of Object.entries(signals)) {
      if (LEFT.includes(name)) continue;
      const signal = name as NodeJS.Signals;
      const listener = () => {
        if (command.verb !== 'stop') return;
        if (this.#holds) this.#held.push([signal, command]);
        else process.exit(128 + constants.signals[signal]);
      };
      this.#listeners.set(signal, listener);
      process.on(signal, listener);
    }
  }

  /** From now on there is something to be undone: a signal to end waits for `release`. */
  hold(): void {
    this.#holds = true;
  }

  /** Stops listening, and returns the signals that are to be heeded now, with what they ask for. */
  release(): readonly [signal: string, command: Command][] {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
    // Later, as the module takes a while to load, in which workers can start.
    if (!this.#isDebugged) setTimeout(closeInspector, INSPECTOR_CHECK).unref();
    return this.#held;
  }
}
