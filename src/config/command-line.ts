/**
 * Reads the command line: which settings it gives, as text, and what it asks for. Pure. What the values mean, and
 * what else there is besides the command line, is the business of `load.ts`.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { verbNames, verbs } from '../commands.ts';
import { UserError } from '../errors.ts';
import { gunicornSetting } from './gunicorn.ts';
import type { Source } from './origin.ts';
import { counterpartOf, meaningElsewhere } from './other-servers.ts';
import {
  type ActionName,
  actions,
  type CommandName,
  isSwitch,
  rows,
  type Setting,
  type SettingName,
  settings,
  status,
  type VerbFlagName,
  verbFlags,
} from './settings.ts';
import { nearest } from './spelling.ts';

/** What is asked of a running server. */
export interface VerbCall {
  name: CommandName;
  /** Right for the verb: `+1` for `scale`. */
  argument?: string;
  /** Whether to return when it has begun. */
  noWait: boolean;
  /** Whether the answer is to be JSON. */
  json: boolean;
}

/** What the command line says, before any value is read. */
export interface CommandLine {
  /** The file of the app, as typed. */
  app?: string;
  /** What followed `--`: it is the app's. */
  args: readonly string[];
  given: Map<SettingName, Source>;
  /** What to do instead of serving. */
  action?: ActionName;
  /** What to ask of a running server instead of being one. */
  verb?: VerbCall;
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number];
type Flag = Extract<Token, { kind: 'option' }>;

/** What a long flag stands for. */
type Meaning =
  | { setting: SettingName; negated: boolean }
  | { action: ActionName }
  | { verbFlag: VerbFlagName };

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
for (const verbFlag of Object.keys(verbFlags) as VerbFlagName[])
  learn(verbFlags[verbFlag], 'boolean', { verbFlag });

/** An action that wins over everything else on the command line, mistakes included. */
export interface WinningAction {
  action: 'help' | 'version';
  /** Help about every option, not only about those that one needs first. */
  everything?: true;
}

/** The action that wins, if it is there. */
export function winningAction(argv: readonly string[]): WinningAction | undefined {
  const { tokens } = tokenize(argv);
  const isAll = (token: Token | undefined) =>
    token?.kind !== 'option-terminator' && token?.value === actions.help.argument;
  const found = (action: ActionName) =>
    tokens.findIndex(
      (token) =>
        token.kind === 'option' &&
        token.name === action &&
        (token.value === undefined || (action === 'help' && isAll(token))),
    );
  const at = found('help');
  if (at < 0) return found('version') < 0 ? undefined : { action: 'version' };
  const isFollowed = tokens[at + 1]?.kind === 'positional' && isAll(tokens[at + 1]);
  return { action: 'help', ...((isAll(tokens[at]) || isFollowed) && { everything: true }) };
}

/**
 * The config file that is named, found before anything else is read, as everything else needs it. Undefined if none
 * is, or none that makes sense: what is wrong with it is said by who reads the command line.
 */
export function namedConfigFile(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): { path: string; origin: Source['origin'] } | undefined {
  const { flag, env: variable } = settings.config;
  const last = tokenize(argv).tokens.findLast((token) => token.kind === 'option' && token.name === flag) as
    | Flag
    | undefined;
  if (last?.value && !looksLikeFlag(last)) {
    return { path: last.value, origin: { from: 'flag', name: last.rawName } };
  }
  const path = env[variable];
  return path && !last ? { path, origin: { from: 'env', name: variable } } : undefined;
}

/**
 * Reads the command line, without `node` and the script.
 *
 * @param fileHasApp whether the config file names the app: then what looks like a flag after `--` is an argument of that.
 * @throws UserError of one line that names the flag or argument and what was expected.
 */
export function readCommandLine(argv: readonly string[], fileHasApp = false): CommandLine {
  const { args, tokens } = tokenize(argv);
  const line: CommandLine = { args: [], given: new Map() };
  const positionals: string[] = [];
  const flagsOfVerbs = new Map<VerbFlagName, string>();
  let previous: Token | undefined;
  const isForApp = (next = '') =>
    positionals.length > 0 ? !commandNamed(positionals[0]) : fileHasApp && next.startsWith('-');
  for (const token of tokens) {
    if (token.kind === 'option-terminator' && isForApp(args[token.index + 1])) {
      line.args = args.slice(token.index + 1);
      break;
    }
    if (token.kind === 'option') {
      const meaning = meaningOf(token, args[token.index] ?? '');
      if ('action' in meaning) line.action = meaning.action;
      else if ('verbFlag' in meaning) flagsOfVerbs.set(meaning.verbFlag, token.rawName);
      else noteSetting(line.given, token, meaning);
    } else if (token.kind === 'positional') {
      refuseValueOfSwitch(previous, token.value);
      positionals.push(token.value);
    }
    previous = token;
  }
  const isDevelopment = positionals[0] === DEV;
  if (isDevelopment) {
    positionals.shift();
    noteDevelopment(line.given);
  }
  const [first, ...others] = positionals;
  const name = isDevelopment ? undefined : commandNamed(first);
  for (const [flag, rawName] of flagsOfVerbs) {
    const { of } = verbFlags[flag];
    if (name && of.includes(name)) continue;
    throw new UserError(
      `${rawName} is only for the commands: ${of.map((one) => `fasticorn ${one}`).join(', ')}`,
    );
  }
  if (name) {
    if (line.action) {
      throw new UserError(
        `--${actions[line.action].flag} and ${name} do not go together: leave one of them out`,
      );
    }
    line.verb = readVerb(name, others, flagsOfVerbs);
    return line;
  }
  if (others[0] !== undefined) {
    const meant = meaningElsewhere(first!);
    const hint = meant
      ? `; did you mean ${meant}?`
      : ' (quote a path that has spaces; with npm, put -- before the flags)';
    throw new UserError(
      `unexpected argument ${JSON.stringify(others[0])}: the app is already ${JSON.stringify(first)}${hint}`,
    );
  }
  if (first === '') throw new UserError('the app is "": expected the file of the app, such as ./dist/app.js');
  if (first !== undefined) line.app = first;
  return line;
}

/** The parts of the command line; `args` is what their indexes refer to. */
function tokenize(argv: readonly string[]): { args: readonly string[]; tokens: readonly Token[] } {
  const parse = (args: readonly string[]) =>
    parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true }).tokens;
  const tokens = parse(argv);
  const first = tokens.find((token) => token.kind === 'positional');
  const next = first && argv[first.index + 1];
  if (first?.value !== 'scale' || !next || !/^-\d/.test(next)) return { args: argv, tokens };
  // In `scale -1` that is no flag.
  const args = argv.toSpliced(first.index + 1, 1);
  const others = parse(args);
  others.splice(others.findIndex((token) => token.kind === 'positional') + 1, 0, { ...first, value: next });
  return { args, tokens: others };
}

/** What a flag stands for; `typed` is the whole argument that it stood in. */
function meaningOf({ name, rawName, value }: Flag, typed: string): Meaning {
  // `-workers 4` would otherwise be read as `-w orkers`.
  const oneDash = !rawName.startsWith('--') && meanings.has(typed.slice(1));
  const meaning = meanings.get(name);
  if (!meaning || oneDash) {
    const wrong = oneDash ? typed : rawName;
    const shown = /^[!-~]+$/.test(wrong) ? wrong : JSON.stringify(wrong);
    const gunicorns = gunicornSetting(wrong);
    if (gunicorns?.why !== undefined)
      throw new UserError(`unknown flag ${shown}, which only Gunicorn has: ${gunicorns.why}`);
    const right = oneDash
      ? `-${typed}`
      : (flagElsewhere(gunicorns) ?? flagElsewhere(counterpartOf(wrong)) ?? nearest(wrong, spellings));
    throw new UserError(
      `unknown flag ${shown}: ${right ? `did you mean ${right}?` : 'see fasticorn --help'}`,
    );
  }
  if (value !== undefined && (!('setting' in meaning) || meaning.negated)) {
    const takes =
      'action' in meaning && meaning.action === 'help' ? `only ${actions.help.argument}` : 'no value';
    throw new UserError(`${rawName} takes ${takes}, got ${JSON.stringify(value)}`);
  }
  return meaning;
}

/** The flag of a setting or an action, if there is one of that name. */
function flagFor(name: string | undefined): string | undefined {
  const row = [...rows, ...Object.entries(actions)].find(([one]) => one === name)?.[1];
  return row && `--${row.flag}`;
}

/** Our flag for what another server has, with an example: `--bind 127.0.0.1:3000`. */
function flagElsewhere(theirs: { ours?: string; example?: string } | undefined): string | undefined {
  const flag = flagFor(theirs?.ours);
  return flag && [flag, theirs?.example].filter(Boolean).join(' ');
}

/** Notes the value of a setting: for a list in addition to those before, otherwise in their place. */
function noteSetting(
  given: Map<SettingName, Source>,
  token: Flag,
  { setting, negated }: { setting: SettingName; negated: boolean },
): void {
  const { rawName, value } = token;
  const row: Setting<unknown> = settings[setting];
  const origin = { from: 'flag', name: rawName } as const;
  if (isSwitch(row)) {
    given.set(setting, { value: value ?? String(!negated), origin });
    return;
  }
  const needs = `${rawName} needs a value (${row.kind.placeholder})`;
  if (value === undefined) throw new UserError(`${needs}, got none`);
  if (looksLikeFlag(token) && !row.kind.isFlag) {
    throw new UserError(
      `${needs}, got ${JSON.stringify(value)}, which looks like a flag; ` +
        `if it is the value, write --${row.flag}=${/^[!-~]+$/.test(value) ? value : JSON.stringify(value)}`,
    );
  }
  const before = row.kind.isList ? given.get(setting) : undefined;
  given.set(setting, { value: before ? `${before.value},${value}` : value, origin });
}

/** Whether the value is an argument of its own that begins like a flag: `--bind --workers`. */
function looksLikeFlag({ inlineValue, value }: Flag): boolean {
  return !inlineValue && /^-./.test(value ?? '');
}

/** In `--pretty false app.js`, `false` would otherwise be the app. */
function refuseValueOfSwitch(before: Token | undefined, argument: string): void {
  if (before?.kind !== 'option' || before.value !== undefined) return;
  const meaning = meanings.get(before.name);
  if (!meaning || !('setting' in meaning)) return;
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

/** The word before the app that means `--watch`. */
const DEV = 'dev';

function noteDevelopment(given: Map<SettingName, Source>): void {
  const before = given.get('watch');
  if (before?.origin.name === '--no-watch') {
    throw new UserError(`${DEV} and --no-watch do not go together: leave one of them out`);
  }
  given.set('watch', { value: 'true', origin: { from: 'flag', name: DEV } });
}

function commandNamed(word: string | undefined): CommandName | undefined {
  return [...verbNames, status.name].find((name) => name === word);
}

function readVerb(
  name: CommandName,
  positionals: readonly string[],
  flags: ReadonlyMap<VerbFlagName, string>,
): VerbCall {
  const { argument: expected, accepts } = name === status.name ? {} : verbs[name];
  const [argument = flags.has('now') ? 'now' : undefined, surplus] = positionals;
  const unexpected = accepts ? surplus : argument;
  if (unexpected !== undefined) {
    const takes = accepts ? `only ${expected}` : 'none';
    throw new UserError(`unexpected argument ${JSON.stringify(unexpected)}: ${name} takes ${takes}`);
  }
  if (accepts && !accepts(argument)) {
    throw new UserError(
      argument === undefined
        ? `${name} needs an argument (${expected}), got none`
        : `${name}: ${JSON.stringify(argument)} is not valid: expected ${expected}`,
    );
  }
  return {
    name,
    ...(argument !== undefined && { argument }),
    noWait: flags.has('noWait'),
    json: flags.has('json'),
  };
}
