// Numbers that depend on a seed and on what they are for, and on nothing else: the ninth pod of a seed is always the same, however
// long the eighth took. Pure.

/** A stream of numbers in [0, 1), and choices made by it. */
export interface Random {
  next(): number;
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number;
  chance(share: number): boolean;
  /** @throws {RangeError} where there is nothing to pick from. */
  pick<T>(items: readonly T[]): T;
}

/** The stream of this name under this seed: FNV-1a of both starts mulberry32. */
export function createRandom(seed: number, ...name: readonly (string | number)[]): Random {
  let state = 0x811c9dc5;
  for (const character of `${seed}/${name.join("/")}`)
    state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  return {
    next,
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    chance: (share) => next() < share,
    pick<T>(items: readonly T[]): T {
      const item = items[Math.floor(next() * items.length)];
      if (item === undefined) throw new RangeError("Cannot pick: there is nothing to pick from");
      return item;
    },
  };
}
