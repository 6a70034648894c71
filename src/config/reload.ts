/**
 * What a reload may change. Pure: the configuration is read again by `configuration.ts`, and applied by the arbiter.
 */
import { UserError } from '../errors.ts';
import type { Loaded } from './load.ts';
import { type Config, rows, type SettingName } from './settings.ts';

/** What the server goes on with after a reload. */
export interface Reloaded {
  loaded: Loaded;
  /** One line for each setting that has changed and has to wait for a restart. */
  notes: string[];
}

/**
 * Joins what is running with what was read again: settings that only a restart can change stay as they are.
 *
 * @throws UserError if the config file has gone: without it everything would fall back to the defaults.
 */
export function reloaded(running: Loaded, fresh: Loaded): Reloaded {
  if (running.config.config !== undefined && fresh.config.config === undefined)
    throw new UserError(
      `${running.config.config}: the config file has gone; put it back, or restart without it`,
    );
  const config: Partial<Record<SettingName, unknown>> = { ...fresh.config };
  const origins = { ...fresh.origins };
  const notes: string[] = [];
  for (const [name, { flag, kind, applies }] of rows) {
    if (applies !== 'restart') continue;
    const show = (value: unknown) => (value === undefined ? 'not set' : kind.show(value));
    const [before, after] = [show(running.config[name]), show(fresh.config[name])];
    if (before === after) continue;
    config[name] = running.config[name];
    origins[name] = running.origins[name];
    notes.push(`--${flag} is now ${after}: that takes a restart; until then it stays ${before}`);
  }
  return { loaded: { ...fresh, config: config as Config, origins }, notes };
}
