// One mode's ADDs for each way to write rules: one by one, then many at once. What a mode needs around them (an agent, pods,
// kinds with their budgets) its section prepares.
import { setTimeout as sleep } from "node:timers/promises";
import { measureBurst } from "./add-burst.ts";
import type { AddContest } from "./add-contest.ts";
import { measureSingles } from "./add-singles.ts";
import { BACKENDS, type BenchBackend } from "./backends.ts";
import type { Bench } from "./bench-node.ts";
import type { Figure } from "./figure.ts";
import type { AtOnce } from "./plan.ts";

/** The kernel takes a finished contest's namespaces down, some hundred of them, in the background. */
const QUIET_MS = 3000;

/** Gives what it starts to `owned`, which ends when the backend has been measured. */
export type PrepareContest = (
  backend: BenchBackend,
  owned: AsyncDisposableStack,
) => Promise<Omit<AddContest, "bench" | "netnses">>;

export async function measureMode(bench: Bench, bursts: readonly AtOnce[], prepare: PrepareContest): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const backend of BACKENDS) {
    bench.say(`  ${backend.name}`);
    figures.push(...(await measureBackend(bench, bursts, backend, prepare)));
    await sleep(QUIET_MS);
  }
  return figures;
}

async function measureBackend(
  bench: Bench,
  bursts: readonly AtOnce[],
  backend: BenchBackend,
  prepare: PrepareContest,
): Promise<Figure[]> {
  await using owned = new AsyncDisposableStack();
  const prepared = await prepare(backend, owned);
  using netnses = new DisposableStack();
  const contest: AddContest = { ...prepared, bench, netnses };
  const figures = await measureSingles(contest);
  for (const burst of bursts) {
    bench.say(`    ${burst.size} at once`);
    figures.push(...(await measureBurst(contest, burst)));
  }
  return figures;
}
