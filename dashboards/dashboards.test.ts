// The alert rules and the dashboard ask for metrics, labels and values that the agent has, and point at places that are there.
// Whether Prometheus takes them, and when each alert fires: test/runtime/alert-rules.test.ts.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { headingAnchors } from "../docs/headings.ts";
import { registeredMetrics } from "../docs/registered-metrics.ts";
import { readExpressions } from "./read-expressions.ts";

const ROOT = join(import.meta.dirname, "..");
const METRICS = new Map(registeredMetrics().map((metric) => [metric.name, metric]));
/** What Prometheus adds to a series. */
const ADDED = ["instance", "pod", "namespace", "job", "alertname", "alertstate", "severity"];
/** Upstream's, which dashboards exist for: names, types and labels of istio/istio 1.30.3 and 1.31 (contract 8.1). */
const UPSTREAMS = [
  "istio_cni_install_ready gauge ",
  "istio_cni_installs_total counter result",
  "istio_cni_repair_pods_repaired_total counter type,result",
  "nodeagent_reconcile_events_total counter type",
  "ztunnel_connected gauge ",
  "istio_cni_plugin_requests_total counter response_code",
  "process_cpu_seconds_total counter ",
  "process_resident_memory_bytes gauge ",
  "process_virtual_memory_bytes gauge ",
  "process_open_fds gauge ",
  "process_max_fds gauge ",
  "process_start_time_seconds gauge ",
];
const SELECTOR = /\b((?:istio_cni|nodeagent|ztunnel|process)_\w+)(?:\{([^}]*)\})?/g;
const MATCHER = /(\w+)(=~|!~|!=|=)"([^"]*)"/g;
const GROUPING = /\b(?:by|without|on) ?\(([^)]*)\)/g;

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const SOURCES = globSync("src/**/*.ts", { cwd: ROOT })
  .filter((path) => !path.endsWith(".test.ts"))
  .map(read)
  .join("\n");

/** What of an expression no agent would ever have. */
function complaints(expression: string): string[] {
  const found: string[] = [];
  const used = new Set<string>();
  for (const [, series = "", matchers = ""] of expression.matchAll(SELECTOR)) {
    const metric = METRICS.get(series) ?? METRICS.get(series.replace(/_(?:bucket|sum|count)$/, ""));
    if (metric === undefined || (metric.name !== series) !== (metric.type === "histogram")) {
      found.push(`there is no ${series}`);
      continue;
    }
    const labels = [...metric.labels, ...ADDED, ...(series.endsWith("_bucket") ? ["le"] : [])];
    for (const label of labels) used.add(label);
    for (const [, label = "", , value = ""] of matchers.matchAll(MATCHER)) {
      if (!labels.includes(label)) found.push(`${series} has no label ${label}`);
      else if (!ADDED.includes(label))
        found.push(
          ...value
            .split("|")
            .filter((each) => !/^\d+$/.test(each) && !SOURCES.includes(`"${each}"`))
            .map((each) => `nothing gives ${label} the value ${each}`),
        );
    }
  }
  if (used.size === 0) found.push(`"${expression}" has no metric`);
  for (const [, names = ""] of expression.matchAll(GROUPING))
    for (const name of names.split(",").map((each) => each.trim()))
      if (!used.has(name)) found.push(`no metric in it has the label ${name}`);
  return found;
}

describe("alerts and dashboard", () => {
  for (const file of ["istio-cni.rules.yaml", "istio-cni.dashboard.json"]) {
    test(`${file} asks for metrics, labels and values that the agent has`, () => {
      const expressions = readExpressions(file);
      assert.ok(expressions.length > 15, `only ${expressions.length} expressions`);
      assert.deepEqual(
        expressions.flatMap((each) => complaints(each).map((complaint) => `${each}: ${complaint}`)),
        [],
      );
    });
  }

  test("an expression that asks for something else would be seen", () => {
    assert.deepEqual(complaints("istio_cni_agent_podz"), [
      "there is no istio_cni_agent_podz",
      '"istio_cni_agent_podz" has no metric',
    ]);
    assert.deepEqual(complaints('istio_cni_agent_pods{stat="captured"}'), ["istio_cni_agent_pods has no label stat"]);
    assert.deepEqual(complaints('istio_cni_agent_pods{state=~"captured|gone-fishing"}'), [
      "nothing gives state the value gone-fishing",
    ]);
    assert.deepEqual(complaints("sum by (family) (istio_cni_agent_pods)"), ["no metric in it has the label family"]);
    assert.deepEqual(complaints("rate(istio_cni_agent_plugin_command_duration_seconds[5m])").length, 2);
  });

  test("the dashboard shows every metric there is", () => {
    const text = readExpressions("istio-cni.dashboard.json").join("\n");
    assert.deepEqual(
      [...METRICS.keys()].filter((name) => name !== "process_virtual_memory_bytes" && !text.includes(name)),
      [],
    );
  });

  test("the dashboard's panels have one number each, do not lie upon each other, and ask the chosen data source", () => {
    const { panels } = JSON.parse(read("dashboards/istio-cni.dashboard.json")) as { panels: readonly Panel[] };
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
    );
    assert.equal(new Set(cells).size, cells.length);
    assert.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24));
    for (const { type, datasource } of panels)
      if (type !== "row") assert.deepEqual(datasource, { type: "prometheus", uid: `$${"{datasource}"}` });
  });

  test("every alert says what is the matter and where to read on, and that place is there", () => {
    const rules = read("dashboards/istio-cni.rules.yaml").split("- alert: ").slice(1);
    for (const rule of rules) {
      for (const part of ["expr:", "for:", "severity:", "summary:", "description:"])
        assert.ok(rule.includes(part), rule);
      const [, path = "", anchor = ""] = /runbook: (\S+)#(\S+)/.exec(rule) ?? [];
      assert.ok(headingAnchors(read(path)).includes(anchor), `there is no ${path}#${anchor}`);
    }
  });

  test("every alert is in the tests of the alerts", () => {
    const tests = read("dashboards/istio-cni.rules.test.yaml");
    const alerts = [...read("dashboards/istio-cni.rules.yaml").matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    assert.ok(alerts.length > 15);
    assert.deepEqual(
      alerts.filter((name) => !tests.includes(`ALERTS{alertname="${name}",alertstate="firing",severity=`)),
      [],
    );
  });

  test("dashboards that exist for upstream's agent find its metrics here", () => {
    const here = registeredMetrics().map(({ name, type, labels }) => `${name} ${type} ${labels.join()}`);
    assert.deepEqual(
      UPSTREAMS.filter((each) => !here.includes(each)),
      [],
    );
  });
});

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly datasource?: unknown;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
}
