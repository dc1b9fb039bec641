import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { missingCapabilities, NEEDED_CAPABILITIES } from "./needed-capabilities.ts";

const missing = (effective: string): readonly string[] | undefined =>
  missingCapabilities(`Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t${effective}\nCapBnd:\tffffffffffffffff\n`)?.map(
    ({ name }) => name,
  );

describe("missingCapabilities()", () => {
  it("names what a process lacks of the five", () => {
    assert.deepEqual(missing("0000000000283002"), [], "the chart's five");
    assert.deepEqual(missing("000001ffffffffff"), []);
    assert.deepEqual(
      missing("0000000000000000"),
      NEEDED_CAPABILITIES.map(({ name }) => name),
    );
    // What Docker and containerd give a container that asks for nothing.
    assert.deepEqual(missing("00000000a80425fb"), ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"]);
  });

  it("says nothing of what is no status", () => {
    for (const text of ["", "CapEff: 0", "CapEff:\tzz", `CapEff:\t${"f".repeat(17)}`]) {
      assert.equal(missingCapabilities(text), undefined, text);
    }
  });
});
