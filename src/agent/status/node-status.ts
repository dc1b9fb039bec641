/**
 * What the agent tells of its node, put together when somebody asks and kept by nobody: the status document and the
 * explanation of one pod. Reads what the services know, decides nothing, waits for nothing.
 */

import type { Pod } from "../../core/kube/pod.ts";
import { type BackendDecision, dialectForPod } from "../../core/policy/backend-decision.ts";
import { describeMissing } from "../../core/policy/backend-features.ts";
import type { EnablementLabel } from "../../core/policy/enablement-selectors.ts";
import type { SidecarSettings } from "../../core/policy/sidecar-decision.ts";
import type { PodCapture } from "../../core/rules/pod-capture.ts";
import { countPods, type PodCounts } from "../../core/status/count-pods.ts";
import {
  describeZtunnel,
  type EnrolmentStatusFacts,
  isEnrolmentInTrouble,
  type ZtunnelStatusFacts,
} from "../../core/status/describe-enrolment.ts";
import {
  describePod,
  type PodLimits,
  type SandboxFacts,
  type VerificationFacts,
} from "../../core/status/describe-pod.ts";
import { describeProbePath, type ProbePathFacts } from "../../core/status/describe-probe-path.ts";
import { describeRules } from "../../core/status/describe-rules.ts";
import { describeInputs } from "../../core/status/pod-inputs.ts";
import { reasonInWords } from "../../core/status/reason-words.ts";
import { type PodExplanation, SCHEMA_VERSION, type StatusDocument } from "../../core/status/status-document.ts";
import type { ConditionState } from "./readiness.ts";

/** What other services know; see each for the meaning of its fields. */
export interface NodeStatusDeps {
  readonly pods: { list(): readonly Pod[] };
  verifications(): readonly VerificationFacts[];
  /** Oldest first. */
  sandboxes(): readonly SandboxFacts[];
  /** Undefined until the first pod needs it: asking must not make it. */
  backend(): BackendDecision | undefined;
  conditions(): readonly ConditionState[];
  install(): {
    readonly state: string;
    readonly reason: string;
    readonly confName: string | undefined;
    readonly warnings: readonly string[];
    readonly rewrites: number;
    readonly fight:
      | { readonly name: string; readonly writer: string; readonly advice: string; readonly policy: string }
      | undefined;
    readonly unwatched: ReadonlyMap<string, string>;
  };
  watches(): readonly {
    readonly kind: string;
    readonly isSynced: boolean;
    readonly phase: string;
    readonly failures: number;
    readonly lastFailure?: string;
    readonly objects: number;
  }[];
  watchAgeSeconds(resource: string): number | undefined;
  netns(): {
    readonly handles: number;
    readonly unavailable: string | undefined;
    readonly lastScan: StatusDocument["netns"]["lastScan"] | undefined;
  };
  /** In ambient mode, or while it is being left. */
  enrolments(): readonly EnrolmentStatusFacts[];
  /** Undefined outside ambient mode. */
  ztunnel(): ZtunnelStatusFacts | undefined;
  /** By which ambient mode's selectors go; none outside that mode. */
  enablementLabels(pod: Pod): readonly EnablementLabel[];
  /** By family; none outside ambient mode. */
  probePaths(): readonly ProbePathFacts[];
  /** Milliseconds since 1970, and on the monotonic clock. */
  wallMs(): number;
  nowMs(): number;
}

export interface NodeStatusOptions {
  readonly version: string;
  readonly node: string;
  readonly mode: "sidecar" | "ambient";
  readonly settings: Pick<SidecarSettings, "excludedNamespaces">;
  readonly strictFamilies: boolean;
  /** The effective configuration. */
  readonly options: StatusDocument["options"];
  /** Pods in one document. @default 2000 */
  readonly maxPods?: number;
}

export interface NodeStatus {
  document(): StatusDocument;
  /** Undefined: no such pod on this node, as far as the API has shown. `live` is somebody else's to add (live-look.ts). */
  explain(namespace: string, name: string): Omit<PodExplanation, "live"> | undefined;
  /** The pod that `explain` tells of, and what should be captured of it as far as is known. */
  find(namespace: string, name: string): { readonly pod: Pod; readonly capture: PodCapture | undefined } | undefined;
  /** Pods that the API has shown, for the gauges. */
  counts(): PodCounts;
}

/** Hostile annotations have thousands of entries, and a node has hundreds of pods. */
const IN_LIST: PodLimits = { listEntries: 16, sentences: 4 };
const ALONE: PodLimits = { listEntries: 1024, sentences: 64 };

/** How a person decided the dialect, by the reason of the decision. */
const OVERRIDES: Readonly<Partial<Record<BackendDecision["reason"], string>>> = {
  "native-nftables-set": "NATIVE_NFTABLES",
  "forced-legacy": "FORCE_IPTABLES_BINARY",
  "forced-nft": "FORCE_IPTABLES_BINARY",
};

export function createNodeStatus(deps: NodeStatusDeps, options: NodeStatusOptions): NodeStatus {
  const { maxPods = 2000 } = options;
  const startedMs = deps.nowMs();

  /** Every pod the API has shown, with what is known of it. */
  function facts() {
    const verifications = new Map(deps.verifications().map((record) => [record.podUid, record]));
    // The last one wins: a pod's sandbox may have been made anew.
    const sandboxes = new Map(deps.sandboxes().map((record) => [record.podUid, record]));
    const enrolments = new Map(deps.enrolments().map((record) => [record.podUid, record]));
    return deps.pods
      .list()
      .toSorted((left, right) => compare(left.namespace, right.namespace) || compare(left.name, right.name))
      .map((pod) => ({
        pod,
        verification: verifications.get(pod.uid),
        sandbox: sandboxes.get(pod.uid),
        enrolment: enrolments.get(pod.uid),
      }));
  }

  function counts(): PodCounts {
    const states = new Map(deps.verifications().map((record) => [record.podUid, record]));
    const troubled = new Set(deps.enrolments().flatMap((one) => (isEnrolmentInTrouble(one) ? [one.podUid] : [])));
    return countPods(
      deps.pods.list().map(({ uid }) => {
        const { state, bypassed } = states.get(uid) ?? { state: "waiting", bypassed: [] };
        return { state, bypassed, isInTrouble: troubled.has(uid) };
      }),
    );
  }

  function document(): StatusDocument {
    const counted = counts();
    const probePaths = deps.probePaths();
    const conditions = deps.conditions();
    const isReady = conditions.length > 0 && conditions.every(({ ready }) => ready);
    const all = facts();
    return {
      schemaVersion: SCHEMA_VERSION,
      at: new Date(deps.wallMs()).toISOString(),
      isAllGood: isReady && counted.needAttention === 0 && probePaths.every(({ verdict }) => verdict !== "fails"),
      agent: {
        version: options.version,
        node: options.node,
        mode: options.mode,
        uptimeSeconds: Math.floor((deps.nowMs() - startedMs) / 1000),
      },
      options: options.options,
      isReady,
      conditions: conditions.map(({ name, ready, reason }) => ({ name, isReady: ready, reason })),
      backend: describeBackend(deps.backend()),
      install: describeInstall(deps.install()),
      watches: deps.watches().map(({ kind, isSynced, phase, failures, lastFailure, objects }) => ({
        resource: kind,
        isSynced,
        phase,
        failures,
        lastFailure: lastFailure ?? null,
        objects,
        ageSeconds: roundTenth(deps.watchAgeSeconds(kind)),
      })),
      netns: describeNetns(deps.netns()),
      ztunnel: describeZtunnel(deps.ztunnel()),
      probePaths: probePaths.map(describeProbePath),
      summary: {
        pods: all.length,
        ...counted.groups,
        bypassed: counted.bypassing,
        needAttention: counted.needAttention,
      },
      pods: all.slice(0, maxPods).map((pod) => describePod(pod, IN_LIST)),
      omittedPods: Math.max(0, all.length - maxPods),
    };
  }

  function factsOf(namespace: string, name: string) {
    const named = facts().filter(({ pod }) => pod.namespace === namespace && pod.name === name);
    // Of two, the one that is not being deleted: the other is about to give the name up.
    const found = named.find(({ pod }) => pod.deletionTimestamp === undefined) ?? named[0];
    if (found === undefined) return undefined;
    const { verification, sandbox } = found;
    const isLookedAt = verification?.reason !== undefined;
    return { ...found, capture: isLookedAt ? verification.desired : sandbox?.capture };
  }

  function find(namespace: string, name: string): ReturnType<NodeStatus["find"]> {
    const found = factsOf(namespace, name);
    return found && { pod: found.pod, capture: found.capture };
  }

  function explain(namespace: string, name: string): ReturnType<NodeStatus["explain"]> {
    const found = factsOf(namespace, name);
    if (found === undefined) return undefined;
    const { pod, capture } = found;
    const status = describePod(found, ALONE);
    const backend = deps.backend();
    const written =
      capture === undefined || backend === undefined ? undefined : dialectForPod(backend, pod, capture.mode);
    return {
      schemaVersion: SCHEMA_VERSION,
      at: new Date(deps.wallMs()).toISOString(),
      node: options.node,
      pod: status,
      decisionInWords: (status.reason === null ? undefined : reasonOnNode(status.reason, options.mode)) ?? null,
      inputs: describeInputs(pod, options.settings, { ...options, enablement: deps.enablementLabels(pod) }),
      rules:
        capture === undefined || written === undefined || status.decision !== "in"
          ? null
          : describeRules(capture, written.dialect),
    };
  }

  return { document, explain, find, counts };
}

/** A pod that is only for ambient mode has no sidecar either: where that mode is off, this is what somebody has to hear. */
function reasonOnNode(reason: string, mode: NodeStatusOptions["mode"]): string | undefined {
  const words = reasonInWords(reason);
  const isWithoutSidecar = reason === "no-proxy-container" || reason === "not-injected";
  return mode === "sidecar" && isWithoutSidecar ? `${words}; ambient mode is off on this node` : words;
}

function describeBackend(decision: BackendDecision | undefined): StatusDocument["backend"] {
  if (decision === undefined) return null;
  const { dialect, reason, message, missing, userNamespaces } = decision;
  return {
    dialect,
    reason,
    message,
    overriddenBy: OVERRIDES[reason] ?? null,
    missing: dialect === "iptables-legacy" ? [] : missing.map((feature) => describeMissing(feature, dialect)),
    dialectInUserNamespaces: userNamespaces?.dialect ?? null,
  };
}

function describeInstall(status: ReturnType<NodeStatusDeps["install"]>): StatusDocument["install"] {
  const { state, reason, confName, warnings, rewrites, fight, unwatched } = status;
  const folders = [...unwatched].map(([folder, why]) => ({ folder, reason: why }));
  const opponent =
    fight === undefined ? null : { conf: fight.name, writer: fight.writer, policy: fight.policy, advice: fight.advice };
  return { state, reason, confName: confName ?? null, warnings, rewrites, fight: opponent, unwatched: folders };
}

function describeNetns({ handles, unavailable, lastScan }: ReturnType<NodeStatusDeps["netns"]>) {
  const { tookMs, processes, namespaces } = lastScan ?? {};
  const isKnown = tookMs !== undefined && processes !== undefined && namespaces !== undefined;
  return {
    handles,
    unavailable: unavailable ?? null,
    lastScan: isKnown ? { tookMs: Math.round(tookMs), processes, namespaces } : null,
  };
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function roundTenth(seconds: number | undefined): number | null {
  return seconds === undefined ? null : Math.round(seconds * 10) / 10;
}
