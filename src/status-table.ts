/**
 * A server's status as text for people: `fasticorn status`. Pure.
 */
import type { SocketStatus, Status, WorkerStatus } from './status.ts';

/** How many of the last exits are shown. */
const MAX_EXITS = 5;

/** A column of the table of workers. Text is aligned to the left, numbers to the right. */
interface Column {
  title: string;
  align: 'left' | 'right';
  cell(worker: WorkerStatus): string;
}

const number = (title: string, of: (worker: WorkerStatus) => number | null | undefined): Column => ({
  title,
  align: 'right',
  cell: (worker) => rounded(of(worker)),
});

const COLUMNS: readonly Column[] = [
  number('worker', ({ worker }) => worker),
  number('gen', ({ generation }) => generation),
  number('pid', ({ pid }) => pid),
  { title: 'phase', align: 'left', cell: phaseOf },
  { title: 'age', align: 'right', cell: ({ age }) => duration(age) },
  number('requests', ({ requests }) => requests),
  number('in flight', ({ inFlight }) => inFlight),
  number('conns', ({ connections }) => connections),
  number('rss MB', ({ rss }) => megabytes(rss)),
  number('heap MB', ({ heap }) => megabytes(heap)),
  number('busy %', ({ utilization }) => utilization && utilization * 100),
  number('delay ms', ({ delay }) => delay),
];

/** A worker that does not say any more how it is shows that here: all else in its row is old. */
function phaseOf({ phase, silent = 0 }: WorkerStatus): string {
  return silent < 3 ? phase : `${phase}, silent ${duration(silent)}`;
}

/**
 * Returns the text, with a newline at the end.
 *
 * @param columns how wide a line may be, in characters; the end of a longer one is cut. Without it none is.
 */
export function statusTable(status: Status, columns = Number.POSITIVE_INFINITY): string {
  const blocks = [headOf(status), socketsOf(status.sockets), workersOf(status), exitsOf(status.exits)];
  const lines = blocks.filter((block) => block.length > 0).flatMap((block) => ['', ...block]);
  return lines
    .slice(1)
    .map((line) => `${cut(printable(line).trimEnd(), columns)}\n`)
    .join('');
}

function headOf({ arbiter, generation }: Status): string[] {
  const { version, app, pid, phase, uptime } = arbiter;
  const next = generation.next === null ? '' : `, ${generation.next} on trial`;
  return [
    `fasticorn ${version}  ${app}  pid ${pid}  ${phase}  up ${duration(uptime)}  generation ${generation.current}${next}`,
  ];
}

function socketsOf(sockets: readonly SocketStatus[]): string[] {
  return aligned(
    sockets.map(({ address, queue, limit }) => [address, `queue ${rounded(queue)} of ${rounded(limit)}`]),
    ['left', 'left'],
  );
}

function workersOf({ workers, wanted }: Status): string[] {
  if (workers.length === 0) return [`no workers, ${wanted} wanted`];
  const rows = workers.map((worker) => COLUMNS.map(({ cell }) => cell(worker)));
  return aligned(
    [COLUMNS.map(({ title }) => title), ...rows],
    COLUMNS.map(({ align }) => align),
  );
}

function exitsOf(exits: Status['exits']): string[] {
  if (exits.length === 0) return [];
  const rows = exits
    .slice(0, MAX_EXITS)
    .map(({ time, worker, generation, pid, reason }) => [
      time,
      `worker ${worker}`,
      `gen ${generation}`,
      `pid ${rounded(pid)}`,
      reason,
    ]);
  return ['last exits:', ...aligned(rows, ['left', 'left', 'left', 'left', 'left'])];
}

/** Pads the cells of each column to the width of its widest. */
function aligned(rows: readonly string[][], sides: readonly ('left' | 'right')[]): string[] {
  const widths = sides.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        sides[column] === 'left' ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  '),
  );
}

const rounded = (value: number | null | undefined): string =>
  value === null || value === undefined ? '-' : String(Math.round(value));

const megabytes = (bytes: number | undefined): number | undefined => bytes && bytes / 2 ** 20;

/** Seconds as the two greatest units that matter: `3d 4h`, `12m 5s`, `8s`. */
function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const units = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ] as const;
  const first = units.findIndex(([count], index) => count > 0 || index === units.length - 1);
  return units
    .slice(first, first + 2)
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}

/** An app's own words may hold what a terminal would obey. */
const printable = (line: string): string => line.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ');

const cut = (line: string, columns: number): string =>
  line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1)).trimEnd()}…`;
