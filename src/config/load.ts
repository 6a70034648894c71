/**
 * Makes the configuration from the command line and the environment: a flag wins over a variable, a variable over
 * the default. Pure: which settings there are is in `settings.ts`, and whether their values work (a path too long,
 * a port in use) is found out by those who use them.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { UserError } from '../errors.ts';
import {
  type ActionName,
  actions,
  type Config,
  isSwitch,
  type Machine,
  rows,
  type Setting,
  type SettingName,
  settings,
} from './settings.ts';
import { nearest } from './spelling.ts';

/** Where a value came from; a flag's name is as typed: `-w` or `--workers`. */
export type Origin = { from: 'flag'; name: string } | { from: 'env'; name: string } | { from: 'default' };

/** What the operator asked for. */
export interface Loaded {
  /** The file of the app, as typed. */
  app?: string;
  config: Config;
  origins: Record<SettingName, Origin>;
  /** What to do instead of serving. */
  action?: ActionName;
}

/** The text of a value, before it is read. */
interface Given {
  text: string;
  origin: Exclude<Origin, { from: 'default' }>;
}

/** What the command line says, before any value is read. */
interface CommandLine {
  app?: string;
  given: Map<SettingName, Given>;
  action?: ActionName;
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number];

/** What a long flag stands for. */
type Meaning = { setting: SettingName; negated: boolean } | { action: ActionName };

const meanings = new Map<string, Meaning>();
const options: NonNullable<ParseArgsConfig['options']> = {};
/** Every right spelling of every flag. */
const spellings: string[] = [];

function learn(row: { flag: string; short?: string }, type: 'boolean' | 'string', meaning: Meaning): void {
  meanings.set(row.flag, meaning);
  spellings.push(`--${row.flag}`);
  options[row.flag] = { type };
  if (row.short) {
    spellings.push(`-${row.short}`);
    options[row.flag] = { type, short: row.short };
  }
}

for (const [setting, row] of rows) {
  learn(row, isSwitch(row) ? 'boolean' : 'string', { setting, negated: false });
  if (isSwitch(row)) learn({ flag: `no-${row.flag}` }, 'boolean', { setting, negated: true });
}
for (const action of Object.keys(actions) as ActionName[]) learn(actions[action], 'boolean', { action });

/**
 * Reads the command line (without `node` and the script) and the environment.
 *
 * `--help`, and then `--version`, win over everything else, mistakes included; with them the config is that of an
 * empty command line and environment.
 *
 * @throws UserError of one line that names the flag or variable, its value and what was expected.
 */
export function load(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  machine: Machine,
): Loaded {
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  for (const action of ['help', 'version'] as const) {
    if (
      tokens.some((token) => token.kind === 'option' && token.name === action && token.value === undefined)
    ) {
      return { ...load([], {}, machine), action };
    }
  }
  const { given, ...rest } = readCommandLine(argv, tokens);
  return { ...rest, ...readSettings(given, env, machine) };
}

function readCommandLine(argv: readonly string[], tokens: readonly Token[]): CommandLine {
  const line: CommandLine = { given: new Map() };
  const surplus: string[] = [];
  let previous: Token | undefined;
  for (const token of tokens) {
    if (token.kind === 'option') {
      readFlag(line, token, argv[token.index] ?? '');
    } else if (token.kind === 'positional') {
      refuseValueOfSwitch(previous, token.value);
      if (line.app === undefined) line.app = token.value;
      else surplus.push(token.value);
    }
    previous = token;
  }
  if (surplus[0] !== undefined) {
    throw new UserError(
      `unexpected argument ${JSON.stringify(surplus[0])}: the app is already ${JSON.stringify(line.app)} ` +
        '(quote a path that has spaces; with npm, put -- before the flags)',
    );
  }
  if (line.app === '')
    throw new UserError('the app is "": expected the file of the app, such as ./dist/app.js');
  return line;
}

/** Notes one flag; `typed` is the whole argument that it stood in. */
function readFlag(line: CommandLine, token: Extract<Token, { kind: 'option' }>, typed: string): void {
  const { rawName, value } = token;
  // `-workers 4` would otherwise be read as `-w orkers`.
  const oneDash = !rawName.startsWith('--') && meanings.has(typed.slice(1));
  const meaning = meanings.get(token.name);
  if (!meaning || oneDash) {
    const wrong = oneDash ? typed : rawName;
    const right = oneDash ? `-${typed}` : nearest(wrong, spellings);
    const name = /^[!-~]+$/.test(wrong) ? wrong : JSON.stringify(wrong);
    throw new UserError(`unknown flag ${name}: ${right ? `did you mean ${right}?` : 'see fasticorn --help'}`);
  }
  if ('action' in meaning || meaning.negated) {
    if (value !== undefined) throw new UserError(`${rawName} takes no value, got ${JSON.stringify(value)}`);
  }
  if ('action' in meaning) {
    line.action = meaning.action;
    return;
  }
  const row: Setting<unknown> = settings[meaning.setting];
  const origin = { from: 'flag', name: rawName } as const;
  if (isSwitch(row)) {
    line.given.set(meaning.setting, { text: value ?? String(!meaning.negated), origin });
    return;
  }
  const needs = `${rawName} needs a value (${row.kind.placeholder})`;
  if (value === undefined) throw new UserError(`${needs}, got none`);
  if (!token.inlineValue && /^-./.test(value)) {
    throw new UserError(
      `${needs}, got ${JSON.stringify(value)}, which looks like a flag; ` +
        `if it is the value, write --${row.flag}=${/^[!-~]+$/.test(value) ? value : JSON.stringify(value)}`,
    );
  }
  line.given.set(meaning.setting, { text: value, origin });
}

/** In `--pretty false app.js`, `false` would otherwise be the app. */
function refuseValueOfSwitch(before: Token | undefined, argument: string): void {
  if (before?.kind !== 'option' || before.value !== undefined) return;
  const meaning = meanings.get(before.name);
  if (!meaning || 'action' in meaning) return;
  const row: Setting<unknown> = settings[meaning.setting];
  try {
    row.kind.parse(argument);
  } catch {
    return;
  }
  throw new UserError(
    `unexpected argument ${JSON.stringify(argument)} after ${before.rawName}: write --${row.flag}=${argument}`,
  );
}

function readSettings(
  given: ReadonlyMap<SettingName, Given>,
  env: Readonly<Record<string, string | undefined>>,
  machine: Machine,
): Pick<Loaded, 'config' | 'origins'> {
  const config: Partial<Record<SettingName, unknown>> = {};
  const origins: Partial<Record<SettingName, Origin>> = {};
  const sources = new Map(given);
  for (const [name, row] of rows) {
    // Only the table's own variables are looked at. An unknown FASTICORN_… is no mistake: for a service called
    // fasticorn, Kubernetes gives every pod FASTICORN_PORT, FASTICORN_SERVICE_HOST and more.
    const variable = env[row.env];
    if (variable && !sources.has(name)) {
      sources.set(name, { text: variable, origin: { from: 'env', name: row.env } });
    }
    const source = sources.get(name);
    origins[name] = source?.origin ?? { from: 'default' };
    config[name] = source ? parse(row, source) : defaultOf(row, machine);
  }
  const loaded = { config: config as Config, origins: origins as Record<SettingName, Origin> };
  refuseUnixOnlySettings(loaded.config, sources);
  return loaded;
}

function refuseUnixOnlySettings({ bind }: Config, sources: ReadonlyMap<SettingName, Given>): void {
  const bindSource = sources.get('bind');
  if (bind.kind === 'unix' || !bindSource) return;
  for (const name of ['socketMode', 'socketGroup'] as const) {
    const source = sources.get(name);
    if (!source) continue;
    throw invalid(
      settings[name],
      source,
      `expected a Unix socket, but ${bindSource.origin.name} is ${JSON.stringify(bindSource.text)}; drop one of them`,
    );
  }
}

function parse(row: Setting<unknown>, source: Given): unknown {
  try {
    return row.kind.parse(source.text);
  } catch (error) {
    throw invalid(row, source, (error as Error).message);
  }
}

function invalid(row: { flag: string }, { text, origin }: Given, expected: string): UserError {
  const value = JSON.stringify(text);
  return new UserError(
    origin.from === 'flag'
      ? `${origin.name}: ${value} is not valid: ${expected}`
      : `${origin.name}=${value} (the variable for --${row.flag}): ${expected}`,
  );
}

function defaultOf(row: Setting<unknown>, machine: Machine): unknown {
  return typeof row.default === 'function' ? row.default(machine) : row.default;
}
