import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { describeCapture } from "./describe-capture.ts";
import { describeRules } from "./describe-rules.ts";
import { renderExplanation } from "./render-explanation.ts";
import { renderStatus } from "./render-status.ts";
import type { PodExplanation } from "./status-document.ts";
import { SAMPLE_TIME, samplePod, sampleStatus } from "./testing.ts";

/** Compares with a file of testdata/; UPDATE_GOLDEN=1 writes it anew. */
function assertGolden(name: string, actual: string): void {
  const path = new URL(`testdata/${name}`, import.meta.url);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, "utf8"));
}

const AT = SAMPLE_TIME;

const VERIFIED = samplePod();

const OUT = samplePod({
  name: "db",
  decision: "out",
  reason: "not-injected",
  state: "out",
  capture: null,
  lastVerifiedAt: null,
  netns: null,
  sandbox: null,
});

const REPAIRED = samplePod({
  name: "flushed",
  state: "repaired",
  repairs: 2,
  lastDrift: ["chain nat/ISTIO_OUTPUT of IPv4 was altered", "chain nat/ISTIO_INBOUND of IPv4 was altered"],
  lastDriftCount: 9,
  lastDriftAt: "2026-01-02T01:04:05.000Z",
});

const FAILED = samplePod({
  name: "hostile",
  state: "failed",
  needsAttention: true,
  decidedBy: "annotations",
  message: 'Cannot do it: it is "\u001b[2J\u202e"',
  bypassed: ["ipv6"],
});

const STATUS = sampleStatus([OUT, REPAIRED, FAILED, VERIFIED], {
  isAllGood: false,
  isReady: false,
  conditions: [
    { name: "pods", isReady: true, reason: "" },
    { name: "install", isReady: false, reason: "waiting for a CNI configuration" },
  ],
  backend: {
    dialect: "nftables",
    reason: "native-nftables-set",
    message: "Writing rules as nftables: NATIVE_NFTABLES is true",
    overriddenBy: "NATIVE_NFTABLES",
    missing: [],
    dialectInUserNamespaces: "nftables",
  },
  install: {
    state: "waiting",
    reason: "no file yet",
    confName: null,
    warnings: ["a warning"],
    rewrites: 3,
    fight: {
      conf: "05-cilium.conflist",
      writer: "the writer of 05-cilium.conflist (cilium-cni)",
      policy: "keep",
      advice: "with Cilium, set cni.exclusive=false",
    },
    unwatched: [],
  },
  watches: [
    {
      resource: "pods",
      isSynced: true,
      phase: "watching",
      failures: 2,
      lastFailure: "no route",
      objects: 4,
      ageSeconds: 130,
    },
    {
      resource: "namespaces",
      isSynced: false,
      phase: "listing",
      failures: 0,
      lastFailure: null,
      objects: 0,
      ageSeconds: null,
    },
  ],
  netns: { handles: 2, unavailable: "/host/proc is not there", lastScan: null },
  ztunnel: {
    isConnected: true,
    workloads: 4,
    connections: [
      { pid: 4711, phase: "live", isPrimary: false, workloads: 4 },
      { pid: 4712, phase: "live", isPrimary: true, workloads: 3 },
    ],
  },
  probePaths: [
    {
      family: "ipv4",
      verdict: "works",
      source: "169.254.7.127",
      results: [{ result: "works", pods: 4 }],
      message: null,
      examples: [],
      lastTriedAt: "2026-01-02T03:04:00.000Z",
    },
    {
      family: "ipv6",
      verdict: "fails",
      source: "fd16::1",
      results: [
        { result: "no-answer", pods: 2 },
        { result: "cannot-test", pods: 1 },
      ],
      message: "probes get lost on the way to the pod. Known causes and remedies: a policy",
      examples: ["shop/web-0"],
      lastTriedAt: null,
    },
  ],
  summary: {
    pods: 5,
    outside: 1,
    captured: 2,
    uncaptured: 1,
    unverified: 0,
    waiting: 1,
    refused: 0,
    bypassed: 1,
    needAttention: 1,
  },
  omittedPods: 1,
});

const EXPLANATION: PodExplanation = {
  schemaVersion: 1,
  at: AT,
  node: "node-1",
  pod: { ...REPAIRED, bypassed: ["ipv6"] },
  decisionInWords: "it was injected",
  inputs: [
    { name: "host network", value: "false" },
    { name: "label sidecar.istio.io/inject", value: null },
  ],
  rules: describeRules(DEFAULT_SIDECAR_CAPTURE, "iptables-nft"),
  live: {
    state: "differs",
    drift: ["chain nat/ISTIO_OUTPUT of IPv4 was altered", "table \u001b[2J of IPv4 is missing"],
    driftCount: 3,
    holdsMeshRules: null,
    message: null,
    tookMs: 1.5,
  },
};

describe("renderStatus()", () => {
  it("is the text of testdata/status.txt", () => {
    assertGolden("status.txt", renderStatus(STATUS, { hasColours: false }));
  });

  it("says with colours what it says without", () => {
    const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9]+m`, "g");
    const coloured = renderStatus(STATUS, { hasColours: true });
    assert.notEqual(coloured.replace(escapes, ""), coloured);
    assert.equal(coloured.replace(escapes, ""), renderStatus(STATUS, { hasColours: false }));
  });

  it("is a head alone where there is no pod", () => {
    const text = renderStatus({ ...STATUS, pods: [], omittedPods: 0, backend: null }, { hasColours: false });
    assert.doesNotMatch(text, /NAMESPACE/);
    assert.match(text, /^Rules +not decided yet/m);
  });
});

describe("renderExplanation()", () => {
  it("says, as the status does, that a pod finishes what it had open in ambient mode", () => {
    const finishing = { connections: 3, since: "2026-01-02T03:03:53.000Z" };
    const words = "left ambient mode 12s ago, finishing 3 connections through ztunnel";
    const pod = { ...OUT, finishing };
    const status = renderStatus({ ...STATUS, pods: [pod] }, { hasColours: false });
    assert.ok(
      status
        .split("\n")
        .find((line) => line.startsWith("shop"))
        ?.endsWith(`  ${words}`),
    );
    const explained = renderExplanation({ ...EXPLANATION, pod }, { hasColours: false, withRules: false });
    assert.match(explained, new RegExp(`^  connections +${words}$`, "m"));
  });

  it("is the text of testdata/explanation.txt, and with rules that of testdata/explanation-rules.txt", () => {
    assertGolden("explanation.txt", renderExplanation(EXPLANATION, { hasColours: false, withRules: false }));
    assertGolden("explanation-rules.txt", renderExplanation(EXPLANATION, { hasColours: false, withRules: true }));
  });

  it("tells how far a pod has come in ambient mode, and what stands in its way", () => {
    const ambient = {
      state: "failed",
      since: "2026-01-02T03:03:35.000Z",
      rules: "stand",
      ztunnel: "acknowledged",
      probes: "absent",
      annotation: "enabled",
      waits: null,
      failedStep: "list-probes",
      message: "no ipset in this kernel",
    } as const;
    const pod = { ...VERIFIED, decidedBy: "labels", ambient } as const;
    const text = renderExplanation({ ...EXPLANATION, pod }, { hasColours: false, withRules: false });
    const section = text.slice(text.indexOf("Ambient mode"), text.indexOf("What should be captured"));
    assertGolden("explanation-ambient.txt", section);
  });

  it("says of every outcome of the look at the kernel what it means", () => {
    const same = { ...EXPLANATION.live, state: "as-wanted", drift: [], driftCount: 0 } as const;
    const text = (live: PodExplanation["live"]): string => {
      const whole = renderExplanation({ ...EXPLANATION, live }, { hasColours: false, withRules: false });
      return whole.slice(whole.indexOf("What the kernel holds now"), whole.indexOf("\nRules"));
    };
    assert.match(text(same), /^ +difference +none: all that should be there is there$/m);
    assert.match(
      text({ ...same, state: "unknown", message: "no answer in time" }),
      /^ +not known +no answer in time$/m,
    );
    const out = { ...same, state: "nothing-wanted" } as const;
    assert.match(text({ ...out, holdsMeshRules: false }), /^ +difference +none: no rule of a mesh is there/m);
    assert.match(text({ ...out, holdsMeshRules: true }), /^ +difference +rules of a mesh are there that this agent/m);
  });

  it("says of a pod that is left alone that nothing is looked for, and of a refused one what to do next", () => {
    const text = (pod: PodExplanation["pod"]): string =>
      renderExplanation({ ...EXPLANATION, pod }, { hasColours: false, withRules: false });
    assert.match(text({ ...OUT, isMonitored: false }), /^ +changes +not looked for\n +network namespace +not needed$/m);
    const refused = samplePod({ state: "refused", reason: "bad-annotation", message: "Cannot read annotation x" });
    assert.match(
      text(refused),
      /^ +why +Cannot read annotation x\n +next +correct the annotation and make the pod anew$/m,
    );
    assert.doesNotMatch(text(OUT), /^ +next/m);
  });

  it("tells the ports that count in the captured ranges from those that count in any", () => {
    const capture = { ...DEFAULT_SIDECAR_CAPTURE, outboundPorts: { include: [443], exclude: [15020] } };
    const pod = samplePod({ capture: describeCapture(capture, 10) });
    const text = renderExplanation({ ...EXPLANATION, pod }, { hasColours: false, withRules: false });
    assert.match(text, /^ +outbound ports +all of these ranges but 15020; 443 of any range$/m);
  });

  it("explains a pod of which nothing is known", () => {
    const pod = { ...OUT, decision: "undecided", reason: null, decidedBy: null, state: "waiting" } as const;
    const text = renderExplanation(
      { ...EXPLANATION, pod, decisionInWords: null, rules: null },
      { hasColours: false, withRules: true },
    );
    assert.match(text, /^shop\/db is not decided on yet\n/);
  });
});
