/**
 * The control socket: what the server tells of itself and takes orders on, in HTTP, for curl, health probes and our
 * own command line. Knows HTTP and its socket; what an order does is the business of the arbiter behind it.
 */
import { chmodSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { type Command, type Outcome, pages, type VerbName, verbNames, verbs } from '../commands.ts';
import { UserError } from '../errors.ts';
import { http } from '../http.ts';
import { inodeOf, sameInode } from '../inode.ts';
import { type Health, isNamedByPid, type Status } from '../status.ts';
import { assertPossible, entriesOf, hiddenName, removeIfDead, SocketPath } from './socket-path.ts';
import { refusal } from './socket-probe.ts';

/** How many connections there may be at a time; more are closed at once. */
const MAX_CONNECTIONS = 100;
/** How long a connection may take for the head of its request, and be silent before the request is whole, in milliseconds. */
const HEAD_TIMEOUT = 10_000;
/** How long the whole request may take, in milliseconds. There is no limit for the answer. */
const REQUEST_TIMEOUT = 60_000;
/** How long answers that have begun may take when the socket is closed, in milliseconds. */
const LAST_ANSWERS = 1000;

/** What the control socket shows and asks for; the arbiter is behind it. */
export interface ControlFace {
  status(): Promise<Status>;
  health(): Health;
  /** Resolves when the verb is done, if it is one that waits, or else when it has begun. */
  perform(command: Command): Promise<Outcome>;
  /** A newcomer asks for the path of our socket. If that is ok nobody guards the path until `yieldEnded` is called. */
  yieldPath(): Outcome;
  /** The newcomer says that it has taken the path. */
  yieldDone(): Outcome;
  /** The connection of the newcomer has ended, whatever the reason. Called once for each path that was yielded. */
  yieldEnded(): void;
}

/** What may be done at one path. */
interface Route {
  methods: readonly string[];
  answer(response: ServerResponse): Promise<void>;
}

const READ = ['GET', 'HEAD'];
const WRITE = ['POST'];

/** What becomes of the name is worth no line in the log: no request is lost by it. */
const silent = { onRestored() {}, onForeign() {}, onLost() {} };

/** The control socket from start to stop. Only the user who runs the server may connect (mode 0600). */
export class ControlSocket {
  /** Absolute. */
  readonly path: string;
  readonly #face: ControlFace;
  readonly #server: Server;
  /** Answers that have not ended, those that are held open for a newcomer among them. */
  readonly #answers = new Set<ServerResponse>();
  readonly #held = new Set<ServerResponse>();
  #name: SocketPath | undefined;

  constructor(path: string, face: ControlFace) {
    this.path = resolve(path);
    this.#face = face;
    this.#server = http().createServer(
      {
        headersTimeout: HEAD_TIMEOUT,
        requestTimeout: REQUEST_TIMEOUT,
        connectionsCheckingInterval: HEAD_TIMEOUT / 2,
      },
      (request, response) => this.#take(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    // For connections that never say anything: the limits above begin with the first byte.
    this.#server.timeout = HEAD_TIMEOUT;
    // A failed accept(2), for want of descriptors, must not end the arbiter.
    this.#server.on('error', () => {});
  }

  /**
   * Binds a hidden name, so that the public one is still nobody's or that of a server before us.
   *
   * @throws UserError if there cannot be a socket.
   */
  async open(): Promise<void> {
    try {
      assertPossible(this.path);
      const bound = hiddenName(this.path);
      await this.#listen(bound);
      this.#name = SocketPath.ofBound(this.path, bound, silent);
    } catch (error) {
      this.#server.close();
      throw this.#refusal(error as Error);
    }
  }

  /**
   * Moves the socket to its public name.
   *
   * @param options `replace` is for the socket of a server that we have taken over from: it is replaced at once, also
   *   if it is alive. Otherwise only a dead one is.
   * @throws UserError if somebody else, or anything that is not a socket, is there.
   */
  async publish({ replace }: { replace: boolean }): Promise<void> {
    try {
      await this.#name!.publish(replace);
    } catch (error) {
      throw this.#refusal(error as Error);
    }
    await sweepDead(this.path);
  }

  /** Takes the public name back from a successor that has failed, and removes what it left behind. */
  async resume(): Promise<void> {
    this.#name!.release();
    await this.publish({ replace: !this.isPublished() });
  }

  /** Whether the public name is ours. */
  isPublished(): boolean {
    return sameInode(inodeOf(this.path), this.#name?.inode);
  }

  /** Puts a deleted name back; to be called now and then. */
  check(): void {
    this.#name?.check();
  }

  /** Removes the name and takes no more connections; whoever waits for an answer still gets it. */
  retire(): void {
    this.#name?.withdraw();
    this.#server.close();
  }

  /**
   * Removes the name if it is still ours, gives answers that have begun a second, and ends all connections. May be
   * called in any state, and more than once.
   */
  async close(): Promise<void> {
    this.#name?.withdraw();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const response of this.#held) response.end();
    const answered = [...this.#answers].map((one) => new Promise((resolve) => one.once('close', resolve)));
    await Promise.race([Promise.all(answered), sleep(LAST_ANSWERS, undefined, { ref: false })]);
    this.#server.closeAllConnections();
    await closed;
  }

  async #listen(bound: string): Promise<void> {
    const listening = new Promise((resolve, reject) => {
      this.#server.once('listening', resolve).once('error', reject);
    });
    // The name is bound before listen() returns. The umask makes the socket private from its first moment; in a
    // directory with a default ACL it does not count, and chmod has to do.
    const umask = process.umask(0o177);
    try {
      this.#server.listen(bound);
      if (this.#server.listening) chmodSync(bound, 0o600);
    } finally {
      process.umask(umask);
    }
    await listening;
  }

  /** Names the setting that this socket comes from; those who keep names speak of `--bind`. */
  #refusal({ message }: Error): UserError {
    const prefix = refusal(this.path, '').message;
    const reason = message.startsWith(prefix) ? message.slice(prefix.length) : message;
    return new UserError(`--control-socket ${this.path}: ${reason}`);
  }

  /** Never throws. A body is of no interest, but a connection closed with one unread would be reset. */
  #take(request: IncomingMessage, response: ServerResponse): void {
    this.#answers.add(response);
    response.once('close', () => this.#answers.delete(response));
    request.once('end', async () => {
      request.setTimeout(0);
      try {
        await this.#answer(request, response);
      } catch (error) {
        if (response.headersSent) response.destroy();
        else refuse(response, 500, (error as Error).message);
      }
    });
    request.resume();
  }

  async #answer({ method = '', url = '' }: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '', query] = url.split('?', 2);
    const steps = decoded(path);
    if (!steps) return refuse(response, 400, 'the path is not properly encoded');
    const route = this.#route(steps, new URLSearchParams(query));
    if (!route) return refuse(response, 404, `there is nothing by that name; there is ${directory()}`);
    if (!route.methods.includes(method)) {
      const allow = route.methods.join(', ');
      return refuse(response, 405, `this path takes ${allow}`, { allow });
    }
    await route.answer(response);
  }

  #route([name = '', argument, ...more]: string[], query: URLSearchParams): Route | undefined {
    if (more.length > 0) return undefined;
    if (isVerb(name)) {
      const wait = query.get('wait') !== 'no';
      return { methods: WRITE, answer: (to) => this.#perform(to, { verb: name, argument }, wait) };
    }
    if (name === 'yield' && argument === 'done') {
      return { methods: WRITE, answer: async (to) => sendOutcome(to, this.#face.yieldDone()) };
    }
    return argument === undefined ? this.#page(name) : undefined;
  }

  #page(name: string): Route | undefined {
    switch (name) {
      case 'status':
        return {
          methods: READ,
          answer: async (to) => send(to, 200, await this.#face.status(), { indent: 2 }),
        };
      case 'healthz':
        return {
          methods: READ,
          answer: async (to) => {
            const { healthy, reason } = this.#face.health();
            send(to, healthy ? 200 : 503, { healthy, reason });
          },
        };
      case 'readyz':
        return {
          methods: READ,
          answer: async (to) => {
            const { ready, reason } = this.#face.health();
            send(to, ready ? 200 : 503, { ready, reason });
          },
        };
      case 'yield':
        return { methods: WRITE, answer: async (to) => this.#yield(to) };
    }
  }

  async #perform(response: ServerResponse, command: Command, wait: boolean): Promise<void> {
    const { verb, argument } = command;
    const row = verbs[verb];
    const accepted = row.accepts ? row.accepts(argument) : argument === undefined;
    if (!accepted) return refuse(response, 400, `${verb} takes ${expected(verb)}`);
    const done = this.#face.perform(command);
    // What is refused is refused at once.
    const first = wait || !row.waits ? done : Promise.race([done, turn(undefined)]);
    done.catch(() => {});
    const outcome = await first;
    if (outcome) sendOutcome(response, outcome);
    else send(response, 202, { ok: true, message: `${verb} has begun` });
  }

  /** The connection stays open as long as the newcomer wants the path to be free: also its death is noticed so. */
  #yield(response: ServerResponse): void {
    const { socket } = response.req;
    // Nobody would tell that it has ended.
    if (socket.destroyed) return;
    const outcome = this.#face.yieldPath();
    if (!outcome.ok) {
      sendOutcome(response, outcome);
      return;
    }
    this.#held.add(response);
    socket.once('close', () => {
      this.#held.delete(response);
      this.#face.yieldEnded();
    });
    response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
    response.write(`${JSON.stringify(outcome)}\n`);
  }
}

/**
 * Removes what killed servers on ports have left where ours is: each name has another pid in it, so that nobody would
 * replace it. What cannot be removed does no harm.
 */
async function sweepDead(path: string): Promise<void> {
  if (!isNamedByPid(basename(path))) return;
  const directory = dirname(path);
  for (const name of entriesOf(directory)) if (isNamedByPid(name)) await removeIfDead(join(directory, name));
}

const isVerb = (name: string): name is VerbName => (verbNames as string[]).includes(name);

/** What may follow a verb, for people. */
function expected(verb: VerbName): string {
  const { argument, accepts } = verbs[verb];
  if (argument === undefined) return 'no argument';
  return accepts?.(undefined) ? `${argument} or nothing` : argument;
}

/** All that people may ask for; `/yield` is between servers. */
function directory(): string {
  const orders = verbNames.map((verb) => {
    const { argument, accepts } = verbs[verb];
    if (argument === undefined) return `POST /${verb}`;
    return accepts?.(undefined) ? `POST /${verb}[/${argument}]` : `POST /${verb}/(${argument})`;
  });
  return [...Object.keys(pages).map((name) => `GET /${name}`), ...orders].join(', ');
}

/** The steps of a path, or undefined if a percent sign is not followed by what belongs there. */
function decoded(path: string): string[] | undefined {
  try {
    return path.replace(/^\//, '').split('/').map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function refuse(
  response: ServerResponse,
  code: number,
  message: string,
  headers: Record<string, string> = {},
): void {
  send(response, code, { ok: false, message }, { headers });
}

function sendOutcome(response: ServerResponse, outcome: Outcome): void {
  send(response, outcome.ok ? 200 : 409, outcome);
}

/** One answer per connection, so that none is idle when the socket is closed. */
function send(
  response: ServerResponse,
  code: number,
  body: object,
  { indent = 0, headers = {} }: { indent?: number; headers?: Record<string, string> } = {},
): void {
  const text = `${JSON.stringify(body, null, indent)}\n`;
  response.writeHead(code, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
    ...headers,
  });
  response.end(text);
}
