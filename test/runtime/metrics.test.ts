// What Prometheus gets from the agent: a real promtool reads it, upstream's metrics are there under their names and with their
// labels (contract 8.1), and what an operator is promised beside them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  createAgentMetrics,
  registerLogMetrics,
  registerPodMetrics,
  registerProcessMetrics,
  registerWatchMetrics,
} from "../../src/core/metrics/agent-metrics.ts";
import { createMetricsRegistry } from "../../src/core/metrics/registry.ts";
import { countPods } from "../../src/core/status/count-pods.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { readProcessStats } from "../../src/platform/process/process-stats.ts";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { startZtunnelStandIn } from "../../testbed/ztunnel/ztunnel-stand-in.ts";
import { createAmbientNode, until, untilIn, ZTUNNEL_SOCKET } from "./ambient-node.ts";

enterNodeNamespaces();

/** Exit code and words of `promtool check metrics`: 0 for a text without a parse error and without a lint. */
async function checkMetrics(text: string): Promise<{ status: number | null; output: string }> {
  const child = spawn(join(REPOSITORY, "tools/promtool"), ["check", "metrics"], { stdio: "pipe" });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
  }
  child.stdin.end(text);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { status, output };
}

async function assertAccepted(text: string): Promise<void> {
  assert.deepEqual(await checkMetrics(text), { status: 0, output: "" });
}

describe("promtool check metrics", () => {
  test("accepts every metric there is, with label values that nobody would choose", async () => {
    const registry = createMetricsRegistry();
    const metrics = createAgentMetrics(registry);
    registerProcessMetrics(registry, readProcessStats);
    registerLogMetrics(registry, () => 1);
    registerPodMetrics(registry, () => countPods([{ state: "verified", bypassed: ["ipv6"] }]));
    registerWatchMetrics(registry, () => [["pods", 1.5]]);
    const hostile = 'a"b\\c\nd\u2028é{},="" ';
    const labels = new Proxy({}, { get: () => hostile });
    for (const metric of Object.values(metrics) as readonly object[]) {
      if ("increment" in metric && typeof metric.increment === "function") metric.increment(labels);
      if ("set" in metric && typeof metric.set === "function") metric.set(labels, -1.5);
      if ("observe" in metric && typeof metric.observe === "function") metric.observe(labels, 0.3);
    }
    const text = registry.render();
    assert.ok((text.match(/^# TYPE /gm) ?? []).length >= Object.keys(metrics).length + 10, text);
    await assertAccepted(text);
  });

  test("would say no: to a broken exposition and to a metric without help", async () => {
    assert.equal((await checkMetrics("a{ 1\n")).status, 1);
    assert.equal((await checkMetrics("# TYPE a counter\na 1\n")).status, 3);
  });
});

describe("the agent's metrics", () => {
  test("in sidecar mode are accepted and say what was done, and the answer is of the type Prometheus asks for", async () => {
    await using mesh = await createMeshNode({ families: "v4" });
    const agent = await mesh.startAgent();
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "web" }));
    const response = await fetch(`http://${agent.address}:15014/metrics`);
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    await assertAccepted(text);
    for (const line of [
      /^istio_cni_install_ready 1$/m,
      /^istio_cni_installs_total\{result="SUCCESS"\} [1-9]/m,
      /^istio_cni_agent_plugin_commands_total\{command="ADD",result="ok"\} 1$/m,
      /^istio_cni_agent_plugin_command_duration_seconds_count\{command="ADD"\} 1$/m,
      /^istio_cni_agent_decide_duration_seconds_count\{mode="sidecar"\} 1$/m,
      /^istio_cni_agent_program_duration_seconds_count\{mode="REDIRECT",backend="[a-z-]+"\} 1$/m,
      /^istio_cni_agent_pods\{state="captured"\} /m,
      /^istio_cni_agent_pods\{state="uncaptured"\} /m,
      /^istio_cni_agent_pods\{state="unverified"\} /m,
      /^istio_cni_agent_watch_age_seconds\{resource="pods"\} /m,
      /^istio_cni_agent_condition\{name="install"\} 1$/m,
      /^process_resident_memory_bytes \d/m,
    ]) {
      assert.match(text, line);
    }
    assert.doesNotMatch(text, /^istio_cni_plugin_requests_total/m, "upstream counts in ambient mode only");
    await pod.remove();
  });

  test("in ambient mode have upstream's names and labels, ztunnel's link, its time and the probes' self-test", async () => {
    await using node = await createAmbientNode("v4");
    const poller = createPoller((error) => assert.fail(String(error)));
    try {
      using ztunnel = startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller });
      const agent = await node.startAgent();
      const pod = await node.startPod({ name: "web" });
      await untilIn(node, pod);
      assert.ok(ztunnel.state.proxies.has(pod.uid));
      let text = "";
      const isComplete = async (): Promise<boolean> => {
        text = (await agent.get(15014, "/metrics")).text;
        return /^istio_cni_agent_probe_self_test\{family="ipv4",result="[a-z-]+"\} 1$/m.test(text);
      };
      await until("the self-test's result", isComplete, () => text);
      await assertAccepted(text);
      for (const line of [
        /^istio_cni_plugin_requests_total\{response_code="200"\} 1$/m,
        /^nodeagent_reconcile_events_total\{type="(add|update)"\} [1-9]/m,
        /^ztunnel_connected 1$/m,
        /^istio_cni_agent_condition\{name="ztunnel"\} 1$/m,
        /^istio_cni_agent_decide_duration_seconds_count\{mode="ambient"\} 1$/m,
        /^istio_cni_agent_program_duration_seconds_count\{mode="ambient",backend="[a-z-]+"\} 1$/m,
        /^istio_cni_agent_ztunnel_duration_seconds_count 1$/m,
        /^istio_cni_agent_watch_age_seconds\{resource="namespaces"\} /m,
      ]) {
        assert.match(text, line);
      }
      await node.removePod(pod);
    } finally {
      await poller.close();
    }
  });
});
