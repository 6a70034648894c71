/**
 * From `module:export` to a Fastify instance that is ready to listen. Knows fastify-cli's conventions and what
 * Fastify 4 and 5 want; sockets, requests and logs come from elsewhere.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import { ExitCode, UserError } from '../errors.ts';
import type { AppSpec } from '../protocol.ts';

/** What the server wants of the app's Fastify instance, where the app's own `options` say nothing else. */
export interface ServerDefaults {
  /** A pino logger, for `app.log`. */
  logger: object;
  /** Fastify's option of the same name. */
  trustProxy: FastifyServerOptions['trustProxy'];
  /** Fastify's option of the same name. */
  genReqId: NonNullable<FastifyServerOptions['genReqId']>;
  /** Fastify's option of the same name, false for none. */
  requestIdHeader: string | false;
  /** How long an idle connection stays open, in milliseconds: the operator's setting, whatever the app says. */
  keepAliveTimeout: number;
  /** Called with the new instance before the app's plugin sees it. */
  prepare(app: FastifyInstance): void;
}

interface AppModule {
  default?: unknown;
  options?: FastifyServerOptions & { loggerInstance?: unknown; https?: unknown; http2?: unknown };
  [name: string]: unknown;
}

/**
 * Loads the app and waits until it is ready. The instance comes wrapped, since it is a thenable of its own.
 *
 * @param spec the path of a module, relative to the working directory, or a package's name; `:name` picks an export.
 * @throws UserError if there is no such module or export; whatever the app's own code throws otherwise.
 */
export async function loadApp(spec: AppSpec, defaults: ServerDefaults): Promise<{ app: FastifyInstance }> {
  const { file, exportName } = resolveApp(spec);
  const module = await importModule(file);
  // A CommonJS module's exports are its default import; named ones are only found by guessing.
  const exports = (module.default as AppModule | undefined) ?? module;
  const plugin = exportName
    ? (module[exportName] ?? exports[exportName])
    : typeof exports === 'object'
      ? exports.default
      : exports;
  if (typeof plugin !== 'function') {
    throw unloadable(
      exportName
        ? `${spec}: the module has no function by the name of "${exportName}"`
        : `${spec}: the module's default export is not a function; export default async function (app, opts) { … }`,
    );
  }
  const options = module.options ?? exports.options ?? {};
  if (options.https || options.http2) {
    throw unloadable(`${spec}: its options set https or http2; TLS ends at the proxy, remove them`);
  }
  const { create, version } = fastifyOf(file);
  const app = create(serverOptions(options, defaults, version));
  defaults.prepare(app);
  app.register(plugin as Parameters<typeof app.register>[0]);
  await app.ready();
  return { app };
}

const unloadable = (message: string): UserError => new UserError(message, ExitCode.appFailed);

async function importModule(file: string): Promise<AppModule> {
  const url = pathToFileURL(file).href;
  try {
    return (await import(url)) as AppModule;
  } catch (error) {
    // Node tells the place of a syntax error in an ES module only when it prints the error itself.
    if (error instanceof SyntaxError && !/\.[cm]?[jt]s:\d/.test(error.stack ?? '')) {
      // A static import of what cannot be linked runs nothing of it.
      const { stderr } = spawnSync(
        process.execPath,
        ['--input-type=module', '-e', `import ${JSON.stringify(url)}`],
        {
          encoding: 'utf8',
          timeout: 5_000,
        },
      );
      const frame = /^file:.*?(?=\n\n|\nSyntaxError)/s.exec(stderr)?.[0];
      if (frame) error.stack = `${frame}\n${error.stack}`;
    }
    throw error;
  }
}

function serverOptions(options: object, defaults: ServerDefaults, version: number): FastifyServerOptions {
  const { logger, prepare: _, ...rest } = defaults;
  // Version 5 takes a finished logger under a name of its own, and refuses it under the old one.
  const ownLogger = 'logger' in options || 'loggerInstance' in options;
  const ours = ownLogger ? {} : version >= 5 ? { loggerInstance: logger } : { logger };
  return {
    ...rest,
    ...ours,
    // Fastify asks the header first, and an app that makes its own ids wants to be asked.
    ...('genReqId' in options ? { requestIdHeader: false as const } : {}),
    // Fastify's 10 s for each plugin would make a lie of a longer boot timeout.
    pluginTimeout: 0,
    ...options,
    keepAliveTimeout: defaults.keepAliveTimeout,
  } as FastifyServerOptions;
}

/** The file behind a spec, and the export it names. A colon that is part of an existing file's name is no separator. */
function resolveApp(spec: AppSpec): { file: string; exportName: string | undefined } {
  const whole = findModule(spec);
  if (whole) return { file: whole, exportName: undefined };
  const colon = spec.lastIndexOf(':');
  const file = colon > 0 ? findModule(spec.slice(0, colon)) : undefined;
  if (file) return { file, exportName: spec.slice(colon + 1) };
  throw unloadable(
    `${spec}: there is no such file or package, seen from ${process.cwd()}; give it as ./app.mjs or ./app.mjs:export`,
  );
}

function findModule(name: string): string | undefined {
  const path = resolve(name);
  if (existsSync(path) && statSync(path).isFile()) return path;
  const require = createRequire(resolve('noop.js'));
  for (const request of [path, name]) {
    try {
      return require.resolve(request);
    } catch {}
  }
  return undefined;
}

/** The app's own Fastify if it has one, as its plugins were made for that version; otherwise ours. */
function fastifyOf(file: string): { create: typeof import('fastify').fastify; version: number } {
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
