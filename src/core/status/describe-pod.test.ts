import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SIDECAR_CASES } from "../../../testbed/sidecar/sidecar-cases.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { countPods } from "./count-pods.ts";
import { describeCapture } from "./describe-capture.ts";
import type { EnrolmentStatusFacts } from "./describe-enrolment.ts";
import { describePod, type SandboxFacts, type VerificationFacts, wordsOfFinishing } from "./describe-pod.ts";
import { describeRules } from "./describe-rules.ts";
import { POD_STATES, POD_STATUS } from "./status-document.ts";

const pod = { uid: "u1", namespace: "shop", name: "web" };
const LIMITS = { listEntries: 3, sentences: 2 };
const VERIFIED: VerificationFacts = {
  podUid: "u1",
  state: "verified",
  reason: "sidecar",
  decidedBy: "annotations",
  desired: DEFAULT_SIDECAR_CAPTURE,
  bypassed: [],
  message: undefined,
  lastVerifiedMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  lastDrift: [],
  lastDriftMs: undefined,
  repairs: 0,
  netns: { ino: "4026532001", source: "ip" },
  isMonitored: true,
  finishing: undefined,
};
const ADDED: SandboxFacts = {
  podUid: "u1",
  containerId: "abc",
  reason: "sidecar",
  capture: DEFAULT_SIDECAR_CAPTURE,
  bypassed: ["ipv6"],
  addedMs: 2.71459,
};

function describeWith(verification?: Partial<VerificationFacts>, sandbox?: Partial<SandboxFacts>) {
  const status = describePod(
    {
      pod,
      verification: verification && { ...VERIFIED, ...verification },
      sandbox: sandbox && { ...ADDED, ...sandbox },
    },
    LIMITS,
  );
  // What is written can be read, by this very schema.
  assert.deepEqual(POD_STATUS.read(JSON.parse(JSON.stringify(status)), ""), status);
  return status;
}

describe("describePod()", () => {
  it("tells what verification found", () => {
    const status = describeWith({ lastDrift: ["a", "b", "c"], lastDriftMs: 0, repairs: 2 });
    const { capture, ...rest } = status;
    assert.equal(capture?.kind, "sidecar");
    assert.deepEqual(rest, {
      ...pod,
      decision: "in",
      reason: "sidecar",
      decidedBy: "annotations",
      state: "verified",
      message: null,
      needsAttention: false,
      bypassed: [],
      lastVerifiedAt: "2026-01-02T03:04:05.678Z",
      lastDrift: ["a", "b"],
      lastDriftCount: 3,
      lastDriftAt: "1970-01-01T00:00:00.000Z",
      repairs: 2,
      isMonitored: true,
      netns: { inode: "4026532001", source: "ip" },
      sandbox: null,
      finishing: null,
      ambient: null,
    });
  });

  it("tells of a pod that has left ambient mode what it still finishes, as a document that is read back", () => {
    const sinceMs = Date.UTC(2026, 0, 2, 3, 4, 0);
    const told = (connections: number | undefined) => {
      const verification = { ...VERIFIED, state: "out", finishing: { connections, sinceMs } } as const;
      const status = describePod({ pod, verification, sandbox: undefined }, LIMITS);
      assert.deepEqual(POD_STATUS.read(JSON.parse(JSON.stringify(status)), ""), status);
      assert.ok(!status.needsAttention);
      return [status.finishing, wordsOfFinishing(status, "2026-01-02T03:04:12.000Z")];
    };
    const since = "2026-01-02T03:04:00.000Z";
    const ago = "left ambient mode 12s ago, finishing";
    assert.deepEqual(told(2), [{ connections: 2, since }, `${ago} 2 connections through ztunnel`]);
    assert.deepEqual(told(1), [{ connections: 1, since }, `${ago} a connection through ztunnel`]);
    assert.deepEqual(told(undefined), [{ connections: null, since }, `${ago} what ztunnel has open`]);
  });

  it("takes the word of the ADD while nobody has looked", () => {
    const captured = describeWith(undefined, {});
    assert.partialDeepStrictEqual(captured, { decision: "in", state: "waiting", decidedBy: "add", bypassed: ["ipv6"] });
    assert.deepEqual(captured.sandbox, { containerId: "abc", tookMs: 2.715 });
    const passed = describeWith(undefined, { reason: "not-injected", capture: undefined, bypassed: [] });
    assert.partialDeepStrictEqual(passed, { decision: "out", reason: "not-injected", capture: null });
  });

  it("tells of ambient mode what somebody has seen, and calls for attention where a step fails", () => {
    const facts = {
      wanted: "in",
      wasIn: true,
      netns: "held",
      rules: "stand",
      ztunnel: "refused",
      isConnected: true,
      probes: "listed",
      hasAddress: true,
      annotation: "pending",
    } as const;
    const record = { podUid: "u1", state: "waiting", failedStep: undefined, message: undefined, sinceMs: 0 } as const;
    const told = (enrolment: EnrolmentStatusFacts) =>
      describePod({ pod, verification: VERIFIED, sandbox: undefined, enrolment }, LIMITS);
    const refused = told({ ...record, facts, waits: "ztunnel-refused" });
    assert.deepEqual(POD_STATUS.read(JSON.parse(JSON.stringify(refused)), ""), refused);
    assert.ok(refused.needsAttention);
    assert.partialDeepStrictEqual(refused.ambient, { state: "waiting", since: "1970-01-01T00:00:00.000Z" });
    assert.ok(!told({ ...record, facts, waits: "no-ztunnel" }).needsAttention, "the node tells of that");
    assert.equal(told({ ...record, facts: undefined, waits: undefined }).ambient, null);
  });

  it("calls a pod undecided of which nothing is known, and in when only its address is missing", () => {
    assert.partialDeepStrictEqual(describeWith(), { decision: "undecided", reason: null, state: "waiting" });
    const young = describeWith({ state: "waiting", desired: undefined, lastVerifiedMs: undefined });
    assert.partialDeepStrictEqual(young, {
      decision: "in",
      capture: null,
      lastVerifiedAt: null,
      needsAttention: false,
    });
  });

  it("calls for attention where the mesh does not hold what it says", () => {
    for (const state of POD_STATES) {
      const expected = ["refused", "uncaptured", "failed", "unverifiable"].includes(state);
      assert.equal(describeWith({ state }).needsAttention, expected, state);
    }
    assert.equal(describeWith({ bypassed: ["ipv6"] }).needsAttention, true);
  });

  it("cuts sentences and lists that a pod's author can make long", () => {
    const capture = { ...DEFAULT_SIDECAR_CAPTURE, outboundPorts: { include: [1, 2, 3, 4], exclude: [] } };
    const status = describeWith({ message: "x".repeat(100_000), desired: capture });
    assert.ok(status.capture?.kind === "sidecar" && status.capture.isAbridged);
    assert.deepEqual(status.capture.outboundPorts.include, ["1", "2", "3"]);
    assert.equal(status.message?.length, 1025);
  });
});

describe("describeCapture()", () => {
  it("tells every capture there is in texts and numbers", () => {
    for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
      const status = describeCapture(capture, 100);
      assert.deepEqual(JSON.parse(JSON.stringify(status)), status, name);
      assert.ok(!status.isAbridged, name);
    }
    const status = describeCapture(SIDECAR_CASES["outbound-ranges"] ?? DEFAULT_SIDECAR_CAPTURE, 2);
    assert.ok(status.kind === "sidecar");
    assert.deepEqual(status.outboundRanges.include, ["10.0.0.0/8", "fd00::/8"]);
    assert.ok(status.isAbridged);
  });

  it("tells an ambient capture", () => {
    const address = (family: 4 | 6, ...bytes: number[]) => ({ family, bytes: Uint8Array.from(bytes) });
    const status = describeCapture(
      {
        mode: "ambient",
        families: { v4: true, v6: true },
        captureInbound: false,
        captureDns: true,
        virtualInterfaces: ["vnet0"],
        probeSource: { v4: address(4, 169, 254, 7, 127), v6: address(6, 0xfd, ...Array(14).fill(0), 1) },
      },
      10,
    );
    assert.deepEqual(status, {
      kind: "ambient",
      families: ["ipv4", "ipv6"],
      captureInbound: false,
      dnsCapture: true,
      virtualInterfaces: ["vnet0"],
      probeSources: ["169.254.7.127", "fd00::1"],
      isAbridged: false,
    });
  });
});

describe("describeRules()", () => {
  it("says what each rule is for, in the dialect of the node", () => {
    const iptables = describeRules(DEFAULT_SIDECAR_CAPTURE, "iptables-nft");
    assert.deepEqual(iptables.list[0], {
      family: "ipv4",
      table: "nat",
      chain: "PREROUTING",
      rule: "-A PREROUTING -p tcp -j ISTIO_INBOUND",
      intent: "All TCP that comes into the pod is looked at",
    });
    const native = describeRules(DEFAULT_SIDECAR_CAPTURE, "nftables");
    assert.equal(native.list[0]?.family, "inet");
    for (const { list } of [iptables, native])
      assert.ok(list.every(({ rule, intent }) => rule !== "" && intent !== ""));
  });

  it("bounds itself", () => {
    const ports = Array.from({ length: 1024 }, (_, index) => index);
    const capture = { ...DEFAULT_SIDECAR_CAPTURE, outboundPorts: { include: [], exclude: ports } };
    const { list, omitted } = describeRules(capture, "iptables-nft");
    assert.equal(list.length, 400);
    assert.ok(omitted > 1000);
  });
});

describe("countPods()", () => {
  it("puts every pod into exactly one group", () => {
    const { groups, ...others } = countPods(POD_STATES.map((state) => ({ state, bypassed: ["ipv6"] })));
    assert.equal(
      Object.values(groups).reduce((sum, count) => sum + count, 0),
      POD_STATES.length,
    );
    assert.deepEqual(groups, { outside: 1, captured: 2, uncaptured: 2, unverified: 1, waiting: 1, refused: 1 });
    assert.deepEqual(others, { bypassed: { ipv4: 0, ipv6: 8 }, bypassing: 8, needAttention: 8 });
  });
});
