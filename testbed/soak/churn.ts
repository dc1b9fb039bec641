// Pods that come and go as fast as the machine bears, and faults meanwhile, until a time is over.
import { setTimeout as sleep } from "node:timers/promises";
import type { InjectFault } from "./inject-fault.ts";
import { beginPodLife, type SoakWorld } from "./live-pod.ts";
import { type FaultKind, type Lane, planFault, planPod } from "./plan.ts";

/** Goes on where the last stretch ended, so that a seed's pods and faults come once each. */
export interface Churn {
  /** Returns when all its pods have gone and all its faults are over. */
  run(seconds: number, without: readonly FaultKind[]): Promise<void>;
  /** How many pods were begun so far. */
  podCount(): number;
}

/** Starts that are under way at once, and pods that are there at once. */
const STARTERS = 4;
const LIVE_MAX = 32;

export function createChurn(world: SoakWorld, seed: number, inject: InjectFault): Churn {
  let pods = 0;
  const faults: Record<Lane, number> = { around: 0, ours: 0 };

  async function startPods(over: AbortSignal, lives: Set<Promise<void>>): Promise<void> {
    while (!over.aborted) {
      if (lives.size >= LIVE_MAX) {
        await Promise.race(lives);
        continue;
      }
      const { started, ended } = beginPodLife(world, planPod(seed, pods++), over);
      lives.add(ended);
      void ended.then(() => lives.delete(ended));
      await started;
    }
  }

  async function injectFaults(lane: Lane, over: AbortSignal, without: readonly FaultKind[]): Promise<void> {
    for (;;) {
      const index = faults[lane];
      const plan = planFault(seed, lane, index, without);
      await sleep(plan.afterMs, undefined, { signal: over }).catch(() => undefined);
      if (over.aborted) return;
      faults[lane] += 1;
      world.ledger.fault(`${lane} ${index}: ${plan.kind}, ${plan.lastsMs} ms`);
      world.ledger.count(`fault ${plan.kind}`);
      try {
        await inject(plan);
      } catch (error) {
        const why = error instanceof Error ? error.stack : String(error);
        world.ledger.breach(`fault ${plan.kind} could not be injected or undone: ${why}`);
      }
    }
  }

  return {
    async run(seconds, without) {
      const over = AbortSignal.timeout(Math.round(seconds * 1000));
      const lives = new Set<Promise<void>>();
      await Promise.all([
        injectFaults("around", over, without),
        injectFaults("ours", over, without),
        ...Array.from({ length: STARTERS }, () => startPods(over, lives)),
      ]);
      await Promise.all(lives);
    },
    podCount: () => pods,
  };
}
