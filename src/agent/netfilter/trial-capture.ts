// Captures a namespace that nobody uses, once at start and in every way in which this node's pods may be captured: the first
// pod then meets warm code and loaded kernel modules, and what does not work on this node is known before a pod is refused.
import { messageOf } from "../../core/error-message.ts";
import type { TrialProblem } from "../../core/policy/backend-decision.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import type { PodBackend } from "./pod-backend.ts";

export interface TrialDeps {
  readonly backend: Pick<PodBackend, "apply" | "drift" | "remove">;
  /** A namespace nobody uses, gone when disposed of. */
  createThrowawayNetns(): { readonly fd: number } & Disposable;
}

/**
 * Tries each capture with both families, and where that fails with either one alone. Empty: all stood and went as they
 * should. Never rejects. Measured: the first pod then takes 2 ms instead of 14, for 40 ms at start for each capture, most of
 * them waits of the kernel; therefore TPROXY, whose features are asked for by name (backend-facts.ts), is not tried.
 */
export async function tryCaptures(deps: TrialDeps, captures: readonly PodCapture[]): Promise<TrialProblem[]> {
  const problems: TrialProblem[] = [];
  for (const capture of captures) {
    const why = await tryOne(deps, { ...capture, families: { v4: true, v6: true } });
    if (why === undefined) continue;
    const alone = [
      { family: 4, why: await tryOne(deps, { ...capture, families: { v4: true, v6: false } }) },
      { family: 6, why: await tryOne(deps, { ...capture, families: { v4: false, v6: true } }) },
    ] as const;
    const families = alone.flatMap((one) => (one.why === undefined ? [] : [one.family]));
    // Each alone works: it takes both to fail.
    problems.push({ mode: capture.mode, families: families.length === 0 ? [4, 6] : families, why });
  }
  return problems;
}

async function tryOne(deps: TrialDeps, capture: PodCapture): Promise<string | undefined> {
  const { backend } = deps;
  try {
    using netns = deps.createThrowawayNetns();
    await backend.apply(netns.fd, capture);
    const [difference] = await backend.drift(netns.fd, capture);
    if (difference !== undefined) return `the kernel does not show what was written: ${difference}`;
    await backend.remove(netns.fd, capture);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
