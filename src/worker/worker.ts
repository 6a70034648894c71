/**
 * The entry of a worker process: loads the app, listens on the inherited socket, reports to the arbiter and obeys
 * it. Knows the order of these things; how each is done is in the files beside it.
 */
import type { FastifyInstance } from 'fastify';
import type { Address } from '../address.ts';
import type { Config } from '../config/settings.ts';
import { ExitCode, UserError } from '../errors.ts';
import { removeIfSame } from '../inode.ts';
import { type OpenLog, openAccessLog, openErrorLog } from '../log.ts';
import { type AppSpec, beatEvery, IN_FLIGHT, type Order, type Report } from '../protocol.ts';
import { accessLine, logUpgrades, remember } from './access-log.ts';
import { isRequestNoise, LISTENING } from './app-log.ts';
import { keepChannel, report, takeOrders } from './channel.ts';
import { Connections } from './connections.ts';
import { Drain, type Draining } from './drain.ts';
import { startHeartbeat } from './heartbeat.ts';
import { inspectorGuard } from './inspector.ts';
import { type Listening, listenOn } from './listening.ts';
import { loadApp } from './load-app.ts';
import { identifyPeers, requestIdHeader, trustProxy } from './peers.ts';
import { requestIds } from './request-id.ts';
import { enforceRequestTimeout } from './request-timeout.ts';
import { surviveClosedPipes } from './standard-streams.ts';

surviveClosedPipes();

// A terminal sends these to its whole group, operators to the wrong process: the arbiter decides what they mean.
// SIGUSR1 is left to Node: it opens the inspector, through which the arbiter looks into a stuck worker.
for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU'] as const)
  process.on(signal, () => {});
process.on('SIGTERM', () => report({ type: 'asked-to-leave' }));

let worker: Worker | undefined;
takeOrders(
  (order) => {
    if (order.type === 'start') worker = new Worker(order);
    else if (order.type === 'check') void check(order);
    else worker?.obey(order);
  },
  // Killed before it could say what to do, the arbiter leaves nothing to be done.
  () => (worker ? worker.onOrphaned() : process.exit(0)),
);

type StartOrder = Extract<Order, { type: 'start' }>;
type CheckOrder = Extract<Order, { type: 'check' }>;
type Leave = Pick<Extract<Order, { type: 'leave' }>, 'how' | 'abandoned'>;

/** Serves from start to end. */
class Worker {
  readonly #order: StartOrder;
  readonly #log: OpenLog;
  #accessLog: OpenLog | undefined;
  /** What is to be drained one day; how the queues are treated is known only then. */
  #serving: (Omit<Draining, 'listening'> & { listening: Listening[] }) | undefined;
  #drain: Drain | undefined;
  /** From the first listen(2) on: the kernel may have handed us something. */
  #mayHaveConnections = false;
  /** Told to leave between that and being ready. */
  #early: Leave | undefined;
  /** The app throws outside of any request's handler: from then on the process is not to be trusted. */
  #broken = false;
  /** Whether the sockets' public names go with us, should the arbiter be killed. */
  #responsible: boolean;

  constructor(order: StartOrder) {
    this.#order = order;
    this.#responsible = order.published;
    process.title = `fasticorn: worker ${order.worker} gen ${order.generation}`;
    this.#log = openErrorLog(order.config, { worker: order.worker }, isRequestNoise);
    keepChannel((text) => this.#log.logger.warn(text));
    process.on('uncaughtException', (error) => this.#onUncaught(error));
    process.on('exit', () => {
      this.#accessLog?.flushSync();
      this.#log.flushSync();
    });
    this.#start().catch((error) => fail(order.app, error));
  }

  async #start(): Promise<void> {
    const { app: spec, config, sockets } = this.#order;
    this.#accessLog = openAccessLog(config, this.#log.logger);
    const { app } = await loadOnto(
      spec,
      config,
      sockets.map(({ address }) => address),
      this.#log,
    );
    const { server } = app;
    const accessLog = this.#accessLog?.logger;
    if (accessLog) logUpgrades(server, accessLog);
    const connections = new Connections(server, accessLog && accessLine(accessLog));
    (globalThis as Record<symbol, unknown>)[Symbol.for(IN_FLIGHT)] = () => connections.listInFlight();
    this.#mayHaveConnections = true;
    const listening = await listenOn(server, sockets, config.backlog, (address) =>
      app.listen({
        // Never a name: for localhost Fastify would open a second server that nobody watches.
        ...(address.kind === 'unix' ? { path: address.path } : { host: '127.0.0.1', port: address.port }),
        listenTextResolver: () => LISTENING,
      }),
    );
    const closeApp = () => this.#closeApp(app);
    this.#serving = { listening, connections, closeApp, gracefulTimeout: config.gracefulTimeout };
    if (config.requestTimeout > 0)
      enforceRequestTimeout({ connections, timeout: config.requestTimeout, log: this.#log.logger });
    report({ type: 'ready' });
    if (this.#early) void this.#leave(this.#early);
    const guardInspector = inspectorGuard((text) => this.#log.logger.warn(text));
    startHeartbeat({
      connections,
      every: beatEvery(config.timeout),
      send: (beat) => {
        report({ type: 'beat', beat });
        guardInspector();
      },
    });
  }

  /** Does what the arbiter says. */
  obey(order: Order): void {
    switch (order.type) {
      case 'leave':
        void this.#leave(order);
        break;
      case 'published':
        this.#responsible = true;
        break;
      case 'reopen':
        this.#log.reopen();
        this.#accessLog?.reopen();
    }
  }

  #onUncaught(error: unknown): void {
    if (!this.#serving) {
      fail(this.#order.app, error);
      return;
    }
    this.#log.logger.fatal({ err: error }, 'the app did not catch this error');
    if (this.#broken) return;
    this.#broken = true;
    report({ type: 'broken', stack: error instanceof Error ? error.stack : String(error) });
    void this.#leave({ how: 'retire', abandoned: [] });
  }

  /** The arbiter was killed: nobody can hold the socket for a next one, so its name must not stay. */
  onOrphaned(): void {
    const { sockets, config } = this.#order;
    // Nobody is left to end us if a hook of the app hangs.
    setTimeout(() => process.exit(1), config.gracefulTimeout * 1000);
    for (const { address, spare, inode } of sockets) {
      if (!inode || address.kind !== 'unix') continue;
      if (spare !== undefined && spare !== address.path) removeIfSame(spare, inode);
      if (this.#responsible) removeIfSame(address.path, inode);
    }
    this.#log.logger.fatal('the arbiter is gone: answering what has arrived, then ending');
    // Unless the names are ours, the queues are those of a server that we were to replace.
    void this.#leave({ how: this.#responsible ? 'stop' : 'retire', abandoned: [] });
  }

  async #leave({ how, abandoned }: Leave): Promise<void> {
    if (!this.#serving) {
      if (!this.#mayHaveConnections) process.exit(0);
      this.#early = { how, abandoned };
      return;
    }
    if (this.#drain) {
      if (how === 'quick') this.#drain.hurry();
      return;
    }
    // Whoever retires has successors, and the names are theirs.
    if (how === 'retire') this.#responsible = false;
    const listening = this.#serving.listening.map(({ server, socket }) => {
      const isLast = how === 'stop' || abandoned.includes(socket.fd);
      return { server, queue: !isLast ? 'leave' : socket.inode ? 'named' : 'port' } as const;
    });
    this.#drain = new Drain({ ...this.#serving, listening });
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

/** Loads the app, reports whether that worked, and ends. */
async function check({ app: spec, config }: CheckOrder): Promise<void> {
  const log = openErrorLog(config, {}, isRequestNoise);
  process.on('uncaughtException', (error) => fail(spec, error));
  try {
    const { app } = await loadOnto(spec, config, config.bind, log);
    await app.close();
    report({ type: 'ready' }, () => process.exit(0));
  } catch (error) {
    fail(spec, error);
  }
}

/** The app, ready to listen on these addresses; wrapped, as it is a thenable of its own. */
function loadOnto(
  spec: AppSpec,
  config: Config,
  addresses: readonly Address[],
  log: OpenLog,
): Promise<{ app: FastifyInstance }> {
  return loadApp(spec, {
    logger: log.logger,
    trustProxy: trustProxy(addresses),
    requestIdHeader: requestIdHeader(addresses),
    genReqId: requestIds(),
    keepAliveTimeout: config.keepAlive * 1000,
    prepare: (created) => {
      identifyPeers(created.server, addresses);
      created.addHook('onRequest', (request, _reply, done) => {
        remember(request.raw, request);
        done();
      });
    },
  });
}

/** Says why the worker cannot serve, and ends. */
function fail(app: AppSpec, error: unknown): void {
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
