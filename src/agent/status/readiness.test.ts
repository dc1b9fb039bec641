import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ConditionState, createReadiness } from "./readiness.ts";

describe("createReadiness()", () => {
  it("is not ready without conditions", () => {
    assert.equal(createReadiness().isReady(), false);
  });

  it("is ready when every condition is, and not any more when one ceases to be", () => {
    const readiness = createReadiness();
    const install = readiness.addCondition("install", "not begun");
    const watch = readiness.addCondition("watch", "not begun");
    install.ready();
    assert.equal(readiness.isReady(), false);
    watch.ready();
    assert.equal(readiness.isReady(), true);
    install.notReady("the conflist is being written");
    assert.equal(readiness.isReady(), false);
  });

  it("says upstream's line first, then what is unmet", () => {
    const readiness = createReadiness();
    readiness.addCondition("install", "waiting for a CNI configuration\nin /host/etc/cni/net.d");
    readiness.addCondition("watch", "").ready();
    assert.equal(
      readiness.renderUnready(),
      "Service Unavailable\ninstall: waiting for a CNI configuration in /host/etc/cni/net.d\n",
    );
  });

  it("tells changes, and only changes", () => {
    const changes: ConditionState[] = [];
    const condition = createReadiness({ onChange: (state) => changes.push(state) }).addCondition("a", "r");
    condition.notReady("r");
    condition.ready();
    condition.ready();
    condition.notReady("s");
    assert.deepEqual(changes, [
      { name: "a", ready: false, reason: "r" },
      { name: "a", ready: true, reason: "" },
      { name: "a", ready: false, reason: "s" },
    ]);
  });

  it("refuses a second condition of the same name", () => {
    const readiness = createReadiness();
    readiness.addCondition("a", "");
    assert.throws(() => readiness.addCondition("a", ""), /Cannot add condition a/);
  });
});
