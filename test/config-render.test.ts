import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../src/config/load.ts';
import { help, markdownReference, printConfig, usage } from '../src/config/render.ts';
import { actions, rows } from '../src/config/settings.ts';

describe('--help', () => {
  const narrow = help('1.2.3', 80);

  it('says the version and the usage first', () => {
    assert.match(narrow, /^fasticorn 1\.2\.3\b.*\n\nUsage: fasticorn \[options\] <app>\n/);
  });

  it('says the flag, the default and the variable of every setting', () => {
    for (const [, row] of rows) {
      const from = narrow.search(new RegExp(`^.{6}--(\\[no-\\])?${row.flag} `, 'm'));
      assert.ok(from > 0, row.flag);
      const to = narrow.indexOf(`[env: ${row.env}]`, from);
      assert.ok(to > from, row.env);
      assert.equal(narrow.slice(from, to).split('[default: ').length, 2, `one default for --${row.flag}`);
    }
  });

  it('shows short flags, placeholders and switches', () => {
    assert.match(narrow, /^ {2}-w, --workers N {2}/m);
    assert.match(narrow, /^ {6}--graceful-timeout SECONDS {2}/m);
    assert.match(narrow, /^ {6}--\[no-\]pretty {2}/m);
  });

  it('says what a computed default is', () => {
    assert.match(narrow, /\[default: one per CPU, within cgroup quota\]/);
    assert.match(narrow, /\[default: 0666\]/);
  });

  it('ends with the actions and two examples', () => {
    const end = narrow.slice(narrow.indexOf('Instead of serving:'));
    for (const { flag } of Object.values(actions)) assert.ok(end.includes(`--${flag} `), flag);
    assert.match(end, /Examples:\n {2}.*fasticorn .*\n {2}.*fasticorn .*$/);
  });

  it('has examples that work', () => {
    for (const [, variables = '', args = ''] of narrow.matchAll(/^ {2}((?:\w+=\S+ )*)fasticorn (.*)$/gm)) {
      const env = Object.fromEntries(variables.split(' ').map((pair) => pair.split('=')));
      assert.equal(load(args.split(' '), env, { cpus: 1 }).app, './dist/app.js');
    }
  });

  it('fits any width from 80 columns, and uses the width there is', () => {
    for (let columns = 80; columns <= 200; columns++) {
      for (const line of help('1.2.3', columns).split('\n'))
        assert.ok(line.length <= columns, `${columns}: ${line}`);
    }
    assert.ok(help('1.2.3', 120).split('\n').length < narrow.split('\n').length);
  });

  it('is laid out for 80 columns where fewer, or none, are known', () => {
    for (const columns of [0, 1, 79]) assert.equal(help('1.2.3', columns), narrow);
  });

  it('aligns all descriptions and leaves no blank at the end of a line', () => {
    const starts = narrow
      .split('\n')
      .flatMap((line) => /^ (?: {5}| -., )--.*?\S {2,}(?=\S)/.exec(line)?.[0].length ?? []);
    assert.equal(starts.length, rows.length + Object.keys(actions).length);
    assert.equal(new Set(starts).size, 1, `${starts}`);
    assert.doesNotMatch(narrow, / $/m);
  });
});

describe('the usage', () => {
  it('is a few lines that lead to --help', () => {
    assert.match(usage(), /^Usage: fasticorn \[options\] <app>\n/);
    assert.match(usage(), /--help/);
    assert.ok(usage().split('\n').length <= 4);
  });
});

describe('--print-config', () => {
  const print = (argv: string[], env = {}) => printConfig(load(argv, env, { cpus: 8 })).split('\n');

  it('has one aligned line for each setting', () => {
    const lines = print(['--access-logfile=a b\nc', '--pretty']);
    assert.deepEqual(
      lines.map((line) => line.split(' ')[0]),
      rows.map(([, row]) => row.flag),
    );
    assert.equal(new Set(lines.map((line) => line.indexOf(' = '))).size, 1);
    assert.equal(new Set(lines.map((line) => line.indexOf('  # '))).size, 1);
  });

  it('says where each value came from', () => {
    const text = print(['-w4'], { FASTICORN_KEEP_ALIVE: '5' }).join('\n');
    assert.match(text, /^workers +=.4 +# flag -w$/m);
    assert.match(text, /^keep-alive +=.5 +# env FASTICORN_KEEP_ALIVE$/m);
    assert.match(text, /^bind +=.unix:\/tmp\/app\.sock +# default$/m);
    assert.match(text, /^pretty += {2,}# default: each log that goes to a terminal$/m);
    assert.match(text, /^socket-group +=.+ # default: the arbiter's group$/m);
  });

  it('quotes a value that would break its line', () => {
    const [line] = print(['--access-logfile=a b\nc']).filter((line) => line.startsWith('access-logfile'));
    assert.match(line!, / = "a b\\nc" +# flag --access-logfile$/);
  });
});

describe("the README's reference", () => {
  it('has a table for each section and a row for each setting', () => {
    const lines = markdownReference().split('\n');
    assert.deepEqual(
      lines.filter((line) => line.startsWith('#')),
      ['### Socket', '### Workers', '### Requests', '### Logging'],
    );
    for (const [, row] of rows) {
      assert.equal(lines.filter((line) => line.includes(`| \`${row.env}\` |`)).length, 1, row.env);
    }
    assert.ok(
      lines.includes(
        '| `-w`, `--workers N` | `WEB_CONCURRENCY` | one per CPU, within cgroup quota | How many worker processes run the app. |',
      ),
    );
  });

  it('has the same number of cells in every row', () => {
    const tableRows = markdownReference()
      .split('\n')
      .filter((line) => line.startsWith('|'));
    for (const row of tableRows) assert.equal(row.split(/(?<!\\)\|/).length, 6, row);
  });
});
