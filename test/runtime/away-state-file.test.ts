// The state file as the running agent keeps it: there while it runs, true after a change of configuration, left behind at
// its end, and used by the plugin from then on.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type Enrollment, type PluginState, parsePluginState } from "../../src/core/plugin-protocol/state-file.ts";
import { DEFAULT_ENABLEMENT_SELECTORS } from "../../src/core/policy/enablement-selectors.ts";
import { namespace, plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { eventually, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const MODE = "istio.io/dataplane-mode";
const STATE_FILE = "/run/istio-cni/plugin-state";

describe("the state file", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  test("is there while the agent runs, for root only, and says what is excluded", async () => {
    const agent = await mesh.startAgent();
    await waitForExcluded(["kube-system"]);
    assert.deepEqual([readState()?.mode, readState()?.enrollment], ["sidecar", undefined]);
    const { mode, uid } = statSync(STATE_FILE);
    assert.deepEqual([mode & 0o7777, uid], [0o600, 0]);
    await agent.stop();
  });

  test("follows the configuration of the next agent, and outlives it by any end", async () => {
    const agent = await mesh.startAgent({ env: { EXCLUDE_NAMESPACES: "bank,shop", PLUGIN_AGENT_WAIT: "300ms" } });
    await waitForExcluded(["bank", "shop"]);
    await agent.kill();
    // The plugin has it from either: the conflist's copy is taken away.
    const conflist = readFileSync(mesh.node.conflistPath, "utf8");
    const without = conflist.replace(/"exclude_namespaces":\s*\[[^\]]*\]/, '"exclude_namespaces": null');
    assert.notEqual(without, conflist);
    writeFileSync(mesh.node.conflistPath, without);
    await mesh.node.waitForChained();
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "excluded" }));
    assert.deepEqual(await readRules(pod), { v4: "", v6: "" });
    rmSync(STATE_FILE);
    await assert.rejects(mesh.startPod(sidecarPod({ ...NEW_POD, name: "unknown" })), /the agent does not answer/);
  });

  test("is written anew by an agent that finds it damaged, and not touched while it is right", async () => {
    writeFileSync(STATE_FILE, "{", { mode: 0o644 });
    const agent = await mesh.startAgent();
    await waitForExcluded(["kube-system"]);
    const { ino } = statSync(STATE_FILE);
    await agent.stop();
    const next = await mesh.startAgent();
    assert.equal(statSync(STATE_FILE).ino, ino);
    await next.stop();
  });

  test("names in ambient mode where pods are enrolled, follows the labels, and remembers them for the next agent", async () => {
    mesh.api.put(namespace("bank", { [MODE]: "ambient" }));
    mesh.api.put(namespace("lab"));
    // Without a ztunnel it is not ready.
    const agent = await mesh.launchAgent({ ambient: true });
    await waitForEnrollment({ byNamespace: ["bank"], byPod: [] });
    assert.equal(readState()?.whenAway, "enroll-later");
    mesh.api.put(plainPod({ ...NEW_POD, namespace: "lab", name: "own-label", labels: { [MODE]: "ambient" } }));
    mesh.api.put(namespace("shop", { [MODE]: "ambient" }));
    await waitForEnrollment({ byNamespace: ["bank", "shop"], byPod: ["lab"] });
    mesh.api.patch("namespaces", "bank", { metadata: { labels: { [MODE]: "none" } } });
    mesh.api.remove("pods", "lab/own-label");
    await waitForEnrollment({ byNamespace: ["shop"], byPod: ["lab"] });
    await agent.kill();
    const next = await mesh.launchAgent({ ambient: true, env: { AMBIENT_WHEN_AWAY: "strict" } });
    await eventually(
      () => readState()?.whenAway === "strict",
      () => "for the state file of the next agent",
    );
    await waitForEnrollment({ byNamespace: ["shop"], byPod: ["lab"] });
    const [entry] = pluginEntries(readFileSync(mesh.node.conflistPath, "utf8"));
    assert.deepEqual(entry?.["enablement_selectors"], DEFAULT_ENABLEMENT_SELECTORS.json);
    await next.stop();
  });
});

/** Our objects in a conflist. */
function pluginEntries(text: string): readonly Record<string, unknown>[] {
  const { plugins } = JSON.parse(text) as { plugins: Record<string, unknown>[] };
  return plugins.filter(({ type }) => type === "istio-cni");
}

async function waitForEnrollment(expected: Enrollment): Promise<void> {
  await eventually(
    () => isDeepStrictEqual(readState()?.enrollment, expected),
    () => `for enrolment ${JSON.stringify(expected)}, it is ${JSON.stringify(readState()?.enrollment)}`,
  );
}

function readState(): PluginState | undefined {
  return existsSync(STATE_FILE) ? parsePluginState(readFileSync(STATE_FILE)) : undefined;
}

async function waitForExcluded(names: readonly string[]): Promise<void> {
  await eventually(
    () => readState()?.excludedNamespaces.join() === names.join(),
    () => `for a state file that excludes ${names.join()}`,
  );
}
