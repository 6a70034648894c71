import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { verbNames } from '../src/commands.ts';
import { type ConfigFile, load } from '../src/config/load.ts';
import { help, markdownReference, printConfig, usage } from '../src/config/render.ts';
import { actions, rows, type SettingName, settings, verbFlags } from '../src/config/settings.ts';

describe('--help', () => {
  const narrow = help('1.2.3', 80);

  it('says the version and the usage first', () => {
    assert.match(
      narrow,
      /^fasticorn 1\.2\.3\b.*\n\nUsage: fasticorn \[options\] <app>\n {7}fasticorn \[options\] <command>\n/,
    );
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

  it('says every command for a running server, with its argument and the first sentence about it', () => {
    const from = narrow.indexOf('\nFor a running server');
    const part = narrow.slice(from, narrow.indexOf('\n\n', from + 1));
    for (const name of [...verbNames, 'status'])
      assert.match(part, new RegExp(`^  ${name}\\b.* [A-Z]`, 'm'), name);
    assert.match(part, /^ {2}scale N\|\+N\|-N {2,}Run/m);
    assert.match(part, /^ {2}stop \[now\] {2,}Finish everything that has begun, then end\.$/m);
    for (const { flag, of } of Object.values(verbFlags)) {
      assert.match(part, new RegExp(`^ {6}--${flag} [^]*?\\[of: ${of.join(', ')}\\]`, 'm'), flag);
    }
  });

  it('ends with the actions and examples', () => {
    const end = narrow.slice(narrow.indexOf('Instead of serving:'));
    for (const { flag } of Object.values(actions)) assert.ok(end.includes(`--${flag} `), flag);
    assert.match(end, /Examples:\n( {2}.*fasticorn .*(\n|$)){3}$/);
  });

  it('has examples that work', () => {
    for (const [, variables = '', args = ''] of narrow.matchAll(/^ {2}((?:\w+=\S+ )*)fasticorn (.*)$/gm)) {
      const env = Object.fromEntries(variables.split(' ').map((pair) => pair.split('=')));
      const { app, verb } = load(args.split(' '), env, { cpus: 1 });
      assert.equal(app ?? verb?.name, args.endsWith('.js') ? './dist/app.js' : 'reload');
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
    assert.equal(starts.length, rows.length + Object.keys({ ...actions, ...verbFlags }).length);
    assert.equal(new Set(starts).size, 1, `${starts}`);
    assert.doesNotMatch(narrow, / $/m);
  });
});

describe('the usage', () => {
  it('is a few lines that lead to --help', () => {
    assert.match(usage(), /^Usage: fasticorn \[options\] <app>\n/);
    assert.match(usage(), /--help/);
    assert.ok(usage().split('\n').length <= 5);
  });
});

describe('--print-config', () => {
  const print = (argv: string[], env = {}, file?: ConfigFile) =>
    printConfig(load(argv, env, { cpus: 8 }, file)).split('\n');

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

  it('says the line of the config file', () => {
    const values = { workers: 3, socketMode: 0o660, bind: ['unix:/a', ':80'] };
    const lineOf = (key: string) => (key === 'bind' ? undefined : 3);
    const text = print([], {}, { path: 'conf/app.mjs', values, lineOf }).join('\n');
    assert.match(text, /^workers +=.3 +# conf\/app\.mjs:3$/m);
    assert.match(text, /^socket-mode +=.0660 +# conf\/app\.mjs:3$/m);
    assert.match(text, /^bind +=.unix:\/a,0\.0\.0\.0:80 +# conf\/app\.mjs$/m);
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
      ['### App', '### Socket', '### Workers', '### Requests', '### Logging', '### Server'],
    );
    for (const [, row] of rows) {
      assert.equal(lines.filter((line) => line.includes(`| \`${row.env}\` |`)).length, 1, row.env);
    }
    assert.ok(
      lines.includes(
        '| `-w`, `--workers N` | `WEB_CONCURRENCY` | `workers` | one per CPU, within cgroup quota | at once | How many worker processes run the app. |',
      ),
    );
  });

  it('says the key in the config file and when a reload applies it', () => {
    const cells = new Map(
      markdownReference()
        .split('\n')
        .map((line) => line.split(' | '))
        .map((row) => [row[1], row.slice(2)]),
    );
    const said = (name: SettingName) => {
      const [key, , reload] = cells.get(`\`${settings[name].env}\``)!;
      return [key, reload];
    };
    assert.deepEqual(said('workers'), ['`workers`', 'at once']);
    assert.deepEqual(said('chdir'), ['`chdir`', 'new workers']);
    assert.deepEqual(said('config'), ['', 'restart']);
  });

  it('has no tags but in code', () => assert.doesNotMatch(markdownReference().replace(/`[^`]*`/g, ''), /</));

  it('has the same number of cells in every row', () => {
    const tableRows = markdownReference()
      .split('\n')
      .filter((line) => line.startsWith('|'));
    for (const row of tableRows) assert.equal(row.split(/(?<!\\)\|/).length, 8, row);
  });
});
