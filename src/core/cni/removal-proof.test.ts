import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DaemonSet, parseDaemonSet } from "../kube/daemonset.ts";
import { type DaemonSetSight, decideRemovalProof } from "./removal-proof.ts";

function daemonSet(metadata: object = {}, podSpec: object = {}): DaemonSet {
  return parseDaemonSet({ metadata: { uid: "u", ...metadata }, spec: { template: { spec: podSpec } } });
}
const affinity = (...expressions: object[]) => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: expressions }] },
    },
  },
});
const there = (found: DaemonSet): DaemonSetSight => ({ kind: "there", daemonSet: found });
const NODE = { name: "node-1", labels: { pool: "mesh", size: "8" } };
const SEEN = daemonSet();

describe("decideRemovalProof()", () => {
  const cases: readonly [string, DaemonSet | undefined, DaemonSetSight, typeof NODE | undefined, boolean][] = [
    ["a DaemonSet that is there", SEEN, there(daemonSet()), NODE, false],
    ["one that is being deleted", SEEN, there(daemonSet({ deletionTimestamp: "2026-01-01T00:00:00Z" })), NODE, true],
    ["one that was seen and is gone", SEEN, { kind: "not-found" }, NODE, true],
    ["one that was never seen, perhaps of another name", undefined, { kind: "not-found" }, NODE, false],
    ["no right to see it, no answer", SEEN, { kind: "unknown", reason: "it may not be seen" }, NODE, false],
    [
      "one that requires this node",
      SEEN,
      there(daemonSet({}, affinity({ key: "pool", operator: "In", values: ["mesh"] }))),
      NODE,
      false,
    ],
    [
      "one that requires another node",
      SEEN,
      there(daemonSet({}, affinity({ key: "pool", operator: "NotIn", values: ["mesh"] }))),
      NODE,
      true,
    ],
    [
      "one that requires some node, on one that cannot be read",
      SEEN,
      there(daemonSet({}, affinity({ key: "x", operator: "Exists" }))),
      undefined,
      false,
    ],
    [
      "one scaled to none by a node selector, which is a pause",
      SEEN,
      there(daemonSet({}, { nodeSelector: { never: "" } })),
      NODE,
      false,
    ],
  ];
  for (const [what, seen, sight, node, isProven] of cases) {
    it(`${isProven ? "is proof" : "keeps everything"}: ${what}`, () => {
      const proof = decideRemovalProof(seen, sight, node);
      assert.equal(proof.isProven, isProven, proof.reason);
      assert.notEqual(proof.reason, "");
    });
  }
});

describe("a DaemonSet's required node affinity", () => {
  for (const [expression, wanted] of [
    [{ key: "pool", operator: "Exists" }, true],
    [{ key: "pool", operator: "DoesNotExist" }, false],
    [{ key: "other", operator: "NotIn", values: ["a"] }, true],
    [{ key: "other", operator: "In", values: ["a"] }, false],
    [{ key: "size", operator: "Gt", values: ["7"] }, true],
    [{ key: "size", operator: "Lt", values: ["8"] }, false],
    [{ key: "pool", operator: "Gt", values: ["1"] }, false],
    [{ key: "pool", operator: "Near", values: [] }, false],
  ] as const) {
    it(`${wanted ? "wants" : "does not want"} the node by ${JSON.stringify(expression)}`, () => {
      const proof = decideRemovalProof(SEEN, there(daemonSet({}, affinity(expression))), NODE);
      assert.equal(proof.isProven, !wanted);
    });
  }

  it("wants a node by its name, by any of its terms, and none by a term without requirements", () => {
    const terms = (nodeSelectorTerms: object[]) => ({
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } },
    });
    const named = { matchFields: [{ key: "metadata.name", operator: "In", values: ["node-1"] }] };
    const isProven = (list: object[]) => decideRemovalProof(SEEN, there(daemonSet({}, terms(list))), NODE).isProven;
    assert.deepEqual(
      [isProven([named]), isProven([{}, named]), isProven([{}]), isProven([])],
      [false, false, true, true],
    );
  });
});
