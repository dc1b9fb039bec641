// metrics.md: its tables have the metrics that the code registers, with type and labels, and the Events that it writes.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { registeredMetrics } from "./registered-metrics.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "metrics.md"), "utf8");
const ROW = /^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|/;

test("metrics.md has every metric with its type and its labels, and no other", () => {
  const told = DOCUMENT.split("\n").flatMap((line) => {
    const [, name, type, labels = ""] = ROW.exec(line) ?? [];
    return name === undefined
      ? []
      : [`${name} ${type} ${[...labels.matchAll(/`(\w+)`/g)].map((match) => match[1]).join()}`];
  });
  const registered = registeredMetrics().map(({ name, type, labels }) => `${name} ${type} ${labels.join()}`);
  assert.deepEqual(told.toSorted(), registered.toSorted());
});

test("metrics.md has every Event's reason, and no other", () => {
  const told = [...DOCUMENT.matchAll(/^\| `(\w+)` \| (?:Warning|Normal) \|/gm)].map((match) => match[1]);
  const root = join(import.meta.dirname, "../src");
  const sources = globSync("{agent,cmd,core}/**/*.ts", { cwd: root }).filter((path) => !path.endsWith(".test.ts"));
  const text = sources.map((path) => readFileSync(join(root, path), "utf8")).join("\n");
  const written = text.matchAll(
    /"((?:Redirection|AddressFamily|Ambient|Conflist|ProbePath|DeleteBroken|LabelBroken)[A-Z]\w+)"|"((?:Delete|Label)BrokenPod)"/g,
  );
  assert.deepEqual(told.toSorted(), [...new Set([...written].map(([, reason, other]) => reason ?? other))].toSorted());
});
