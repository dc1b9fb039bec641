// How often each thing is measured. The full run gives the numbers that count; the quick one shows that it works and
// what the order of magnitude is.

export interface Plan {
  readonly pluginRounds: number;
  readonly sandboxRounds: number;
  readonly atOnceRounds: number;
  readonly atOncePods: number;
  readonly startRounds: number;
  readonly memoryRounds: number;
  /** From ready to the reading of the memory. */
  readonly settleMs: number;
  readonly idleMs: number;
  readonly netfilterRounds: number;
}

export const FULL_PLAN: Plan = {
  pluginRounds: 200,
  sandboxRounds: 60,
  atOnceRounds: 5,
  atOncePods: 20,
  startRounds: 15,
  memoryRounds: 2,
  settleMs: 20_000,
  idleMs: 60_000,
  netfilterRounds: 200,
};

export const QUICK_PLAN: Plan = {
  pluginRounds: 30,
  sandboxRounds: 10,
  atOnceRounds: 1,
  atOncePods: 20,
  startRounds: 4,
  memoryRounds: 1,
  settleMs: 5000,
  idleMs: 10_000,
  netfilterRounds: 40,
};

/** The items in another order each round, so that each comes first, and after each other one, equally often. */
export function rotate<T>(items: readonly T[], round: number): readonly T[] {
  if (items.length === 0) return items;
  const from = round % items.length;
  const turned = [...items.slice(from), ...items.slice(0, from)];
  return Math.floor(round / items.length) % 2 === 0 ? turned : turned.reverse();
}
