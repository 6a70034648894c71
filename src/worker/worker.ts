/**
 * The entry of a worker process: loads the app, listens on the inherited socket, reports to the arbiter and obeys
 * it. Knows the order of these things; how each is done is in the files beside it.
 */
import type * as net from 'node:net';
import type { FastifyInstance } from 'fastify';
import { formatAddress } from '../address.ts';
import { ExitCode, errorCode, UserError } from '../errors.ts';
import { removeIfSame } from '../inode.ts';
import { type OpenLog, openAccessLog, openErrorLog } from '../log.ts';
import type { Farewell, InheritedSocket, Order, Report } from '../protocol.ts';
import { accessLine, logUpgrades, remember } from './access-log.ts';
import { isRequestNoise, LISTENING } from './app-log.ts';
import { Connections } from './connections.ts';
import { Drain, type Draining } from './drain.ts';
import { loadApp } from './load-app.ts';
import { identifyPeers, trustProxy } from './peers.ts';
import { requestIds } from './request-id.ts';
import { surviveClosedPipes } from './standard-streams.ts';

surviveClosedPipes();

// A terminal sends these to its whole group, operators to the wrong process: the arbiter decides what they mean.
for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {});
process.on('SIGTERM', () => report({ type: 'asked-to-leave' }));

process.once('message', (order: Order) => {
  if (order.type === 'start') new Worker(order);
});
// Killed before it could say what to do.
process.once('disconnect', exitUnlessStarted);

let started = false;
function exitUnlessStarted(): void {
  if (!started) process.exit(0);
}

/** Tells the arbiter; an arbiter that is gone hears nothing, and `disconnect` tells us so. */
function report(message: Report, then: () => void = () => {}): void {
  if (process.connected && process.send) process.send(message, undefined, undefined, then);
  else then();
}

type StartOrder = Extract<Order, { type: 'start' }>;

class Worker {
  readonly #order: StartOrder;
  readonly #log: OpenLog;
  #accessLog: OpenLog | undefined;
  /** What is to be drained one day; how the queue is treated is known only then. */
  #draining: Omit<Draining, 'queue'> | undefined;
  #drain: Drain | undefined;
  /** The app throws outside of any request's handler: from then on the process is not to be trusted. */
  #broken = false;

  constructor(order: StartOrder) {
    started = true;
    this.#order = order;
    this.#log = openErrorLog(order.config, { worker: order.worker }, isRequestNoise);
    process.on('message', (next: Order) => {
      if (next.type === 'leave') void this.#leave(next.how);
    });
    process.on('disconnect', () => this.#onOrphaned());
    process.on('uncaughtException', (error) => this.#onUncaught(error));
    process.on('exit', () => {
      this.#accessLog?.flushSync();
      this.#log.flushSync();
    });
    this.#start().catch((error) => this.#fail(error));
  }

  async #start(): Promise<void> {
    const { app: spec, config, socket } = this.#order;
    this.#accessLog = openAccessLog(config, this.#log.logger);
    const address = socket?.address ?? config.bind;
    const { app } = await loadApp(spec, {
      logger: this.#log.logger,
      trustProxy: trustProxy(address),
      requestIdHeader: address.kind === 'unix' ? 'x-request-id' : false,
      genReqId: requestIds(),
      keepAliveTimeout: config.keepAlive * 1000,
      prepare: (created) => {
        identifyPeers(created.server, address);
        created.addHook('onRequest', (request, _reply, done) => {
          remember(request.raw, request);
          done();
        });
      },
    });
    if (!socket) {
      // Only a check: the app has loaded, and nothing is to be served.
      await app.close();
      return report({ type: 'ready' }, () => process.exit(0));
    }
    const { server } = app;
    const accessLog = this.#accessLog?.logger;
    if (accessLog) logUpgrades(server, accessLog);
    this.#draining = {
      server,
      connections: new Connections(server, accessLog && accessLine(accessLog)),
      closeApp: () => this.#closeApp(app),
      gracefulTimeout: config.gracefulTimeout,
    };
    adopt(server, socket, config.backlog);
    try {
      await app.listen({
        // Never a name: for localhost Fastify would open a second server that nobody watches.
        ...(address.kind === 'unix' ? { path: address.path } : { host: '127.0.0.1', port: address.port }),
        listenTextResolver: () => LISTENING,
      });
    } catch (error) {
      // Two servers may bind one port at once; only the first to listen gets it.
      const reason =
        errorCode(error) === 'EADDRINUSE' ? 'the port is taken; stop who has it' : 'cannot listen';
      throw new UserError(`--bind ${formatAddress(address)}: ${reason} (${errorCode(error) ?? error})`);
    }
    report({ type: 'ready' });
  }

  /** Says why the worker cannot serve, and ends. */
  #fail(error: unknown): void {
    const { app } = this.#order;
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    const failure: Report =
      error instanceof UserError
        ? { type: 'failed', exitCode: error.exitCode, message }
        : {
            type: 'failed',
            exitCode: ExitCode.appFailed,
            message: `${app} failed to start: ${message}`,
            stack: stack ?? message,
          };
    report(failure, () => process.exit(1));
  }

  #onUncaught(error: unknown): void {
    if (!this.#draining) {
      this.#fail(error);
      return;
    }
    this.#log.logger.fatal({ err: error }, 'the app did not catch this error');
    if (this.#broken) return;
    this.#broken = true;
    report({ type: 'broken' });
    void this.#leave('retire');
  }

  /** The arbiter was killed: nobody can hold the socket for a next one, so its name must not stay. */
  #onOrphaned(): void {
    const { socket, config } = this.#order;
    // Nobody is left to end us if a hook of the app hangs.
    setTimeout(() => process.exit(1), config.gracefulTimeout * 1000);
    if (socket?.inode) for (const name of socket.names) removeIfSame(name, socket.inode);
    this.#log.logger.fatal('the arbiter is gone: answering what has arrived, then ending');
    void this.#leave('stop');
  }

  async #leave(how: Farewell): Promise<void> {
    if (!this.#draining) process.exit(0);
    if (this.#drain) {
      if (how === 'quick') this.#drain.hurry();
      return;
    }
    const isUnix = this.#order.socket?.inode !== undefined;
    const queue = how !== 'stop' ? 'leave' : isUnix ? 'named' : 'port';
    this.#drain = new Drain({ ...this.#draining, queue });
    if (how === 'quick') this.#drain.hurry();
    const cut = await this.#drain.run();
    if (cut > 0)
      this.#log.logger.warn(`${cut} connection${cut === 1 ? '' : 's'} had to be cut to end in time`);
    process.exit(0);
  }

  async #closeApp(app: FastifyInstance): Promise<void> {
    try {
      await app.close();
    } catch (error) {
      this.#log.logger.error({ err: error }, 'an error while the app was closing');
    }
  }
}

/**
 * Has the server's next listen() use the inherited socket, whatever it asks for, and report the address that was
 * asked for: on a Unix socket, address() would be null, which crashes frameworks.
 */
function adopt(server: net.Server, { fd, address }: InheritedSocket, backlog: number): void {
  server.listen = (...args: unknown[]) => {
    delete (server as Partial<net.Server>).listen;
    // Only in this form does Node not replace the backlog by 511.
    const callback = args.at(-1);
    if (typeof callback === 'function') server.once('listening', callback as () => void);
    return (server.listen as (options: object, backlog: number) => net.Server)({ fd }, backlog);
  };
  if (address.kind === 'unix') server.address = () => address.path;
}
