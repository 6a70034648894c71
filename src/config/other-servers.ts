/**
 * What other servers than Gunicorn call settings of ours: fastify-cli, PM2, uvicorn, uWSGI. Only for hints about what
 * is unknown here: flags, keys, and commands, which would be taken for apps. Pure.
 */
import type { SettingName } from './settings.ts';

/** One of our settings, and a value that shows how it is written here, where that is not plain. */
export interface Counterpart {
  ours: SettingName | 'app';
  example?: string;
}

const port: Counterpart = { ours: 'bind', example: '127.0.0.1:3000' };

/** By the name of a flag there, without dashes. */
const counterparts: ReadonlyMap<string, Counterpart> = new Map([
  ['port', port],
  ['host', port],
  ['hostname', port],
  ['address', port],
  ['a', port],
  ['listen', port],
  ['uds', { ours: 'bind', example: 'unix:/run/app.sock' }],
  ['instances', { ours: 'workers' }],
  ['processes', { ours: 'workers' }],
  ['i', { ours: 'workers' }],
  ['kill-timeout', { ours: 'gracefulTimeout' }],
  ['listen-timeout', { ours: 'bootTimeout' }],
  ['max-memory-restart', { ours: 'maxMemory' }],
  ['cwd', { ours: 'chdir' }],
  ['node-args', { ours: 'nodeOptions' }],
  ['interpreter-args', { ours: 'nodeOptions' }],
  ['out-file', { ours: 'accessLogfile' }],
  ['error-file', { ours: 'errorLogfile' }],
  ['script', { ours: 'app' }],
]);

/** What a flag as typed, or a key, is here; keys of PM2 have underscores. */
export function counterpartOf(word: string): Counterpart | undefined {
  return counterparts.get(word.replace(/^--?/, '').replaceAll('_', '-'));
}

/** What the commands of other servers are here, in words for "did you mean …?". */
const commands: ReadonlyMap<string, string> = new Map([
  ['restart', 'the command reload, or upgrade for a new Node or fasticorn'],
  ['kill', 'the command stop'],
  ['help', '--help'],
  ['version', '--version'],
  ...['start', 'run', 'serve'].map((word): [string, string] => [word, `fasticorn APP, without ${word}`]),
]);

/** What is meant by a word in the place of the app that is a command of other servers. */
export function meaningElsewhere(word: string): string | undefined {
  return commands.get(word);
}
