// Joins what remembers decisions on pods with those who decide and those who act on it later. Part of wire-pods.ts.
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { AddedSandbox } from "../agent/ambient/ambient-sandboxes.ts";
import type { NetnsRegistry } from "../agent/netns/netns-registry.ts";
import { createPodRecords, type OpenNetns } from "../agent/pod-records/pod-records.ts";
import type { SidecarMemory, SidecarRecord } from "../agent/sidecar/sidecar.ts";
import type { StartedWith } from "../agent/verify/desired-capture.ts";
import type { VerifierDeps } from "../agent/verify/verifier.ts";
import type { Pod } from "../core/kube/pod.ts";
import type { Logger } from "../core/log.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import { needsRecord } from "../core/pod-record/needs-record.ts";
import type { PodRecord } from "../core/pod-record/pod-record.ts";
import type { SidecarSettings } from "../core/policy/sidecar-decision.ts";
import type { AmbientCapture } from "../core/rules/ambient-capture.ts";
import { RECORDS_FOLDER } from "../core/run-dir-names.ts";
import type { Clock } from "../platform/clock.ts";
import { createPrivateFolder, isTemporaryName } from "../platform/fs/private-folder.ts";
import { netnsIdOf } from "../platform/linux/netns.ts";
import { identifyNetns } from "../platform/linux/netns-identity.ts";
import { readBootId } from "../platform/process/boot-id.ts";
import { ownUid } from "../platform/process/own-user.ts";

export interface DecisionsInput {
  readonly runDir: string;
  readonly settings: SidecarSettings;
  readonly netns: Pick<NetnsRegistry, "get">;
  readonly pods: { get(uid: string): Pod | undefined };
  /** What this agent decided at the pod's last ADD. */
  readonly live: (podUid: string) => SidecarRecord | undefined;
  readonly metrics: Pick<AgentMetrics, "podRecordFailures">;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface WiredDecisions {
  /** For whoever answers ADD and DEL. */
  readonly atAdd: SidecarMemory;
  /** For whoever looks at running pods, once `loaded`. */
  readonly ofRunning: VerifierDeps["decisions"];
  /** For ambient mode. */
  readonly ambient: {
    /** After an ADD. The descriptor is open during the call. */
    keep(pod: Pod, sandbox: AddedSandbox): void;
    /** Rules that were seen in place, which an agent after this one may have to take out. */
    inPlace(pod: Pod, capture: AmbientCapture, netns: OpenNetns): void;
    /** An agent has seen rules of ambient mode in the pod's present namespace. */
    wasIn(podUid: string): boolean;
    forget(podUid: string): void;
  };
  readonly loaded: Promise<void>;
  readonly run: (ending: AbortSignal) => Promise<void>;
  forget(podUid: string): void;
  retain(pods: readonly Pod[]): void;
}

export function wireDecisions(input: DecisionsInput): WiredDecisions {
  const { netns, pods, live, settings, metrics, clock, log } = input;
  const records = createPodRecords({
    folder: createPrivateFolder(join(input.runDir, RECORDS_FOLDER), ownUid()),
    isTemporaryName,
    identify: identifyNetns,
    bootId: readBootId(),
    clock,
    wallMs: Date.now,
    yieldToLoop: () => setImmediate(),
    countFailure: (action) => metrics.podRecordFailures.increment({ action }),
    log,
  });
  return {
    atAdd: {
      keep(record, netnsFd) {
        const decision = {
          mode: "sidecar",
          podUid: record.podUid,
          podNamespace: record.podNamespace,
          podName: record.podName,
          containerId: record.containerId,
          reason: record.reason,
          capture: record.capture,
          decidedBy: "add",
          wasInPlace: record.capture !== undefined,
        } as const;
        if (record.capture === undefined) {
          const pod = pods.get(record.podUid);
          if (pod === undefined || !needsRecord(pod, record.reason, settings)) return;
          const { dev, ino } = netnsIdOf(netnsFd);
          records.keep(decision, { fd: netnsFd, dev, ino });
          return;
        }
        // The runtime waits for the answer, not for this. What is held then is this sandbox's namespace, or it is gone.
        void setImmediate().then(() => {
          const held = netns.get({ uid: record.podUid, annotations: {} });
          if (held !== undefined && live(record.podUid) === record) records.keep(decision, held);
        });
      },
      formerly(podUid, containerId) {
        const capture = records.formerly(podUid, containerId);
        return capture?.mode === "ambient" ? undefined : capture;
      },
      release: records.removeSandbox,
    },
    ofRunning: {
      get(podUid) {
        const record = live(podUid);
        if (record === undefined) return startedWith(records.decided(podUid));
        const { reason, capture } = record;
        return { reason, capture, decidedBy: "add", wasInPlace: capture !== undefined };
      },
      unproven: (podUid) => startedWith(records.unproven(podUid)),
      prove: records.prove,
      keep: ({ uid, namespace, name }, decision, at) =>
        records.keep(
          { ...decision, mode: "sidecar", podUid: uid, podNamespace: namespace, podName: name, containerId: undefined },
          at,
        ),
    },
    ambient: {
      keep(pod, { containerId, netnsFd, capture, reason }) {
        const { dev, ino } = netnsIdOf(netnsFd);
        const decision = { ...identityOf(pod), containerId, decidedBy: "add", wasInPlace: true } as const;
        records.keep({ ...decision, mode: "ambient", reason, capture }, { fd: netnsFd, dev, ino });
        // Before the answer: rules that nobody knows of would stay in a pod whose labels say "out" by the time a successor looks.
        records.save(pod.uid);
      },
      inPlace(pod, capture, at) {
        const known = records.decided(pod.uid);
        const { containerId, decidedBy, reason } = known?.mode === "ambient" ? known : UNSEEN;
        const decision = { ...identityOf(pod), containerId, decidedBy, wasInPlace: true } as const;
        records.keep({ ...decision, mode: "ambient", reason, capture }, at);
      },
      wasIn(podUid) {
        const record = records.decided(podUid) ?? records.unproven(podUid);
        return record?.mode === "ambient" && record.capture !== undefined;
      },
      forget: records.forget,
    },
    loaded: records.loaded,
    run: records.run,
    forget: records.forget,
    retain: (listed) => records.retain(listed.map(({ uid }) => uid)),
  };
}

/** Of a pod whose rules were found or made while it ran. */
const UNSEEN = { containerId: undefined, decidedBy: "annotations", reason: "labels" } as const;

function identityOf({ uid, namespace, name }: Pod): {
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
} {
  return { podUid: uid, podNamespace: namespace, podName: name };
}

/** Undefined also where ambient mode decided: that is another service's pod. */
function startedWith(record: PodRecord | undefined): StartedWith | undefined {
  if (record?.mode !== "sidecar") return undefined;
  const { reason, capture, decidedBy, wasInPlace } = record;
  return { reason, capture, decidedBy, wasInPlace };
}
