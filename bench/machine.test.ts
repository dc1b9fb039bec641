import assert from "node:assert/strict";
import { test } from "node:test";
import { describeMachine, parseCpuModel, renderMachineName } from "./machine.ts";

test("renderMachineName() makes a file name of any model", () => {
  assert.equal(
    renderMachineName({ cpu: "Intel(R) Xeon(R) CPU @ 2.20GHz", cores: 4 }),
    "intel-r-xeon-r-cpu-2-20ghz-4-cores",
  );
  assert.equal(renderMachineName({ cpu: "../../etc", cores: 1 }), "-etc-1-cores");
});

test("parseCpuModel() takes the first processor's, or says that there is none", () => {
  assert.equal(parseCpuModel("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\n"), "AMD EPYC");
  assert.equal(parseCpuModel("processor\t: 0\nBogoMIPS\t: 50.00\n"), "unknown");
});

test("describeMachine() fails on no machine", () => {
  const machine = describeMachine();
  assert.ok(machine.cores > 0 && machine.memoryGib > 0 && machine.versions["node"] === process.version);
});
