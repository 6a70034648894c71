/**
 * In which of its possible shapes an app comes. Decides by looking at what a module exports; calls nothing, and knows
 * neither sockets nor servers.
 */
import { ExitCode, UserError } from '../errors.ts';
import type { AppType } from '../protocol.ts';

/** Fastify's options that a plugin's module may export. */
export type ExportedOptions = Record<string, unknown>;

/** What a module's exports are to be taken for. */
export type Shape =
  /** As fastify-cli takes it: a function that is given a Fastify. */
  | { type: 'plugin'; plugin: AnyFunction; options: ExportedOptions }
  /** A function that is given a request and its response. */
  | { type: 'listener'; listener: AnyFunction }
  /** A function that returns, or promises, any of the others. */
  | { type: 'factory'; make: AnyFunction }
  /** A server, or a framework's app that has one; or a promise of one. */
  | { type: 'instance'; instance: object }
  /** It is up to the module to listen. */
  | { type: 'script' };

export type AnyFunction = (...args: never[]) => unknown;

/** A module as `import` gives it. */
export type ModuleExports = Record<string, unknown>;

/** What is known about an app before it is looked at. */
export interface AppQuestion {
  /** How the app was named, for messages. */
  spec: string;
  exportName: string | undefined;
  /** What the operator says that it is. */
  appType: AppType | undefined;
  /** Whether the module has called listen() while it was loaded. */
  listens: boolean;
}

/**
 * Decides.
 *
 * @throws UserError if there is no such export, or it is nothing that can be served.
 */
export function shapeOf(module: ModuleExports, { spec, exportName, appType, listens }: AppQuestion): Shape {
  // A CommonJS module's exports are its default import; named ones are only found by guessing.
  const exports = module.default === undefined ? module : (module.default as ModuleExports);
  const value =
    exportName !== undefined
      ? (module[exportName] ?? Object(exports)[exportName])
      : exports === module
        ? undefined
        : unwrapped(exports);
  if (appType === 'script') return { type: 'script' };
  if (exportName !== undefined && value === undefined) throw unloadable(noExport(spec, exportName, module));
  const options = (module.options ?? Object(exports).options ?? {}) as ExportedOptions;

  if (appType !== undefined) return expected(spec, appType, value, options);
  if (isInstance(value) || isPromise(value)) return { type: 'instance', instance: value };
  if (typeof value === 'function') return ofFunction(value as AnyFunction, exportName, options);
  // Many scripts export nothing, or this and that for their tests.
  if (exportName === undefined && (listens || value === undefined || isPlain(value)))
    return { type: 'script' };
  const wanted = answersFetch(value) ? ADAPTER_WANTED : WANTED;
  throw unloadable(`${spec}: ${nameOf(exportName)} is ${kindOf(value)}: ${wanted}`);
}

/** What was made by a factory. @throws UserError if that can't be served. */
export function shapeOfMade(value: unknown, spec: string): Shape {
  if (isInstance(value)) return { type: 'instance', instance: value };
  if (typeof value === 'function') return { type: 'listener', listener: value as AnyFunction };
  throw unloadable(
    `${spec}: the function returned ${kindOf(value)}, where a Fastify, a server or a (req, res) listener was ` +
      'expected; if it is a Fastify plugin, say --app-type plugin',
  );
}

const WANTED =
  'expected a Fastify plugin (export default async function (app, opts) { … }), a Fastify instance, ' +
  'a (req, res) listener or an http.Server';

/** What to do about an app for Bun, Deno and the like. */
export const ADAPTER_WANTED =
  'it answers requests of the Fetch API; export a (req, res) listener made of it, such as ' +
  'getRequestListener(app.fetch) from @hono/node-server, and say --app-type listener';

/** Adds to an error of the app what may be behind it. */
export function explain(error: Error, hint: string): void {
  const message = `${error.message} (${hint})`;
  error.stack = error.stack?.replace(error.message, message) ?? message;
  error.message = message;
}

export const unloadable = (message: string): UserError => new UserError(message, ExitCode.appFailed);

function expected(spec: string, type: AppType, value: unknown, options: ExportedOptions): Shape {
  if (type === 'instance' && (isInstance(value) || isPromise(value))) return { type, instance: value };
  if (type === 'listener' && isKoa(value)) return { type, listener: value.callback() };
  if (type !== 'instance' && typeof value === 'function') {
    const given = value as AnyFunction;
    if (type === 'plugin') return { type, plugin: given, options };
    if (type === 'listener') return { type, listener: given };
    return { type: 'factory', make: given };
  }
  const wanted = type === 'instance' ? 'a Fastify or a server' : 'a function';
  throw unloadable(`${spec}: --app-type ${type} expects ${wanted}, but it exports ${kindOf(value)}`);
}

function ofFunction(given: AnyFunction, exportName: string | undefined, options: ExportedOptions): Shape {
  if (isExpressLike(given)) return { type: 'listener', listener: given };
  // fastify-plugin marks what it has wrapped. Otherwise a name, or no argument, says that it makes the app: a plugin
  // without an argument could do nothing.
  const isMarked = Symbol.for('plugin-meta') in given;
  if (!isMarked && (exportName !== undefined || given.length === 0)) return { type: 'factory', make: given };
  return { type: 'plugin', plugin: given, options };
}

/** A CommonJS module that was compiled from an ES module, or fastify-cli's `file.default || file`. */
function unwrapped(exports: unknown): unknown {
  if (typeof exports !== 'object' || exports === null || isInstance(exports)) return exports;
  return (exports as ModuleExports).default ?? exports;
}

/** Whether it is a server or has one: Node's, Fastify's, NestJS's, Koa's. */
export function isInstance(value: unknown): value is object {
  return isFastify(value) || isNest(value) || isServer(value) || isKoa(value);
}

/** Any version's. Being a thenable, it must never be returned from an async function by itself. */
export function isFastify(value: unknown): boolean {
  return has(value, 'listen', 'ready', 'addHook', 'register') && 'server' in value;
}

export function isNest(value: unknown): boolean {
  return has(value, 'getHttpAdapter', 'init', 'listen', 'close');
}

export function isKoa(value: unknown): value is { callback(): AnyFunction } {
  return has(value, 'callback', 'use', 'listen');
}

/** HTTP/1 and HTTP/2, with TLS or without, by what only these have: the classes of http2 are not public. */
export function isServer(value: unknown): boolean {
  return (
    has(value, 'listen', 'getConnections') && ('closeIdleConnections' in value || 'updateSettings' in value)
  );
}

/** Hono and the like, or the module that Bun and others serve. */
export function answersFetch(value: unknown): boolean {
  return has(value, 'fetch');
}

/** Express, and what is made like it: a function that routes. */
export function isExpressLike(value: AnyFunction): boolean {
  return has(value, 'handle');
}

export function isPromise(value: unknown): value is Promise<unknown> {
  return has(value, 'then');
}

function has(value: unknown, ...methods: string[]): value is Record<string, AnyFunction> {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return false;
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
}

/** An object of no class: exports, not something that was exported by mistake. */
function isPlain(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function noExport(spec: string, name: string, module: ModuleExports): string {
  const names = exportNames(module);
  const others =
    names.length > 0 ? names.join(', ') : module.default === undefined ? 'nothing' : 'only a default';
  return `${spec}: the module has no export by the name of "${name}"; it exports ${others}`;
}

/** What else a module exports, for messages. The members of an app that it exports are none of these. */
export function exportNames(module: ModuleExports): string[] {
  const { default: main } = module;
  const names = [...Object.keys(module), ...(isPlain(main) && !isInstance(main) ? Object.keys(main!) : [])];
  return [...new Set(names)]
    .filter((name) => !['default', 'module.exports', '__esModule'].includes(name))
    .sort();
}

function nameOf(exportName: string | undefined): string {
  return exportName === undefined ? "the module's default export" : `its export "${exportName}"`;
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value !== 'object') return `a ${typeof value}`;
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  return name && name !== 'Object' ? `a ${name}` : 'an object that is no app';
}
