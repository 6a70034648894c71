/**
 * A Fastify made for a plugin, as fastify-cli makes one. Knows what Fastify 4 and 5 want; what the plugin is loaded from,
 * and sockets, requests and logs come from elsewhere.
 */
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import { quietController } from './app-log.ts';
import {
  type AnyFunction,
  type ExportedOptions,
  explain,
  isInstance,
  isPromise,
  unloadable,
} from './app-shape.ts';

/** What the server wants of the app's Fastify instance, where the app's own `options` say nothing else. */
export interface ServerDefaults {
  /** A pino logger, for `app.log`. */
  logger: object;
  /** Fastify's option of the same name. */
  trustProxy: FastifyServerOptions['trustProxy'];
  /** Fastify's option of the same name. */
  genReqId: MakeId;
  /** Fastify's option of the same name, false for none. */
  requestIdHeader: string | false;
  /** Fastify's option of the same name: its own 10 s would make a lie of a longer boot timeout. */
  pluginTimeout: number;
}

/** A plugin and what it comes with. */
export interface Plugin {
  /** How the app was named, for messages. */
  spec: string;
  plugin: AnyFunction;
  /** What its module exports as `options`: for Fastify, and for the plugin. */
  options: ExportedOptions;
  /** What the operator adds for the plugin. */
  extra: object;
  /** Whether it is to speak HTTP/2 as well. */
  http2: boolean;
}

/**
 * Makes a Fastify, with the plugin to be registered. It comes wrapped, being a thenable of its own.
 *
 * @param file whose own Fastify is taken, if it has one.
 */
export function fastifyFor(
  file: string,
  { spec, plugin, options, extra, http2 }: Plugin,
  defaults: ServerDefaults,
): { app: FastifyInstance; version: number; register(): void } {
  if (options.https || options.http2)
    throw unloadable(
      `${spec}: its options set https or http2; that is up to --certfile and --http2, remove them`,
    );
  const framework = fastifyOf(file);
  const { create, version } = framework;
  const app = create(serverOptions(options, defaults, framework, http2));
  const given = { ...options, ...extra } as { skipOverride?: boolean };
  return {
    app,
    version,
    register() {
      // What fastify-plugin does: the plugin's decorators and hooks are the whole app's.
      if (given.skipOverride) Object.assign(plugin, { [Symbol.for('skip-override')]: true });
      app.register(onlyPlugin(plugin, spec) as Parameters<typeof app.register>[0], given);
    },
  };
}

/** By which of Fastify's options an app says who asks, and by which id. */
const IDENTITY = ['genReqId', 'requestIdHeader', 'trustProxy'];

/** Makes the id of a request. */
export type MakeId = NonNullable<FastifyServerOptions['genReqId']>;

/** How the log hears of what a Fastify makes of its requests. */
export interface Ears {
  /** Asks a Fastify in a hook, which each request pays for; throws if it is too late for hooks. */
  onFastify(app: FastifyInstance): void;
  /** Returns what makes the same ids, of which the log hears. */
  noted(make: MakeId): MakeId;
}

/**
 * Has the log hear of requests of a Fastify that was made with our defaults. That needs no hook unless it has options of
 * its own for ids or clients; a part of it may still have its own ids.
 */
export function listenTo(app: FastifyInstance, options: ExportedOptions, { onFastify, noted }: Ears): void {
  if (IDENTITY.some((name) => name in options)) {
    onFastify(app);
    return;
  }
  // Absent before Fastify 4.25.
  const { setGenReqId }: Partial<FastifyInstance> = app;
  if (!setGenReqId) return;
  app.setGenReqId = function (this: FastifyInstance, make) {
    return setGenReqId.call(this, noted(make));
  };
}

/** What a (req, res) listener calls, and a plugin's options do not have. */
const OF_RESPONSES = /\.(end|json|send|setHeader|status|write|writeHead) is not a function$/;

/**
 * The plugin, which fails and says why if it turns out to be a factory, whose app would go unused while ours answers 404
 * to everything, or a listener. A proxy, as Fastify counts parameters; and what a plugin throws at once is uncaught there.
 */
function onlyPlugin(plugin: AnyFunction, spec: string): AnyFunction {
  const checked = (value: unknown, given: FastifyInstance): unknown => {
    // A plugin may return what it was given, which is another object by then.
    const own = isInstance(value) && ((value as { server?: unknown }).server ?? value) !== given.server;
    if (!own) return value;
    throw unloadable(
      `${spec}: the function made a server of its own, where a plugin would have used the Fastify that it was given: ` +
        'if it is a factory, say --app-type factory',
    );
  };
  const rethrow = (error: unknown): never => {
    if (error instanceof TypeError && OF_RESPONSES.test(error.message)) {
      explain(error, 'is it a (req, res) listener? then say --app-type listener');
    }
    throw error;
  };
  return new Proxy(plugin, {
    apply(target, self, args: never[]) {
      const [given] = args as unknown as [FastifyInstance];
      try {
        const result: unknown = checked(Reflect.apply(target, self, args), given);
        if (isInstance(result) || !isPromise(result)) return result;
        return result.then((value: unknown) => checked(value, given)).catch(rethrow);
      } catch (error) {
        return rethrow(error);
      }
    },
  });
}

function serverOptions(
  options: ExportedOptions,
  defaults: ServerDefaults,
  { create, version }: Framework,
  http2: boolean,
): FastifyServerOptions {
  const { logger, ...rest } = defaults;
  // From Fastify 5.12 on.
  const { LogController }: Partial<Pick<typeof create, 'LogController'>> = create;
  // Version 5 takes a finished logger under a name of its own, and refuses it under the old one.
  const ownLogger = 'logger' in options || 'loggerInstance' in options;
  const ours = ownLogger ? {} : version >= 5 ? { loggerInstance: logger } : { logger };
  return {
    ...rest,
    ...ours,
    ...(LogController && !ownLogger ? { logController: quietController(LogController, options) } : {}),
    // The certificate is not the server's business: its connections come secured.
    // How long they stay open is, though: Fastify would end them after 72 s.
    ...(http2 ? { http2: true, https: { allowHTTP1: true }, http2SessionTimeout: 0 } : {}),
    // Fastify asks the header first, and an app that makes its own ids wants to be asked.
    ...('genReqId' in options ? { requestIdHeader: false as const } : {}),
    ...options,
  } as FastifyServerOptions;
}

interface Framework {
  create: typeof import('fastify').fastify;
  version: number;
}

/** The app's own Fastify if it has one, as its plugins were made for that version; otherwise ours. */
function fastifyOf(file: string): Framework {
  for (const require of [createRequire(realpathSync(file)), createRequire(import.meta.url)]) {
    try {
      const { version } = require('fastify/package.json') as { version: string };
      return {
        create: require('fastify') as typeof import('fastify').fastify,
        version: Number.parseInt(version, 10),
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw unloadable('the package fastify is not installed; npm install fastify');
}
