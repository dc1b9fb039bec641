// The node itself: a real container runtime and real network plugins, without us. What is asserted here is what the
// suites beside it stand on: pods get addresses, connections tell who accepted them, and nothing is left behind.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { isCaptured, observeCapture } from "../../testbed/node/connections.ts";
import { createNode, type TestNode } from "../../testbed/node/create-node.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import type { NodeFamilies } from "../../testbed/node/node-network.ts";
import { PROXY_UID, probe, startApplication, startSidecar } from "../../testbed/sidecar/sidecar.ts";
import { eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const FAMILIES: Readonly<Record<NodeFamilies, readonly RegExp[]>> = {
  v4: [/^10\.244\.0\./],
  v6: [/^fd00:10:244::/],
  dual: [/^10\.244\.0\./, /^fd00:10:244::/],
};

for (const family of ["v4", "v6", "dual"] as const) {
  test(`createNode() with ${family} starts a pod with those addresses, and leaves nothing`, async () => {
    const node = await createNode({ families: family });
    try {
      const pod = await node.runPod({ name: "first" });
      assert.equal(pod.ips.length, FAMILIES[family].length);
      for (const [index, pattern] of FAMILIES[family].entries()) assert.match(pod.ips[index] ?? "", pattern);
      assert.ok(existsSync(pod.netnsPath));
      const seen = await pod.exec(["ip", "-o", "address", "show", "dev", "eth0"]);
      for (const ip of pod.ips) assert.ok(seen.stdout.includes(` ${ip}/`), seen.stdout);
      await pod.remove();
      assert.ok(!existsSync(pod.netnsPath));
      assert.deepEqual(await node.runtime.cri.listPodSandboxes(), []);
      await node.runPod({ name: "left-to-destroy" });
    } finally {
      // Itself an assertion: it throws with the list of what is left.
      await node.destroy();
    }
    assert.equal(existsSync("/run/containerd"), false);
    assert.equal(existsSync("/run/testbed"), false);
  });
}

describe("a dual-stack node", () => {
  let node: TestNode;
  before(async () => {
    node = await createNode();
  });
  after(() => node.destroy());

  test("gives network plugins the pod's name, namespace and UID, and its annotations to those that ask", async () => {
    const saved = readFileSync(node.conflistPath, "utf8");
    const spy = `${node.cniBinDir}/spy`;
    // Keeps the arguments and the configuration of the last ADD, and passes the result on.
    const script = `#!/bin/sh
config=$(cat)
[ "$CNI_COMMAND" = ADD ] || exit 0
printf '%s' "$config" > /run/spy.stdin
printf '%s' "$CNI_ARGS" > /run/spy.args
printf '%s' "$config" | sed 's/.*"prevResult":\\({.*}\\),"runtimeConfig.*/\\1/'
`;
    writeFileSync(spy, script, { mode: 0o755 });
    const conflist: unknown = JSON.parse(saved);
    assert.ok(typeof conflist === "object" && conflist !== null && "plugins" in conflist);
    assert.ok(Array.isArray(conflist.plugins));
    conflist.plugins.push({ type: "spy", capabilities: { "io.kubernetes.cri.pod-annotations": true } });
    try {
      writeFileSync(node.conflistPath, JSON.stringify(conflist));
      await node.waitForPlugins((types) => types.includes("spy"));
      const pod = await node.runPod({
        name: "seen",
        namespace: "shop",
        annotations: { "sidecar.istio.io/status": "{}" },
      });
      const args = readFileSync("/run/spy.args", "utf8");
      for (const part of [`K8S_POD_NAME=seen`, `K8S_POD_NAMESPACE=shop`, `K8S_POD_UID=${pod.uid}`])
        assert.ok(args.split(";").includes(part), args);
      assert.match(readFileSync("/run/spy.stdin", "utf8"), /"sidecar\.istio\.io\/status":"\{\}"/);
      await pod.remove();
    } finally {
      writeFileSync(node.conflistPath, saved);
      await node.waitForPlugins((types) => !types.includes("spy"));
    }
  });

  test("refuses a pod whose network plugin refuses, with the plugin's own words", async () => {
    const saved = readFileSync(node.conflistPath, "utf8");
    const script = `#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion":"1.0.0","code":11,"msg":"Cannot decide: come back later"}'
exit 1
`;
    writeFileSync(`${node.cniBinDir}/refusing`, script, { mode: 0o755 });
    try {
      writeFileSync(node.conflistPath, saved.replace('"type": "portmap"', '"type": "refusing"'));
      await node.waitForPlugins((types) => types.includes("refusing"));
      await assert.rejects(
        node.runPod({ name: "refused" }),
        (error) => error instanceof CriError && error.details.includes("Cannot decide: come back later"),
      );
      assert.deepEqual(await node.runtime.cri.listPodSandboxes(), []);
    } finally {
      writeFileSync(node.conflistPath, saved);
      await node.waitForPlugins((types) => !types.includes("refusing"));
    }
  });

  test("observeCapture() tells redirected connections from direct ones, in both directions and families", async () => {
    const pod = await node.runPod({ name: "captured" });
    const peer = await node.runPod({ name: "peer" });
    await using application = await startApplication(node.nettool, pod, [8080]);
    await using _peerApplication = await startApplication(node.nettool, peer, [8080]);
    await using sidecar = await startSidecar(node.nettool, pod);

    const direct = await observeCapture(node.nettool, pod, peer);
    assert.equal(direct.length, 4);
    assert.ok(direct.every(({ result }) => result.outcome === "direct"));
    await eventually(
      () => application.connections().length > 1,
      () => "for what the application tells of two connections",
    );
    assert.equal(application.connections().length, 2);

    for (const tables of ["iptables", "ip6tables"]) {
      const rules = [
        ["OUTPUT", "-m", "owner", "!", "--uid-owner", String(PROXY_UID), "-j", "REDIRECT", "--to-ports", "15001"],
        ["PREROUTING", "-j", "REDIRECT", "--to-ports", "15006"],
      ];
      for (const [chain = "", ...rule] of rules) {
        const done = await pod.exec([tables, "-t", "nat", "-A", chain, "-p", "tcp", ...rule]);
        assert.equal(done.status, 0, done.stderr);
      }
    }
    const captured = await observeCapture(node.nettool, pod, peer);
    assert.equal(captured.length, 4);
    assert.ok(isCaptured(captured, "inbound") && isCaptured(captured, "outbound"), JSON.stringify(captured));
    await eventually(
      () => sidecar.connections().length >= captured.length,
      () => `for what the sidecar tells of ${captured.length} connections`,
    );
    assert.deepEqual(
      sidecar.connections().map(({ original }) => original),
      captured.map(({ target }) => target),
    );

    const ip = peer.ips[0] ?? "";
    const byProxy = await probe(node.nettool, { ip, port: 8080 }, { pod, uid: PROXY_UID });
    assert.deepEqual(byProxy, { outcome: "direct", port: 8080 });
    await sidecar.stop();
    const refused = await observeCapture(node.nettool, pod, peer);
    assert.ok(
      refused.every(({ result }) => result.outcome === "refused"),
      JSON.stringify(refused),
    );
    await pod.remove();
    await peer.remove();
  });

  test("startContainer() runs a program of the image as the user it is given", async () => {
    const pod = await node.runPod({ name: "with-container" });
    await pod.startContainer({ name: "application", args: ["serve", "9090"], uid: 1000 });
    const ip = pod.ips[0] ?? "";
    let answer = await probe(node.nettool, { ip, port: 9090 });
    // The runtime answers when the program is started, which is before it listens.
    await eventually(
      async () => {
        answer = await probe(node.nettool, { ip, port: 9090 });
        return answer.outcome !== "refused";
      },
      () => "for the application to listen",
    );
    assert.deepEqual(answer, { outcome: "direct", port: 9090 });
    await pod.remove();
  });
});
