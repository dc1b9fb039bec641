import assert from "node:assert/strict";
import { test } from "node:test";
import { metricTotal } from "./metric-total.ts";

const PAGE = `# HELP seconds_sum is not a sample
seconds_sum{mode="ambient",backend="nftables"} 0.25
seconds_sum{mode="sidecar",backend="nftables"} 1.5
seconds_sum_of_more 7
seconds_count 3
`;

test("metricTotal() adds up the samples of one name, and of no longer one", () => {
  assert.equal(metricTotal(PAGE, "seconds_sum"), 1.75);
  assert.equal(metricTotal(PAGE, "seconds_count"), 3);
  assert.equal(metricTotal(PAGE, "seconds"), 0);
  assert.equal(metricTotal(PAGE, "seconds_sum", 'mode="ambient"'), 0.25);
});

test("metricTotal() refuses a sample that is no number", () => {
  assert.throws(() => metricTotal("seconds_sum much\n", "seconds_sum"), /much/);
});
