/**
 * The entry of a worker process: loads the app, listens on the inherited socket, reports to the arbiter and obeys
 * it. Knows the order of these things; how each is done is in the files beside it.
 */
import type { Server } from 'node:http';
import type * as net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { Address } from '../address.ts';
import type { Config } from '../config/settings.ts';
import { ExitCode, UserError } from '../errors.ts';
import { inodeOf, removeIfSame, sameInode } from '../inode.ts';
import { closeInspector } from '../inspector.ts';
import { checkLogs, type OpenAccessLog, type OpenLog, openAccessLog, openErrorLog } from '../log.ts';
import {
  type AppSpec,
  type Beat,
  beatEvery,
  IN_FLIGHT,
  type InheritedSocket,
  type Order,
  type Report,
} from '../protocol.ts';
import { IDLE_GRACE } from '../timing.ts';
import { setTrustProxy } from '../trust-proxy.ts';
import { accessLine, noted, remember, tunnelLine } from './access-log.ts';
import { Adoption, closeQuietly } from './adoption.ts';
import { isRequestNoise } from './app-log.ts';
import { isServer, unloadable } from './app-shape.ts';
import { keepChannel, report, reportLoaded, takeOrders } from './channel.ts';
import { Connections } from './connections.ts';
import { Drain, type Draining } from './drain.ts';
import type { Entrance } from './entrance.ts';
import type { ServerDefaults } from './fastify-app.ts';
import { startHeartbeat } from './heartbeat.ts';
import { HeldSignals } from './held-signals.ts';
import { tendHeap } from './idle-memory.ts';
import { inspectorGuard, openInspector } from './inspector.ts';
import { enforceKeepAlive, takeOverKeepAlive } from './keep-alive.ts';
import type { Listening } from './listening.ts';
import { type App, loadApp } from './load-app.ts';
import { moduleHint } from './module-hint.ts';
import { discourageClusters } from './node-cluster.ts';
import { identifyPeers, requestIdHeader, trustProxyFor } from './peers.ts';
import { requestIds } from './request-id.ts';
import { limitRequests } from './request-limits.ts';
import { deferRequestLoggers } from './request-loggers.ts';
import { enforceRequestTimeout } from './request-timeout.ts';
import { surviveClosedPipes } from './standard-streams.ts';
import { Turns } from './turns.ts';
import { typeScriptHint } from './typescript-hint.ts';
import { flagsFor, tellV8 } from './v8-tuning.ts';

surviveClosedPipes();

// A terminal sends these to its whole group, operators to the wrong process: the arbiter decides what they mean.
// SIGUSR1 is left to Node: it opens the inspector, through which the arbiter looks into a stuck worker.
for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU'] as const)
  process.on(signal, () => {});
process.on('SIGTERM', () => report({ type: 'asked-to-leave' }));
const signals = new HeldSignals();

let worker: Worker | undefined;
takeOrders(
  (order) => {
    if (order.type === 'start') start(order);
    else if (order.type === 'check') check(order).catch((error) => fail(order.app, error));
    else worker?.obey(order);
  },
  // Killed before it could say what to do, the arbiter leaves nothing to be done.
  () => (worker ? void worker.onOrphaned() : process.exit(0)),
);

/** What the app's own signal handlers get for the end, in milliseconds. */
const LAST_WORDS = 5_000;
const CLOSING_FAILED = 'an error while the app was closing';
/** How long the server that we were to replace may take to have its names back, in milliseconds. */
const TAKING_BACK = 1_000;

function start(order: StartOrder): void {
  try {
    worker = new Worker(order);
  } catch (error) {
    // A log that this user may not open.
    fail(order.app, error);
  }
}

type StartOrder = Extract<Order, { type: 'start' }>;
type CheckOrder = Extract<Order, { type: 'check' }>;
type Leave = Pick<Extract<Order, { type: 'leave' }>, 'how' | 'abandoned'>;

/** Serves from start to end. */
class Worker {
  readonly #order: StartOrder;
  readonly #log: OpenLog;
  #accessLog: OpenAccessLog | undefined;
  #connections: Connections | undefined;
  /** What is to be drained one day; how the queues are treated is known only then. */
  #serving: (Omit<Draining, 'listening' | 'onEmptied'> & { listening: readonly Listening[] }) | undefined;
  #drain: Drain | undefined;
  /** From the first listen(2) on: the kernel may have handed us something. */
  #mayHaveConnections = false;
  /** Told to leave between that and being ready. */
  #early: Leave | undefined;
  /** Nothing is accepted any more on the main server. */
  #isClosed = false;
  /** The app has made it impossible to go on. */
  #broken = false;
  /** Whose the sockets' public names are: `ours` go with us, should the arbiter be killed. */
  #names: 'ours' | 'contested' | 'theirs';

  constructor(order: StartOrder) {
    this.#order = order;
    this.#names = order.published ? 'ours' : order.contested ? 'contested' : 'theirs';
    const name = order.config.procName ?? order.app;
    process.title = `fasticorn: worker [${name}] ${order.worker} gen ${order.generation}`;
    this.#log = openErrorLog(order.config, {
      fields: { worker: order.worker },
      isNoise: isRequestNoise,
      isDispensable: order.serves,
    });
    keepChannel((text) => this.#log.logger.warn(text));
    process.on('uncaughtException', (error) => this.#onUncaught(error));
    process.on('exit', () => {
      // An app may end the process itself, also in its own end.
      this.#onCut(this.#connections?.destroyAll() ?? 0);
      this.#accessLog?.flushSync();
      this.#log.flushSync();
    });
    this.#start().catch((error) => this.#fail(error));
  }

  async #start(): Promise<void> {
    const { config, serves } = this.#order;
    const { keepAlive, gracefulTimeout } = config;
    this.#accessLog = openAccessLog(config, this.#log.logger, serves);
    const lines = this.#accessLog?.lines;
    const entrance = await entranceFor(this.#order, this.#log);
    const connections = new Connections({
      ...(lines ? { onOver: accessLine(lines), onTunnel: tunnelLine(lines) } : {}),
      arrivals: entrance,
      keepAlive,
    });
    this.#connections = connections;
    (globalThis as Record<symbol, unknown>)[Symbol.for(IN_FLIGHT)] = () => connections.listInFlight();
    const adoption = this.#adopt(connections, entrance);
    const app = await load(this.#order, adoption, this.#log);
    await app.listen();
    const server = await adoption.listening;
    if (this.#isClosed) throw closedTooSoon();
    const closeApp = () => this.#closeApp(app, server);
    this.#serving = {
      listening: adoption.accepting,
      connections,
      closeApp,
      gracefulTimeout,
      stopListening: () => adoption.close(),
      // Nobody is to see old code once the new one serves, and a browser asks again by itself.
      idleGrace: config.watch ? 0 : IDLE_GRACE,
      onSilent: () => report({ type: 'silent' }),
      onCut: (count) => this.#onCut(count),
    };
    enforceKeepAlive({ connections, keepAlive });
    enforceRequestTimeout({ connections, timeout: config.requestTimeout, log: this.#log.logger });
    if (config.watch) reportLoaded();
    report({ type: 'ready', shape: app.shape });
    const tend = tuneV8(this.#order);
    if (this.#early) void this.#leave(this.#early);
    const guardInspector = config.inspect ? () => {} : inspectorGuard((text) => this.#log.logger.warn(text));
    startHeartbeat({
      connections,
      every: beatEvery(config.timeout),
      send: (beat) => {
        report({ type: 'beat', beat });
        guardInspector();
        if (!this.#drain) tend(beat);
      },
    });
  }

  /** Sees to it that what the app makes listen accepts on our sockets, and is watched. */
  #adopt(connections: Connections, entrance: Entrance | undefined): Adoption {
    const { config, sockets, worker } = this.#order;
    return new Adoption({
      sockets,
      backlog: config.backlog,
      turns: config.workers > 1 ? new Turns() : undefined,
      adopt: config.adopt,
      isFirst: worker === 1,
      note: (text) => this.#log.logger.info(text),
      // Also where the app means to end by that: without a server it is no use.
      onClose: () => {
        this.#isClosed = true;
        if (this.#serving && !this.#drain)
          this.#break('does not listen any more: the app has closed its server');
      },
      prepare: (server, addresses, isBound) => {
        this.#mayHaveConnections = true;
        if (!isServer(server)) {
          connections.watchRaw(server);
          return;
        }
        prepare(server, addresses, config, isBound);
        limitRequests(server as Server, config);
        // After the limits, so as to hear also of what they refuse.
        connections.watch(server as Server);
        if (addresses[0] && isBound) entrance?.guard(server, addresses[0]);
      },
    });
  }

  #fail(error: unknown): void {
    if (this.#order.config.watch) reportLoaded();
    fail(this.#order.app, error);
  }

  /** Does what the arbiter says. */
  obey(order: Order): void {
    switch (order.type) {
      case 'leave':
        void this.#leave(order);
        break;
      case 'published':
        this.#names = 'ours';
        break;
      case 'reopen':
        this.#reopenLogs(order.number);
        break;
      case 'inspect':
        openInspector(order, this.#log.logger);
    }
  }

  #reopenLogs(number: number): void {
    const obstacles = [this.#log.reopen(), this.#accessLog?.reopen()];
    report({ type: 'reopened', number, obstacle: obstacles.find((reason) => reason !== undefined) });
  }

  #onUncaught(error: unknown): void {
    if (!this.#serving) {
      this.#fail(error);
      return;
    }
    this.#log.logger.fatal({ err: error }, 'the app did not catch this error');
    const stack = error instanceof Error ? error.stack : String(error);
    this.#break('met an error that the app did not catch', stack);
  }

  /** Goes by itself, for a reason that follows its name. */
  #break(why: string, stack?: string): void {
    if (this.#broken) return;
    this.#broken = true;
    report({ type: 'broken', why, stack });
    void this.#leave({ how: 'retire', abandoned: [] });
  }

  /** The arbiter was killed: nobody can hold the socket for a next one, so its name must not stay. */
  async onOrphaned(): Promise<void> {
    const { sockets, config } = this.#order;
    // Nobody is left to end us if a hook of the app hangs.
    setTimeout(() => process.exit(1), config.gracefulTimeout * 1000);
    // In the middle of a takeover: whoever was there before takes the names back, without a moment in which none is there.
    if (this.#names === 'contested') await untilReplaced(sockets);
    const isOurs = this.#names !== 'theirs';
    for (const socket of sockets) {
      const { address, spare, inode } = socket;
      if (!inode || address.kind !== 'unix') continue;
      if (spare !== undefined && spare !== address.path) removeIfSame(spare, inode);
      if (!isOurs || removeIfSame(address.path, inode)) continue;
      // With --user we may have no right to remove it: then clients go on coming, as they do on a port.
      if (sameInode(inodeOf(address.path), inode)) delete socket.inode;
    }
    this.#log.logger.fatal('the arbiter is gone: answering what has arrived, then ending');
    // Unless they are ours, the queues are those of a server that we were to replace.
    void this.#leave({ how: isOurs ? 'stop' : 'retire', abandoned: [] });
  }

  async #leave({ how, abandoned }: Leave): Promise<void> {
    // Its port is the successor's; and with a debugger attached the process would not end by itself.
    if (this.#order.config.inspect) closeInspector();
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
    if (how === 'retire') this.#names = 'theirs';
    const listening = this.#serving.listening.map(({ server, socket }) => {
      const isLast = how === 'stop' || abandoned.includes(socket.fd);
      return { server, queue: !isLast ? 'leave' : socket.inode ? 'named' : 'port' } as const;
    });
    // Only a stop empties all of them; whoever retires gives up some at most.
    const onEmptied = () => how === 'stop' && report({ type: 'emptied' });
    this.#drain = new Drain({ ...this.#serving, listening, onEmptied });
    if (how === 'quick') this.#drain.hurry();
    await this.#drain.run();
    process.exit(0);
  }

  /** Connections were cut that were not idle. Why a worker ends that nobody has told to, the arbiter says. */
  #onCut(count: number): void {
    if (count > 0 && this.#drain)
      this.#log.logger.warn(`${count} connection${count === 1 ? '' : 's'} had to be cut to end in time`);
  }

  async #closeApp(app: App, server: net.Server): Promise<void> {
    // By now none accepts any more. Closing that of the framework has it end what is open.
    for (const one of this.#serving!.listening) if (one.server !== server) closeQuietly(one.server);
    try {
      await app.close();
      closeQuietly(server);
      await signals.deliver(Math.min(LAST_WORDS, this.#order.config.gracefulTimeout * 500));
    } catch (error) {
      this.#log.logger.error({ err: error }, CLOSING_FAILED);
    }
  }
}

/** Resolves when none of the public names leads to these sockets, at the latest after a second. */
async function untilReplaced(sockets: readonly InheritedSocket[]): Promise<void> {
  const until = performance.now() + TAKING_BACK;
  const isThere = ({ address, inode }: InheritedSocket) =>
    inode && address.kind === 'unix' && sameInode(inodeOf(address.path), inode);
  while (sockets.some(isThere) && performance.now() < until) await sleep(10);
}

/** What connections have to pass, if anything; loaded only then. */
async function entranceFor(
  { config, identity }: StartOrder,
  { logger }: OpenLog,
): Promise<Entrance | undefined> {
  const proxies = config.proxyProtocol ? config.proxyAllowIps : undefined;
  if (!proxies && !identity) return undefined;
  const { Entrance } = await import('./entrance.ts');
  return new Entrance({ proxies, identity, log: logger, http2: config.http2 });
}

/** Loads the app, reports whether that worked, and ends. */
async function check(order: CheckOrder): Promise<void> {
  const { app: spec, config } = order;
  // What the app logs meanwhile is for who asks, and no file is made for it.
  const log = openErrorLog({ ...config, errorLogfile: '-' }, { isNoise: isRequestNoise });
  process.on('uncaughtException', (error) => fail(spec, error));
  const { backlog, adopt } = config;
  const adoption = new Adoption({
    sockets: [],
    backlog,
    adopt,
    isFirst: false,
    prepare: () => {},
    note: () => {},
  });
  try {
    // As whom the workers will run; whether files can be made was looked at by who will make them.
    checkLogs(config, true);
    const app = await load(order, adoption, log);
    await new Promise<void>((resolve) => report({ type: 'ready', shape: app.shape }, resolve));
    await app.close().catch((error) => log.logger.error({ err: error }, CLOSING_FAILED));
    process.exit(0);
  } catch (error) {
    fail(spec, error);
  }
}

/** Loads the app of an order. */
function load(order: StartOrder | CheckOrder, adoption: Adoption, { logger }: OpenLog): Promise<App> {
  const { app: spec, args, config } = order;
  const { bind, appType, appOptions } = config;
  const addresses = order.type === 'start' ? order.sockets.map(({ address }) => address) : bind;
  discourageClusters(order.type === 'start' ? order.worker : 1, (text) => logger.warn(text));
  const trust = trustProxyFor(addresses, config.forwardedAllowIps);
  if (trust) setTrustProxy(trust);
  deferRequestLoggers(logger);
  const fastify: ServerDefaults = {
    logger,
    trustProxy: trust,
    requestIdHeader: requestIdHeader(addresses, config.forwardedAllowIps),
    genReqId: noted(requestIds()),
    // Asked for when the app is loaded, which takes a while.
    get pluginTimeout() {
      return pluginTimeout(config);
    },
  };
  return loadApp(
    { spec, args, appType, appOptions, http2: config.http2 },
    {
      adoption,
      fastify,
      noted,
      warn: (text) => logger.warn(text),
      onFastify: (app) =>
        app.addHook('onRequest', (request, _reply, done) => {
          remember(request.raw, request);
          done();
        }),
    },
  );
}

/**
 * How long each plugin and hook may take to load, in milliseconds: so that Fastify says which one hangs, shortly before the
 * arbiter would kill us without knowing.
 */
function pluginTimeout({ bootTimeout }: Config): number {
  const left = bootTimeout * 1000 - process.uptime() * 1000;
  return Math.max(1, Math.round(left - Math.min(1000, bootTimeout * 100)));
}

/** Has an HTTP server that is about to listen do as the operator wants, whatever the app has told it. */
function prepare(server: net.Server, addresses: readonly Address[], config: Config, isBound: boolean): void {
  if (addresses.length === 0) return;
  if (config.http2 && isBound && !('updateSettings' in server))
    throw unloadable(
      '--http2 is for apps whose server we make: this one makes its own, with http2.createSecureServer() it could',
    );
  identifyPeers(server as Server, addresses, config.forwardedAllowIps);
  takeOverKeepAlive(server as Server);
}

/**
 * Has V8 do as suits a server. Not before the app is loaded: from then on V8 compiles anew what Node loads of its own.
 *
 * @returns what is to be told of each beat.
 */
function tuneV8({ isMemoryLimited = true }: StartOrder): (beat: Beat) => void {
  const { v8 } = process.versions;
  const { atReady, onceCollected, onceServing } = flagsFor(v8, process.execArgv, isMemoryLimited);
  tellV8(atReady);
  // After a collection of ours V8 has more of its own, and without these flags at a time when they cost.
  if (onceServing.length === 0) return () => {};
  return tendHeap({
    onCollected: () => tellV8(onceCollected),
    onServing: () => tellV8(onceServing),
  });
}

/** Says why the worker cannot serve, and ends. */
function fail(app: AppSpec, error: unknown): void {
  const timeout = timeoutHint(error);
  const { message, stack: whole } = error instanceof Error ? error : thrown(error);
  // Of who hangs there is no stack, only of Fastify's clock.
  const stack = timeout ? undefined : whole;
  const hint = typeScriptHint(error) ?? moduleHint(error) ?? timeout;
  const failure: Report =
    error instanceof UserError
      ? { type: 'failed', exitCode: error.exitCode, message }
      : {
          type: 'failed',
          exitCode: ExitCode.appFailed,
          message: `${app} failed to start: ${message}${hint ? `. ${hint}` : ''}`,
          stack: stack && stack + (hint ? `\n${hint}` : ''),
        };
  report(failure, () => process.exit(1));
}

/** The limit is ours, unless the app has brought one, or a Fastify, of its own. */
function timeoutHint(error: unknown): string | undefined {
  return /^(FST|AVV)_ERR_\w*TIMEOUT$/.test(String(Object(error).code))
    ? "If it takes so long, raise --boot-timeout, or the app's own pluginTimeout"
    : undefined;
}

/** Another one may be meant to be served, which listens later. */
function closedTooSoon(): UserError {
  return unloadable(
    'the app has closed the server that was to be served: the first HTTP server that listens; where that is another one, ' +
      'say --adopt PORT=first for its port',
  );
}

/** What there is to say of a value that was thrown and is no Error: whatever stack it had is lost. */
function thrown(value: unknown): { message: string; stack?: string } {
  return {
    message: `${inspect(value, { breakLength: Infinity })} was thrown, which is no Error and has no stack`,
  };
}
