/**
 * Writes the files that are made from the source: the settings reference in README.md, and nginx/nginx.conf.
 * Run by `npm run generate`; `generated.test.ts` checks that somebody did.
 */
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { markdownReference } from '../../src/config/render.ts';
import { nginxConf } from '../../src/nginx.ts';

const BEGIN = '<!-- settings:begin -->';
const END = '<!-- settings:end -->';

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
  const readme = read('README.md');
  return [
    { file: 'README.md', current: readme, wanted: withReference(readme, markdownReference()) },
    { file: 'nginx/nginx.conf', current: read('nginx/nginx.conf'), wanted: nginxConf() },
  ];
}

/**
 * The text with the reference between its markers.
 *
 * @throws Error if the text does not have the two markers, in order.
 */
export function withReference(text: string, reference: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END, begin);
  if (begin < 0 || end < 0) throw new Error(`README.md: expected ${BEGIN} and, after it, ${END}`);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${reference}\n\n${text.slice(end)}`;
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
