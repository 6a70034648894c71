/**
 * `--watch`: has what workers load watched, and reloads when it changes. Loaded only then. Knows what Node says about
 * imports, and what a failed start needs; how files are watched is the business of `watcher.ts`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import type { Config } from '../config/settings.ts';
import type { Logger } from '../log.ts';
import { filesIn, pathOf, withFrame } from './code-frame.ts';
import type { CodeObserver, Fleet } from './fleet.ts';
import type { Generations } from './generations.ts';
import { current, newest } from './state.ts';
import { Watcher } from './watcher.ts';

/** What is watched, and who is to reload. */
export interface DevelopmentOptions {
  app: string;
  config: Config;
  fleet: Fleet;
  generations: Generations;
  log: Logger;
}

/** The most files that a line names. */
const MOST_NAMED = 3;
/** The most names that a message is believed to hold: Node sends one, or one for each extension that it tries. */
const MOST_TOLD = 100;
/** How long Node may take to check the syntax of a file, in milliseconds. */
const CHECK_LIMIT = 3_000;

/** Reloads on changes. */
export class Development implements CodeObserver {
  readonly #options: DevelopmentOptions;
  readonly #root: string;
  readonly #watcher: Watcher;
  #changed: string[] = [];
  #lastHeard: string | undefined;

  constructor(options: DevelopmentOptions) {
    const { app, config, fleet, generations, log } = options;
    const directory = config.chdir ?? process.cwd();
    this.#options = options;
    this.#root = realpathSync(directory);
    this.#watcher = new Watcher({
      root: this.#root,
      onChange: (paths) => {
        this.#reload(paths).catch((error) => log.error({ err: error }, 'a change could not be followed'));
      },
      warn: (text) => log.warn(text),
    });
    this.equipped(app, config);
    for (const path of config.watchExtra ?? []) this.#watcher.keepAll(path);
    // What npm, pnpm and Yarn write when they have installed something: watching every package would be too much.
    this.#watchInstalls(`${this.#root}/node_modules`);
    fleet.observer = this;
    void generations.established.then(() => this.#watcher.relax());
  }

  close(): void {
    this.#watcher.close();
  }

  equipped(app: string, config: Config): void {
    const directory = config.chdir ?? process.cwd();
    // As they were typed: the links in them may lead elsewhere one day.
    this.#watcher.keep(resolve(directory, app.replace(/:[\w$]+$/, '')));
    if (config.config) this.#watcher.keep(config.config);
    for (const file of config.envFile ?? []) this.#watcher.keep(resolve(directory, file));
  }

  /**
   * Node says what it is about to load, also what it looks for in vain, if it was asked to by an environment variable.
   * The app may say anything over the same channel.
   */
  heard(message: unknown, generation: number, startedAt: number): void {
    const { 'watch:require': required, 'watch:import': imported } = Object(message) as Record<
      string,
      unknown
    >;
    for (const name of [required, imported].flat().slice(0, MOST_TOLD)) {
      const path = typeof name === 'string' ? pathOf(name) : undefined;
      if (path === undefined) continue;
      const [, packages] = /^(.*?\/node_modules)\//.exec(path) ?? [];
      if (packages === undefined) {
        this.#watcher.add(path, generation, startedAt);
        this.#lastHeard = path;
      } else if (existsSync(packages)) this.#watchInstalls(packages);
    }
  }

  failed(stack: string | undefined, generation: number): string | undefined {
    for (const path of stack === undefined ? [] : filesIn(stack))
      this.#watcher.add(path, generation, Infinity);
    // The file that is missing, or was never told of, may be any.
    const { state } = this.#options.fleet;
    if (newest(state).number === generation) this.#watcher.suspectAll();
    if (current(state).published === 'no') setImmediate(() => this.#options.log.info('waiting for a change'));
    return stack && withFrame(this.#withSyntax(stack));
  }

  /** Node says where the syntax of a module is wrong only to those who have it check a file. */
  #withSyntax(stack: string): string {
    if (!stack.startsWith('SyntaxError')) return stack;
    for (const path of this.#suspects) {
      const { stderr } = spawnSync(process.execPath, ['--check', path], {
        encoding: 'utf8',
        timeout: CHECK_LIMIT,
      });
      const frame = /^(file:|\/).*:\d+\n.*\n\s*[\^~]+/.exec(stderr)?.[0];
      if (frame) return `${frame}\n\n${stack}`;
    }
    return stack;
  }

  /** The files whose syntax may be wrong: those that were changed last, and what a worker was about to load. */
  get #suspects(): string[] {
    const found = [...this.#changed.slice(0, MOST_NAMED), ...(this.#lastHeard ? [this.#lastHeard] : [])];
    return found.filter((path) => /\.[cm]?js$/.test(path));
  }

  async #reload(paths: string[]): Promise<void> {
    this.#changed = paths;
    const names = paths.slice(0, MOST_NAMED).map((path) => {
      const name = relative(this.#root, path);
      return name.startsWith('..') ? path : name;
    });
    const more = paths.length - names.length;
    const { generations, fleet } = this.#options;
    const outcome = await generations.renew(
      `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''} changed`,
    );
    if (!outcome.ok) return;
    this.#watcher.relax();
    this.#watcher.forgetBefore(fleet.running.number);
  }

  #watchInstalls(packages: string): void {
    for (const name of ['.package-lock.json', '.modules.yaml', '.yarn-state.yml', '.yarn-integrity'])
      this.#watcher.keep(`${packages}/${name}`);
  }
}
