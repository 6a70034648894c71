/**
 * Writes what is made from the source: the tables of README.md, nginx/nginx.conf, and what editors know of config files;
 * and what is made from the results of the benchmark. Run by `npm run generate`; `generated.test.ts` checks that somebody did.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RESULTS, type ResultFiles, readmePart, resultFiles } from '../../bench/report/readme.ts';
import {
  markdownGunicorn,
  markdownHooks,
  markdownPages,
  markdownReference,
  markdownVerbs,
} from '../../src/config/render.ts';
import { declaration } from '../../src/config/schema.ts';
import { nginxConf, nginxEssentials } from '../../src/nginx.ts';

export interface Generated {
  /** The path below the root of the repository. */
  file: string;
  /** What the file says now; empty if it is not there. */
  current: string;
  /** What it should say. */
  wanted: string;
}

/** Every generated file; reads, but writes nothing. */
export function generated(): Generated[] {
  const results = readResults();
  const wanted = {
    'README.md': withTables(read('README.md'), results),
    'nginx/nginx.conf': nginxConf(),
    'src/config/file-settings.ts': declaration(),
    ...resultFiles(results),
  };
  return Object.entries(wanted).map(([file, wanted]) => ({ file, current: read(file), wanted }));
}

function withTables(readme: string, results: ResultFiles): string {
  const tables = {
    gunicorn: markdownGunicorn(),
    verbs: markdownVerbs(),
    pages: markdownPages(),
    hooks: markdownHooks(),
    settings: markdownReference(),
    nginx: `\`\`\`nginx\n${nginxEssentials()}\n\`\`\``,
    bench: readmePart(results),
  };
  return Object.entries(tables).reduce((text, [name, table]) => withTable(text, name, table), readme);
}

/**
 * The text with a table between its markers, `<!-- name:begin -->` and `<!-- name:end -->`.
 *
 * @throws Error if the text does not have the two markers, in order.
 */
export function withTable(text: string, name: string, table: string): string {
  const [first, last] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const begin = text.indexOf(first);
  const end = text.indexOf(last, begin);
  if (begin < 0 || end < 0) throw new Error(`README.md: expected ${first} and, after it, ${last}`);
  return `${text.slice(0, begin + first.length)}\n\n${table}\n\n${text.slice(end)}`;
}

function readResults(): ResultFiles {
  if (!existsSync(pathOf(RESULTS))) return {};
  const names = readdirSync(pathOf(RESULTS)).filter((name) => name.endsWith('.json'));
  return Object.fromEntries(
    names.sort().map((name) => [basename(name, '.json'), JSON.parse(read(`${RESULTS}/${name}`))]),
  );
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(`../../${file}`, import.meta.url));
}

function read(file: string): string {
  return existsSync(pathOf(file)) ? readFileSync(pathOf(file), 'utf8') : '';
}

const runAsProgram = realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url);
if (runAsProgram) {
  for (const { file, current, wanted } of generated()) {
    if (current !== wanted) writeFileSync(pathOf(file), wanted);
    console.log(`${file}: ${current === wanted ? 'is current' : 'written'}`);
  }
}
