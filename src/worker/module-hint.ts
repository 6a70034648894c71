/**
 * What to do about an ES module that Node takes for CommonJS, since package.json says so: knows Node's errors.
 */
import { dirname } from 'node:path';
import { manifestOf } from '../app-file.ts';
import { upwards } from '../upwards.ts';

const ONLY_IN_MODULES =
  /^(Unexpected token 'export'|Cannot use import statement outside a module|Cannot use 'import\.meta' outside a module)/;

/** A sentence for the operator, if this error is about the syntax of an ES module where none may be. */
export function moduleHint(error: unknown): string | undefined {
  if (!(error instanceof SyntaxError) || !ONLY_IN_MODULES.test(error.message)) return undefined;
  const [, file, extension] = /^(\/.*\.([jt]s)):\d+\n/.exec(error.stack ?? '') ?? [];
  if (file === undefined || file.includes('/node_modules/')) return undefined;
  const manifest = upwards(dirname(file), 'package.json');
  if (manifest === undefined || manifestOf(dirname(manifest))?.type !== 'commonjs') return undefined;
  return `${manifest} says "type": "commonjs": say "module" there, or name the file .m${extension}.`;
}
