import assert from "node:assert/strict";
import { test } from "node:test";
import type { CaptureObservation } from "../node/connections.ts";
import type { PodObservation } from "./observe-pod.ts";
import { describeDemoPods } from "./pods.ts";
import { createPaint } from "./steps.ts";
import { type DemoRow, findSurprises, renderTable } from "./table.ts";

const paint = createPaint({ write: () => {} }, {});

test("findSurprises() finds nothing where the pod is as expected", () => {
  assert.deepEqual(findSurprises([row()]), []);
});

test("findSurprises() names pod, decision and reason where the product decided otherwise", () => {
  const product = { decision: "out", reason: "not-injected", by: "plugin", bypassed: ["ipv6"] } as const;
  assert.deepEqual(findSurprises([row({ product })]), [
    "shop/sidecar: decided out (not-injected), expected in (sidecar)",
  ]);
});

test("findSurprises() finds a connection that passed by the proxy, and one whose destination it does not know", () => {
  const connections = [
    tried("inbound", 4, { outcome: "direct", port: 8080 }),
    tried("outbound", 4, { outcome: "captured", port: 15001, original: "127.0.0.1:15001" }),
  ];
  assert.deepEqual(findSurprises([row({ connections })]), [
    "shop/sidecar: inbound connection to 10.0.0.1:8080 was not captured",
    "shop/sidecar: outbound connection to 10.0.0.1:8080 was captured, with 127.0.0.1:15001 as original destination",
  ]);
});

test("findSurprises() finds a family that passes by unreported, rules that are missing, and a pod nobody could reach", () => {
  const product = { decision: "in", reason: "sidecar", by: "agent", bypassed: [] } as const;
  assert.deepEqual(findSurprises([row({ product, rules: { v4: 0, v6: 0 } }), row({ connections: [] })]), [
    "shop/sidecar: has no rules",
    "shop/sidecar: the agent does not report that IPv6 passes by",
    "shop/sidecar: no connection could be tried",
  ]);
});

test("renderTable() marks what is not as expected, within 100 columns", () => {
  const refused = [tried("inbound", 4, { outcome: "refused", error: "Connection refused" })];
  const lines = renderTable([row(), row({ connections: refused })], paint).split("\n");
  assert.deepEqual(lines.slice(3), [
    "shop/sidecar           yes     sidecar             agent       20    –  yes  no   yes  no    1.2 ms",
    "shop/sidecar           yes     sidecar             agent       20    –  no!  –    –    –     1.2 ms",
  ]);
  for (const line of lines) assert.ok(line.length <= 100, line);
});

function row(change: Partial<PodObservation> = {}): DemoRow {
  const pod = describeDemoPods().find(({ name }) => name === "sidecar");
  assert.ok(pod);
  const observation: PodObservation = {
    product: { decision: "in", reason: "sidecar", by: "agent", bypassed: ["ipv6"] },
    rules: { v4: 20, v6: 0 },
    connections: [
      tried("inbound", 4, { outcome: "captured", port: 15006, original: "10.0.0.1:8080" }),
      tried("outbound", 4, { outcome: "captured", port: 15001, original: "10.0.0.1:8080" }),
      tried("inbound", 6, { outcome: "direct", port: 8080 }),
      tried("outbound", 6, { outcome: "direct", port: 8080 }),
    ],
    ...change,
  };
  return { pod, observation, pluginMs: 1.23 };
}

function tried(
  direction: "inbound" | "outbound",
  family: 4 | 6,
  result: CaptureObservation["result"],
): CaptureObservation {
  return { direction, family, target: "10.0.0.1:8080", result };
}
