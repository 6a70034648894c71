/**
 * What comes of the app's own calls of listen(): its HTTP server gets the sockets of this worker, whatever it asks for,
 * and nothing else gets a port that every worker would want. Knows net.Server and what was asked of it; how a server
 * accepts on a socket is the business of `listening.ts`.
 */
import * as net from 'node:net';
import { type Address, formatAddress, type SocketAddress } from '../address.ts';
import { errorCode } from '../errors.ts';
import type { InheritedSocket, PortAdoption } from '../protocol.ts';
import { isServer, unloadable } from './app-shape.ts';
import { acceptOn, handingOverTo, type Listening } from './listening.ts';
import { asPrimary } from './node-cluster.ts';
import type { Turns } from './turns.ts';

/** How long a worker waits before it tries again to take a port that the worker before it still has, in milliseconds. */
const RETRY = 100;

/** What adoption depends on. */
export interface AdoptionOptions {
  /** None for an app that is only checked: then listening only seems to work. */
  sockets: readonly InheritedSocket[];
  backlog: number;
  /** With the workers that accept on the same sockets, if there are any. */
  turns?: Turns | undefined;
  /** What becomes of ports other than that of the first HTTP server. */
  adopt: readonly PortAdoption[];
  /** Whether this worker is the one to have what only one of them can. */
  isFirst: boolean;
  /**
   * Called for each server that is about to listen, before it does.
   *
   * @param isBound whether it gets sockets of ours, rather than a port of its own.
   */
  prepare(server: net.Server, addresses: readonly Address[], isBound: boolean): void;
  /** Called when the server that has our sockets is about to be closed by its app. */
  onClose?(): void;
  /** For what the operator may want to know. */
  note(text: string): void;
}

/** What a call of listen() asks for. */
interface Asked {
  port: number | undefined;
  host: string | undefined;
  path: string | undefined;
  callback: (() => void) | undefined;
}

type Listen = (this: net.Server, ...args: unknown[]) => net.Server;

/** Takes the place of `net.Server.prototype.listen` in this process. */
export class Adoption {
  readonly #options: AdoptionOptions;
  readonly #listen: Listen = net.Server.prototype.listen as Listen;
  /** The server that is to be adopted; until it is known any HTTP server is. */
  #expected: net.Server | undefined;
  /** Who has our sockets, and the port that the app thinks it has; undefined where the app did not ask. */
  #main: { server: net.Server; port: number | undefined } | undefined;
  /**
   * The main server listens because we made it listen: a later listen() of another server by the app is taken for that
   * one.
   */
  #isOurs = false;
  readonly #others = new Set<net.Server>();
  /** Every server that accepts on a socket of ours; they may become more at any time. */
  readonly accepting: Listening[] = [];
  /** What `listening` is to wait for; undefined once it does. */
  #parts: Promise<void>[] | undefined = [];
  #found: (server: net.Server) => void = () => {};
  /** Resolves with the server that has our sockets, once it listens on all of them. */
  readonly listening: Promise<net.Server>;

  constructor(options: AdoptionOptions) {
    this.#options = options;
    this.listening = new Promise<net.Server>((resolve) => {
      this.#found = resolve;
    }).then(async (server) => {
      const parts = this.#parts!;
      this.#parts = undefined;
      await Promise.all(parts);
      return server;
    });
    // Who waits for it hears of a failure; who does not, because the app failed first, need not.
    this.listening.catch(() => {});
    const adoption = this;
    net.Server.prototype.listen = function (this: net.Server, ...args: unknown[]) {
      return adoption.#onListen(this, args);
    } as typeof net.Server.prototype.listen;
  }

  /** Whether some server has called for our sockets. */
  get isTaken(): boolean {
    return this.#main !== undefined;
  }

  /** From now on only this server is adopted. */
  expect(server: net.Server): void {
    this.#expected = server;
  }

  /**
   * Has a server listen, unless the app has done so; if it does later, that changes nothing.
   *
   * @param isApps whether it is the app's own, and not one that we made for it.
   * @throws UserError if another server of the app has our sockets already.
   */
  async serve(server: net.Server, isApps: boolean, listen: () => unknown): Promise<void> {
    if (isApps && this.#main && this.#main.server !== server) throw outrun(this.#main.port);
    if (!this.isTaken) {
      this.expect(server);
      this.#isOurs = true;
      await listen();
    }
    await this.listening;
  }

  /** Gives up what this worker has listened to by itself, so that its successor can have it. */
  close(): void {
    for (const server of this.#others) {
      net.Server.prototype.close.call(server);
      closeQuietly(server);
    }
    this.#others.clear();
  }

  #onListen(server: net.Server, args: unknown[]): net.Server {
    const asked = readListen(args);
    const { port } = asked;
    const rule = this.#options.adopt.find((one) => one.port === port);
    if (server !== this.#expected && rule) {
      return rule.to === 'first' ? this.#listenAlone(server, asked) : this.#adopt(server, asked, rule.to);
    }
    if (this.#isMain(server)) return this.#adoptMain(server, asked);
    if (server === this.#main?.server || this.#isSameAgain(server)) {
      if (server !== this.#main!.server)
        this.#options.note(
          `the app listens on port ${port} itself: taken for the server that it exports; if that is another one, ` +
            `say --adopt ${port}=first`,
        );
      this.#isOurs = false;
      this.#main!.port = port;
      return pretend(server, asked);
    }
    if (port === undefined) return asPrimary(() => this.#listen.apply(server, args));
    // One server for each address of a name, as Fastify makes them for localhost.
    if (isServer(server) && port !== 0 && port === this.#main?.port) return pretend(server, asked);
    if (port === 0) return this.#listenOpenly(server, asked);
    return refuse(server, port, this.#main?.port);
  }

  #isMain(server: net.Server): boolean {
    if (this.#main) return false;
    return this.#expected ? server === this.#expected : isServer(server);
  }

  /** An app that exports what it serves, and once its database is there listens as well. */
  #isSameAgain(server: net.Server): boolean {
    return this.#isOurs && this.#main !== undefined && isServer(server);
  }

  #adoptMain(server: net.Server, asked: Asked): net.Server {
    this.#main = { server, port: this.#isOurs ? undefined : asked.port };
    const mapped = this.#options.adopt.flatMap(({ to }) => (to === 'first' ? [] : [formatAddress(to)]));
    const sockets = this.#options.sockets.filter(({ key }) => !mapped.includes(key));
    this.#accept(server, asked, sockets);
    const { close } = server;
    // Not by its event, for which Node waits until the last connection has ended.
    server.close = (callback) => {
      this.#options.onClose?.();
      return close.call(server, callback);
    };
    this.#found(server);
    return server;
  }

  #adopt(server: net.Server, asked: Asked, address: Address): net.Server {
    const wanted = formatAddress(address);
    this.#accept(
      server,
      asked,
      this.#options.sockets.filter(({ key }) => key === wanted),
    );
    return server;
  }

  /** The system chooses the port, so that nobody is in the way of anybody. */
  #listenOpenly(server: net.Server, { host, callback }: Asked): net.Server {
    this.#options.prepare(server, [tcpOf(host, 0)], false);
    this.#others.add(server);
    return this.#listen.call(server, { port: 0, host, exclusive: true }, callback);
  }

  #accept(server: net.Server, asked: Asked, sockets: readonly InheritedSocket[]): void {
    this.#options.prepare(
      server,
      sockets.map(({ address }) => address),
      true,
    );
    if (sockets.length === 0) {
      pretend(server, asked);
      return;
    }
    if (asked.callback) server.once('listening', asked.callback);
    // Where it is us who call listen(), the address is that of the socket, which Node knows if it is TCP.
    const own = server === this.#expected ? sockets[0]!.address : undefined;
    if (own?.kind !== 'tcp') answerAddress(server, own ? { ...asked, path: pathOf(own) } : asked);
    const { backlog, turns } = this.#options;
    const part = acceptOn(server, sockets, { backlog, turns, accepting: this.accepting });
    const isAwaited = this.#parts?.push(part) !== undefined;
    part.catch((error) => {
      // Who waits for all parts hears of it, and so has the app if it listens for errors of its server.
      if (!isAwaited && server.listenerCount('error') === 0) throw error;
    });
  }

  /** Listens as the app wants it in the first worker, as soon as its predecessor has let go, and seems to elsewhere. */
  #listenAlone(server: net.Server, asked: Asked): net.Server {
    const { port, host } = asked;
    return pretend(server, asked, () => {
      if (!this.#options.isFirst || this.#options.sockets.length === 0) return;
      this.#options.prepare(server, [tcpOf(host, port ?? 0)], false);
      this.#others.add(server);
      const attempt = () => {
        if (!this.#others.has(server)) return;
        const onError = (error: Error) => {
          if (errorCode(error) === 'EADDRINUSE') setTimeout(attempt, RETRY).unref();
          else server.emit('error', error);
        };
        // Before the listeners of the app, which have heard already that all is well.
        const alone = handingOverTo(server);
        alone.once('error', onError);
        this.#listen.call(alone, { port, host, exclusive: true }, () => {
          if (this.#others.delete(server)) this.#others.add(alone);
          else alone.close();
        });
      };
      attempt();
    });
  }
}

/** What was asked for, in all the forms that listen() takes. A descriptor or a handle is neither port nor path. */
function readListen(args: readonly unknown[]): Asked {
  const [first, second] = args;
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  if (typeof first === 'object' && first !== null) {
    const { port, host, path } = first as { port?: unknown; host?: string; path?: string | false };
    // To Node a path that is empty is none, and a port that is there but undefined is any.
    const anyPort = 'port' in first ? 0 : undefined;
    return {
      port: path ? undefined : port === undefined ? anyPort : Number(port),
      host,
      path: path || undefined,
      callback,
    };
  }
  if (typeof first === 'string' && !/^\d+$/.test(first))
    return { port: undefined, host: undefined, path: first, callback };
  const host = typeof second === 'string' ? second : undefined;
  return { port: typeof first === 'function' ? 0 : Number(first ?? 0), host, path: undefined, callback };
}

/** The address that was asked for: on a Unix socket address() would be null, which crashes frameworks. */
function answerAddress(server: net.Server, { port, host, path }: Asked): void {
  const ip = host === undefined ? '::' : host === 'localhost' ? '127.0.0.1' : host;
  const family = ip.includes(':') ? 'IPv6' : 'IPv4';
  server.address = () => path ?? { address: ip, family, port: port ?? 0 };
}

const tcpOf = (host: string | undefined, port: number): Address => ({
  kind: 'tcp',
  host: host ?? '::',
  port,
});

function pathOf(address: Exclude<SocketAddress, { kind: 'tcp' }>): string {
  return address.kind === 'unix' ? address.path : `@${address.name}`;
}

/** Has a server believe that it listens, and later that it has stopped. `then` is called when it is about to. */
function pretend(server: net.Server, asked: Asked, then: () => void = () => {}): net.Server {
  if (asked.callback) server.once('listening', asked.callback);
  answerAddress(server, asked);
  closeQuietly(server);
  process.nextTick(() => {
    then();
    server.emit('listening');
  });
  return server;
}

/** Has a server that accepts nothing (any more) by itself close without an error. */
export function closeQuietly(server: net.Server): void {
  server.close = (callback) => {
    process.nextTick(() => {
      callback?.();
      server.emit('close');
    });
    return server;
  };
}

function refuse(server: net.Server, port: number, main: number | undefined): net.Server {
  process.nextTick(() => server.emit('error', refusal(port, main)));
  return server;
}

/** Why an exported server has no sockets: another one has been quicker. */
function outrun(port: number | undefined): Error {
  if (port) return refusal(port);
  return unloadable(
    `the app exports a server, but another one listened before it${port === 0 ? ' on port 0' : ''} and has its ` +
      'sockets: have that one listen later, for example in an onListen hook',
  );
}

/** @param main the port of the server that has our sockets, as the app knows it. */
function refusal(port: number, main?: number): Error {
  const other = main ? `; if ${port} is to be the main one, not ${main}, say --adopt ${main}=first` : '';
  return unloadable(
    `the app wants to listen on port ${port} as well, which only one worker could have: say with ` +
      `--adopt ${port}=first that the first worker shall, or with --adopt ${port}=ADDRESS that the connections of ` +
      `that --bind go there${other}`,
  );
}
