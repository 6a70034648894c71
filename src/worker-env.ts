/**
 * The environment of the workers: the arbiter's own, and what env files add to it.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import type { Loaded } from './config/load.ts';
import { invalid } from './config/origin.ts';
import { errorCode } from './errors.ts';

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the workers' environment is made from. */
export interface EnvSources {
  /** The arbiter's. */
  env: Environment;
  /** The variables of each env file, in their order. */
  files: readonly Environment[];
  /** Whether this is for development: then NODE_ENV says so, unless somebody else has decided. */
  watch: boolean;
}

/** What is in the arbiter's environment wins over the files, as with Node's --env-file, and a later file over an earlier. */
export function workerEnv({ env, files, watch }: EnvSources): Environment {
  const defaults = watch
    ? // Has Node tell over the IPC channel what a worker loads: what `node --watch` sets for its child.
      { NODE_ENV: 'development', WATCH_REPORT_DEPENDENCIES: '1' }
    : { NODE_ENV: 'production' };
  return Object.assign(defaults, ...files, env);
}

/**
 * Reads the env files, whose syntax is that of Node's --env-file.
 *
 * @throws UserError of one line if one cannot be read.
 */
export function readEnvFiles({ config, origins }: Loaded): Environment[] {
  const directory = config.chdir ?? '.';
  return (config.envFile ?? []).map((file) => {
    try {
      return parseEnv(readFileSync(resolve(directory, file), 'utf8')) as Environment;
    } catch (error) {
      const { envFile: origin } = origins;
      if (origin.from === 'default') throw error;
      const trouble =
        errorCode(error) === 'ENOENT' ? `there is none in ${directory}` : (error as Error).message;
      throw invalid('envFile', { value: file, origin }, `expected a file, but ${trouble}`);
    }
  });
}
