// What the verifier remembers of one pod, and how the outcome of a look becomes record, metric, log line and Event.

import { doublingDelayMs } from "../../core/doubling-delay.ts";
import type { Pod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import type { NetnsId } from "../../core/netns/netns-id.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import type { ChangeMonitor } from "./change-monitor.ts";
import type { Desired, StartedWith } from "./desired-capture.ts";
import type { Look } from "./look-at-pod.ts";
import type { VerificationRecord } from "./verification-record.ts";

export interface PodState {
  readonly record: { -readonly [K in keyof VerificationRecord]: VerificationRecord[K] };
  /** On the namespace the pod has now. */
  monitor: NetnsMonitor | undefined;
  /** Decided from the annotations at the first look. */
  pinned: StartedWith | undefined;
  /** That the pod is out has been told to whoever remembers it. */
  isOutKept: boolean;
  /** What was last seen in place. */
  applied: PodCapture | undefined;
  /** What ambient mode wanted at the last look, as text. */
  wish: string | undefined;
  /** The pod was let go, and finishes what it has open: since when by both clocks, what was in place, and when what was on
   * its way has arrived. */
  released:
    | {
        readonly atMs: number;
        readonly sinceMs: number;
        readonly formerly: PodCapture | undefined;
        firstLookMs: number;
      }
    | undefined;
  /** `lo` was found switched off: until when that is waited out. */
  loopbackOffUntilMs: number | undefined;
  /** Times on the monotonic clock. */
  wholeLookDueMs: number;
  quietUntilMs: number;
  repairTimesMs: readonly number[];
  failures: number;
  /** Reasons that were told once and still hold. */
  readonly told: Set<VerifierEventReason>;
}

export interface NetnsMonitor extends NetnsId {
  readonly rules: ChangeMonitor;
  /** What routing is listened for, which `applied` decides; undefined: none. */
  routing: { readonly capture: PodCapture; readonly changes: Disposable | undefined } | undefined;
}

export type VerifierEventReason =
  | "RedirectionRepaired"
  | "RedirectionRepairFailed"
  | "RedirectionMissing"
  | "RedirectionUnverified"
  | "AddressFamilyBypassed";

export interface PodReporterDeps {
  /** An Event on the pod; returns at once. */
  recordEvent(event: {
    readonly pod: Pod;
    readonly type: "Warning";
    readonly reason: VerifierEventReason;
    readonly message: string;
  }): void;
  readonly metrics: {
    /** A difference was found. "left": no mode of repair allows to change it; counted once for each pod. */
    drift(action: "repaired" | "failed" | "left"): void;
    /** `istio_cni_repair_pods_repaired_total{type="repair"}`: pods that had started without their redirection. */
    podRepaired(result: "success" | "fail"): void;
  };
  /** Wall time in milliseconds since 1970. */
  wallMs(): number;
  readonly log: Logger;
}

/** What one look was about. */
export interface LookOutcome {
  readonly capture: PodCapture;
  /** The pod was captured before, so a difference is somebody's doing and no missed start. */
  readonly isKnown: boolean;
  /** Why no mode of repair may touch a pod that is not known; undefined: it may. */
  readonly whyNot: string | undefined;
  /** The pod is being enrolled, or asks for something else than before: that it is not there yet is nobody's fault. */
  readonly isNew?: boolean;
  readonly result: Exclude<Look, { kind: "loopback-off" }>;
}

/** A namespace that is not found at the first tries is a pod that is just starting or ending. */
const TELL_UNVERIFIED_AFTER = 4;
const SENTENCES_TOLD = 3;
/** The kernel redirects the first packet of a connection it tracks; what it tracks is not changed here. */
const PAST_CONNECTIONS = "Connections opened without it may stay so until they end; a restart of the pod ends them";
/** So many repairs of one pod within a minute are made at once; before each further one the wait doubles. */
const FREE_REPAIRS = 5;
const REPAIR_WINDOW_MS = 60_000;
/** As many times as long as a look took its pod is left alone: whoever fills its own namespace and changes it without end gets a
 * fifth of the thread. */
const RESTS_PER_LOOK = 4;
const FIRST_REST_MS = 1000;
const MAX_REST_MS = 30_000;

export function createPodState({ uid, namespace, name }: Pod): PodState {
  return {
    record: {
      podUid: uid,
      podNamespace: namespace,
      podName: name,
      state: "waiting",
      reason: undefined,
      decidedBy: undefined,
      desired: undefined,
      bypassed: [],
      message: undefined,
      lastVerifiedMs: undefined,
      generation: undefined,
      lastDrift: [],
      lastDriftMs: undefined,
      repairs: 0,
      netns: undefined,
      isMonitored: false,
      finishing: undefined,
    },
    monitor: undefined,
    pinned: undefined,
    isOutKept: false,
    applied: undefined,
    wish: undefined,
    released: undefined,
    loopbackOffUntilMs: undefined,
    wholeLookDueMs: 0,
    quietUntilMs: 0,
    repairTimesMs: [],
    failures: 0,
    told: new Set(),
  };
}

/** A generation says nothing of rules that are wanted only now. */
export function noteWish(state: PodState, desired: Desired): void {
  if (desired.kind !== "ambient") return;
  const wish = JSON.stringify([desired.plan, desired.whyNotYet]);
  if (wish !== state.wish) state.record.generation = undefined;
  state.wish = wish;
}

/** Nothing can have changed: the same generation, and no word of a change to routing, which forgets the generation. */
export function isUnchanged({ record, monitor, wholeLookDueMs }: PodState, nowMs: number): boolean {
  if (monitor?.routing === undefined || record.generation === undefined) return false;
  return nowMs < wholeLookDueMs && monitor.rules.generation() === record.generation;
}

/** After a look from `beganMs` on. */
export function restAfterLook(state: PodState, beganMs: number, nowMs: number): void {
  const restMs = Math.min(MAX_REST_MS, (nowMs - beganMs) * RESTS_PER_LOOK);
  state.quietUntilMs = Math.max(state.quietUntilMs, nowMs + restMs);
}

/** After a repair: somebody who undoes each of them must not get the whole processor. */
export function restAfterRepair(state: PodState, nowMs: number): void {
  const recent = [...state.repairTimesMs, nowMs].filter((timeMs) => nowMs - timeMs < REPAIR_WINDOW_MS);
  state.repairTimesMs = recent.slice(-FREE_REPAIRS - 10);
  const surplus = recent.length - FREE_REPAIRS;
  if (surplus <= 0) return;
  const restMs = doublingDelayMs(FIRST_REST_MS, MAX_REST_MS, surplus);
  state.quietUntilMs = Math.max(state.quietUntilMs, nowMs + restMs);
}

export function createPodReporter(deps: PodReporterDeps) {
  /** Returns whether the look has to be repeated soon. */
  function settle(pod: Pod, state: PodState, outcome: LookOutcome): boolean {
    const { capture, isKnown, whyNot, isNew = false, result } = outcome;
    const { record } = state;
    const wallMs = deps.wallMs();
    record.generation = undefined;
    if (result.kind !== "stands" && !isNew) {
      record.lastDrift = result.drift;
      record.lastDriftMs = wallMs;
    }
    if (result.kind === "forbidden") {
      record.state = "uncaptured";
      if (isNew) {
        record.message = `The pod is not captured yet: ${whyNot}`;
        return false;
      }
      record.message = `The redirection of this pod is missing and may not be repaired: ${whyNot}`;
      const isNews = tellOnce(pod, state, "RedirectionMissing", `${record.message}; ${summary(result.drift)}`);
      if (isNews) deps.metrics.drift("left");
      return false;
    }
    if (result.kind === "failed") {
      record.state = "failed";
      record.message = result.message;
      deps.metrics.drift("failed");
      if (!isKnown && !isNew) deps.metrics.podRepaired("fail");
      deps.recordEvent({ pod, type: "Warning", reason: "RedirectionRepairFailed", message: result.message });
      warn(pod, "Cannot repair the redirection of a pod", { err: result.message, drift: summary(result.drift) });
      return true;
    }
    const moved = result.kind === "repaired" && !isKnown ? result.moved : undefined;
    record.state = result.kind === "stands" || isNew || moved !== undefined ? "verified" : "repaired";
    record.message = undefined;
    record.generation = result.generation;
    record.lastVerifiedMs = wallMs;
    state.applied = capture;
    state.failures = 0;
    for (const reason of ["RedirectionMissing", "RedirectionUnverified"] as const) state.told.delete(reason);
    if (moved !== undefined) tellMoved(pod, moved);
    else if (result.kind === "repaired" && !isNew) repaired(pod, state, isKnown, result);
    return false;
  }

  /** By a change of the node's backend; the pod was captured before, and no connection was lost. */
  function tellMoved({ namespace, name, uid }: Pod, { from, to }: { from: readonly string[]; to: string }): void {
    const labels = { ns: namespace, name, podUid: uid, from: from.join(","), to };
    deps.log.info("Moved the redirection of a pod to another backend", labels);
  }

  function repaired(
    pod: Pod,
    { record }: PodState,
    isKnown: boolean,
    { drift, changedBy }: Extract<Look, { kind: "repaired" }>,
  ): void {
    record.repairs++;
    deps.metrics.drift("repaired");
    if (!isKnown) deps.metrics.podRepaired("success");
    const by = changedBy === undefined ? "" : ` (by ${changedBy.program}, pid ${changedBy.pid})`;
    const what = isKnown
      ? `redirection of this pod was altered${by} and has been repaired`
      : "pod ran without its redirection, which is in place now";
    const message = `${what}: ${summary(drift)}. ${PAST_CONNECTIONS}`;
    deps.recordEvent({ pod, type: "Warning", reason: "RedirectionRepaired", message });
    warn(pod, isKnown ? "Redirection was altered, and repaired" : "pod repaired", {
      drift: summary(drift),
      ...(changedBy !== undefined && { changedBy: changedBy.program, changedByPid: changedBy.pid }),
    });
  }

  /** `kind` and `reason` as the registry of namespaces has them; a pod without an address is only young, and where no pod can
   * be found that is the node's fault and said once there. */
  function unverifiable(pod: Pod, state: PodState, message: string, kind?: string, reason?: string): void {
    const { record } = state;
    const isYoung = kind === "no-ip-yet";
    record.state = isYoung && record.state === "waiting" ? "waiting" : "unverifiable";
    record.message = message;
    record.generation = undefined;
    const isNodes = reason === "proc-unavailable" || reason === "scan-cut-short";
    if (!isYoung && !isNodes && state.failures + 1 >= TELL_UNVERIFIED_AFTER) {
      tellOnce(pod, state, "RedirectionUnverified", message);
    }
  }

  function bypassed(pod: Pod, state: PodState, families: readonly string[], mode: PodCapture["mode"]): void {
    state.record.bypassed = families;
    if (families.length === 0) return;
    const [proxy, option] = mode === "ambient" ? ["ztunnel", "AMBIENT_IPV6"] : ["its proxy", "ISTIO_DUAL_STACK"];
    const hint = `set ${option} on ${mode === "ambient" ? "the agent" : "the proxy"}, or STRICT_FAMILIES on the agent`;
    tellOnce(pod, state, "AddressFamilyBypassed", `${families.join(", ")} of this pod passes by ${proxy}; ${hint}`);
  }

  function tellOnce(pod: Pod, state: PodState, reason: VerifierEventReason, message: string): boolean {
    if (state.told.has(reason)) return false;
    state.told.add(reason);
    deps.recordEvent({ pod, type: "Warning", reason, message });
    warn(pod, message, {});
    return true;
  }

  function warn(pod: Pod, message: string, labels: Readonly<Record<string, string | number>>): void {
    deps.log.warn(message, { ns: pod.namespace, name: pod.name, podUid: pod.uid, ...labels });
  }

  return { settle, unverifiable, bypassed };
}

function summary(drift: readonly string[]): string {
  const told = drift.slice(0, SENTENCES_TOLD).join("; ");
  return drift.length > SENTENCES_TOLD ? `${told}; and ${drift.length - SENTENCES_TOLD} more` : told;
}
