// The eight variables of the hardened image's guide (P16 to P24), each with an effect that can be seen on the node. Upstream's
// agent reads three of them.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { namespace, plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { type MeshAgentOptions, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { startZtunnel } from "../../testbed/ztunnel/ztunnel-process.ts";
import { assertCaptured } from "./captured-pods.ts";
import { CONFLIST, NET_DIR, useOneAgent } from "./one-agent.ts";

enterNodeNamespaces();

/** As the guide has them, with its defaults. */
const GUIDE_DEFAULTS = {
  CNI_NET_DIR: "/etc/cni/net.d",
  CNI_BIN_DIR: "/opt/cni/bin",
  CNI_NETWORK_CONFIG: "",
  CNI_CONF_NAME: "",
  CHAINED_CNI_PLUGIN: "true",
  KUBECFG_FILE_NAME: "ZZZ-istio-cni-kubeconfig",
  LOG_LEVEL: "info",
  AMBIENT_ENABLED: "false",
};

function pluginsOf(path: string): readonly Record<string, unknown>[] {
  return (JSON.parse(readFileSync(path, "utf8")) as { plugins: Record<string, unknown>[] }).plugins;
}

const entryIn = (path: string): Record<string, unknown> | undefined =>
  pluginsOf(path).find(({ type }) => type === "istio-cni");

describe("the variables of the hardened image's guide", () => {
  const one = useOneAgent();
  let pods = 0;

  /** Without the chart's flag, which the guide's DaemonSet does not have. */
  const launch = (env: Readonly<Record<string, string>>, options: MeshAgentOptions = {}): Promise<TestAgent> =>
    one.launch({ args: [], ...options, env: { ...GUIDE_DEFAULTS, ...env } });

  async function capturesAPod(): Promise<void> {
    await one.mesh.node.waitForChained();
    const name = `web-${++pods}`;
    const peer = await one.mesh.startPod(plainPod({ ...NEW_POD, name: `peer-${pods}` }));
    const pod = await one.mesh.startPod(sidecarPod({ ...NEW_POD, name }));
    await assertCaptured(one.mesh.node, pod, peer, [4]);
    await pod.remove();
    await peer.remove();
  }

  test("with the guide's defaults a pod is captured, and KUBECFG_FILE_NAME is accepted: no kubeconfig is written (P21)", async () => {
    const { log } = await launch({});
    await capturesAPod();
    assert.ok(
      log.some((line) => /Accepted without effect: .*KUBECFG_FILE_NAME \(the plugin needs no kubeconfig/.test(line)),
    );
    assert.equal(log.filter((line) => line.includes("KUBECFG_FILE_NAME")).length, 1, "once");
    for (const folder of [NET_DIR, "/run/istio-cni"]) {
      assert.deepEqual(
        readdirSync(folder).filter((name) => name.includes("kubeconfig")),
        [],
      );
    }
  });

  test("CNI_NET_DIR and CNI_BIN_DIR name folders of the host, looked for below /host (P16, P17)", async () => {
    rmSync("/opt/cni/bin/istio-cni", { force: true });
    const running = await launch({ CNI_NET_DIR: NET_DIR, CNI_BIN_DIR: "/opt/cni/bin" });
    assert.ok(entryIn(CONFLIST) !== undefined);
    assert.ok(running.log.some((line) => line.includes("Copied istio-cni to /host/opt/cni/bin")));
    assert.ok(running.log.some((line) => line.includes("Wrote CNI config to /host/etc/cni/net.d/10-testbed.conflist")));
  });

  test("MOUNTED_CNI_NET_DIR wins over CNI_NET_DIR (P16)", async () => {
    const { log } = await launch({ CNI_NET_DIR: "/no/such/folder", MOUNTED_CNI_NET_DIR: "/host/etc/cni/net.d" });
    assert.ok(entryIn(CONFLIST) !== undefined);
    assert.ok(log.some((line) => line.includes("CNI_NET_DIR is overridden")));
  });

  test("CNI_NETWORK_CONFIG lays its keys under the generated object (P18)", async () => {
    await launch({ CNI_NETWORK_CONFIG: '{"type":"evil","mine":{"a":1}}' });
    const entry = entryIn(CONFLIST);
    assert.deepEqual(entry?.["mine"], { a: 1 });
    assert.ok(!pluginsOf(CONFLIST).some(({ type }) => type === "evil"));
    await capturesAPod();
  });

  test("CNI_CONF_NAME names the file to chain into, another one than the first (P19)", async () => {
    const later = join(NET_DIR, "20-later.conflist");
    writeFileSync(later, one.conflist);
    await launch({ CNI_CONF_NAME: "20-later.conflist" });
    assert.ok(entryIn(later) !== undefined);
    assert.equal(entryIn(CONFLIST), undefined);
  });

  test("CHAINED_CNI_PLUGIN=false writes a file of our own and leaves the others alone (P20)", async () => {
    await launch({ CHAINED_CNI_PLUGIN: "false" });
    assert.equal(readFileSync(CONFLIST, "utf8"), one.conflist);
    assert.ok(existsSync(join(NET_DIR, "YYY-istio-cni.conf")));
  });

  test("LOG_LEVEL=debug raises our scopes, and the chart's flag wins over it (P22)", async () => {
    const loud = await launch({ LOG_LEVEL: "debug" });
    assert.ok(loud.log.some((line) => line.includes("\tdebug\tcni-agent\t")));
    await loud.stop();
    const told = await launch({ LOG_LEVEL: "debug" }, { args: ["--log_output_level=info"] });
    assert.ok(!told.log.some((line) => line.includes("\tdebug\t")));
    assert.ok(
      told.log.some((line) => line.includes("LOG_LEVEL=debug is overridden by --log_output_level=default:info")),
    );
  });

  test("AMBIENT_ENABLED=true alone enrols by the usual label (P23)", async () => {
    one.mesh.api.put(namespace("mesh", { "istio.io/dataplane-mode": "ambient" }));
    mkdirSync("/run/ztunnel", { recursive: true });
    const ztunnel = await startZtunnel({ socketPath: "/run/ztunnel/ztunnel.sock" });
    try {
      const names = ["AMBIENT_DNS_CAPTURE", "AMBIENT_IPV6", "AMBIENT_RECONCILE_POD_RULES_ON_STARTUP"];
      const unset = Object.fromEntries(names.map((name) => [name, ""]));
      await launch({ ...unset, AMBIENT_ENABLED: "true" }, { ambient: true });
      await one.mesh.node.waitForChained();
      const pod = await one.mesh.startPod(plainPod({ ...NEW_POD, namespace: "mesh", name: "web" }));
      const { stdout } = await pod.exec(["iptables-nft-save"]);
      assert.match(stdout, /-A ISTIO_OUTPUT .*--to-ports 15001/);
      await pod.remove();
    } finally {
      await one.stop();
      await ztunnel.stop();
    }
  });
});
