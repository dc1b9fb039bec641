import assert from "node:assert/strict";
import { test } from "node:test";
import { busiestFunctions } from "./cpu-profile.ts";

const frame = (functionName: string, lineNumber = -1) => ({
  functionName,
  lineNumber,
  url: lineNumber < 0 ? "" : "file:///out/agent.mjs",
});

test("busiestFunctions() tells a function's own time and, once per sample, that of what it called", () => {
  const profile = {
    nodes: [
      { id: 1, callFrame: frame("(root)"), children: [2, 4] },
      { id: 2, callFrame: frame("walk", 9), children: [3] },
      { id: 3, callFrame: frame("walk", 9), children: [] },
      { id: 4, callFrame: frame("", 19) },
    ],
    samples: [3, 3, 2, 4],
    timeDeltas: [1000, 2000, 3000, 500],
  };
  assert.deepEqual(busiestFunctions(profile, 2), [
    { name: "walk agent.mjs:10", selfMs: 6, totalMs: 6 },
    { name: "(anonymous) agent.mjs:20", selfMs: 0.5, totalMs: 0.5 },
  ]);
  assert.deepEqual(busiestFunctions(profile, 9).at(-1), { name: "(root)", selfMs: 0, totalMs: 6.5 });
});
