/**
 * Finds the line of a config file that gives a key its value, as far as the text alone tells: the same way for JSON,
 * JavaScript and TypeScript. Pure.
 */

/** Comments, which count for nothing; then texts, words, and every other character by itself. */
const TOKENS =
  /\/\*[\s\S]*?(?:\*\/|$)|\/\/.*|`(?:\\[\s\S]|[^\\`])*`|"(?:\\.|[^\\"\n])*"|'(?:\\.|[^\\'\n])*'|[\w$]+|\S|\n/g;

/** What stands behind a key that gets its value as a property, by an assignment, or as a shorthand or method. */
const PROPERTY = /^\s*\]?\s*:/;
const ASSIGNMENT = /^\s*\]?\s*=(?![=>])/;
const SHORTHAND = /^\s*[(,}]/;
/** The rank of a word that gets no value at all. */
const NONE = 3;

/**
 * The line, from 1, that gives `key` a value; undefined if there is none. Of several the one that stands in the fewest
 * braces, so that the settings win over what is nested in them, and of those the last, as it does when the file runs.
 */
export function lineOfKey(source: string, key: string): number | undefined {
  let line = 1;
  let depth = 0;
  let previous = '';
  let best: { line: number; rank: number; depth: number } | undefined;
  for (const { 0: token, index } of source.matchAll(TOKENS)) {
    if (token.startsWith('//') || token.startsWith('/*')) {
      line += token.split('\n').length - 1;
      continue;
    }
    if (isKey(token, key)) {
      const rank = rankOf({ token, previous, after: source.slice(index + token.length), depth });
      const isBetter = !best || rank < best.rank || (rank === best.rank && depth <= best.depth);
      if (rank < NONE && isBetter) best = { line, rank, depth };
    }
    if (token === '{') depth++;
    else if (token === '}') depth--;
    line += token.split('\n').length - 1;
    if (token !== '\n') previous = token;
  }
  return best?.line;
}

function isKey(token: string, key: string): boolean {
  if (token === key) return true;
  return /^["'`]/.test(token) && token.slice(1, -1) === key;
}

/** How sure it is that a word is a key that gets its value here; 0 is surest. */
function rankOf(word: { token: string; previous: string; after: string; depth: number }): number {
  const { token, previous, after, depth } = word;
  // In `a ? workers : b` nothing gets a value; outside of all braces a colon is that of a type.
  if (PROPERTY.test(after)) return previous === '?' ? NONE : depth > 0 ? 0 : 1;
  if (ASSIGNMENT.test(after)) return 1;
  return SHORTHAND.test(after) && /^[{,]$/.test(previous) && /^[\w$]/.test(token) ? 2 : NONE;
}
