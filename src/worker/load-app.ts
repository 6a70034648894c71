/**
 * From `<app>` to something that listens. Knows the order of loading, deciding what it is, and listening; what an app may
 * be is in `app-shape.ts`, and sockets, requests and logs come from elsewhere.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import Module from 'node:module';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { FastifyInstance } from 'fastify';
import { findApp } from '../app-file.ts';
import { http } from '../http.ts';
import type { AppSpec, AppType } from '../protocol.ts';
import type { Adoption } from './adoption.ts';
import { LISTENING } from './app-log.ts';
import {
  ADAPTER_WANTED,
  type AnyFunction,
  answersFetch,
  explain,
  exportNames,
  isExpressLike,
  isFastify,
  isInstance,
  isKoa,
  isNest,
  isPromise,
  type ModuleExports,
  type Shape,
  shapeOf,
  shapeOfMade,
  unloadable,
} from './app-shape.ts';
import { type Ears, fastifyFor, listenTo, type ServerDefaults } from './fastify-app.ts';
import { pluginOptions } from './plugin-options.ts';

/** What is to be loaded, and how. */
export interface AppRequest {
  /** A file, a directory or a package, relative to the working directory; `:name` picks an export. */
  spec: AppSpec;
  /** What the operator gave it: a plugin's options, a script's arguments. */
  args: readonly string[];
  appType: AppType | undefined;
  /** JSON of an object or the path of a file with it: a factory's argument, a plugin's options. */
  appOptions: string | undefined;
  /** Whether a server that is made here speaks HTTP/2 as well. */
  http2: boolean;
}

/** What the app needs of the server. */
export interface Surroundings extends Ears {
  adoption: Adoption;
  fastify: ServerDefaults;
  /** Tells people why nothing happens. */
  warn(text: string): void;
}

/** An app that is loaded. */
export interface App {
  /** What it was taken for, in words. */
  shape: string;
  /** Has its server call listen(), unless it has done so. */
  listen(): Promise<unknown>;
  /** Runs its own hooks for the end, if its framework has any. */
  close(): Promise<unknown>;
}

/** A script that has not listened after this time, in milliseconds, is worth a line. */
const PATIENCE = 5_000;
/** What a module that listens while it is loaded gets to come to its end, in milliseconds. */
const LATE_EXPORTS = 100;

/**
 * Loads the app; it is ready to listen then.
 *
 * @throws UserError if there is no such module or export, or it is nothing that can be served; whatever the app's own
 * code throws otherwise.
 */
export async function loadApp(request: AppRequest, around: Surroundings): Promise<App> {
  const { spec, args, appType } = request;
  const { file, exportName } = findApp(spec, process.cwd());
  process.argv = [process.execPath, appType === 'script' ? file : process.argv[1]!, ...args];
  if (appType === 'script') {
    runAsMain(file);
    return script(spec, {}, around);
  }
  const importing = importModule(file);
  const endless = around.adoption.listening.then(() => sleep(LATE_EXPORTS));
  const module = (await Promise.race([importing, endless])) ?? {};
  // A module that listens may go on for ever, and fail only later.
  importing.catch(
    (error) =>
      around.adoption.isTaken &&
      process.nextTick(() => {
        throw error;
      }),
  );
  const question = { spec, exportName, appType, listens: around.adoption.isTaken };
  const shape = shapeOf(module, question);
  return appOf(shape, { request, file, module }, around);
}

/** Where a shape was found. */
interface Found {
  request: AppRequest;
  file: string;
  module: ModuleExports;
}

function appOf(shape: Shape, found: Found, around: Surroundings): Promise<App> {
  switch (shape.type) {
    case 'plugin':
      return plugin(shape, found, around);
    case 'factory':
      return factory(shape.make, found, around);
    case 'instance':
      return instance(shape.instance, found, around);
    case 'listener':
      return listener(shape.listener, found.request, around);
    case 'script':
      return script(found.request.spec, found.module, around);
  }
}

async function plugin(
  { plugin, options }: Extract<Shape, { type: 'plugin' }>,
  { request, file }: Found,
  around: Surroundings,
): Promise<App> {
  const extra = { ...optionsFor(request), ...pluginOptions(request.args) };
  const { app, version, register } = fastifyFor(
    file,
    { spec: request.spec, plugin, options, extra, http2: request.http2 },
    around.fastify,
  );
  around.adoption.expect(app.server);
  listenTo(app, options, around);
  register();
  await app.ready();
  return { ...ofFastify(app), shape: `a Fastify ${version} plugin` };
}

async function factory(make: AnyFunction, found: Found, around: Surroundings): Promise<App> {
  const { request } = found;
  const { value } = await made(make, optionsFor(request));
  if (value === undefined && around.adoption.isTaken) return script(request.spec, {}, around);
  const app = await appOf(shapeOfMade(value, request.spec), found, around);
  return { ...app, shape: `${app.shape} from a factory` };
}

/** What a factory makes; its error says what else the function may have been. */
async function made(make: AnyFunction, options: object): Promise<{ value: unknown }> {
  try {
    return await settled((make as (options: object) => unknown)(options));
  } catch (error) {
    if (error instanceof TypeError)
      explain(error, 'called as a factory; if it is another function, say --app-type plugin or listener');
    throw error;
  }
}

async function instance(given: object, found: Found, around: Surroundings): Promise<App> {
  const { value } = await settled(given);
  if (isFastify(value)) return fastifyInstance(value as FastifyInstance, around);
  if (isNest(value)) return nest(value as NestApp, around);
  if (isKoa(value))
    return { ...(await listener(value.callback(), found.request, around)), shape: 'a Koa app' };
  if (isInstance(value)) return server(value as HttpServer, true, around, 'an HTTP server');
  // Promised, so only now it shows what it is.
  return appOf(shapeOfMade(value, found.request.spec), found, around);
}

async function fastifyInstance(app: FastifyInstance, { adoption, onFastify }: Surroundings): Promise<App> {
  const { version } = app as unknown as { version: string };
  try {
    onFastify(app);
  } catch {
    // It is ready already, and takes no more hooks: the log then says what Node sees of its requests.
  }
  await app.ready();
  const { listen, close } = ofFastify(app);
  return {
    shape: `a Fastify ${Number.parseInt(version, 10)} instance`,
    listen: () =>
      adoption.serve(app.server, true, async () => {
        await listen();
        // Fastify itself refuses to listen twice.
        Object.assign(app, { listen: alreadyListening });
      }),
    close,
  };
}

/** In the place of a Fastify's listen(): with a callback or without, as it has always been. */
async function alreadyListening(...args: unknown[]): Promise<string> {
  const callback = args.at(-1);
  const address = 'http://127.0.0.1:0';
  if (typeof callback === 'function') process.nextTick(callback, null, address);
  return address;
}

function ofFastify(app: FastifyInstance): Omit<App, 'shape'> {
  return {
    // Not a name: for localhost Fastify would open a second server.
    listen: async () => {
      await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => LISTENING });
    },
    close: async () => {
      await app.close();
    },
  };
}

/** What is used of an INestApplication. */
interface NestApp {
  getHttpServer(): HttpServer;
  listen(port: number, host: string): Promise<unknown>;
  close(): Promise<unknown>;
}

async function nest(app: NestApp, { adoption }: Surroundings): Promise<App> {
  return {
    shape: 'a NestJS app',
    listen: () => adoption.serve(app.getHttpServer(), true, () => app.listen(0, '127.0.0.1')),
    close: () => app.close(),
  };
}

async function listener(
  handle: AnyFunction,
  { spec, http2 }: AppRequest,
  around: Surroundings,
): Promise<App> {
  // Express gives requests prototypes of its own, which are those of HTTP/1.
  if (http2 && isExpressLike(handle))
    throw unloadable(`${spec}: --http2 is not for Express, which knows only HTTP/1; leave it out`);
  const own = http2
    ? (await import('node:http2')).createSecureServer({ allowHTTP1: true }, handle as () => void)
    : http().createServer(handle as () => void);
  return server(own as HttpServer, false, around, 'a (req, res) listener');
}

/** @param isApps whether the app has made it. */
async function server(
  given: HttpServer,
  isApps: boolean,
  { adoption }: Surroundings,
  shape: string,
): Promise<App> {
  return {
    shape,
    listen: () => adoption.serve(given, isApps, () => given.listen()),
    close: async () => {},
  };
}

/** Waits for a module to listen by itself. */
async function script(spec: string, module: ModuleExports, around: Surroundings): Promise<App> {
  const { adoption, warn } = around;
  const names = exportNames(module);
  let hint = 'export the app (export default async function (app, opts) { … }), or have it call listen()';
  if (answersFetch(module.default)) hint = ADAPTER_WANTED;
  else if (names.length > 0)
    hint = `it exports ${names.join(', ')}: to serve one of those, name it (${spec}:${names[0]})`;
  const what =
    `${spec} has no app as its default export, and does not listen; ${hint}; ` +
    'if it listens only as the main module, say --app-type script';
  const timer = setTimeout(() => warn(`still waiting: ${what}`), PATIENCE);
  timer.unref();
  let onIdle = () => {};
  const idle = new Promise<never>((_, reject) => {
    onIdle = () => reject(unloadable(what));
    process.once('beforeExit', onIdle);
  });
  // Were the arbiter to keep us alive, a script that has come to its end would wait for ever.
  process.channel?.unref();
  try {
    await Promise.race([adoption.listening, idle]);
  } finally {
    process.channel?.ref();
    process.off('beforeExit', onIdle);
    clearTimeout(timer);
  }
  return { shape: 'a script that listens', listen: () => adoption.listening, close: async () => {} };
}

/** A promise's value, wrapped; a Fastify, being a thenable, is left as it is. */
async function settled(given: unknown): Promise<{ value: unknown }> {
  return { value: isPromise(given) && !isInstance(given) ? await given : given };
}

/** @throws UserError if the file is not there or not JSON of an object. */
function optionsFor({ appOptions }: AppRequest): object {
  if (appOptions === undefined) return {};
  if (appOptions.startsWith('{')) return JSON.parse(appOptions) as object;
  let options: unknown;
  try {
    options = JSON.parse(readFileSync(resolve(appOptions), 'utf8'));
  } catch (error) {
    throw unloadable(`--app-options ${appOptions}: ${(error as Error).message}`);
  }
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw unloadable(`--app-options ${appOptions}: expected JSON of an object`);
  return options;
}

/** As Node runs what it is started with: `require.main` is the module. What it throws is an uncaught exception. */
function runAsMain(file: string): void {
  process.argv[1] = file;
  (Module as unknown as { runMain(): void }).runMain();
}

async function importModule(file: string): Promise<ModuleExports> {
  const url = pathToFileURL(file).href;
  try {
    return (await import(url)) as ModuleExports;
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
