import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { verbNames } from '../src/commands.ts';
import { type ConfigFile, load } from '../src/config/load.ts';
import { help, markdownReference, printConfig, usage } from '../src/config/render.ts';
import { actions, rows, type SettingName, settings, verbFlags } from '../src/config/settings.ts';

const all = (columns: number) => help('1.2.3', columns, true);
const common = (columns: number) => help('1.2.3', columns);

describe('--help', () => {
  const short = common(80);

  it('says the version and the usage first', () => {
    for (const text of [short, all(80)])
      assert.match(
        text,
        /^fasticorn 1\.2\.3\b.*\n\nUsage: fasticorn \[options\] <app>\n {7}fasticorn \[options\] <command>\n/,
      );
  });

  it('says a dozen options, each with its default, and how to see all of them', () => {
    const shown = rows.filter(([, row]) => short.match(new RegExp(`^.{6}--(\\[no-\\])?${row.flag} `, 'm')));
    assert.deepEqual(
      shown,
      rows.filter(([, row]) => row.common),
    );
    assert.ok(shown.length >= 10 && shown.length <= 15, `${shown.length}`);
    assert.equal(short.split('[default:').length - 1, shown.length);
    assert.match(short, /^Options \(all: fasticorn --help all\):\n/m);
    assert.match(
      short,
      /^ {6}--socket-mode MODE +Mode of the Unix socket, in octal\.\n +\[default: 0666\]$/m,
    );
  });

  it('says the commands, the actions and examples', () => {
    for (const name of [...verbNames, 'status'])
      assert.match(short, new RegExp(`^  ${name}\\b.* [A-Z]`, 'm'), name);
    const end = short.slice(short.indexOf('Instead of serving:'));
    for (const { flag } of Object.values(actions)) assert.ok(end.includes(`--${flag} `), flag);
    assert.match(end, /Examples:\n( {2}.*fasticorn .*(\n|$)){4}$/);
  });

  it('is less than half of what there is', () =>
    assert.ok(short.split('\n').length * 2 < all(80).split('\n').length));

  it('has examples that work', () => {
    for (const [, variables = '', args = ''] of short.matchAll(/^ {2}((?:\w+=\S+ )*)fasticorn (.*)$/gm)) {
      const env = Object.fromEntries(variables.split(' ').map((pair) => pair.split('=')));
      const { app, verb } = load(args.split(' '), env, { cpus: 1 });
      assert.equal(app ?? verb?.name, args.endsWith('.js') ? './dist/app.js' : 'reload');
    }
  });
});

describe('--help all', () => {
  const text = all(80);

  it('says the flag, the default and the variable of every setting', () => {
    for (const [, row] of rows) {
      const from = text.search(new RegExp(`^.{6}--(\\[no-\\])?${row.flag}[ \\[]`, 'm'));
      assert.ok(from > 0, row.flag);
      const to = text.indexOf(`[env: ${row.env}]`, from);
      assert.ok(to > from, row.env);
      assert.equal(text.slice(from, to).split('[default: ').length, 2, `one default for --${row.flag}`);
    }
  });

  it('shows short flags, placeholders and switches', () => {
    assert.match(text, /^ {2}-w, --workers N {2}/m);
    assert.match(text, /^ {6}--graceful-timeout SECONDS {2}/m);
    assert.match(text, /^ {6}--\[no-\]pretty {2}/m);
  });

  it('says what a computed default is', () => {
    assert.match(text, /\[default: one per CPU, within cgroup quota\]/);
    assert.match(text, /\[default: 0666\]/);
  });

  it('says every command for a running server, with its argument and the first sentence about it', () => {
    const from = text.indexOf('\nCommands for a running server');
    const part = text.slice(from, text.indexOf('\n\n', from + 1));
    for (const name of [...verbNames, 'status'])
      assert.match(part, new RegExp(`^  ${name}\\b.* [A-Z]`, 'm'), name);
    assert.match(part, /^ {2}scale N\|\+N\|-N {2,}Run/m);
    assert.match(part, /^ {2}stop \[now\] {2,}Finish everything that has begun, then end\.$/m);
    for (const { flag, of } of Object.values(verbFlags)) {
      assert.match(part, new RegExp(`^ {6}--${flag} [^]*?\\[of: ${of.join(', ')}\\]`, 'm'), flag);
    }
  });
});

describe('the layout of --help', () => {
  it('fits any width from 80 columns, and uses the width there is, but makes no lines too long to read', () => {
    for (const text of [common, all]) {
      for (let columns = 80; columns <= 200; columns++) {
        for (const line of text(columns).split('\n'))
          assert.ok(line.length <= columns, `${columns}: ${line}`);
      }
      assert.ok(text(120).split('\n').length < text(80).split('\n').length);
      assert.equal(text(500), text(120));
    }
  });

  it('has the descriptions below the flags where a terminal is too narrow for two columns', () => {
    for (const text of [common, all]) {
      for (let columns = 40; columns < 70; columns++) {
        const [, options = ''] = /\n\n\S[^\n]*:\n([\s\S]*)\n\nExamples:/.exec(text(columns)) ?? [];
        const described = options.split('\n').filter((line) => line.startsWith(' '.repeat(10)));
        assert.ok(described.length > 20);
        // A word that is longer than the line stays whole.
        const tooLong = described.filter((line) => line.length > columns && line.trim().includes(' '));
        assert.deepEqual(tooLong, [], `${columns}`);
        assert.match(options, /^ {2}-w, --workers N\n {10}How many/m);
      }
    }
  });

  it('is that of 80 columns where none are known, and that of 40 where there are fewer', () => {
    assert.equal(all(0), all(80));
    assert.equal(all(1), all(40));
  });

  it('aligns all descriptions and leaves no blank at the end of a line', () => {
    const text = all(80);
    const starts = text
      .split('\n')
      .flatMap((line) => /^ (?: {5}| -., )--.*?\S {2,}(?=\S)/.exec(line)?.[0].length ?? []);
    assert.equal(starts.length, rows.length + Object.keys({ ...actions, ...verbFlags }).length);
    assert.equal(new Set(starts).size, 1, `${starts}`);
    for (const one of [text, all(50), common(80), common(50)]) assert.doesNotMatch(one, / $/m);
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
    assert.match(text, /^socket-group +=.+ # default: that of --group, or the arbiter's$/m);
  });

  it('says the line of the config file', () => {
    const values = { workers: 3, socketMode: 0o660, bind: ['unix:/a', ':80'] };
    const lineOf = (key: string) => (key === 'bind' ? undefined : 3);
    const text = print([], {}, { path: 'conf/app.mjs', values, lineOf }).join('\n');
    assert.match(text, /^workers +=.3 +# conf\/app\.mjs:3$/m);
    assert.match(text, /^socket-mode +=.0660 +# conf\/app\.mjs:3$/m);
    assert.match(text, /^bind +=.unix:\/a,0\.0\.0\.0:80 +# conf\/app\.mjs$/m);
  });

  it('says the app first, and where it was named', () => {
    const file = { path: 'fasticorn.config.mjs', values: { app: './app.js' }, lineOf: () => 3 };
    assert.match(print([], {}, file)[0]!, /^app += \.\/app\.js +# fasticorn\.config\.mjs:3$/);
    assert.match(print(['other.js'], {}, file)[0]!, /^app += other\.js +# argument$/);
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
      [
        '### App',
        '### Socket',
        '### Workers',
        '### Requests',
        '### Logging',
        '### Server',
        '### Development',
      ],
    );
    for (const [, row] of rows) {
      assert.equal(lines.filter((line) => line.includes(`| \`${row.env}\` |`)).length, 1, row.env);
    }
    assert.ok(
      lines.includes(
        '| `-w`, `--workers N` | `WEB_CONCURRENCY` | `workers` | one per CPU, within cgroup quota; 1 with --watch | at once | How many worker processes run the app. |',
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
    assert.deepEqual(said('config'), ['', 'at once']);
    assert.deepEqual(said('watch'), ['', 'restart']);
  });

  it('has no tags but in code', () => assert.doesNotMatch(markdownReference().replace(/`[^`]*`/g, ''), /</));

  it('has the same number of cells in every row', () => {
    const tableRows = markdownReference()
      .split('\n')
      .filter((line) => line.startsWith('|'));
    for (const row of tableRows) assert.equal(row.split(/(?<!\\)\|/).length, 8, row);
  });
});
