import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type IpAddress, parseIpAddress } from "../address.ts";
import { renderProbePathHint } from "./probe-path-hints.ts";
import {
  decideSelfTest,
  type ProbeEvidence,
  SELF_TEST_RESULTS,
  SELF_TEST_VERDICTS,
  type SelfTestOutcome,
  type SelfTestReason,
  summarizeSelfTests,
} from "./probe-self-test.ts";

const ip = (text: string): IpAddress => parseIpAddress(text) ?? assert.fail(text);

const TABLE: readonly [ProbeEvidence, SelfTestOutcome["result"], SelfTestReason, message: string][] = [
  [{ kind: "arrived", source: ip("169.254.7.127") }, "works", "none", ""],
  [
    { kind: "arrived", source: ip("10.0.0.1") },
    "wrong-source",
    "other-source",
    "probes reach the pod, but from 10.0.0.1 instead of 169.254.7.127",
  ],
  [
    { kind: "intercepted", source: ip("10.0.0.1") },
    "wrong-source",
    "other-source",
    "probes end in ztunnel, because they come from 10.0.0.1 instead of 169.254.7.127",
  ],
  [
    { kind: "intercepted", source: ip("169.254.7.127") },
    "captured-by-ztunnel",
    "probe-source-captured",
    "probes end in ztunnel, although they come from 169.254.7.127 as they should",
  ],
  [
    { kind: "intercepted", source: undefined },
    "captured-by-ztunnel",
    "source-unseen",
    "probes end in ztunnel; they should pass it, by coming from 169.254.7.127",
  ],
  [
    { kind: "refused", code: "ECONNREFUSED" },
    "refused",
    "rejected",
    "connections of the node to the pod are rejected (ECONNREFUSED)",
  ],
  [{ kind: "silent", source: undefined }, "no-answer", "request-lost", "probes get lost on the way to the pod"],
  [
    { kind: "silent", source: ip("169.254.7.127") },
    "no-answer",
    "answer-lost",
    "probes reach the pod, but its answers to 169.254.7.127 get lost on the way back",
  ],
  [
    { kind: "silent", source: ip("10.0.0.1") },
    "wrong-source",
    "other-source",
    "probes reach the pod from 10.0.0.1 instead of 169.254.7.127, and the answers get lost",
  ],
  [{ kind: "silent", source: "unknown" }, "no-answer", "lost", "probes, or the answers to them, get lost"],
  [{ kind: "untried", problem: "Cannot enter: EPERM" }, "cannot-test", "untried", "Cannot enter: EPERM"],
];

describe("decideSelfTest()", () => {
  for (const [evidence, result, reason, message] of TABLE) {
    it(`calls it ${result} when ${JSON.stringify(evidence, (_, value) => (value instanceof Uint8Array ? value.join(".") : value))}`, () => {
      assert.deepEqual(decideSelfTest(evidence, ip("169.254.7.127")), { result, reason, message });
    });
  }

  it("takes another family for another source, and an IPv6 one as well", () => {
    const source = ip("fd16:9254:7127:1337:ffff:ffff:ffff:ffff");
    assert.equal(decideSelfTest({ kind: "arrived", source }, source).result, "works");
    assert.equal(decideSelfTest({ kind: "arrived", source: ip("fd16::1") }, source).result, "wrong-source");
    assert.equal(decideSelfTest({ kind: "arrived", source: ip("169.254.7.127") }, source).result, "wrong-source");
  });

  it("is shown by the table in every result it knows", () => {
    assert.deepEqual(new Set(TABLE.map(([, result]) => result)), new Set(SELF_TEST_RESULTS));
  });
});

const outcome = (result: SelfTestOutcome["result"], reason: SelfTestReason = "none"): SelfTestOutcome => ({
  ...{ result, reason },
  message: result,
});
const WORKS = outcome("works");
const LOST = outcome("no-answer", "answer-lost");
const REFUSED = outcome("refused", "rejected");
const UNTRIED = outcome("cannot-test", "untried");

describe("summarizeSelfTests()", () => {
  for (const [outcomes, verdict, worst] of [
    [[], "untested", undefined],
    [[WORKS, WORKS], "works", undefined],
    [[UNTRIED, WORKS], "works", undefined],
    [[UNTRIED], "cannot-test", UNTRIED],
    [[WORKS, REFUSED], "partly", REFUSED],
    [[LOST, REFUSED, REFUSED, WORKS], "partly", REFUSED],
    [[LOST, LOST, REFUSED], "fails", LOST],
    [[UNTRIED, UNTRIED, LOST], "fails", LOST],
  ] as const) {
    it(`says ${verdict} of ${outcomes.map(({ result }) => result).join(", ") || "nothing"}`, () => {
      const summary = summarizeSelfTests(outcomes);
      assert.deepEqual([summary.verdict, summary.worst], [verdict, worst]);
      const counted = Object.values(summary.pods).reduce((sum, count) => sum + count, 0);
      assert.equal(counted, outcomes.length);
    });
  }
});

describe("renderProbePathHint()", () => {
  it("says something, on one short line, of everything that can be found wrong", () => {
    const reasons = new Set(
      TABLE.filter(([, result]) => result !== "works" && result !== "cannot-test").map((row) => row[2]),
    );
    for (const reason of reasons) {
      for (const verdict of SELF_TEST_VERDICTS) {
        const hint = renderProbePathHint(reason, verdict);
        assert.equal(hint === "", verdict === "works", `${reason} ${verdict}`);
        // With the sentence before it, it has to fit into an Event.
        assert.ok(!hint.includes("\n") && hint.length < 700, `${reason}: ${hint.length}`);
      }
    }
    assert.equal(renderProbePathHint("none", "fails"), "");
    assert.equal(renderProbePathHint("untried", "cannot-test"), "");
  });

  it("names the networks that are known for what was seen", () => {
    assert.match(
      renderProbePathHint("answer-lost", "fails"),
      /bpf\.masquerade=false.*POD_SECURITY_GROUP_ENFORCING_MODE/,
    );
    assert.match(renderProbePathHint("other-source", "fails"), /eBPF host routing/);
    assert.match(renderProbePathHint("request-lost", "partly"), /^other pods of this node are reached.*network policy/);
  });
});
