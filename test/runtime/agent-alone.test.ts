// The program where it cannot do its work: run by itself as `docker run IMAGE` does, and in the DaemonSet of the hardened image's
// guide, which mounts nothing and grants nothing. It must say why, name everything that is missing, and break nothing.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, INSTALL_CNI, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { assertCaptured, eventually } from "./captured-pods.ts";

enterNodeNamespaces();

/** A mount namespace without the host's folders, a network without a way out, and an environment with nothing in it. */
const ALONE = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "env", "-i"];
const CHART_MOUNTS = ["/host/etc/cni/net.d", "/host/opt/cni/bin", "/host/proc"];

describe("install-cni run by itself, as docker run does", () => {
  test("ends with 1, and names what is missing and what to do (P12)", async () => {
    const { status, stdout, stderr } = await runCommand([...ALONE, "REPAIR_REPAIR_PODS=true", INSTALL_CNI]);
    assert.equal(status, 1, stderr);
    assert.match(stdout, /Cannot run by itself: install-cni is the node agent of a Kubernetes cluster/);
    assert.match(stdout, /Missing: the API server; KUBERNETES_SERVICE_HOST/);
    for (const mount of CHART_MOUNTS) assert.match(stdout, new RegExp(`Missing in this container: .*${mount}`));
    assert.match(stdout, /What to do: .*helm install istio-cni/);
    assert.doesNotMatch(stdout + stderr, /^\s+at /m, "no stack trace");
  });

  test("names the capabilities that it lacks, too", async () => {
    const drop = ["setpriv", "--bounding-set=-all,+chown", "--inh-caps=-all"];
    const { status, stdout } = await runCommand([...ALONE, ...drop, INSTALL_CNI]);
    assert.equal(status, 1);
    assert.match(
      stdout,
      /Missing capabilities: NET_ADMIN \(.*SYS_ADMIN \(.*SYS_PTRACE \(.*the DaemonSet has to grant them/,
    );
  });

  test("prints version, help, configuration and completion all the same", async () => {
    for (const args of [["version"], ["--help"], ["help", "status"], ["config"], ["completion", "bash"]]) {
      const { status, stdout, stderr } = await runCommand([...ALONE, INSTALL_CNI, ...args]);
      assert.deepEqual([status, stderr], [0, ""], args.join(" "));
      assert.ok(stdout.length > 10, args.join(" "));
    }
  });
});

describe("the DaemonSet of the hardened image's guide: no mounts, no rights, no environment (P11)", () => {
  let mesh: MeshNode;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
  });
  after(() => mesh.destroy());

  test("stays up and not ready, and names each missing mount and right in the log and at /readyz", async () => {
    const before = readdirSync("/etc/cni/net.d");
    mesh.api.fault({}, { kind: "status", code: 403 });
    const agent = await mesh.launchAgent({ setting: "bare", capabilities: "container", args: [] });
    let ready = { status: 0, text: "" };
    const wanted = [
      /^Service Unavailable\n/,
      /^install: .*Missing in this container: \/host\/etc\/cni\/net\.d, \/host\/opt\/cni\/bin; the DaemonSet has to mount/m,
      /^install: .*Missing capabilities: NET_ADMIN \(.*SYS_ADMIN \(/m,
      /^pods: .*403.*service account has to be allowed to get, list and watch pods$/m,
    ];
    await eventually(
      async () => {
        ready = await agent.get(8000, "/readyz").catch(() => ready);
        return wanted.every((pattern) => pattern.test(ready.text));
      },
      () => `${ready.status} ${ready.text}\n${agent.log.slice(-20).join("\n")}`,
    );
    assert.equal(ready.status, 503);
    assert.ok(agent.log.some((line) => /\terror\t.*Missing in this container: /.test(line)));
    assert.ok(agent.log.some((line) => /\terror\t.*Missing capabilities: /.test(line)));
    assert.ok(!agent.log.some((line) => /^\s+at .*:\d+:\d+\)$/.test(line)), "no stack trace");
    assert.deepEqual(readdirSync("/etc/cni/net.d"), before);
    assert.equal(await agent.stop(), 0);
  });

  test("works once the mounts and rights are there, without any of the guide's variables (P24)", async () => {
    mesh.api.clearFaults();
    const agent = await mesh.startAgent({
      args: [],
      env: Object.fromEntries(
        ["EXCLUDE_NAMESPACES", "CHAINED_CNI_PLUGIN", "AMBIENT_ENABLED", "ISTIO_OWNED_CNI_CONFIG"].map((name) => [
          name,
          "",
        ]),
      ),
    });
    const peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "web" }));
    await assertCaptured(mesh.node, pod, peer, [4]);
    assert.equal(await agent.stop(), 0);
  });
});
