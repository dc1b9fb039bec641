import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { renderAgentsEnd, uninstallAllNodes } from "./uninstall-all-nodes.ts";

const GONE = { result: "gone", unattended: [], waitingFor: [], reason: undefined } as const;

describe("renderAgentsEnd()", () => {
  it("names the nodes that somebody has to look after", () => {
    assert.equal(
      renderAgentsEnd({ ...GONE, unattended: ["node-2", "evil\u001b[2J"] }),
      [
        "Deleted the DaemonSet istio-cni-node, and every agent has ended",
        "No agent was running on node node-2: install-cni uninstall has to be run there",
        "No agent was running on node evil\\u{1b}[2J: install-cni uninstall has to be run there",
        "",
      ].join("\n"),
    );
    assert.equal(
      renderAgentsEnd({ result: "failed", unattended: undefined, waitingFor: ["node-1"], reason: "time is up" }),
      "Cannot end the agents: time is up\nThe agent on node node-1 has not ended\n",
    );
  });

  it("says what it does not know where pods may not be listed", () => {
    const text = renderAgentsEnd({ ...GONE, unattended: undefined });
    assert.match(text, /\nPods may not be listed: whether an agent ran on every node is not known\n$/);
  });
});

describe("uninstallAllNodes()", () => {
  it("ends with 1 and a sentence where it is not told the namespace, or cannot find the API server", async () => {
    const none = await uninstallAllNodes({ env: {}, output: "text" });
    assert.deepEqual(
      [none.exitCode, none.stdout],
      [1, "Cannot end the agents: POD_NAMESPACE is not set: it names the namespace of the DaemonSet\n"],
    );
    const { exitCode, stdout } = await uninstallAllNodes({ env: { POD_NAMESPACE: "istio-system" }, output: "json" });
    const { isDone, reason } = JSON.parse(stdout);
    assert.deepEqual([exitCode, isDone], [1, false]);
    assert.match(reason, /KUBERNETES_SERVICE_HOST/);
  });
});
