// The agent's DaemonSet is restarted again and again while pods of the mesh start at a steady rate: no sandbox fails, none
// starts uncaptured. ROLLS (3 unless told) chooses how often: `ROLLS=200 PODS_PER_SECOND=5` is the long variant.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSandboxStarts } from "../../testbed/cluster/containerd-log.ts";
import { AGENT_NAMESPACE, waitAgentReady } from "../../testbed/cluster/observe-pods.ts";
import { readCount } from "../../testbed/read-count.ts";
import { NAMESPACE, type SidecarScene } from "./sidecar-scene.ts";
import { STARTED, whilePodsStart } from "./while-pods-start.ts";

const ROLLS = readCount("ROLLS", 3, 1000);
const PODS_PER_SECOND = readCount("PODS_PER_SECOND", 2, 50);

export function testRollouts(scene: SidecarScene): void {
  test(`fails no pod and lets none start uncaptured over ${ROLLS} rollout restarts, while pods start all the time`, async (t) => {
    const { cluster } = scene;
    const starts = { perSecond: PODS_PER_SECOND, namespace: NAMESPACE };
    const { made, seconds, skipped } = await whilePodsStart(cluster, starts, async () => {
      for (let roll = 0; roll < ROLLS; roll++) {
        await cluster.kubectl(["-n", AGENT_NAMESPACE, "rollout", "restart", "daemonset/istio-cni-node"]);
        await waitAgentReady(cluster, 120_000);
      }
    });
    t.diagnostic(
      `${ROLLS} restarts in ${seconds.toFixed(0)} s; ${made} pods made and started (${(made / seconds).toFixed(1)} a second), ` +
        `none refused, none uncaptured; ${skipped} seconds left out`,
    );
    assert.ok(made > ROLLS * PODS_PER_SECOND, "too few pods: the test has tested nothing");
    if (scene.lab === undefined) return;
    const attempts = parseSandboxStarts(scene.readContainerdLog()).filter(({ name }) => name.startsWith(STARTED));
    assert.equal(attempts.length, made, "attempts");
    const took = attempts.map(({ startMs, endMs }) => endMs - startMs).sort((a, b) => a - b);
    t.diagnostic(
      `sandboxes: median ${took[took.length >> 1]?.toFixed(0)} ms, slowest ${took.at(-1)?.toFixed(0)} ms; of containerd's log`,
    );
  });
}
