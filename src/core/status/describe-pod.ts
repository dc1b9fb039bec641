// One pod as the status document tells of it, out of what was decided at its ADD and what verification found; and which
// group it counts in.

import type { PodCapture } from "../rules/pod-capture.ts";
import { cutText } from "../short-text.ts";
import { renderAge } from "../text-columns.ts";
import { describeCapture } from "./describe-capture.ts";
import { describeEnrolment, type EnrolmentStatusFacts, isEnrolmentInTrouble } from "./describe-enrolment.ts";
import type { POD_STATES, PodGroup, PodStatus } from "./status-document.ts";

/** What verification knows of a pod (agent/verify). Times are milliseconds since 1970. */
export interface VerificationFacts {
  readonly podUid: string;
  readonly state: (typeof POD_STATES)[number];
  readonly reason: string | undefined;
  /** Where `desired` comes from: the ADD of its sandbox, its annotations as an agent first saw them, or, in ambient mode, its
   * labels and those of its namespace as they are now. */
  readonly decidedBy: "add" | "annotations" | "labels" | undefined;
  readonly desired: PodCapture | undefined;
  /** Families with an address that pass by the proxy. */
  readonly bypassed: readonly string[];
  /** A sentence for `refused`, `uncaptured`, `failed` and `unverifiable`. */
  readonly message: string | undefined;
  readonly lastVerifiedMs: number | undefined;
  /** What was different the last time anything was, and when that was. */
  readonly lastDrift: readonly string[];
  readonly lastDriftMs: number | undefined;
  readonly repairs: number;
  readonly netns: { readonly ino: string; readonly source: "add" | "uid" | "ip" } | undefined;
  /** Whether the kernel tells of changes; without that only the timer finds them. */
  readonly isMonitored: boolean;
  /** The pod has left ambient mode: nothing new is redirected, and what was is being finished. How many connections that are;
   * `undefined` where the kernel does not tell. */
  readonly finishing: { readonly connections: number | undefined; readonly sinceMs: number } | undefined;
}

/** What was decided at the ADD of a sandbox (agent/sidecar). */
export interface SandboxFacts {
  readonly podUid: string;
  readonly containerId: string;
  readonly reason: string;
  readonly capture: PodCapture | undefined;
  readonly bypassed: readonly string[];
  /** How long the ADD took. */
  readonly addedMs: number;
}

export interface PodFacts {
  readonly pod: { readonly uid: string; readonly namespace: string; readonly name: string };
  readonly verification: VerificationFacts | undefined;
  readonly sandbox: SandboxFacts | undefined;
  readonly enrolment?: EnrolmentStatusFacts | undefined;
}

/** How much is told of one pod. */
export interface PodLimits {
  readonly listEntries: number;
  readonly sentences: number;
}

const MAX_SENTENCE = 1024;

/** What nobody has looked at since its ADD is as its ADD left it, but not verified. */
export function describePod({ pod, verification, sandbox, enrolment }: PodFacts, limits: PodLimits): PodStatus {
  const state = verification?.state ?? "waiting";
  const isLookedAt = verification !== undefined && verification.reason !== undefined;
  const reason = isLookedAt ? verification.reason : sandbox?.reason;
  const capture = isLookedAt ? verification.desired : sandbox?.capture;
  const bypassed = (isLookedAt ? verification.bypassed : sandbox?.bypassed) ?? [];
  return {
    namespace: pod.namespace,
    name: pod.name,
    uid: pod.uid,
    decision: decisionOf(state, reason, isLookedAt || capture !== undefined),
    reason: reason ?? null,
    decidedBy: (isLookedAt ? verification.decidedBy : sandbox && "add") ?? null,
    state,
    message: verification?.message === undefined ? null : cutText(verification.message, MAX_SENTENCE),
    needsAttention: needsAttention({ state, bypassed, isInTrouble: isEnrolmentInTrouble(enrolment) }),
    capture: capture === undefined ? null : describeCapture(capture, limits.listEntries),
    bypassed,
    lastVerifiedAt: timestamp(verification?.lastVerifiedMs),
    lastDrift: (verification?.lastDrift ?? [])
      .slice(0, limits.sentences)
      .map((sentence) => cutText(sentence, MAX_SENTENCE)),
    lastDriftCount: verification?.lastDrift.length ?? 0,
    lastDriftAt: timestamp(verification?.lastDriftMs),
    repairs: verification?.repairs ?? 0,
    isMonitored: verification?.isMonitored ?? false,
    netns:
      verification?.netns === undefined ? null : { inode: verification.netns.ino, source: verification.netns.source },
    sandbox: sandbox === undefined ? null : { containerId: sandbox.containerId, tookMs: roundMs(sandbox.addedMs) },
    finishing: describeFinishing(verification?.finishing),
    ambient: describeEnrolment(enrolment),
  };
}

function describeFinishing(finishing: VerificationFacts["finishing"]): PodStatus["finishing"] {
  if (finishing === undefined) return null;
  return { connections: finishing.connections ?? null, since: new Date(finishing.sinceMs).toISOString() };
}

/** For people; undefined: nothing is being finished. */
export function wordsOfFinishing({ finishing }: Pick<PodStatus, "finishing">, at: string): string | undefined {
  if (finishing === null) return undefined;
  const { connections, since } = finishing;
  const what = connections === null ? "what ztunnel has open" : `${connections} connections through ztunnel`;
  return `left ambient mode ${renderAge(since, at)}, finishing ${connections === 1 ? "a connection through ztunnel" : what}`;
}

/** A pod that is only young (`waiting`) is no reason to call somebody; a family that passes by the proxy is one. */
export function needsAttention({
  state,
  bypassed,
  isInTrouble = false,
}: Pick<PodStatus, "state" | "bypassed"> & { readonly isInTrouble?: boolean }): boolean {
  return isInTrouble || bypassed.length > 0 || ["refused", "uncaptured", "failed", "unverifiable"].includes(state);
}

/** Where a pod counts: in the summary, and in the metric `istio_cni_agent_pods`. */
export function groupOf(state: PodStatus["state"]): PodGroup {
  return GROUPS[state];
}

const GROUPS: Readonly<Record<PodStatus["state"], PodGroup>> = {
  waiting: "waiting",
  out: "outside",
  refused: "refused",
  verified: "captured",
  repaired: "captured",
  uncaptured: "uncaptured",
  failed: "uncaptured",
  unverifiable: "unverified",
};

/** @param isWanted somebody found that it should be captured, or out of the mesh, which then is its state. */
function decisionOf(state: PodStatus["state"], reason: string | undefined, isWanted: boolean): PodStatus["decision"] {
  if (state === "out" || state === "refused") return state;
  if (reason === undefined) return "undecided";
  return isWanted ? "in" : "out";
}

/** RFC 3339 with milliseconds, in UTC. */
export function timestamp(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
