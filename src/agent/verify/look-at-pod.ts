// One look at one namespace: is what should be there, there, and did it stay so while we looked? What is not is repaired
// where that is allowed, and looked at again.
import { messageOf } from "../../core/error-message.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import type { ChangeMonitor, RuleChange } from "./change-monitor.ts";

/** The part of the backend that is needed. Calls for one namespace follow each other; `netnsFd` has to stay open. */
export interface VerifiedBackend {
  /** `replaced`: dialects in which the pod was captured before, and is no more. */
  apply(
    netnsFd: number,
    capture: PodCapture,
    pod: BackendPod,
  ): Promise<{ readonly dialect: string; readonly replaced: readonly string[] }>;
  drift(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<readonly string[]>;
  /** `lo` is off, and all that differs went with it. */
  differsByLoopback(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<boolean>;
  /** Redirects nothing new, and leaves what open connections need. `connections`: how many there are, where that is known. */
  release(netnsFd: number): Promise<{ readonly changed: boolean; readonly connections: number | undefined }>;
  /** Takes everything of ours out; open connections end with it. False: there was nothing. */
  remove(netnsFd: number, capture: PodCapture, pod: BackendPod): Promise<boolean>;
}

/** See agent/netfilter: what the backend wants to know of the pod beside its capture. */
export interface BackendPod {
  readonly hostUsers?: boolean;
  readonly formerly?: PodCapture;
}

/** `generation` undefined: unknown, so the next look has to be a whole one again. `drift`: what was found at first. */
export type Look =
  | { readonly kind: "stands"; readonly generation: number | undefined }
  | {
      readonly kind: "repaired";
      readonly generation: number | undefined;
      readonly drift: readonly string[];
      readonly changedBy: RuleChange["by"];
      /** It was captured all along, in another dialect. */
      readonly moved: { readonly from: readonly string[]; readonly to: string } | undefined;
    }
  /** Left as it is: whoever takes a sandbox apart begins with `lo`, and the namespace may be gone in a moment. */
  | { readonly kind: "loopback-off" }
  | { readonly kind: "forbidden"; readonly drift: readonly string[] }
  | { readonly kind: "failed"; readonly drift: readonly string[]; readonly message: string };

/** Somebody else may write between two looks; so often we look again. */
const MAX_ROUNDS = 4;

export async function lookAtPod(
  backend: VerifiedBackend,
  {
    netnsFd,
    capture,
    pod,
    monitor,
    mayRepair,
    waitsForLoopback,
    knownGeneration,
    yieldToLoop,
  }: {
    readonly netnsFd: number;
    readonly capture: PodCapture;
    readonly pod: BackendPod;
    readonly monitor: ChangeMonitor | undefined;
    readonly mayRepair: boolean;
    /** What differs only because `lo` is off is not repaired yet. */
    readonly waitsForLoopback: boolean;
    /** That of the last look that found everything in place. */
    readonly knownGeneration: number | undefined;
    /** Between two rounds: where much is held, or much is written, each takes its time. */
    yieldToLoop(): Promise<void>;
  },
): Promise<Look> {
  let found: readonly string[] | undefined;
  let changedBy: RuleChange["by"];
  let moved: Extract<Look, { kind: "repaired" }>["moved"];
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    const generation = monitor?.generation();
    const drift = await backend.drift(netnsFd, capture, pod);
    if (drift.length === 0) {
      const isTorn = monitor !== undefined && monitor.generation() !== generation;
      if (isTorn && round < MAX_ROUNDS) {
        await yieldToLoop();
        continue;
      }
      const stable = isTorn ? undefined : generation;
      if (found === undefined) return { kind: "stands", generation: stable };
      return { kind: "repaired", generation: stable, drift: found, changedBy, moved };
    }
    const isWaitedFor = waitsForLoopback && found === undefined;
    if (isWaitedFor && (await backend.differsByLoopback(netnsFd, capture, pod))) return { kind: "loopback-off" };
    if (!mayRepair) return { kind: "forbidden", drift };
    if (found === undefined) {
      found = drift;
      const change = monitor?.lastChange();
      // A commit that was looked at before is not the one that made the difference.
      if (change !== undefined && change.generation !== knownGeneration) changedBy = change.by;
    }
    // Not after it: our own batch has to be heard here, where nobody takes it for somebody else's.
    if (round > 1) await yieldToLoop();
    try {
      const { dialect, replaced } = await backend.apply(netnsFd, capture, pod);
      if (replaced.length > 0) moved = { from: replaced, to: dialect };
    } catch (error) {
      return { kind: "failed", drift: found, message: messageOf(error) };
    }
  }
  const message = `Cannot keep the redirection in place: it was altered again after each of ${MAX_ROUNDS} repairs`;
  return { kind: "failed", drift: found ?? [], message };
}
