import assert from "node:assert/strict";
import { test } from "node:test";
import { createLedger } from "./ledger.ts";
import { findFaults, renderFigures } from "./report.ts";
import type { SoakResult } from "./run-soak.ts";

function result(part: Partial<SoakResult> = {}): SoakResult {
  const ledger = createLedger(() => {});
  ledger.count("plain pods started", 3);
  ledger.count("ambient pods started", 7);
  ledger.count("fault api-away", 2);
  for (const ms of [10, 30, 20]) ledger.sample("sandbox start", ms);
  ledger.expose("rules flushed", "ambient", 12);
  const memory = { beforeMib: 40, afterMib: 41, pods: 5 };
  return { ledger, leftovers: [], descriptors: [], memory, seconds: 20, ...part };
}

test("findFaults() finds none in a soak that is as it should be", () => {
  assert.deepEqual(findFaults(result()), []);
});

test("findFaults() names breaches, leftovers, descriptors and memory", () => {
  const ledger = createLedger(() => {});
  ledger.breach("mesh/x: out4: direct");
  const faults = findFaults(
    result({
      ledger,
      leftovers: ["namespace /run/netns/cni-1"],
      descriptors: ["net:"],
      memory: { beforeMib: 40, afterMib: 70.5, pods: 5 },
    }),
  );
  assert.equal(faults.length, 4);
  assert.match(faults.join("\n"), /out4: direct.*cni-1.*net:.*grew by 30\.5 MiB over 5 pods/s);
});

test("renderFigures() is a table of Markdown with all that was counted", () => {
  const table = renderFigures(result());
  for (const row of [
    "| pods | 10 (7 ambient, 3 plain) |",
    "| pods a second | 0.50 |",
    "| fault api-away | 2 |",
    "| sandbox start | median 20 ms, p99 20 ms, longest 30 ms |",
    "| past the proxy for a while: rules flushed, ambient | 1 pods, median 12 ms, p99 12 ms, longest 12 ms |",
    "| left over on the node | 0 |",
  ])
    assert.ok(table.split("\n").includes(row), `${row} is not in\n${table}`);
});
