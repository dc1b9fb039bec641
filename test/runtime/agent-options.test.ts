// Upstream's variables and flags of which nothing else shows on a node that they work: given to a real agent, seen from outside.
// The others have tests of their own: modes, families, repair, ambient mode, waiting, leaving; the guide's in agent-guide.test.ts.
import assert from "node:assert/strict";
import { existsSync, lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { assertCaptured, eventually } from "./captured-pods.ts";
import { CONFLIST, NET_DIR, useOneAgent } from "./one-agent.ts";

enterNodeNamespaces();

const RUN_DIR = "/run/istio-cni";

const modeOf = (path: string): string => (lstatSync(path).mode & 0o7777).toString(8);

describe("options of the agent, on a node", () => {
  const one = useOneAgent();

  const launch = (env: Readonly<Record<string, string>>, args: readonly string[] = []): Promise<TestAgent> =>
    one.launch({ args, env });

  test("MONITORING_PORT moves the metrics, --log_as_json and --log_target the log", async () => {
    const running = await launch({ MONITORING_PORT: "15099" }, [
      "--log_as_json",
      "--log_target=stdout",
      "--log_target=/var/run/istio-cni/agent.log",
    ]);
    assert.match((await running.get(15_099, "/metrics")).text, /^istio_cni_install_ready 1$/m);
    await assert.rejects(running.get(15_014, "/metrics"));
    for (const line of running.log) assert.equal((JSON.parse(line) as { scope: string }).scope, "cni-agent");
    const written = readFileSync(join(RUN_DIR, "agent.log"), "utf8").trimEnd().split("\n");
    assert.ok(written.length > 3 && written.every((line) => line.startsWith('{"level":')));
    assert.equal(modeOf(join(RUN_DIR, "agent.log")), "600");
  });

  test("MONITORING_PORT=0 switches the metrics off", async () => {
    const running = await launch({ MONITORING_PORT: "0" });
    await assert.rejects(running.get(15_014, "/metrics"));
    assert.equal((await running.get(8000, "/readyz")).status, 200);
  });

  test("CNI_AGENT_RUN_DIR is where plugin and agent meet", async () => {
    await launch({ CNI_AGENT_RUN_DIR: "/var/run/istio-cni/elsewhere" });
    assert.ok(lstatSync(join(RUN_DIR, "elsewhere/plugin.sock")).isSocket());
    assert.match(readFileSync(CONFLIST, "utf8"), /"cni_agent_run_dir":\s*"\/var\/run\/istio-cni\/elsewhere"/);
    await one.mesh.node.waitForChained();
    const peer = await one.mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
    const pod = await one.mesh.startPod(sidecarPod({ ...NEW_POD, name: "elsewhere" }));
    await assertCaptured(one.mesh.node, pod, peer, [4]);
  });

  test("CNI_CONF_GROUP_READ is the mode of files that we create", async () => {
    const path = join(NET_DIR, "YYY-istio-cni.conf");
    await launch({ CHAINED_CNI_PLUGIN: "false" });
    assert.equal(modeOf(path), "600");
    await one.stop();
    rmSync(path);
    await launch({ CHAINED_CNI_PLUGIN: "false", CNI_CONF_GROUP_READ: "true" });
    assert.equal(modeOf(path), "640");
  });

  test("KUBECONFIG_MODE and SKIP_TLS_VERIFY shape the kubeconfig that HOST_KUBECONFIG asks for, else none is written", async () => {
    const path = join(RUN_DIR, "istio-cni-kubeconfig");
    const { log } = await launch({ KUBECONFIG_MODE: "0640" });
    assert.ok(log.some((line) => line.includes("so these have no effect: KUBECONFIG_MODE")));
    assert.ok(!existsSync(path));
    await one.stop();
    const told = await launch({ HOST_KUBECONFIG: "true", KUBECONFIG_MODE: "0640", SKIP_TLS_VERIFY: "true" });
    await eventually(
      () => existsSync(path),
      () => told.log.slice(-5).join("\n"),
    );
    assert.equal(modeOf(path), "640");
    assert.match(readFileSync(path, "utf8"), /insecure-skip-tls-verify: true/);
  });

  test("EXCLUDE_NAMESPACES, ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR and ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE decide what is captured", async () => {
    await launch({
      EXCLUDE_NAMESPACES: " kube-system , istio-system ,",
      ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "127.0.0.0/8",
      ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "4242",
    });
    await one.mesh.node.waitForChained();
    const rulesOf = async (object: Parameters<MeshNode["startPod"]>[0]): Promise<string> =>
      (await (await one.mesh.startPod(object)).exec(["iptables-nft-save"])).stdout;
    assert.doesNotMatch(
      await rulesOf(sidecarPod({ ...NEW_POD, namespace: "istio-system", name: "excluded" })),
      /ISTIO/,
    );
    const rules = await rulesOf(sidecarPod({ ...NEW_POD, name: "narrow" }));
    assert.match(rules, /-d 127\.0\.0\.0\/8/);
    assert.match(rules, /--gid-owner 4242 -j RETURN/);
  });

  test("FORCE_IPTABLES_BINARY decides the backend, and NATIVE_NFTABLES over it with a warning", async () => {
    const backendOf = async (running: TestAgent): Promise<string> => {
      await one.mesh.node.waitForChained();
      await one.mesh.startPod(sidecarPod({ ...NEW_POD, name: `backend-${running.pid}` }));
      await eventually(
        () => running.log.some((line) => line.includes("Writing rules as ")),
        () => running.log.slice(-5).join("\n"),
      );
      return running.log.find((line) => line.includes("Writing rules as ")) ?? "";
    };
    assert.match(
      await backendOf(await launch({ FORCE_IPTABLES_BINARY: "nft" })),
      /as iptables-nft: FORCE_IPTABLES_BINARY is nft/,
    );
    await one.stop();
    const both = await launch({ FORCE_IPTABLES_BINARY: "nft", NATIVE_NFTABLES: "true" });
    assert.match(await backendOf(both), /as nftables: .*NATIVE_NFTABLES/);
    assert.ok(both.log.some((line) => /\twarn\t.*FORCE_IPTABLES_BINARY=nft has no effect/.test(line)));
  });
});
