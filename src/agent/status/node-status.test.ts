import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Pod, parsePod } from "../../core/kube/pod.ts";
import { type BackendDecision, decideBackend } from "../../core/policy/backend-decision.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../core/rules/sidecar-capture.ts";
import { describeOptions } from "../../core/status/config-document.ts";
import type { SandboxFacts, VerificationFacts } from "../../core/status/describe-pod.ts";
import { POD_EXPLANATION, STATUS_DOCUMENT } from "../../core/status/status-document.ts";
import { createNodeStatus, type NodeStatusDeps } from "./node-status.ts";

const DEFAULT_BACKEND = decideBackend(
  {
    nfTables: { answers: true },
    missing: { "iptables-nft": [{ feature: "tproxy", family: 6, errno: 2 }], nftables: [] },
    legacy: { kernel: false, missingPrograms: [] },
  },
  { nativeNftables: false, forceIptables: undefined },
);

function podOf(name: string, uid: string, change: object = {}): Pod {
  return parsePod({
    metadata: { namespace: "shop", name, uid, resourceVersion: "1", ...change },
    spec: { containers: [{ name: "app" }] },
  });
}

function verified(podUid: string, change: Partial<VerificationFacts> = {}): VerificationFacts {
  return {
    podUid,
    state: "verified",
    reason: "sidecar",
    decidedBy: "add",
    desired: DEFAULT_SIDECAR_CAPTURE,
    bypassed: [],
    message: undefined,
    lastVerifiedMs: 0,
    lastDrift: [],
    lastDriftMs: undefined,
    repairs: 0,
    netns: undefined,
    isMonitored: true,
    finishing: undefined,
    ...change,
  };
}

function added(podUid: string, containerId: string): SandboxFacts {
  const capture = DEFAULT_SIDECAR_CAPTURE;
  return { podUid, containerId, reason: "sidecar", capture, bypassed: [], addedMs: 1 };
}

function statusOf(
  change: Partial<NodeStatusDeps> & { readonly pods?: { list(): readonly Pod[] } } = {},
  maxPods?: number,
) {
  let nowMs = 1000;
  const status = createNodeStatus(
    {
      pods: { list: () => [podOf("web", "u1")] },
      verifications: () => [verified("u1")],
      sandboxes: () => [],
      backend: (): BackendDecision | undefined => DEFAULT_BACKEND,
      conditions: () => [{ name: "install", ready: true, reason: "" }],
      install: () => ({
        state: "installed",
        reason: "in place",
        confName: "10-a.conflist",
        warnings: [],
        rewrites: 0,
        fight: undefined,
        unwatched: new Map([["/host", "no inotify"]]),
      }),
      watches: () => [{ kind: "pods", isSynced: true, phase: "watching", failures: 0, objects: 1 }],
      watchAgeSeconds: () => 1.26,
      netns: () => ({ handles: 1, unavailable: undefined, lastScan: undefined }),
      enrolments: () => [],
      ztunnel: () => undefined,
      enablementLabels: () => [],
      probePaths: () => [],
      wallMs: () => 0,
      nowMs: () => nowMs,
      ...change,
    },
    {
      version: "1.2.3",
      node: "node-1",
      mode: "sidecar",
      settings: { excludedNamespaces: [] },
      strictFamilies: false,
      options: OPTIONS,
      ...(maxPods !== undefined && { maxPods }),
    },
  );
  nowMs += 61_500;
  const document = status.document();
  // Whatever is written can be read.
  assert.deepEqual(STATUS_DOCUMENT.read(JSON.parse(JSON.stringify(document)), ""), document);
  return { ...status, now: document };
}

const OPTIONS = describeOptions([
  { name: "NODE_NAME", env: "NODE_NAME", value: "node-1", source: "environment", hasEffect: true },
]);

describe("createNodeStatus()", () => {
  it("tells of agent, backend, installation, watches and pods", () => {
    const { pods, summary, ...rest } = statusOf().now;
    assert.deepEqual(rest, {
      schemaVersion: 1,
      at: "1970-01-01T00:00:00.000Z",
      isAllGood: true,
      agent: { version: "1.2.3", node: "node-1", mode: "sidecar", uptimeSeconds: 61 },
      options: OPTIONS,
      isReady: true,
      conditions: [{ name: "install", isReady: true, reason: "" }],
      backend: {
        dialect: "iptables-nft",
        reason: "default",
        message: DEFAULT_BACKEND.message,
        overriddenBy: null,
        missing: [
          "tproxy for IPv6 (needed for interception mode TPROXY; kernel modules nft_compat, xt_TPROXY; errno 2)",
        ],
        dialectInUserNamespaces: "nftables",
      },
      install: {
        state: "installed",
        reason: "in place",
        confName: "10-a.conflist",
        warnings: [],
        rewrites: 0,
        fight: null,
        unwatched: [{ folder: "/host", reason: "no inotify" }],
      },
      watches: [
        {
          resource: "pods",
          isSynced: true,
          phase: "watching",
          failures: 0,
          lastFailure: null,
          objects: 1,
          ageSeconds: 1.3,
        },
      ],
      netns: { handles: 1, unavailable: null, lastScan: null },
      ztunnel: null,
      probePaths: [],
      omittedPods: 0,
    });
    assert.deepEqual(
      pods.map(({ name, state, decision }) => [name, state, decision]),
      [["web", "verified", "in"]],
    );
    assert.equal(summary.captured, 1);
  });

  it("does not make a backend by asking for it, and names the option that decided one", () => {
    assert.equal(statusOf({ backend: () => undefined }).now.backend, null);
    const forced = { ...DEFAULT_BACKEND, reason: "forced-nft" } as const;
    assert.equal(statusOf({ backend: () => forced }).now.backend?.overriddenBy, "FORCE_IPTABLES_BINARY");
  });

  it("is good only when it is ready and no pod needs attention", () => {
    const conditions = () => [{ name: "pods", ready: false, reason: "no API" }];
    assert.deepEqual([statusOf({ conditions }).now.isReady, statusOf({ conditions }).now.isAllGood], [false, false]);
    assert.equal(statusOf({ conditions: () => [] }).now.isAllGood, false);
    const failed = statusOf({ verifications: () => [verified("u1", { state: "failed" })] }).now;
    assert.deepEqual([failed.isReady, failed.isAllGood, failed.summary.needAttention], [true, false, 1]);
  });

  it("tells whether probes reach pods, and that not all is good when they reach none", () => {
    const pods = {
      works: 0,
      "wrong-source": 0,
      "captured-by-ztunnel": 0,
      refused: 0,
      "no-answer": 3,
      "cannot-test": 0,
    };
    const source = { family: 4, bytes: Uint8Array.of(169, 254, 7, 127) } as const;
    const facts = { family: 4, source, pods, message: "lost", examples: ["shop/web"], lastMs: 0 } as const;
    const of = (verdict: "fails" | "partly") => statusOf({ probePaths: () => [{ ...facts, verdict }] }).now;
    assert.deepEqual(of("fails").probePaths, [
      {
        ...{ family: "ipv4", verdict: "fails", source: "169.254.7.127", message: "lost", examples: ["shop/web"] },
        results: [{ result: "no-answer", pods: 3 }],
        lastTriedAt: "1970-01-01T00:00:00.000Z",
      },
    ]);
    // One pod's own policy is no fault of the node.
    assert.deepEqual([of("fails").isAllGood, of("partly").isAllGood, of("fails").isReady], [false, true, true]);
  });

  it("lists every pod the API has shown, by name, looked at or not, and cuts the list", () => {
    const list = () => [podOf("c", "u3"), podOf("a", "u1"), podOf("b", "u2")];
    const { now, counts } = statusOf({ pods: { list }, sandboxes: () => [added("u2", "old"), added("u2", "new")] }, 2);
    assert.deepEqual(
      now.pods.map(({ name, state, sandbox }) => [name, state, sandbox?.containerId]),
      [
        ["a", "verified", undefined],
        ["b", "waiting", "new"],
      ],
    );
    assert.deepEqual([now.omittedPods, now.summary.pods, now.summary.waiting], [1, 3, 2]);
    assert.equal(counts().groups.waiting, 2);
  });

  it("forgets records of pods that are gone", () => {
    const { now } = statusOf({ pods: { list: () => [] }, verifications: () => [verified("u1", { state: "failed" })] });
    assert.deepEqual([now.summary.pods, now.summary.needAttention, now.isAllGood], [0, 0, true]);
  });

  it("explains a pod with its inputs and its rules", () => {
    const { explain } = statusOf();
    assert.equal(explain("shop", "absent"), undefined);
    assert.equal(explain("other", "web"), undefined);
    const explanation = explain("shop", "web");
    const live = { state: "as-wanted", drift: [], driftCount: 0, holdsMeshRules: null, message: null, tookMs: 1 };
    const document = { ...explanation, live };
    assert.deepEqual(POD_EXPLANATION.read(JSON.parse(JSON.stringify(document)), ""), document);
    assert.match(explanation?.decisionInWords ?? "", /injected/);
    assert.equal(explanation?.rules?.dialect, "iptables-nft");
    assert.equal(explanation?.rules?.list.length, 20);
  });

  it("tells who asks for a pod without a sidecar that ambient mode is off here", () => {
    const out = verified("u1", { state: "out", reason: "no-proxy-container", desired: undefined });
    const explanation = statusOf({ verifications: () => [out] }).explain("shop", "web");
    assert.equal(explanation?.decisionInWords, "it has no container istio-proxy; ambient mode is off on this node");
    assert.ok(explanation?.inputs.some(({ name, value }) => name === "AMBIENT_ENABLED" && value === "false"));
  });

  it("explains a pod in a user namespace of its own by the dialect it is written in", () => {
    const own: Pod = { ...podOf("web", "u1"), hostUsers: false };
    const { explain } = statusOf({ pods: { list: () => [own] } });
    assert.equal(explain("shop", "web")?.rules?.dialect, "nftables");
  });

  it("explains the pod that stays, of two with one name", () => {
    const list = () => [podOf("web", "old", { deletionTimestamp: "2026-01-01T00:00:00Z" }), podOf("web", "new")];
    assert.equal(statusOf({ pods: { list } }).explain("shop", "web")?.pod.uid, "new");
  });

  it("finds a pod with what is wanted of it: as verified, else as its ADD left it, and nothing of one that is out", () => {
    const capture = DEFAULT_SIDECAR_CAPTURE;
    assert.equal(statusOf().find("shop", "absent"), undefined);
    assert.deepEqual(statusOf().find("shop", "web")?.capture, capture);
    const sandboxes = () => [added("u1", "c1")];
    assert.deepEqual(statusOf({ verifications: () => [], sandboxes }).find("shop", "web")?.capture, capture);
    const out = verified("u1", { state: "out", reason: "not-injected", desired: undefined });
    assert.equal(statusOf({ verifications: () => [out], sandboxes }).find("shop", "web")?.capture, undefined);
  });

  it("has no rules for a pod that is out, or before the backend is decided", () => {
    const out = verified("u1", { state: "out", reason: "not-injected", desired: undefined });
    assert.equal(statusOf({ verifications: () => [out] }).explain("shop", "web")?.rules, null);
    assert.equal(statusOf({ backend: () => undefined }).explain("shop", "web")?.rules, null);
  });
});
