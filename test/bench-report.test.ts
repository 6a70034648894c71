/**
 * What the benchmark says of its results: tables, charts, and the part of README.md.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Measured, Results, Row, Series } from '../bench/model.ts';
import { experiments } from '../bench/plan.ts';
import { barChart, type Growth, lineChart } from '../bench/report/chart.ts';
import { charts, tables } from '../bench/report/chosen.ts';
import { growthOf } from '../bench/report/growth.ts';
import { readmePart, resultFiles } from '../bench/report/readme.ts';
import { markdownTable, plainTable, plainTables, tableOf } from '../bench/report/table.ts';
import { measurements } from '../bench/run.ts';

const row = (id: string, rate: Series, facts: Partial<Row> = {}): Row => ({
  ...{
    id,
    title: id,
    errors: 0,
    figures: { rate, p99: rate.map(() => 1.2345) },
  },
  ...facts,
});

const bare = row('bare', [100, 200, 100]);

const measured = (rows: readonly Row[], facts: Partial<Measured> = {}): Measured => ({
  ...{ id: 'hello', title: 'GET /', setting: '2 workers', baseline: 'bare', rows },
  metrics: [
    { id: 'rate', title: 'Requests per second', unit: 'requests/s', better: 'higher' },
    { id: 'p99', title: 'p99', unit: 'ms', better: 'lower' },
  ],
  ...facts,
});

const results = (facts: Partial<Results> = {}): Results => ({
  ...{ command: 'npm run bench -- --full', date: '2025-05-06T07:08:09Z', absent: [] },
  machine: { cpu: 'Some CPU', cpus: 4, memory: '8 GiB', system: 'Linux 6.1' },
  versions: { node: '24.1.0', fasticorn: '0.1.0' },
  measured: [measured([bare, row('fasticorn', [150, 300, 150])])],
  ...facts,
});

/** The cells of the last row's line, without the first. */
function cellsOf(one: Measured): string[] {
  const { columns, rows } = tableOf(one);
  return columns.slice(1).map(({ cell }) => cell(rows.at(-1)!));
}

const cells = (one: Row, baseline = bare, facts: Partial<Measured> = {}) =>
  cellsOf(measured([baseline, one], facts));

const ratio = (one: Row, baseline = bare, facts: Partial<Measured> = {}) => cells(one, baseline, facts)[0];

describe('the ratio', () => {
  it('is the median of the ratios within each round, so that slow rounds of the machine do not count', () => {
    assert.equal(ratio(row('other', [120, 246, 126])), '1.23 (1.21–1.25)');
  });

  it('has its quartiles, unless they are no other in the precision that is shown', () => {
    assert.equal(ratio(row('other', [120, 240.2, 120.3])), '1.20');
    assert.equal(ratio(row('other', [120, 246, 126], { limitedByLoad: true })), '≥ 1.23 (1.21–1.25)');
  });

  it('is one for the baseline', () => {
    assert.equal(cellsOf(measured([bare]))[0], '1.00');
  });

  it('is not there where the rounds disagree', () => {
    assert.equal(ratio(row('other', [50, 200, 200])), 'rounds disagree');
  });

  it('is not there where several starts disagree, however near their own rounds are to each other', () => {
    const [steady, twice] = [
      row('bare', Array(8).fill(100)),
      row('other', [90, 90, 90, 90, 90, 110, 110, 110]),
    ];
    assert.equal(ratio(twice, steady), '0.90 (0.90–1.10)');
    assert.equal(ratio(twice, steady, { starts: 2 }), 'rounds disagree');
  });

  it('is not there of a single round', () => {
    assert.equal(ratio(row('other', [120, null, null])), 'one round only');
  });

  it('is not there where answers were wrong: how many is', () => {
    assert.equal(ratio(row('other', [100, 200, 100], { errors: 1 })), '1 error');
    assert.equal(ratio(row('other', [100, 200, 100], { errors: 12 })), '12 errors');
    assert.equal(ratio(row('other', [100, 200, 100]), { ...bare, errors: 12 }), 'errors in the baseline');
  });

  it('is not there where requests were lost, in whatever round', () => {
    const losing = (id: string, lost: Series) => row(id, [], { figures: { rate: [100, 200, 100], lost } });
    assert.equal(ratio(losing('other', [0, 0, 1])), '1 request lost');
    assert.equal(ratio(losing('other', [3, 0, 9])), '12 requests lost');
    assert.equal(ratio(losing('other', [0, 0, 0])), '1.00');
    assert.equal(ratio(losing('other', [0, 0, 0]), losing('bare', [0, 1, 0])), 'errors in the baseline');
  });

  it('is a bound where the load generator was the limit, and nothing if it was that of both', () => {
    const [limited, limitedBare] = [{ limitedByLoad: true }, { ...bare, limitedByLoad: true }];
    assert.equal(ratio(row('other', [120, 240, 120], limited)), '≥ 1.20');
    assert.equal(ratio(row('other', [80, 160, 80]), limitedBare), '≤ 0.80');
    assert.equal(ratio(row('other', [120, 240, 120], limited), limitedBare), 'limited by the load');
  });

  it('is no bound of what the load generator does not limit', () => {
    const metrics = [{ id: 'rate', title: 'Reload', unit: 's', better: 'lower' }] as const;
    assert.equal(ratio(row('other', [120, 240, 120], { limitedByLoad: true }), bare, { metrics }), '1.20');
  });

  it('is a dash without figures, and says if there is no baseline', () => {
    assert.equal(ratio(row('other', [null, null, null])), '–');
    assert.equal(ratio(row('other', [1, 1, 1]), bare, { baseline: 'gone' }), 'no baseline');
  });

  const ratios: [ratio: number, text: string][] = [
    [0.012, '0.012'],
    [0.5, '0.50'],
    [9.876, '9.88'],
    [12.345, '12.3'],
    [12_345, '12,300'],
  ];
  for (const [value, text] of ratios) {
    it(`has ${text} for ${value}`, () => {
      assert.equal(ratio(row('other', [100 * value, 200 * value, 100 * value])), text);
    });
  }
});

describe('a table', () => {
  const table = tableOf(
    measured([
      bare,
      row('fasticorn', [12_345, 24_690, null], { note: 'no access log' }),
      row('a|b <c>', [null, null, null], { figures: {} }),
    ]),
  );

  it('says where the rounds of a figure disagree', () => {
    assert.deepEqual(cells(row('other', [50, 200, 200])).slice(1), ['≈ 200', '1.23']);
  });

  it('has the quartiles of p99, as that differs from round to round', () => {
    const tail = (p99: Series) => cells(row('other', [], { figures: { p99 } })).at(-1);
    assert.equal(tail([10, 10.5, 11]), '10.5 (10.3–10.8)');
    assert.equal(tail([10, 20, 30]), '≈ 20 (15–25)');
    assert.equal(tail([10, 10, 10]), '10');
  });

  it('adds up what was lost, as a median would hide it', () => {
    const lost = { id: 'lost', title: 'Requests lost', unit: '', better: 'lower' } as const;
    const metrics = [...measured([]).metrics, lost];
    const one = row('other', [1, 1, 1], { figures: { rate: [1, 1, 1], lost: [0, 0, 7] } });
    assert.equal(cells(one, bare, { metrics }).at(-1), '7');
  });

  it('is one of Markdown, with our rows in bold, figures in three digits and a dash for none', () => {
    assert.equal(
      markdownTable(table),
      `\
|  | Ratio | Requests per second, requests/s | p99, ms | Note |
| --- | --: | --: | --: | --- |
| bare | 1.00 | ≈ 100 | 1.23 |  |
| **fasticorn** | **123** | **≈ 18,500** | **1.23** | **no access log** |
| a\\|b &lt;c> | – | – | – |  |`,
    );
  });

  it('is one for the terminal, in columns', () => {
    assert.equal(
      plainTable(table),
      `\
           Ratio  Requests per second, requests/s  p99, ms  Note
bare        1.00                            ≈ 100     1.23
fasticorn    123                         ≈ 18,500     1.23  no access log
a|b <c>        –                                –        –`,
    );
  });

  it('has no column of a metric without figures, nor one of notes without notes', () => {
    const throughput = { figures: { rate: [1, 1, 1] } };
    const titles = tableOf(measured([row('bare', [], throughput)])).columns.map(({ title }) => title);
    assert.deepEqual(titles, ['', 'Ratio', 'Requests per second, requests/s']);
  });

  const units: [title: string, unit: string, head: string][] = [
    ['Old workers gone after', 's', 'Old workers gone after, s'],
    ['CPU, ms per minute', 'ms', 'CPU, ms per minute'],
    ['Requests/s', '', 'Requests/s'],
  ];
  for (const [title, unit, head] of units) {
    it(`has "${head}" for "${title}" in "${unit}"`, () => {
      const metrics = [{ id: 'rate', title, unit, better: 'lower' }] as const;
      assert.equal(tableOf(measured([bare], { metrics })).columns.at(-1)!.title, head);
    });
  }

  it('has the quartiles on a terminal, too', () => {
    const text = plainTables(results({ measured: [measured([bare, row('other', [120, 246, 126])])] }));
    assert.match(text, /^other +1\.23 \(1\.21–1\.25\) /m);
  });

  it('comes with its setting, what the ratio is of, and notes below it on a terminal', () => {
    const noted = row('fasticorn', [150, 300, 150], { note: 'no access log' });
    const absent = [{ what: 'pm2', why: 'not installed' }];
    const text = plainTables(results({ absent, measured: [measured([bare, noted])] }));
    assert.match(text, /^GET \/\n2 workers\n/);
    assert.match(
      text,
      /requests per second in each round relative to bare; higher is better; median of 3 rounds, with the quartiles\n/,
    );
    assert.match(text, /\n {2}fasticorn: no access log\n/);
    assert.match(text, /\n\nNot measured:\n {2}pm2: not installed$/);
  });
});

describe('a chart', () => {
  const rows = [bare, row('fasticorn', [150, 300, 150]), row('other', [50, 200, 200])];
  const bars = (facts: Partial<Measured> = {}) => barChart(measured(rows, facts));
  const line = (title: string, values: readonly (number | undefined)[]): Growth['lines'][number] => ({
    ...{ title, isOurs: title === 'fasticorn' },
    points: values.map((value, index) => ({ at: 4 ** index, ...(value === undefined ? {} : { value }) })),
  });
  const growth = (lines: Growth['lines']) => ({
    ...{ title: 'More workers', setting: 'nginx', metric: measured([]).metrics[0]!, over: 'workers', lines },
  });
  const lines = () => lineChart(growth([line('bare', [100, 200, 300]), line('fasticorn', [200, 300, 400])]));

  it('is well-formed XML, whatever titles have in them', () => {
    const nasty = `a < b & "c" > 'd' ]]>`;
    const titled = rows.map((one) => ({ ...one, title: nasty }));
    const svg = barChart(measured(titled, { title: nasty, setting: nasty }));
    assertWellFormed(svg);
    assert.match(svg, /<title id="title">a &lt; b &amp; &quot;c&quot; &gt; 'd' \]\]&gt;<\/title>/);
    assertWellFormed(
      lineChart({ ...growth([line(nasty, [1, 2])]), title: nasty, setting: nasty, over: nasty }),
    );
  });

  it('is an image with a name, and needs nothing else', () => {
    for (const svg of [bars(), lines()]) {
      assert.match(svg, /^<svg [^>]*role="img" aria-labelledby="title">\n<title id="title">/);
      assert.doesNotMatch(svg.replace('http://www.w3.org/2000/svg', ''), /https?:|href|url\(|@import/);
      assert.match(svg, /prefers-color-scheme:dark/);
    }
  });

  it('has a bar as long as its ratio, in our colour if it is ours, and the ratio at its side', () => {
    const svg = bars();
    const widths = [...svg.matchAll(/class="(bar|ours)" .*? width="([\d.]+)"/g)];
    assert.deepEqual(
      widths.map(([, kind]) => kind),
      ['bar', 'ours'],
    );
    assert.equal((Number(widths[1]![2]) / Number(widths[0]![2])).toFixed(2), '1.50');
    assert.match(svg, />1\.50<\/text>/);
  });

  it('says why there is no bar', () => {
    assert.match(bars(), />rounds disagree<\/text>/);
  });

  it('keeps all bars in the picture', () => {
    const svg = barChart(measured([bare, row('fasticorn', [1e6, 2e6, 1e6])]));
    for (const [, x, width] of svg.matchAll(/class="(?:bar|ours)" x="([\d.]+)".*? width="([\d.]+)"/g))
      assert.ok(Number(x) + Number(width) < 820 - 64);
  });

  it('breaks long settings into lines', () => {
    const svg = bars({ setting: 'a long word '.repeat(30) });
    for (const [, text] of svg.matchAll(/class="small dim"[^>]*>([^<]*)</g)) assert.ok(text!.length <= 130);
  });

  it('has lines with a gap where there is no figure, and none for whom there never is one', () => {
    const svg = lineChart(
      growth([line('bare', [1, 2, 3]), line('fasticorn', [1, undefined, 3]), line('nobody', [undefined])]),
    );
    const paths = [...svg.matchAll(/class="line [^"]*" d="([^"]*)"/g)].map(([, path]) => path!);
    assert.deepEqual(
      paths.map((path) => path.replace(/[^ML]/g, '')),
      ['MLL', 'MM'],
    );
    assert.doesNotMatch(svg, /nobody|NaN/);
    assertWellFormed(lineChart(growth([line('nobody', [undefined])])));
  });

  it('goes past a step that a line does not have', () => {
    const points = [
      { at: 1, value: 5 },
      { at: 16, value: 5 },
    ];
    const svg = lineChart(growth([line('bare', [5, 5, 5]), { title: 'b', isOurs: false, points }]));
    const [first, second] = [...svg.matchAll(/ d="(M[^"]*L[^"]*)"/g)].map(([, path]) => path!.split(/[ML]/));
    assert.deepEqual(second, [first![0], first![1], first![3]]);
  });

  it('has rings on lines where the load generator was the limit, and only then says what they are', () => {
    const points = [{ at: 1, value: 5, isLimited: true }];
    const svg = lineChart(growth([{ title: 'b', isOurs: false, points }]));
    assert.equal(svg.match(/<circle /g)?.length, 1);
    assert.match(svg, /A ring: the load generator was the limit/);
    assert.doesNotMatch(lines(), /ring:|<circle /);
  });

  it('has labels of lines that do not cover each other, nor leave the picture', () => {
    const svg = lineChart(growth(['a', 'b', 'c', 'd', 'e', 'f'].map((title) => line(title, [100, 1]))));
    const heights = [...svg.matchAll(/class="name [^"]*" x="[\d.]+" y="([\d.]+)"/g)].map(([, y]) =>
      Number(y),
    );
    heights.sort((a, b) => a - b);
    assert.ok(heights.slice(1).every((y, index) => y - heights[index]! > 16));
    assert.ok(heights.at(-1)! < Number(/ height="(\d+)/.exec(svg)![1]) - 20);
  });

  it('is small, and the same for the same results', () => {
    const names = Array.from({ length: 15 }, (_, index) => `server ${index}`);
    const draw = [
      () => barChart(measured([bare, ...names.map((name) => row(name, [123, 210, 109]))])),
      () => lineChart(growth(names.map((name, index) => line(name, [1, 2, 3, 4, 5 + index])))),
    ];
    for (const one of draw) {
      assert.ok(one().length < 6 * 1024, `${one().length} bytes`);
      assert.equal(one(), one());
    }
  });
});

describe('growth', () => {
  const plan = experiments.find(({ id }) => id === 'workers')!;
  const over = { title: 'workers', of: ({ workers }: { workers: number }) => workers };

  it('has a line for each server, over what its rows differ in, and a gap where rounds disagree', () => {
    const rows = [
      row('bare-fastify', [10, 10]),
      row('fasticorn-8-workers', [80, 80], { title: 'fasticorn, 8 workers', limitedByLoad: true }),
      row('fasticorn-1-workers', [10, 11], { title: 'fasticorn, 1 worker' }),
      row('fasticorn-2-workers', [10, 90], { title: 'fasticorn, 2 workers' }),
      row('fasticorn-4-workers', [40, 40], { title: 'fasticorn, 4 workers', errors: 1 }),
      row('somebody-else', [1]),
    ];
    const { lines, over: name } = growthOf(measured(rows), plan, over);
    assert.equal(name, 'workers');
    assert.deepEqual(lines, [
      { title: 'bare-fastify', isOurs: false, points: [{ at: 2, value: 10, isLimited: false }] },
      {
        ...{ title: 'fasticorn', isOurs: true },
        points: [
          { at: 1, value: 10.5, isLimited: false },
          { at: 2 },
          { at: 4 },
          { at: 8, value: 80, isLimited: true },
        ],
      },
    ]);
  });

  it('is not limited by the load where less is better', () => {
    const metrics = [{ id: 'rate', title: 'CPU/request', unit: 'µs', better: 'lower' }] as const;
    const limited = row('fasticorn-8-workers', [80, 80], { limitedByLoad: true });
    const [line] = growthOf(measured([limited], { metrics }), plan, over).lines;
    assert.equal(line!.points[0]!.isLimited, false);
  });
});

describe('what README.md shows', () => {
  const planOf = (id: string) => experiments.find((one) => one.id === id);

  it('is in the plan', () => {
    const shown = [...charts, ...tables.flatMap(({ columns }) => columns)].map(
      ({ experiment }) => experiment,
    );
    for (const id of shown) assert.ok(planOf(id), id);
  });

  it('has in a table of ratios what has kind and baseline in common, and in one of figures their metrics', () => {
    for (const { columns, ratiosOf } of tables) {
      for (const { experiment, metric = ratiosOf } of columns) {
        const { metrics } = measurements[planOf(experiment)!.kind];
        assert.ok(
          metrics.some(({ id }) => id === metric),
          `${experiment}: ${metric}`,
        );
      }
      if (!ratiosOf) continue;
      const kinds = columns
        .map(({ experiment }) => planOf(experiment)!)
        .map(({ kind, baseline }) => [kind, baseline].join());
      assert.equal(new Set(kinds).size, 1, kinds.join(' '));
    }
  });
});

describe('the part of README.md', () => {
  it('says when there are no results, and then no file is made', () => {
    assert.equal(readmePart({}), 'There are no results yet.');
    assert.deepEqual(resultFiles({}), {});
  });

  it('has the ratios of experiments side by side', () => {
    const other = measured([bare, row('fasticorn', [200, 400, 200]), row('tcp only', [100, 200, 100])], {
      ...{ id: 'nginx', title: 'nginx' },
    });
    const text = readmePart({ full: results({ measured: [...results().measured, other] }) });
    assert.ok(
      text.startsWith(`\
Hello world, requests per second in each round relative to bare; higher is better:

|  | straight | nginx with a pool |
| --- | --: | --: |
| bare | 1.00 | 1.00 |
| **fasticorn** | **1.50** | **2.00** |
| tcp only | – | 1.00 |
`),
      text,
    );
  });

  it('has the quartiles of ratios, and says what they are', () => {
    const text = readmePart({ full: results({ measured: [measured([bare, row('a', [120, 246, 126])])] }) });
    assert.match(text, /^\| a \| 1\.23 \(1\.21–1\.25\) \|$/m);
    assert.match(text, /In parentheses: the quartiles/);
  });

  it('has ratios of another metric in a table of their own', () => {
    const metrics = [{ id: 'cpu', title: 'CPU/request', unit: 'µs', better: 'lower' }] as const;
    const rows = [
      row('bare', [], { figures: { cpu: [8, 8] } }),
      row('a', [], { figures: { cpu: [10, 10] } }),
    ];
    const text = readmePart({ full: results({ measured: [measured(rows, { id: 'nginx', metrics })] }) });
    const wanted = 'Hello world, CPU/request in each round relative to bare; lower is better:\n\n';
    assert.ok(
      text.startsWith(`${wanted}|  | nginx with a pool |\n| --- | --: |\n| bare | 1.00 |\n| a | 1.25 |\n`),
      text,
    );
  });

  it('has figures of experiments of which ratios say little, with their units', () => {
    const startup = measured(
      [row('a', [], { figures: { answer: [11.5, 12, 12.5] } }), row('b', [1], { errors: 3 })],
      {
        id: 'startup',
        metrics: [{ id: 'answer', title: 'First answer', unit: 'ms', better: 'lower' }],
      },
    );
    const text = readmePart({ full: results({ measured: [startup] }) });
    assert.match(
      text,
      /^Start, rest and reload, lower is better:\n\n\| {2}\| first answer after, ms \|\n.*\n\| a \| 12 \|\n\| b \| 3 errors \|\n/,
    );
  });

  it('has what a reader has to know of a server, once', () => {
    const noted = measured([bare, row('watt', [150, 300, 150], { note: 'TCP only' })]);
    const text = readmePart({ full: results({ measured: [noted, { ...noted, id: 'json-1k' }] }) });
    assert.equal(text.split('\n\n- watt: TCP only\n\n').length, 2);
  });

  it('shows no chart that is not made, and all files are below the folder of results', () => {
    const all = experiments.map(({ id }) => measured([bare], { id, title: id }));
    const files = { full: results({ measured: all }) };
    const shown = [...readmePart(files).matchAll(/!\[[^\]]*\]\(([^)]*)\)/g)].map(([, path]) => path!);
    const made = resultFiles(files);
    assert.deepEqual(
      shown,
      ['hello', 'nginx', 'connections'].map((id) => `bench/results/${id}.svg`),
    );
    for (const path of shown) assert.ok(made[path], path);
    const below = [...made['bench/results/tables.md']!.matchAll(/!\[[^\]]*\]\(([^)]*)\)/g)];
    assert.equal(below.length, charts.length);
    for (const [, path] of below) assert.ok(made[`bench/results/${path}`], path);
    assert.equal(Object.keys(made).length, charts.length + 1);
  });

  it('says on what machine, when, with what, how noisy it was, and what repeats it', () => {
    const text = readmePart({ full: results() });
    assert.ok(
      text.includes(`
Measured on Some CPU, 4 CPUs, 8 GiB, Linux 6.1, with node 24.1.0:

- on 2025-05-06 by \`npm run bench -- --full\`, fasticorn 0.1.0: the quartiles of a ratio are 0.0 % apart (median)
`),
      text,
    );
    assert.doesNotMatch(text, /not measured: /);
  });

  it('says only once where several files come from, but which fasticorn each is about', () => {
    const newer = { node: '24.1.0', fasticorn: '0.1.0 (1a2b3c4)' };
    const text = readmePart({ full: results(), more: results({ versions: newer }) });
    assert.equal(text.match(/Measured on/g)?.length, 1);
    assert.match(text, /, fasticorn 0\.1\.0: .*\n.*, fasticorn 0\.1\.0 \(1a2b3c4\): /);
    const elsewhere = results({ machine: { ...results().machine, cpus: 8 } });
    assert.equal(readmePart({ full: results(), more: elsewhere }).match(/Measured on/g)?.length, 2);
  });

  it('lists what was not measured, and why, with the same reason once', () => {
    const absent = [
      { what: 'hello: pm2', why: 'not installed' },
      { what: 'limits', why: 'too slow\n  at somewhere' },
      { what: 'nginx: pm2', why: 'not installed' },
    ];
    const files = { full: results({ absent }) };
    const wanted = '; not measured: hello: pm2, nginx: pm2 (not installed); limits (too slow)\n';
    assert.ok(readmePart(files).includes(wanted));
    assert.ok(resultFiles(files)['bench/results/tables.md']!.includes(wanted));
  });

  it('takes of an experiment that is in several files the last', () => {
    const later = results({
      date: '2025-06-06T07:08:09Z',
      measured: [measured([bare, row('fasticorn', [300, 600, 300])])],
    });
    for (const files of [
      { a: results(), b: later },
      { a: later, b: results() },
    ])
      assert.match(readmePart(files), /\*\*3\.00\*\*/);
  });

  it('takes an earlier one where the rounds of the last one disagree about the baseline', () => {
    const of = (date: string, base: number[], ours: number[]) =>
      results({ date, measured: [measured([row('bare', base), row('fasticorn', ours)])] });
    const sure = of('2025-05-06T07:08:09Z', [100, 101, 100], [150, 151.5, 150]);
    const unsure = of('2025-06-06T07:08:09Z', [100, 200, 100], [300, 600, 300]);
    assert.match(readmePart({ sure, unsure }), /\*\*1\.50\*\*/);
    assert.match(readmePart({ unsure }), /\*\*3\.00\*\*/);
  });
});

/** Every element is closed in order, and no character of markup is left in texts. */
function assertWellFormed(xml: string): void {
  const open: string[] = [];
  const rest = xml.replace(
    /<(\/?)([a-z]+)((?: [a-zA-Z-]+="[^"<&]*(?:&\w+;[^"<&]*)*")*)(\/?)>/g,
    (_, end, name, __, empty) => {
      if (end) assert.equal(open.pop(), name);
      else if (!empty) open.push(name);
      return '';
    },
  );
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest.replace(/&(?:lt|gt|amp|quot);/g, ''), /[<&]/);
}
