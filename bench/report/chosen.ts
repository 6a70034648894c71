/**
 * Which of all that is measured README.md shows, and which experiments have a chart: declarations, by the ids of
 * `plan.ts`. What was not measured is left out by those who show it.
 */
import type { Entry } from '../experiment.ts';

export interface ChosenTable {
  title: string;
  /** The metric that all cells are ratios of, to a baseline that all columns have in common; absent for figures. */
  ratiosOf?: string;
  columns: readonly ChosenColumn[];
}

export interface ChosenColumn {
  experiment: string;
  title: string;
  /** Whose figures are shown, in a table of figures. */
  metric?: string;
}

export const tables: readonly ChosenTable[] = [
  {
    title: 'Hello world',
    ratiosOf: 'rate',
    columns: [
      { experiment: 'overhead', title: 'straight, started anew' },
      { experiment: 'hello', title: 'straight' },
      { experiment: 'nginx', title: 'nginx with a pool' },
      { experiment: 'nginx-close', title: 'nginx without' },
    ],
  },
  {
    title: 'Hello world',
    ratiosOf: 'cpu',
    columns: [
      { experiment: 'overhead', title: 'straight, started anew' },
      { experiment: 'nginx', title: 'nginx with a pool' },
      { experiment: 'nginx-close', title: 'nginx without' },
    ],
  },
  {
    title: 'Unix socket and TCP',
    ratiosOf: 'rate',
    columns: [{ experiment: 'paths', title: 'hello world' }],
  },
  {
    title: 'Other requests',
    ratiosOf: 'rate',
    columns: [
      { experiment: 'json-1k', title: '1 KB of JSON' },
      { experiment: 'json-100k', title: '100 KB of JSON' },
      { experiment: 'upload', title: 'upload of 1 MB' },
      { experiment: 'download', title: 'download of 10 MB' },
      { experiment: 'wait', title: 'waits 10 ms' },
    ],
  },
  {
    title: 'p99 where 5 % of requests burn 20 ms of CPU',
    columns: [
      { experiment: 'mixed', metric: 'p99', title: 'straight' },
      { experiment: 'mixed-close', metric: 'p99', title: 'nginx without a pool' },
    ],
  },
  {
    title: 'Start, rest and reload',
    columns: [
      { experiment: 'startup', metric: 'answer', title: 'first answer after' },
      { experiment: 'memory', metric: 'total', title: 'memory' },
      { experiment: 'wakeups', metric: 'total', title: 'wakeups/s at rest' },
      { experiment: 'reload', metric: 'done', title: 'reload takes' },
      { experiment: 'reload', metric: 'lost', title: 'requests lost by reloads' },
    ],
  },
];

/** A chart of an experiment: bars of its ratios, or lines over a number that its rows differ in. */
export interface ChosenChart {
  experiment: string;
  /** What the number is, and how much of it a row has; absent for bars. */
  over?: { title: string; of(entry: Entry): number };
  inReadme: boolean;
}

export const charts: readonly ChosenChart[] = [
  { experiment: 'hello', inReadme: true },
  { experiment: 'nginx', inReadme: true },
  { experiment: 'mixed-close', inReadme: false },
  { experiment: 'mixed', inReadme: false },
  {
    experiment: 'connections',
    over: {
      title: 'open connections (of 10,000 only 100 are busy)',
      of: ({ connections, idle = 0 }) => connections + idle,
    },
    inReadme: true,
  },
  { experiment: 'workers', over: { title: 'workers', of: ({ workers }) => workers }, inReadme: false },
];
