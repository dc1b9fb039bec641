// How often each thing is measured. The full run gives the numbers that count; the quick one shows that it works and
// what the order of magnitude is.

export interface Plan {
  readonly pluginRounds: number;
  readonly sandboxRounds: number;
  /** Pod starts at once, per backend. */
  readonly atOnce: readonly AtOnce[];
  readonly startRounds: number;
  readonly memoryRounds: number;
  /** From ready to the reading of the memory. */
  readonly settleMs: number;
  readonly idleMs: number;
  readonly netfilterRounds: number;
  /** Of single sidecar ADDs, per backend. */
  readonly addRounds: number;
  /** Of ADDs whose executed programs are counted, per backend. */
  readonly tracedAdds: number;
  /** Plugins at once, per backend. */
  readonly bursts: readonly AtOnce[];
  /** The same of pods in ambient mode. */
  readonly ambientBursts: readonly AtOnce[];
  readonly scale: ScalePlan;
  /** One agent after another, per mode. */
  readonly exchanges: number;
}

/** On a node that is full of pods, per backend. */
export interface ScalePlan {
  /** Of agents with and without passes of verification, in turning order. */
  readonly rounds: number;
  /** Of ADDs for each agent. */
  readonly adds: number;
  readonly generationPasses: number;
  readonly wholePasses: number;
  /** For CPU time while nothing happens. */
  readonly windowMs: number;
}

/** So many at once, so often. */
export interface AtOnce {
  readonly size: number;
  readonly rounds: number;
}

export const FULL_PLAN: Plan = {
  pluginRounds: 200,
  sandboxRounds: 60,
  atOnce: [
    { size: 20, rounds: 4 },
    { size: 100, rounds: 2 },
  ],
  startRounds: 15,
  memoryRounds: 3,
  settleMs: 20_000,
  idleMs: 20_000,
  netfilterRounds: 200,
  addRounds: 100,
  tracedAdds: 5,
  bursts: [
    { size: 20, rounds: 10 },
    { size: 100, rounds: 5 },
  ],
  ambientBursts: [{ size: 50, rounds: 10 }],
  scale: { rounds: 2, adds: 150, generationPasses: 20, wholePasses: 3, windowMs: 20_000 },
  exchanges: 10,
};

export const QUICK_PLAN: Plan = {
  pluginRounds: 30,
  sandboxRounds: 10,
  atOnce: [{ size: 20, rounds: 1 }],
  startRounds: 4,
  memoryRounds: 1,
  settleMs: 5000,
  idleMs: 10_000,
  netfilterRounds: 40,
  addRounds: 10,
  tracedAdds: 2,
  bursts: [
    { size: 20, rounds: 1 },
    { size: 100, rounds: 1 },
  ],
  ambientBursts: [{ size: 50, rounds: 1 }],
  scale: { rounds: 1, adds: 40, generationPasses: 5, wholePasses: 1, windowMs: 10_000 },
  exchanges: 2,
};

/** The largest crowd of a plan. */
export function largestOf(crowds: readonly AtOnce[]): number {
  return Math.max(...crowds.map(({ size }) => size));
}

/** The items in another order each round, so that each comes first, and after each other one, equally often. */
export function rotate<T>(items: readonly T[], round: number): readonly T[] {
  if (items.length === 0) return items;
  const from = round % items.length;
  const turned = [...items.slice(from), ...items.slice(0, from)];
  return Math.floor(round / items.length) % 2 === 0 ? turned : turned.reverse();
}
