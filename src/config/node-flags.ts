/**
 * What the flags of a Node process say: how a string of them is split, which of them no worker can be started with, and
 * what they decide already. Pure; whether Node knows a flag is found out by asking it, in `launch.ts`.
 */

/** Flags with which Node does something else than run the worker, or waits for somebody before it does. */
const NOT_FOR_WORKERS =
  /^(--?|-[a-z]*[ceipvh][a-z]*|--(eval|print|check|interactive|test|watch|watch-path|run|version|help|v8-options|completion-bash|prof-process|build-snapshot|build-snapshot-config|build-sea|experimental-sea-config|inspect-brk|inspect-wait))$/;

/** Modules that, preloaded, make Node run TypeScript. */
const TYPESCRIPT_LOADER =
  /(?:^|[\s="]|node_modules\/)(tsx|jiti|ts-node|@swc-node\/register|@swc\/register|esbuild-register|@babel\/register)(?=[/\s"]|$)/;

/**
 * The words of a string of flags, split as Node splits NODE_OPTIONS: at spaces, but for those between double quotes,
 * where a backslash takes the next character as it is.
 *
 * @throws Error whose message begins with "expected".
 */
export function splitFlags(text: string): string[] {
  const words: string[] = [];
  let isQuoted = false;
  let isNew = true;
  const characters = [...text];
  for (let at = 0; at < characters.length; at++) {
    let character = characters[at]!;
    if (character === '"') {
      isQuoted = !isQuoted;
      continue;
    }
    if (character === ' ' && !isQuoted) {
      isNew = true;
      continue;
    }
    if (character === '\\' && isQuoted) character = characters[++at] ?? '';
    if (isNew) words.push('');
    words[words.length - 1] += character;
    isNew = false;
  }
  if (isQuoted) throw new Error('expected Node flags, but a quotation mark has no end');
  return words;
}

/** A flag among these with which no worker would come of the process. */
export function impossibleFlag(flags: readonly string[]): string | undefined {
  return flags.find((flag) => NOT_FOR_WORKERS.test(flag.replace(/=.*/s, '').replaceAll('_', '-')));
}

/** Whether the size of the heap is decided by these. */
export function limitsHeap(flags: readonly string[]): boolean {
  return flags.some((flag) =>
    /^--?max-(old-space-size(-percentage)?|heap-size)(=|$)/.test(flag.replaceAll('_', '-')),
  );
}

/** The first TypeScript loader among these, flags or names of modules. */
export function typeScriptLoaderIn(words: readonly string[]): string | undefined {
  return TYPESCRIPT_LOADER.exec(words.join(' '))?.[1];
}

/** Whether Node itself is told to strip or transform types, as versions before 22.18 have to be. */
export function stripsTypes(flags: readonly string[]): boolean {
  return flags.some((flag) => /^--experimental-(strip|transform)-types$/.test(flag.replaceAll('_', '-')));
}
