/**
 * A directory with an app and, perhaps, a config file, which a test rewrites while a server runs from it; and what
 * an operator asks of that server.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Status } from '../../src/status.ts';
import { fasticorn, type Outcome } from './command.ts';
import { readyWorkers, statusOf } from './control.ts';
import { fetchFrom, type Target } from './http.ts';
import { app, type Server, type ServerOptions, startServer, temporaryDirectory, until } from './server.ts';

/** Where the load of test/support/load.ts is answered, and a version at `/version`. */
export const versionApp = (version: string, more = ''): string => `
  import echo from ${JSON.stringify(app('echo.mjs'))};
  export default async function version(app) {
    ${more}
    await echo(app);
    app.get('/version', async () => ${JSON.stringify(version)});
  }`;

/** The environment in which the config file says how many workers there are. */
export const FILE_DECIDES = { WEB_CONCURRENCY: '' };

/** A deployed app, served from its directory. */
export class Site {
  readonly directory: string;
  readonly socket: string;
  readonly control: string;
  readonly #t: TestContext;

  constructor(t: TestContext, directory = temporaryDirectory(t)) {
    this.#t = t;
    this.directory = directory;
    this.socket = join(directory, 'app.sock');
    this.control = `${this.socket}.ctl`;
  }

  /** Writes a file of the site. */
  write(name: string, text: string): void {
    const path = join(this.directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  /** Writes app.mjs, which answers this version. */
  deploy(version: string, more = ''): void {
    this.write('app.mjs', versionApp(version, more));
  }

  /** Starts two workers of app.mjs and waits until both serve; for another number see `FILE_DECIDES`. */
  async start(args: readonly string[] = [], options: ServerOptions = {}): Promise<Server> {
    const server = await startServer(this.#t, './app.mjs', ['--control-socket', this.control, ...args], {
      ...{ socket: this.socket, cwd: this.directory },
      ...options,
    });
    await until(() => existsSync(this.control), 'the control socket');
    await until(async () => (await this.ready()).length === (await this.status()).wanted, 'all workers');
    return server;
  }

  /** `fasticorn VERB`, asked from elsewhere, so that only the server reads the site's config file. */
  ask(...args: string[]): Promise<Outcome> {
    return fasticorn(this.#t, [...args, '--control-socket', this.control], { cwd: '/' });
  }

  /** `fasticorn VERB --pid FILE`, which can only send a signal. */
  askByPid(file: string, ...args: string[]): Promise<Outcome> {
    return fasticorn(this.#t, [...args, '--pid', file], { cwd: '/' });
  }

  /** `GET /status` */
  status(): Promise<Status> {
    return statusOf(this);
  }

  /** The pids of the workers of the generation that serves, those that are ready. */
  async ready(): Promise<(number | null)[]> {
    return (await readyWorkers(this)).map(({ pid }) => pid);
  }

  /** Which version answers on a new connection. */
  async version(target: Target = { socketPath: this.socket }): Promise<string> {
    return (await fetchFrom(target, '/version')).body;
  }

  /** Waits until a version answers everybody: the old workers are gone. */
  async serves(version: string): Promise<void> {
    await until(async () => {
      const { workers, generation } = await this.status();
      return (
        workers.every((one) => one.generation === generation.current) && (await this.version()) === version
      );
    }, `version ${version}`);
  }
}
