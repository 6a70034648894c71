/**
 * What `import 'fasticorn'` gives: `defineConfig` for the config file, `trustProxy` for apps, and types. It loads next to
 * nothing, as a config file that imports it runs at each reload. The server itself is the command.
 */
import type { FileSettings } from './config/file-settings.ts';
import type { Hooks } from './events.ts';

export type { Address, SocketAddress } from './address.ts';
export type { Config } from './config/settings.ts';
export type {
  ExitEvent,
  Hooks,
  ReadyEvent,
  ReloadEvent,
  ServerEvent,
  StartingEvent,
  WorkerExitEvent,
  WorkerReadyEvent,
  WorkerStuckEvent,
} from './events.ts';
export { trustProxy } from './trust-proxy.ts';

/**
 * What a config file may say. Durations are in seconds, memory is in MiB; a mode is a text such as `'0660'`, or
 * `0o660`. Functions are hooks.
 */
export type FasticornConfig = FileSettings & Hooks;

/** What a config file may export: settings, a promise of settings, or a function that returns either. */
export type ConfigExport =
  | FasticornConfig
  | Promise<FasticornConfig>
  | (() => FasticornConfig | Promise<FasticornConfig>);

/**
 * Returns what it is given: around the default export of a config file it gives editors completion and checks.
 *
 * @example export default defineConfig({ app: './dist/app.js', workers: 4 });
 */
export function defineConfig(config: ConfigExport): ConfigExport {
  return config;
}
