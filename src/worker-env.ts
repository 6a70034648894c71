/**
 * The environment of the workers: the arbiter's own, and what env files add to it.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import type { Loaded } from './config/load.ts';
import { invalid } from './config/origin.ts';
import { errorCode, UserError } from './errors.ts';

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
  /** Where Node is to keep compiled code, unless somebody else has decided or wants coverage; undefined for nowhere. */
  compileCache?: string | undefined;
}

/** What is in the arbiter's environment wins over the files, as with Node's --env-file, and a later file over an earlier. */
export function workerEnv({ env, files, watch, compileCache }: EnvSources): Environment {
  const defaults = watch
    ? // Has Node tell over the IPC channel what a worker loads: what `node --watch` sets for its child.
      { NODE_ENV: 'development', WATCH_REPORT_DEPENDENCIES: '1' }
    : { NODE_ENV: 'production' };
  const own: Environment = Object.assign(defaults, ...files, env);
  // What coverage says of code from the cache is less exact.
  if (compileCache === undefined || own.NODE_V8_COVERAGE) return own;
  return { NODE_COMPILE_CACHE: compileCache, ...own };
}

/**
 * What a C library obeys in any program that is started with it: what glibc ignores where a program has more rights
 * than its caller (its unsecvars.h, and locales that are paths), and musl's. TMPDIR is not here: it loads nothing.
 */
const OBEYED =
  /^(?:(?:LD_|MALLOC_)[^=]*|GLIBC_TUNABLES|GCONV_PATH|GETCONF_DIR|HOSTALIASES|LOCALDOMAIN|(?:MUSL_)?LOCPATH|NIS_PATH|NLSPATH|RESOLV_HOST_CONF|RES_OPTIONS|TZDIR)=|^(?:LANG|LANGUAGE|LC_[^=]*)=[\s\S]*\//;

/**
 * Reads the env files, whose syntax is that of Node's --env-file.
 *
 * @param forOthers whether the workers are somebody else than we are, who may have written the files: setpriv(1),
 *   which makes them that, is started as root with the workers' environment. To set it behind setpriv would take a
 *   shell there, or show it in argv, so what could lead setpriv astray is refused instead.
 * @throws UserError of one line if one cannot be read, or has such a variable.
 */
export function readEnvFiles({ config, origins }: Loaded, forOthers: boolean): Environment[] {
  const directory = config.chdir ?? '.';
  return (config.envFile ?? []).map((file) => {
    const { envFile: origin } = origins;
    let variables: Environment;
    try {
      variables = parseEnv(readFileSync(resolve(directory, file), 'utf8')) as Environment;
    } catch (error) {
      if (origin.from === 'default') throw error;
      const trouble =
        errorCode(error) === 'ENOENT' ? `there is none in ${directory}` : (error as Error).message;
      throw invalid('envFile', { value: file, origin }, `expected a file, but ${trouble}`);
    }
    const [name] = Object.entries(variables).find((entry) => OBEYED.test(entry.join('='))) ?? [];
    if (!forOthers || name === undefined) return variables;
    const expected = `expected no ${name} in it, which with --user or --group root would obey, too; set it in the server's own environment`;
    throw origin.from === 'default'
      ? new UserError(expected)
      : invalid('envFile', { value: file, origin }, expected);
  });
}
