/**
 * The benchmark of fasticorn: `npm run bench`. Takes what is asked for, has it measured, and shows it: progress goes to
 * standard error, tables to standard output. What there is to measure is in `plan.ts`.
 */
import { join } from 'node:path';
import { stepAside } from './cpus.ts';
import { machine, versions } from './machine.ts';
import type { Results } from './model.ts';
import { HELP, type Options, parse, UsageError } from './options.ts';
import { placeFor } from './output.ts';
import { experiments } from './plan.ts';
import { plainTables } from './report/table.ts';
import { chosen, estimate, run } from './run.ts';
import { servers } from './servers/index.ts';

// Whatever was started is killed, and its directories are removed, as this process ends.
for (const [signal, number] of [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.on(signal, () => process.exit(128 + number));
}

const ids = (all: readonly { id: string }[]) => all.map(({ id }) => id);

try {
  await main(parse(process.argv.slice(2), { experiments: ids(experiments), servers: ids(servers) }));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function main(options: Options): Promise<void> {
  if (options.help) return void process.stdout.write(HELP);
  if (options.list) return list();
  const wanted = chosen(experiments, options);
  if (wanted.length === 0) throw new UsageError('None of these experiments has any of these servers.');
  // A part of it is not to take the place of the whole.
  const isWhole = options.full && !options.only && !options.servers;
  const file = options.output ?? (isWhole ? join(import.meta.dirname, 'results/full.json') : undefined);
  const write = file === undefined ? undefined : placeOrRefusal(file);
  console.error(`This takes about ${duration(estimate(wanted))}.`);
  stepAside();
  const begin = performance.now();
  const results: Results = {
    command: commandOf(process.argv.slice(2)),
    date: new Date().toISOString(),
    machine: machine(),
    versions: versions(),
    ...(await run(wanted, servers, progress)),
  };
  write?.(`${JSON.stringify(results, null, 2)}\n`);
  console.log(`${plainTables(results)}\n`);
  console.error(`It took ${duration((performance.now() - begin) / 1000)}.`);
}

/** That it cannot be written is not to be found out when all is measured. */
function placeOrRefusal(file: string): (text: string) => void {
  try {
    return placeFor(file);
  } catch (error) {
    throw new UsageError(`--output ${file} cannot be written: ${(error as Error).message}`);
  }
}

/** What reproduces the figures, wherever they are written. */
function commandOf(args: readonly string[]): string {
  const told = args.filter((arg, index) => !/^--output(=|$)/.test(arg) && args[index - 1] !== '--output');
  return ['npm run bench', ...(told.length > 0 ? ['--', ...told] : [])].join(' ');
}

function list(): void {
  for (const { id, title, quick } of experiments)
    console.log(`${id.padEnd(24)}${title}${quick ? ' (quick)' : ''}`);
  console.log();
  for (const { id, title, note } of servers)
    console.log(`${id.padEnd(24)}${title}${note ? ` (${note})` : ''}`);
}

function progress(text: string): void {
  console.error(`${new Date().toTimeString().slice(0, 8)} ${text}`);
}

function duration(seconds: number): string {
  return seconds < 100 ? `${Math.ceil(seconds)} seconds` : `${Math.round(seconds / 60)} minutes`;
}
