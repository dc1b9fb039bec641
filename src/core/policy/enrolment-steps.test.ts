import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Redirection } from "./ambient-redirection.ts";
import { decideEnrolmentSteps, type EnrolmentFacts, type EnrolmentStep } from "./enrolment-steps.ts";

const NOTHING: EnrolmentFacts = {
  wanted: "in",
  wasIn: false,
  netns: "held",
  rules: "absent",
  ztunnel: "absent",
  isConnected: true,
  probes: "absent",
  hasAddress: true,
  annotation: "none",
};
const ENROLLED: EnrolmentFacts = {
  ...NOTHING,
  wasIn: true,
  rules: "stand",
  ztunnel: "acknowledged",
  probes: "listed",
  annotation: "enabled",
};

function steps(facts: Partial<EnrolmentFacts>, from = NOTHING): readonly EnrolmentStep[] {
  return decideEnrolmentSteps({ ...from, ...facts }).steps;
}

describe("decideEnrolmentSteps()", () => {
  it("gives a running pod to ztunnel before it is redirected", () => {
    assert.deepEqual(steps({}), ["list-probes", "tell-ztunnel"]);
    assert.deepEqual(steps({ probes: "listed", ztunnel: "sent" }), []);
    assert.deepEqual(steps({ probes: "listed", ztunnel: "acknowledged" }), ["capture"]);
    assert.deepEqual(steps({ probes: "listed", ztunnel: "acknowledged", rules: "stand", wasIn: true }), ["annotate"]);
    assert.deepEqual(steps({}, ENROLLED), []);
  });
  it("redirects a pod that was in, ztunnel or not", () => {
    assert.deepEqual(steps({ rules: "absent", ztunnel: "absent", isConnected: false }, ENROLLED), [
      "annotate",
      "capture",
      "tell-ztunnel",
    ]);
  });
  it("takes a pod out rules first, so that nothing is sent to nobody", () => {
    assert.deepEqual(steps({ wanted: "out" }, ENROLLED), ["release", "withdraw", "unlist-probes", "annotate"]);
  });
  it("tells the mesh that a pod has left, and ztunnel only when it has finished: ztunnel cuts what is open", () => {
    assert.deepEqual(steps({ wanted: "out", rules: "finishing" }, ENROLLED), ["annotate", "release"]);
    assert.deepEqual(steps({ wanted: "out", rules: "finishing", annotation: "none" }, ENROLLED), ["release"]);
    const done = { wanted: "out", rules: "absent", annotation: "none" } as const;
    assert.deepEqual(steps(done, ENROLLED), ["withdraw", "unlist-probes"]);
  });
  it("redirects a pod again that comes back before it has finished", () => {
    assert.deepEqual(steps({ rules: "finishing", annotation: "none" }, ENROLLED), ["capture"]);
    assert.equal(decideEnrolmentSteps({ ...ENROLLED, rules: "finishing" }).annotation, "pending");
  });
  it("takes rules out of which some may stand, and claims nothing of them", () => {
    assert.deepEqual(steps({ wanted: "out", rules: "broken" }, ENROLLED).slice(0, 2), ["release", "withdraw"]);
    assert.deepEqual(steps({ rules: "broken" }, ENROLLED), ["annotate", "capture"]);
    assert.equal(decideEnrolmentSteps({ ...ENROLLED, rules: "broken" }).annotation, "pending");
  });
  it("takes nothing else away while rules that may stand cannot be reached", () => {
    assert.deepEqual(steps({ wanted: "out", netns: "missing" }, ENROLLED), ["find-netns"]);
  });
  it("leaves the namespace of a finished pod alone", () => {
    assert.deepEqual(steps({ wanted: "over", netns: "missing", rules: "unknown" }, ENROLLED), [
      "withdraw",
      "unlist-probes",
      "annotate",
    ]);
  });
  it("concludes nothing from a namespace that nobody has seen", () => {
    const plan = decideEnrolmentSteps({ ...ENROLLED, wanted: "unknown" });
    assert.deepEqual(plan, { steps: [], annotation: "enabled", waits: "unknown-namespace" });
  });
  it("keeps what was claimed while ztunnel is only away, and takes it back when it refuses", () => {
    const away = decideEnrolmentSteps({ ...ENROLLED, ztunnel: "sent", isConnected: false });
    assert.deepEqual(away, { steps: [], annotation: "enabled", waits: "no-ztunnel" });
    assert.deepEqual(steps({ ztunnel: "refused", isConnected: false }, ENROLLED), ["annotate"]);
  });

  it("reaches its aim from wherever it starts, and never claims what does not stand", () => {
    let starts = 0;
    for (const start of allFacts()) {
      starts++;
      let facts = start;
      const isRuled = start.rules === "stand" || start.rules === "finishing";
      const wasIn = start.wasIn || isRuled || start.annotation !== "none";
      for (let round = 0; ; round++) {
        assert.ok(round < 12, `no end from ${JSON.stringify(start)}`);
        const plan = decideEnrolmentSteps(facts);
        const isStrange = facts.rules !== "stand" || facts.ztunnel !== "acknowledged";
        if (plan.steps.includes("annotate") && plan.annotation === "enabled")
          assert.ok(!isStrange, JSON.stringify(facts));
        if (plan.steps.includes("withdraw") && facts.wanted === "out" && wasIn && facts.rules !== "absent") {
          assert.equal(plan.steps[0], "release", "withdrawn while redirected");
          assert.notEqual(facts.rules, "finishing", "withdrawn while connections are open");
        }
        if (plan.steps.length === 0) break;
        // Any prefix of the list may have been carried out when it is looked at again; the shortest is the hardest.
        facts = after(facts, plan.steps[0], plan.annotation);
      }
      assertAtRest(facts);
    }
    assert.ok(starts > 5000, String(starts));
  });
});

/** The world as a step leaves it. ztunnel answers at once where it is connected; a namespace that is sought is found. */
function after(facts: EnrolmentFacts, step: EnrolmentStep | undefined, annotation: Redirection): EnrolmentFacts {
  switch (step) {
    case "find-netns":
      return { ...facts, netns: "held" };
    case "list-probes":
      return { ...facts, probes: "listed" };
    case "tell-ztunnel":
      return { ...facts, ztunnel: facts.isConnected ? "acknowledged" : "sent" };
    case "capture":
      return { ...facts, rules: "stand", wasIn: true };
    case "release":
      return { ...facts, rules: facts.rules === "finishing" ? "absent" : "finishing" };
    case "withdraw":
      return { ...facts, ztunnel: "absent" };
    case "unlist-probes":
      return { ...facts, probes: "absent" };
    case "annotate":
      return { ...facts, annotation };
    case undefined:
      return facts;
  }
}

function assertAtRest(facts: EnrolmentFacts): void {
  const text = JSON.stringify(facts);
  if (facts.wanted === "in" && facts.hasAddress && facts.isConnected && facts.ztunnel === "acknowledged") {
    assert.deepEqual([facts.rules, facts.probes, facts.annotation], ["stand", "listed", "enabled"], text);
  }
  if (facts.wanted === "in" && facts.hasAddress && facts.wasIn) assert.equal(facts.rules, "stand", text);
  if (facts.wanted === "out" || facts.wanted === "over") {
    assert.deepEqual([facts.ztunnel, facts.probes, facts.annotation], ["absent", "absent", "none"], text);
    if (facts.wanted === "out" && (facts.wasIn || ["stand", "finishing"].includes(facts.rules)))
      assert.equal(facts.rules, "absent", text);
  }
}

function* allFacts(): Generator<EnrolmentFacts> {
  for (const wanted of ["in", "out", "over", "unknown"] as const)
    for (const wasIn of [true, false])
      for (const netns of ["held", "missing"] as const)
        for (const rules of ["stand", "broken", "finishing", "absent", "unknown"] as const)
          for (const ztunnel of ["acknowledged", "sent", "refused", "absent"] as const)
            for (const isConnected of [true, false])
              for (const probes of ["listed", "partly", "absent"] as const)
                for (const hasAddress of [true, false])
                  for (const annotation of ["enabled", "pending", "none"] as const)
                    yield { wanted, wasIn, netns, rules, ztunnel, isConnected, probes, hasAddress, annotation };
}
