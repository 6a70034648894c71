/**
 * What to do about an app in TypeScript that Node itself cannot run, though it strips types: knows Node's errors.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HINT = 'Node itself only strips types; npm install tsx where the app is, and it is run through that.';

/** A sentence for the operator, if this error comes from TypeScript that a loader would run. */
export function typeScriptHint(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, url } = error as { code?: unknown; url?: unknown };
  switch (code) {
    case 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX':
    case 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING':
      return HINT;
    case 'ERR_MODULE_NOT_FOUND':
      return typeof url === 'string' && isThereAsTypeScript(url) ? HINT : undefined;
    default:
      // A decorator is no type, and stays.
      return error instanceof SyntaxError && /\.[cm]?ts:\d+\n\s*@/.test(error.stack ?? '') ? HINT : undefined;
  }
}

/** Whether an import would have been found by the rules of TypeScript: `./x` and `./x.js` may mean x.ts. */
function isThereAsTypeScript(url: string): boolean {
  if (!url.startsWith('file:')) return false;
  const path = fileURLToPath(url);
  return [path.replace(/\.([cm]?)js$/, '.$1ts'), `${path}.ts`].some(
    (other) => other !== path && existsSync(other),
  );
}
