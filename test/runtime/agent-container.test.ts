// The container that agents are tried in: it must be what the chart gives them, or every test above it proves nothing.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { AgentOptions, TestAgent } from "../../testbed/node/agent.ts";
import { createNode, type TestNode } from "../../testbed/node/create-node.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { makeFoldersPrivate } from "../../testbed/node/filesystem.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";

enterNodeNamespaces();

const API_SERVER = { host: "172.31.99.2", port: 6443, token: "first", caPem: "certificate" };

describe("startAgent()", () => {
  let node: TestNode;
  let installCni: string;
  before(async () => {
    // A machine with plugins and configurations of its own, of which the node has none.
    await makeFoldersPrivate("/run/machine");
    for (const [folder, name] of [
      ["/opt/cni/bin", "machines-own"],
      ["/etc/cni/net.d", "00-machines-own.conflist"],
    ] as const) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, name), "not ours");
    }
    node = await createNode({ families: "v4" });
    // An executable outside the checkout, as upstream's would be.
    mkdirSync("/run/stand-in", { recursive: true });
    installCni = "/run/stand-in/install-cni";
    copyFileSync(join(import.meta.dirname, "stand-in-agent.ts"), "/run/stand-in/agent.ts");
    const script = `#!/bin/sh\nexec ${join(REPOSITORY, "tools/node")} /run/stand-in/agent.ts "$@"\n`;
    writeFileSync(installCni, script, { mode: 0o755 });
  });
  after(() => node.destroy());

  async function start(options: Partial<AgentOptions> = {}): Promise<TestAgent> {
    const agent = await node.startAgent({ installCni, apiServer: API_SERVER, ...options });
    await agent.waitReady();
    return agent;
  }

  async function look(agent: TestAgent): Promise<Record<string, unknown>> {
    const seen: unknown = JSON.parse((await agent.get(8000, "/")).text);
    assert.ok(typeof seen === "object" && seen !== null);
    return { ...seen };
  }

  test("gives the chart's environment, arguments, capabilities and mounts", async () => {
    const agent = await start({ env: { EXTRA: "1", EXCLUDE_NAMESPACES: "a,b" }, args: ["--log_as_json"] });
    const seen = await look(agent);
    assert.equal(seen["pid"], 1);
    assert.deepEqual(seen["args"], ["--log_as_json"]);
    // CAP_DAC_OVERRIDE 1, CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_SYS_PTRACE 19, CAP_SYS_ADMIN 21
    const five = [1, 12, 13, 19, 21].reduce((sum, bit) => sum + 2 ** bit, 0);
    assert.equal(Number.parseInt(String(seen["capabilities"]), 16), five);
    assert.equal(seen["hostInit"], "namespace-init");
    assert.deepEqual(seen["hostBin"], ["bridge", "host-local", "loopback", "portmap"]);
    assert.deepEqual(seen["hostConf"], ["10-testbed.conflist"]);
    assert.deepEqual(seen["ownConf"], []);
    assert.equal(seen["runDir"], true);
    assert.equal(seen["netnsDir"], undefined);
    const env = seen["env"];
    assert.ok(typeof env === "object" && env !== null);
    assert.partialDeepStrictEqual(env, {
      KUBERNETES_SERVICE_HOST: "172.31.99.2",
      KUBERNETES_SERVICE_PORT: "6443",
      NODE_NAME: "testbed-node",
      REPAIR_NODE_NAME: "testbed-node",
      POD_NAMESPACE: "istio-system",
      AMBIENT_ENABLED: "false",
      EXCLUDE_NAMESPACES: "a,b",
      EXTRA: "1",
    });
    assert.equal(await agent.stop(), 3);
    assert.ok(!existsSync(`/proc/${agent.pid}`));
  });

  test("lets the kubelet's part replace the token while the agent runs", async () => {
    const agent = await start();
    assert.deepEqual((await look(agent))["serviceAccount"], {
      "ca.crt": "certificate",
      namespace: "istio-system",
      token: "first",
    });
    agent.setToken("second");
    assert.partialDeepStrictEqual((await look(agent))["serviceAccount"], { token: "second" });
    assert.equal(await agent.kill(), 137);
  });

  test("runs in its own pod's network and, with ambient, sees namespaces that are mounted later", async () => {
    const pod = await node.runPod({ name: "istio-cni-node-x", namespace: "istio-system" });
    const agent = await start({ pod, ambient: true });
    assert.equal(agent.address, pod.ips[0]);
    assert.deepEqual((await look(agent))["interfaces"], ["lo", "eth0"]);
    const later = await node.runPod({ name: "later" });
    const { netnsDir } = await look(agent);
    assert.ok(Array.isArray(netnsDir) && netnsDir.some((name) => later.netnsPath.endsWith(String(name))));
    await agent.stop();
    await later.remove();
    await pod.remove();
  });

  test("says what is wrong when the executable cannot run", async () => {
    await assert.rejects(
      node.startAgent({ installCni: "/run/stand-in/absent", apiServer: API_SERVER }),
      /Cannot start the agent: runc ended with 1\n.*absent.*no such file/s,
    );
  });

  test("leaves a running agent to the node's end", async () => {
    await start();
  });
});
