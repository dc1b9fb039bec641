// What the kernel holds of one pod at the moment somebody asks, against what it should: for `explain`. Writes nothing, and what
// it finds is told to the asker only; repairing is the verifier's business.
import type { Pod } from "../../core/kube/pod.ts";
import { isOurChain, isOurTable } from "../../core/rules/compare.ts";
import type { Ruleset } from "../../core/rules/model.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import type { PodExplanation } from "../../core/status/status-document.ts";
import { lookIntoPod, type PodNetnsDeps } from "./pod-netns.ts";

export interface LiveLookDeps extends PodNetnsDeps {
  /** What differs from this capture, one sentence each. */
  drift(netnsFd: number, capture: PodCapture, pod: { readonly hostUsers?: boolean }): Promise<readonly string[]>;
  /** All that stands there. */
  take(netnsFd: number): Promise<{ readonly rulesets: readonly Ruleset[] }>;
  nowMs(): number;
}

const MAX_SENTENCES = 64;

/** @param capture what should be captured; undefined: nothing. Rejects for nothing, and answers soon after the signal aborts. */
export async function lookLive(
  deps: LiveLookDeps,
  pod: Pod,
  capture: PodCapture | undefined,
  signal: AbortSignal,
): Promise<PodExplanation["live"]> {
  const startedMs = deps.nowMs();
  const hints = pod.hostUsers === undefined ? {} : { hostUsers: pod.hostUsers };
  const seen = await lookIntoPod(
    deps,
    pod,
    async (netnsFd) =>
      capture === undefined
        ? { holdsRules: (await deps.take(netnsFd)).rulesets.some(isOfMesh) }
        : { drift: await deps.drift(netnsFd, capture, hints) },
    signal,
  );
  const tookMs = Math.round((deps.nowMs() - startedMs) * 1000) / 1000;
  const nothing = { drift: [], driftCount: 0, holdsMeshRules: null, message: null, tookMs };
  if (seen.kind === "unavailable") return { ...nothing, state: "unknown", message: seen.message };
  const { value } = seen;
  if (value.drift === undefined) return { ...nothing, state: "nothing-wanted", holdsMeshRules: value.holdsRules };
  const { length } = value.drift;
  const drift = value.drift.slice(0, MAX_SENTENCES);
  return { ...nothing, state: length === 0 ? "as-wanted" : "differs", drift, driftCount: length };
}

/** By the names that upstream has too: who wrote them is not told. */
function isOfMesh({ tables }: Ruleset): boolean {
  return tables.some(
    ({ name, chains }) => isOurTable(name) || chains.some((chain) => chain.kind === "own" && isOurChain(chain.name)),
  );
}
