/**
 * Which known name somebody probably meant. Used for hints only, never to accept a value.
 */

/** The nearest of `known` when it differs in at most two letters (one, for names up to eight); undefined otherwise. */
export function findNearMiss(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = name.length > 8 ? 3 : 2;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name, candidate, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance, or `limit` where it is not below that: a row's least value never falls in the rows after it. A
 * cluster gives a container some seven variables for each service of its namespace, and nearly all end within a few letters. */
function editDistance(left: string, right: string, limit: number): number {
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let line = 1; line <= left.length; line++) {
    const next = [line];
    let least = line;
    for (let column = 1; column <= right.length; column++) {
      const substitution = (row[column - 1] ?? 0) + (left[line - 1] === right[column - 1] ? 0 : 1);
      const distance = Math.min(substitution, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1);
      least = Math.min(least, distance);
      next.push(distance);
    }
    if (least >= limit) return limit;
    row = next;
  }
  return row[right.length] ?? 0;
}
