// metrics.md: its tables have the metrics that the code registers, with type and labels, and the Events that it writes.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  createAgentMetrics,
  registerLogMetrics,
  registerPodMetrics,
  registerProcessMetrics,
  registerWatchMetrics,
} from "../src/core/metrics/agent-metrics.ts";
import type { MetricsRegistry } from "../src/core/metrics/registry.ts";
import { countPods } from "../src/core/status/count-pods.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "metrics.md"), "utf8");
const ROW = /^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|/;

/** `name type label,label` of everything that is registered. */
function registeredMetrics(): readonly string[] {
  const found: string[] = [];
  const note = (type: string, name: string, labels: readonly string[]) =>
    found.push(`${name} ${type} ${labels.join()}`);
  const nothing = () => undefined;
  const registry: MetricsRegistry = {
    counter(definition) {
      note("counter", definition.name, definition.labels);
      return { increment: nothing };
    },
    gauge(definition) {
      note("gauge", definition.name, definition.labels);
      return { set: nothing, remove: nothing };
    },
    histogram(definition) {
      note("histogram", definition.name, definition.labels);
      return { observe: nothing };
    },
    callback: ({ name, type }) => void note(type, name, []),
    collect: ({ name, type, labels }) => void note(type, name, labels),
    render: () => "",
  };
  createAgentMetrics(registry);
  registerPodMetrics(registry, () => countPods([]));
  registerWatchMetrics(registry, () => []);
  registerProcessMetrics(registry, () => ({ cpuSeconds: 0, residentBytes: 0, startTimeSeconds: 0 }));
  registerLogMetrics(registry, () => 0);
  return found.toSorted();
}

test("metrics.md has every metric with its type and its labels, and no other", () => {
  const told = DOCUMENT.split("\n").flatMap((line) => {
    const [, name, type, labels = ""] = ROW.exec(line) ?? [];
    return name === undefined
      ? []
      : [`${name} ${type} ${[...labels.matchAll(/`(\w+)`/g)].map((match) => match[1]).join()}`];
  });
  assert.deepEqual(told.toSorted(), registeredMetrics());
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
