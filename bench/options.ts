/** What the benchmark is told on its command line, and what it answers to what it does not understand. */
import { parseArgs } from 'node:util';

export interface Options {
  full: boolean;
  /** Ids of experiments; absent for all. */
  only?: readonly string[];
  /** Ids of servers; absent for all. */
  servers?: readonly string[];
  rounds?: number;
  /** How long a slice takes. */
  seconds?: number;
  /** Where the results go. */
  output?: string;
  list: boolean;
  help: boolean;
}

/** In seconds: the load generator has to start in that time. */
const SHORTEST = 0.1;
/** Of rounds, and of seconds. */
const MOST = 999;

/** What there is. */
export interface Known {
  experiments: readonly string[];
  servers: readonly string[];
}

/** Something on the command line is wrong; the message is for whoever wrote it. */
export class UsageError extends Error {}

export const HELP = `Usage: npm run bench -- [options]

  --full               Measure everything; all of it is written to bench/results/full.json.
  --only ID,…          Only these experiments, with all their rows.
  --servers ID,…       Only these servers, and the baselines.
  --rounds N           So many rounds.
  --seconds N          So many seconds of load for each server in a round.
  --output FILE        Write the results there.
  --list               Name the experiments and the servers.
  --help               This text.

Quick unless told otherwise: about two minutes, some of the experiments, nothing written.
`;

/** @throws UsageError */
export function parse(args: readonly string[], known: Known): Options {
  const { only, servers, rounds, seconds, output, ...flags } = values(args);
  return {
    full: flags.full ?? false,
    list: flags.list ?? false,
    help: flags.help ?? false,
    ...(only === undefined ? {} : { only: idsOf('only', 'experiment', only, known.experiments) }),
    ...(servers === undefined ? {} : { servers: idsOf('servers', 'server', servers, known.servers) }),
    ...(rounds === undefined ? {} : { rounds: numberOf('rounds', rounds, { least: 1, isWhole: true }) }),
    ...(seconds === undefined ? {} : { seconds: numberOf('seconds', seconds, { least: SHORTEST }) }),
    ...(output === undefined ? {} : { output }),
  };
}

function values(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        full: { type: 'boolean' },
        only: { type: 'string' },
        servers: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        output: { type: 'string' },
        list: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    // What follows the first sentence is advice about positional arguments, which do not exist here.
    throw new UsageError((error as Error).message.split('. ')[0]!);
  }
}

function idsOf(option: string, what: string, text: string, known: readonly string[]): string[] {
  const ids = text.split(',').filter(Boolean);
  const there = `There are: ${known.join(', ')}`;
  if (ids.length === 0) throw new UsageError(`--${option} "${text}" names no ${what}. ${there}`);
  const unknown = ids.find((id) => !known.includes(id));
  if (unknown !== undefined) throw new UsageError(`There is no ${what} "${unknown}". ${there}`);
  return ids;
}

function numberOf(option: string, text: string, { least, isWhole = false }: Range): number {
  const number = Number(text);
  const isRight = number >= least && number <= MOST && (!isWhole || Number.isInteger(number));
  if (!isRight) {
    const kind = isWhole ? 'a whole number' : 'a number';
    throw new UsageError(`--${option} is ${kind} from ${least} to ${MOST}, not "${text}"`);
  }
  return number;
}

interface Range {
  least: number;
  isWhole?: boolean;
}
