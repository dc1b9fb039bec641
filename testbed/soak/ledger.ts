// What a soak has seen so far: counts, times, and above all what must not have happened. Pure but for the array it grows.
import type { Excuse } from "./verdict.ts";

/** Bounded, so that an hour in which everything fails is still told. */
const MAX_BREACHES = 200;
const LAST_FAULTS = 12;

export interface Ledger {
  readonly breaches: string[];
  /** The latest faults, oldest first. */
  readonly lastFaults: readonly string[];
  /** `what` is a kind of pod, fault or refusal: how often. */
  readonly counts: ReadonlyMap<string, number>;
  readonly samples: ReadonlyMap<string, readonly number[]>;
  readonly exposures: readonly { readonly why: Excuse["why"]; readonly kind: string; readonly ms: number }[];
  breach(text: string): void;
  fault(text: string): void;
  count(what: string, by?: number): void;
  sample(what: string, value: number): void;
  expose(why: Excuse["why"], kind: string, ms: number): void;
}

/** @param say is told each breach as it happens. */
export function createLedger(say: (line: string) => void): Ledger {
  const breaches: string[] = [];
  const lastFaults: string[] = [];
  const counts = new Map<string, number>();
  const samples = new Map<string, number[]>();
  const exposures: { why: Excuse["why"]; kind: string; ms: number }[] = [];
  return {
    breaches,
    lastFaults,
    counts,
    samples,
    exposures,
    breach(text) {
      say(`BREACH ${text}`);
      if (breaches.length < MAX_BREACHES) breaches.push(text);
    },
    fault(text) {
      say(`fault ${text}`);
      lastFaults.push(text);
      if (lastFaults.length > LAST_FAULTS) lastFaults.shift();
    },
    count: (what, by = 1) => void counts.set(what, (counts.get(what) ?? 0) + by),
    sample(what, value) {
      const values = samples.get(what) ?? [];
      values.push(value);
      samples.set(what, values);
    },
    expose: (why, kind, ms) => void exposures.push({ why, kind, ms }),
  };
}
