import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "../core/log.ts";
import { createAgentMetrics } from "../core/metrics/agent-metrics.ts";
import { createMetricsRegistry } from "../core/metrics/registry.ts";
import type { SystemClock } from "../platform/clock.ts";
import type { Poller } from "../platform/linux/poller.ts";
import { wireHostProbes } from "./wire-host-probes.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => silent };

/** Time stands still; `waits` are the sleeps that have not ended. */
function createScene() {
  const waits: number[] = [];
  const clock: SystemClock = {
    nowMs: () => 0,
    epochMicros: () => 0,
    sleep: (ms, signal) =>
      new Promise((_, reject) => {
        waits.push(ms);
        signal.addEventListener("abort", () => {
          waits.splice(waits.indexOf(ms), 1);
          reject(signal.reason);
        });
      }),
  };
  const poller: Poller = { watch: () => assert.fail(), close: async () => {}, [Symbol.dispose]() {} };
  const address = { family: 4, bytes: Uint8Array.of(169, 254, 7, 127) } as const;
  const probes = wireHostProbes({
    ...{ branchInterfaces: false, log: silent, clock, poller },
    host: { families: { v4: true, v6: false }, probeSource: { v4: address, v6: address } },
    backend: () => {
      throw new Error("there is no kernel to ask");
    },
    metrics: createAgentMetrics(createMetricsRegistry()),
  });
  return { probes, waits, put: () => probes.book.put("uid", [address]) };
}

test("a pod waits for the first try to make the probe set, and none afterwards", async () => {
  const { probes, waits, put } = createScene();
  const early = assert.rejects(put(), /^Error: Cannot exempt the kubelet's probes: /);
  await Promise.resolve();
  assert.deepEqual(waits, [3000]);
  const ending = new AbortController();
  const running = probes.run(ending.signal);
  await early;
  await assert.rejects(put(), /^Error: Cannot exempt the kubelet's probes: /);
  // Nothing but the pause before the next try keeps the process from ending.
  assert.deepEqual(waits, [10_000]);
  ending.abort();
  await running;
  assert.deepEqual(waits, []);
});
