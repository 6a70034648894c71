/**
 * Makes the configuration from the command line, the environment and the config file: a flag wins over a variable, a
 * variable over the file, the file over the default. Pure: which settings there are is in `settings.ts`, the file is
 * read by `config-file.ts`, and whether values work (a path too long, a port in use) is found out by those who use
 * them.
 */
import { UserError } from '../errors.ts';
import type { HookFile } from '../events.ts';
import { readCommandLine, type VerbCall, winningAction } from './command-line.ts';
import { gunicornSetting } from './gunicorn.ts';
import { type GivenOrigin, invalid, type Origin, placeInFile, type Source, writtenAs } from './origin.ts';
import { counterpartOf } from './other-servers.ts';
import {
  type ActionName,
  type Config,
  type Machine,
  rows,
  type Setting,
  type SettingName,
  settings,
} from './settings.ts';
import { nearest } from './spelling.ts';

export type { Origin, VerbCall };

/** What a config file says, before any value is read. */
export interface ConfigFile {
  /** The path as people know it, for messages: `fasticorn.config.mjs`. */
  path: string;
  values: Record<string, unknown>;
  /** Its functions, which are no settings. */
  hooks?: HookFile;
  /** The line, from 1, that a key stands in, where it can be found. */
  lineOf(key: string): number | undefined;
}

/** What the operator asked for. */
export interface Loaded {
  /** The file of the app, as typed. */
  app?: string;
  /** Where it was named, for people: `fasticorn.config.mjs:3`. */
  appSource?: string;
  /** What followed `--` on the command line: it is the app's. */
  args: readonly string[];
  config: Config;
  origins: Record<SettingName, Origin>;
  /** Whom to tell what happens to the server. */
  hooks?: HookFile;
  /** What to do instead of serving. */
  action?: ActionName;
  /** With help: about every option. */
  everything?: true;
  /** What to ask of a running server instead of being one. */
  verb?: VerbCall;
}

/**
 * Reads the command line (without `node` and the script), the environment and what the config file says.
 *
 * `--help`, and then `--version`, win over everything else, mistakes included; with them the config is that of an
 * empty command line and environment.
 *
 * @throws UserError of one line that names the flag, variable or line of the file, its value and what was expected.
 */
export function load(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  machine: Machine,
  file?: ConfigFile,
): Loaded {
  const wins = winningAction(argv);
  if (wins) return { ...load([], {}, machine), ...wins };
  const { given, ...line } = readCommandLine(argv, file !== undefined && Object.hasOwn(file.values, 'app'));
  const sources = new Map([...(file ? readFile(file) : []), ...readEnvironment(env), ...given]);
  const app = line.app ?? (file && appOf(file));
  const appSource = line.app === undefined && file ? placeInFile(originIn(file, 'app')) : 'argument';
  const hooks = file?.hooks && { hooks: file.hooks };
  return {
    ...line,
    ...(app !== undefined && { app, appSource }),
    ...hooks,
    ...readSettings(sources, machine),
  };
}

/**
 * Only the table's own variables are looked at. An unknown FASTICORN_… is no mistake: for a service called
 * fasticorn, Kubernetes gives every pod FASTICORN_PORT, FASTICORN_SERVICE_HOST and more.
 */
function readEnvironment(env: Readonly<Record<string, string | undefined>>): [SettingName, Source][] {
  return rows.flatMap(([name, row]): [SettingName, Source][] => {
    const value = env[row.env];
    return value ? [[name, { value, origin: { from: 'env', name: row.env } }]] : [];
  });
}

function readFile(file: ConfigFile): [SettingName, Source][] {
  const inFile = rows.flatMap(([name, row]) => (row.inFile === false ? [] : [name]));
  const found: [SettingName, Source][] = [];
  for (const [key, value] of Object.entries(file.values)) {
    if (key === 'app') continue;
    const name = inFile.find((one) => one === key);
    if (!name) throw unknownKey(file, key, inFile);
    if (value !== null && value !== undefined) found.push([name, { value, origin: originIn(file, key) }]);
  }
  return found;
}

function unknownKey(file: ConfigFile, key: string, names: readonly SettingName[]): UserError {
  const place = placeInFile(originIn(file, key));
  const gunicorns = gunicornSetting(key);
  const elsewhere = rows.find(
    ([name, { flag, env }]) => [name, flag, env, `--${flag}`].includes(key) || name === gunicorns?.ours,
  );
  if (elsewhere?.[1].inFile === false) {
    const { flag, env } = elsewhere[1];
    return new UserError(
      `${place}: ${JSON.stringify(key)} cannot be set in the file: use --${flag} or ${env}`,
    );
  }
  if (!elsewhere && gunicorns?.why !== undefined)
    return new UserError(
      `${place}: unknown key ${JSON.stringify(key)}, which only Gunicorn has: ${gunicorns.why}`,
    );
  const keys = [...names, 'app'];
  const theirs = gunicorns ?? counterpartOf(key);
  const ours = elsewhere?.[0] ?? keys.find((one) => one === theirs?.ours);
  const right = ours
    ? [ours, theirs?.example && `'${theirs.example}'`].filter(Boolean).join(': ')
    : nearest(key, keys);
  return new UserError(
    `${place}: unknown key ${JSON.stringify(key)}: ${right ? `did you mean ${right}?` : 'see fasticorn --help'}`,
  );
}

function appOf(file: ConfigFile): string | undefined {
  const value = Object.hasOwn(file.values, 'app') ? (file.values.app ?? undefined) : undefined;
  if (value === undefined || (typeof value === 'string' && value !== '')) return value;
  throw invalid(
    'app',
    { value, origin: originIn(file, 'app') },
    'expected the file of the app, such as ./dist/app.js',
  );
}

function originIn(file: ConfigFile, key: string): Extract<GivenOrigin, { from: 'file' }> {
  const line = file.lineOf(key);
  return { from: 'file', name: file.path, ...(line !== undefined && { line }) };
}

function readSettings(
  sources: ReadonlyMap<SettingName, Source>,
  machine: Machine,
): Pick<Loaded, 'config' | 'origins'> {
  const config: Partial<Record<SettingName, unknown>> = {};
  const origins: Partial<Record<SettingName, Origin>> = {};
  const modes = (['watch', 'inspect'] as const).filter((name) => {
    const source = sources.get(name);
    return source && readValue(name, settings[name], source);
  });
  for (const [name, row] of rows) {
    const source = sources.get(name);
    const mode = source ? undefined : modes.find((one) => row.defaultWith && one in row.defaultWith);
    origins[name] = source?.origin ?? { from: 'default', ...(mode && { with: mode }) };
    config[name] = source
      ? readValue(name, row, source)
      : mode
        ? row.defaultWith![mode]
        : defaultOf(row, machine);
  }
  const loaded = { config: config as Config, origins: origins as Record<SettingName, Origin> };
  refuseUnixOnlySettings(loaded.config, sources);
  refusePortlessReuse(loaded.config, sources);
  refuseLoneJitter(loaded.config, sources);
  refuseLoneExtra(loaded.config, sources);
  refuseLoneProxies(loaded.config, sources);
  return loaded;
}

function readValue(name: SettingName, { kind }: Setting<unknown>, source: Source): unknown {
  try {
    return source.origin.from === 'file' ? kind.accept(source.value) : kind.parse(String(source.value));
  } catch (error) {
    throw invalid(name, source, (error as Error).message);
  }
}

function defaultOf(row: Setting<unknown>, machine: Machine): unknown {
  return typeof row.default === 'function' ? row.default(machine) : row.default;
}

function refuseUnixOnlySettings(config: Config, sources: ReadonlyMap<SettingName, Source>): void {
  const bind = sources.get('bind');
  if (!bind || config.bind.some(({ kind }) => kind === 'unix')) return;
  for (const name of ['socketMode', 'socketGroup', 'takeover'] as const) {
    const source = sources.get(name);
    if (!source || config[name] === false) continue;
    const addresses = JSON.stringify(asText('bind', bind, config));
    throw invalid(
      name,
      { ...source, value: asText(name, source, config) },
      `expected a Unix socket with a path, but ${writtenAs('bind', bind.origin)} is ${addresses}; drop one of them`,
    );
  }
}

function refusePortlessReuse(config: Config, sources: ReadonlyMap<SettingName, Source>): void {
  const source = sources.get('reusePort');
  if (!source || !config.reusePort || config.bind.some(({ kind }) => kind === 'tcp')) return;
  const bind = sources.get('bind');
  const where = bind
    ? `${writtenAs('bind', bind.origin)} is ${JSON.stringify(asText('bind', bind, config))}`
    : `--bind is ${settings.bind.kind.show(config.bind)} unless it is given`;
  throw invalid('reusePort', source, `expected a TCP port to bind, but ${where}; drop one of them`);
}

function refuseLoneJitter(config: Config, sources: ReadonlyMap<SettingName, Source>): void {
  const source = sources.get('maxRequestsJitter');
  if (!source || config.maxRequestsJitter === 0 || config.maxRequests > 0) return;
  throw invalid(
    'maxRequestsJitter',
    source,
    'it is added to --max-requests, which is off; set that as well, or drop this',
  );
}

/** In a config file it waits for the day when somebody watches. */
function refuseLoneExtra({ watch, watchExtra }: Config, sources: ReadonlyMap<SettingName, Source>): void {
  const source = sources.get('watchExtra');
  if (!source || watch || source.origin.from === 'file') return;
  const value = settings.watchExtra.kind.show(watchExtra!);
  throw invalid(
    'watchExtra',
    { ...source, value },
    'it adds to --watch, which is off; set that as well, or drop this',
  );
}

function refuseLoneProxies(config: Config, sources: ReadonlyMap<SettingName, Source>): void {
  const source = sources.get('proxyAllowIps');
  const { kind, default: usual } = settings.proxyAllowIps;
  const isUsual = kind.show(config.proxyAllowIps) === kind.show(usual as string[]);
  if (!source || config.proxyProtocol || isUsual) return;
  throw invalid(
    'proxyAllowIps',
    { ...source, value: asText('proxyAllowIps', source, config) },
    'it says who may use --proxy-protocol, which is off; set that as well, or drop this',
  );
}

/** The text that was given; for other data the text that means the same. */
function asText(name: SettingName, { value }: Source, config: Config): string {
  const row: Setting<unknown> = settings[name];
  return typeof value === 'string' ? value : row.kind.show(config[name]);
}
