// Tells people how pods come into ambient mode and leave it while they run: log lines, and Events on the pods. One Event for
// each change that somebody may wonder about, none for what a pod's start or its sandbox's failure tells already, and none for
// a ztunnel that is away from pods it had: that is the node's trouble, which readiness and a metric tell.
import type { Pod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import { REDIRECTION_ANNOTATION } from "../../core/policy/ambient-redirection.ts";
import type { EnrolmentStep, EnrolmentWait } from "../../core/policy/enrolment-steps.ts";
import { reasonInWords } from "../../core/status/reason-words.ts";
import type { EnrolmentRecord } from "./enrolment-record.ts";

export type EnrolmentEventReason =
  | "AmbientEnrolled"
  | "AmbientReleased"
  | "AmbientEnrolmentDelayed"
  | "AmbientAnnotationStale";

export interface EnrolmentTellerDeps {
  /** An Event on the pod; returns at once. */
  recordEvent(event: {
    readonly pod: Pod;
    readonly type: "Normal" | "Warning";
    readonly reason: EnrolmentEventReason;
    readonly message: string;
  }): void;
  /** Monotonic. */
  nowMs(): number;
  readonly log: Logger;
}

/** What was told of one pod. */
export interface ToldOfPod {
  /** That it is in is no news. */
  isKnownIn: boolean;
  /** Since when it should be in and is not wholly. */
  lateSinceMs: number | undefined;
  readonly warned: Set<"AmbientEnrolmentDelayed" | "AmbientAnnotationStale">;
}

export interface EnrolmentTeller {
  /** After each look. */
  looked(pod: Pod, told: ToldOfPod, before: EnrolmentRecord, now: EnrolmentRecord): void;
  /** The right to patch it is missing. */
  mayNotAnnotate(pod: Pod, told: ToldOfPod): void;
}

/** Longer than an enrolment takes, and than a ztunnel that restarts is away. */
const LATE_AFTER_MS = 30_000;

/** `isKnownIn`: the pod was in when this agent first saw it, or since its ADD. */
export function newTold(isKnownIn: boolean): ToldOfPod {
  return { isKnownIn, lateSinceMs: undefined, warned: new Set() };
}

export function createEnrolmentTeller({ recordEvent, nowMs, log }: EnrolmentTellerDeps): EnrolmentTeller {
  /** True: that is news, and was not told by the line about its ADD. */
  function isIn(pod: Pod, told: ToldOfPod, why: string): boolean {
    const wasLate = told.warned.delete("AmbientEnrolmentDelayed");
    if (told.isKnownIn && !wasLate) return false;
    told.isKnownIn = true;
    const message = `This pod, which was running, is in the ambient mesh now: ${why}`;
    recordEvent({ pod, type: "Normal", reason: "AmbientEnrolled", message });
    return true;
  }

  function isLate(pod: Pod, told: ToldOfPod, { facts, waits, failedStep, message }: EnrolmentRecord): void {
    // A pod without an address has not started; one that cannot be looked at is the verifier's to tell of.
    const isUnseen = facts?.netns === "missing" || facts?.rules === "unknown";
    const isNodesTrouble = waits === "no-ztunnel" && told.isKnownIn;
    if (pod.podIps.length === 0 || isUnseen || isNodesTrouble) {
      told.lateSinceMs = undefined;
      return;
    }
    told.lateSinceMs ??= nowMs();
    if (nowMs() - told.lateSinceMs < LATE_AFTER_MS || told.warned.has("AmbientEnrolmentDelayed")) return;
    told.warned.add("AmbientEnrolmentDelayed");
    const failure = failedStep === undefined ? undefined : `${STEPS[failedStep]} failed: ${message ?? ""}`;
    const why = failure ?? (waits === undefined ? "it is still being captured" : WAITS[waits]);
    const text = `This pod should be in the ambient mesh and is not wholly in it: ${why}`;
    recordEvent({ pod, type: "Warning", reason: "AmbientEnrolmentDelayed", message: text });
  }

  return {
    looked(pod, told, before, now) {
      const { state, waits, reason, facts } = now;
      const why = reasonInWords(reason) ?? reason;
      const isNews = state === "enrolled" && isIn(pod, told, why);
      if (state === "enrolled") told.lateSinceMs = undefined;
      else if (facts?.wanted === "in") isLate(pod, told, now);
      else told.lateSinceMs = undefined;
      const wasLeaving = before.state === "leaving" || before.state === "failed";
      const isReleased = state === "out" && facts?.wanted === "out" && wasLeaving;
      if (isReleased && told.isKnownIn) {
        told.isKnownIn = false;
        told.warned.clear();
        const message = `This pod, which runs on, has left the ambient mesh: ${why}`;
        recordEvent({ pod, type: "Normal", reason: "AmbientReleased", message });
      }
      if (state === before.state) return;
      const labels = { ns: pod.namespace, name: pod.name, podUid: pod.uid, reason };
      if (isNews) log.info("Pod is in the ambient mesh", labels);
      else if (isReleased) log.info("Pod has left the ambient mesh", labels);
      else log.debug(`Pod is ${state}`, { ...labels, ...(waits !== undefined && { waits }) });
    },
    mayNotAnnotate(pod, told) {
      if (told.warned.has("AmbientAnnotationStale")) return;
      told.warned.add("AmbientAnnotationStale");
      const command = `kubectl annotate pod -n ${pod.namespace} ${pod.name} ${REDIRECTION_ANNOTATION}-`;
      const message =
        `The annotation ${REDIRECTION_ANNOTATION} of this pod is not true any more and this agent may not change it ` +
        `(patch of pods/status is not granted): others may fail to reach the pod until "${command}"`;
      recordEvent({ pod, type: "Warning", reason: "AmbientAnnotationStale", message });
    },
  };
}

const WAITS: Readonly<Record<EnrolmentWait, string>> = {
  "no-address": "it has no address yet",
  "no-ztunnel": "no ztunnel is connected on this node",
  "ztunnel-silent": "ztunnel has not acknowledged it",
  "ztunnel-refused": "ztunnel cannot serve it; the log of this node's ztunnel pod has the cause",
  "unknown-namespace": "the labels of its namespace are not known",
};

const STEPS: Readonly<Record<EnrolmentStep, string>> = {
  "find-netns": "finding its network namespace",
  "list-probes": "letting the kubelet's probes in",
  "tell-ztunnel": "telling ztunnel of it",
  capture: "redirecting it",
  release: "taking its redirection out",
  withdraw: "taking it from ztunnel",
  "unlist-probes": "taking its addresses out of the node's probe set",
  annotate: "writing its annotation",
};
