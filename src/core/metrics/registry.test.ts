import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { countPods } from "../status/count-pods.ts";
import {
  createAgentMetrics,
  registerLogMetrics,
  registerPodMetrics,
  registerProcessMetrics,
  registerWatchMetrics,
} from "./agent-metrics.ts";
import { createMetricsRegistry } from "./registry.ts";

/** Compares with a file of testdata/; UPDATE_GOLDEN=1 writes it anew. */
function assertGolden(name: string, actual: string): void {
  const path = new URL(`testdata/${name}`, import.meta.url);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, "utf8"));
}

describe("the registry", () => {
  it("renders counters, gauges and histograms with escaped labels", () => {
    const registry = createMetricsRegistry();
    const requests = registry.counter({ name: "requests_total", help: "A\\B\nC", labels: ["path", "code"] });
    requests.increment({ path: 'a"b\\c\nd', code: "200" });
    requests.increment({ path: 'a"b\\c\nd', code: "200" }, 2);
    requests.increment({ path: "x", code: "500" }, -1);
    const level = registry.gauge({ name: "level", help: "L.", labels: [] });
    level.set({}, Number.NEGATIVE_INFINITY);
    const time = registry.histogram({ name: "time_seconds", help: "T.", labels: ["m"] }, [0.5, 1]);
    for (const value of [0.1, 0.5, 0.75, 3, Number.NaN]) time.observe({ m: "GET" }, value);
    assert.equal(
      registry.render(),
      [
        "# HELP requests_total A\\\\B\\nC",
        "# TYPE requests_total counter",
        'requests_total{path="a\\"b\\\\c\\nd",code="200"} 3',
        "# HELP level L.",
        "# TYPE level gauge",
        "level -Inf",
        "# HELP time_seconds T.",
        "# TYPE time_seconds histogram",
        'time_seconds_bucket{m="GET",le="0.5"} 2',
        'time_seconds_bucket{m="GET",le="1"} 3',
        'time_seconds_bucket{m="GET",le="+Inf"} 4',
        'time_seconds_sum{m="GET"} 4.35',
        'time_seconds_count{m="GET"} 4',
        "",
      ].join("\n"),
    );
  });

  it("leaves out metrics that were never set, and series that were removed", () => {
    const registry = createMetricsRegistry();
    const gauge = registry.gauge({ name: "g", help: "G.", labels: ["a"] });
    assert.equal(registry.render().trim(), "");
    gauge.set({ a: "1" }, 1);
    gauge.set({ a: "2" }, 2);
    gauge.remove({ a: "1" });
    assert.match(registry.render(), /^g\{a="2"\} 2$/m);
    assert.doesNotMatch(registry.render(), /a="1"/);
  });

  it("counts together what goes beyond its number of series", () => {
    const registry = createMetricsRegistry();
    const counter = registry.counter({ name: "c", help: "C.", labels: ["a"] });
    for (let n = 0; n < 10_000; n++) counter.increment({ a: `pod-${n}` });
    const lines = registry.render().trimEnd().split("\n");
    assert.equal(lines.length, 2 + 501);
    assert.equal(lines.at(-1), 'c{a="other"} 9500');
  });

  it("reads collected series when it renders, as many as it may have", () => {
    const registry = createMetricsRegistry();
    let count = 1;
    registry.collect({ name: "pods", help: "P.", type: "gauge", labels: ["state"] }, () =>
      Array.from({ length: count }, (_, n) => [{ state: `s"${n}` }, n] as const),
    );
    assert.match(registry.render(), /^# TYPE pods gauge\npods\{state="s\\"0"\} 0\n$/m);
    count = 0;
    assert.equal(registry.render().trim(), "");
    count = 10_000;
    assert.equal(registry.render().trimEnd().split("\n").length, 2 + 500);
  });

  it("refuses bad names and doubles", () => {
    const registry = createMetricsRegistry();
    assert.throws(() => registry.counter({ name: "a-b", help: "", labels: [] }), /Cannot register metric a-b/);
    assert.throws(() => registry.counter({ name: "ab", help: "", labels: ["x-y"] }), TypeError);
    registry.counter({ name: "ab", help: "", labels: [] });
    assert.throws(() => registry.gauge({ name: "ab", help: "", labels: [] }), TypeError);
  });
});

describe("the agent's metrics", () => {
  it("are the text of testdata/agent-metrics.txt when each was touched once", () => {
    const registry = createMetricsRegistry();
    const metrics = createAgentMetrics(registry);
    metrics.installReady.set({}, 1);
    metrics.installs.increment({ result: "SUCCESS" });
    metrics.podsRepaired.increment({ type: "repair", result: "success" });
    metrics.reconcileEvents.increment({ type: "add" });
    metrics.ztunnelConnected.set({}, 1);
    metrics.pluginRequests.increment({ response_code: "200" });
    metrics.pluginCommands.increment({ command: "ADD", result: "ok" });
    metrics.pluginCommandSeconds.observe({ command: "ADD" }, 0.0021);
    metrics.decideSeconds.observe({ mode: "sidecar" }, 0.0004);
    metrics.programSeconds.observe({ mode: "sidecar", backend: "nft" }, 0.0001);
    metrics.decisions.increment({ mode: "sidecar", decision: "in", reason: "injected" });
    metrics.apiRequests.increment({ verb: "LIST", resource: "pods", code: "200" });
    metrics.watchRestarts.increment({ resource: "pods", reason: "expired" });
    metrics.drift.increment({ object: "config", action: "repaired" });
    metrics.watchEvents.increment({ resource: "pods", type: "update" });
    metrics.podRecordFailures.increment({ action: "write" });
    metrics.eventsDropped.increment({ reason: "forbidden" });
    metrics.probeSelfTest.set({ family: "ipv4", result: "works" }, 1);
    metrics.condition.set({ name: "install" }, 1);
    metrics.buildInfo.set({ version: "0.1.0", revision: "abc" }, 1);
    registerProcessMetrics(registry, () => ({
      cpuSeconds: 1.5,
      residentBytes: 1e8,
      openFds: 20,
      startTimeSeconds: 1.79e9,
    }));
    registerLogMetrics(registry, () => 3);
    registerPodMetrics(registry, () =>
      countPods([
        { state: "verified", bypassed: ["ipv6"] },
        { state: "failed", bypassed: [] },
        { state: "out", bypassed: [] },
      ]),
    );
    registerWatchMetrics(registry, () => [["pods", 2.5]]);
    assertGolden("agent-metrics.txt", registry.render());
  });
});
