import assert from "node:assert/strict";
import { test } from "node:test";
import { createSeries } from "./series.ts";

test("keep() adds to what was kept under a name, in order", () => {
  const series = createSeries();
  series.keep("wall", 3, 1);
  series.keep("wall", 2);
  assert.deepEqual(series.of("wall"), [3, 1, 2]);
  assert.equal(series.median("wall"), 2);
  assert.equal(series.summary("wall")?.n, 3);
});

test("what was not measured is not reported", () => {
  const series = createSeries();
  series.keep("wall");
  assert.equal(series.find("wall"), undefined);
  assert.equal(series.summary("wall"), undefined);
  assert.throws(() => series.of("wall"), /Cannot report wall: it was not measured/);
  assert.throws(() => series.median("wall"), /Cannot report wall/);
});
