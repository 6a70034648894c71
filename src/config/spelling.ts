/**
 * Finds the word that somebody probably meant. Knows nothing about flags or settings.
 */

/**
 * The candidate nearest to `word`, ignoring case, or undefined if none is near: at most one edit for every three
 * characters, or a candidate of which `word` is the beginning. The earlier one of equals.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const typed = word.toLowerCase();
  let best: string | undefined;
  let least = Math.floor(typed.length / 3) + 1;
  for (const candidate of candidates) {
    const target = candidate.toLowerCase();
    const begun = target.startsWith(typed);
    const score = begun ? Math.min(1, target.length - typed.length) : distance(typed, target);
    if (score < least) {
      best = candidate;
      least = score;
    }
  }
  return best;
}

/** How many insertions, deletions and replacements turn one word into the other (Levenshtein). */
function distance(a: string, b: string): number {
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, replaced);
    }
    last = row;
  }
  return last[b.length]!;
}
