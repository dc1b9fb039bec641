// Status documents for tests of those who read them: a node on which all is well, and what a test changes about it.

import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { describeCapture } from "./describe-capture.ts";
import type { PodStatus, StatusDocument } from "./status-document.ts";

export const SAMPLE_TIME = "2026-01-02T03:04:05.000Z";

/** A captured pod of a sidecar mesh. */
export function samplePod(changes: Partial<PodStatus> = {}): PodStatus {
  return {
    namespace: "shop",
    name: "web-0",
    uid: "c1",
    decision: "in",
    reason: "sidecar",
    decidedBy: "add",
    state: "verified",
    message: null,
    needsAttention: false,
    capture: describeCapture(DEFAULT_SIDECAR_CAPTURE, 10),
    bypassed: [],
    lastVerifiedAt: "2026-01-02T03:04:00.000Z",
    lastDrift: [],
    lastDriftCount: 0,
    lastDriftAt: null,
    repairs: 0,
    isMonitored: true,
    netns: { inode: "4026532001", source: "add" },
    sandbox: { containerId: "0a1b", tookMs: 1.5 },
    finishing: null,
    ambient: null,
    ...changes,
  };
}

/** Counts follow from `pods` as far as the page and doctor look at them. */
export function sampleStatus(pods: readonly PodStatus[], changes: Partial<StatusDocument> = {}): StatusDocument {
  const needAttention = pods.filter((pod) => pod.needsAttention).length;
  const captured = pods.filter(({ state }) => state === "verified" || state === "repaired").length;
  const outside = pods.filter(({ state }) => state === "out").length;
  return {
    schemaVersion: 1,
    at: SAMPLE_TIME,
    isAllGood: needAttention === 0,
    agent: { version: "0.1.0", node: "node-1", mode: "sidecar", uptimeSeconds: 93_784 },
    options: [],
    isReady: true,
    conditions: [{ name: "install", isReady: true, reason: "" }],
    backend: {
      dialect: "iptables-nft",
      reason: "default",
      message: "Writing rules as iptables-nft: the kernel has all that the default capture needs",
      overriddenBy: null,
      missing: [],
      dialectInUserNamespaces: "nftables",
    },
    install: {
      state: "installed",
      reason: "10-calico.conflist runs our plugin",
      confName: "10-calico.conflist",
      warnings: [],
      rewrites: 0,
      fight: null,
      unwatched: [],
    },
    watches: [
      {
        ...{ resource: "pods", isSynced: true, phase: "watching", failures: 0, lastFailure: null },
        objects: pods.length,
        ageSeconds: 12,
      },
    ],
    netns: { handles: captured, unavailable: null, lastScan: null },
    ztunnel: null,
    probePaths: [],
    summary: {
      ...{ pods: pods.length, outside, captured, uncaptured: pods.length - captured - outside },
      ...{ unverified: 0, waiting: 0, refused: 0, bypassed: 0, needAttention },
    },
    pods,
    omittedPods: 0,
    ...changes,
  };
}
