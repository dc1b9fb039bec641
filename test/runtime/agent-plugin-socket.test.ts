// The plugin socket under load, and what the agent does for an ADD: it programs the pod itself, starting nothing.
import assert from "node:assert/strict";
import { once } from "node:events";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, withProxyEnv } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { assertAlive, assertCaptured } from "./captured-pods.ts";

enterNodeNamespaces();

const SOCKET = "/run/istio-cni/plugin.sock";
const PEERS = 1000;

describe("the agent", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  let peer: TestPod;
  before(async () => {
    mesh = await createMeshNode({ families: "dual" });
    agent = await mesh.startAgent();
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
  });
  after(() => mesh.destroy());

  test(`captures a pod while ${PEERS} peers are connected to its socket and say nothing`, async () => {
    const silent = await connectMany(PEERS);
    try {
      const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "among-silent" }));
      await assertCaptured(mesh.node, pod, peer, [4]);
      await pod.remove();
    } finally {
      for (const socket of silent) socket.destroy();
    }
    assertAlive(agent);
  });

  test(`captures a pod while ${PEERS} peers have begun a request and do not go on`, async () => {
    const halfway = await connectMany(PEERS);
    try {
      for (const socket of halfway) socket.write(Buffer.from("ICNI\u0001\u0000\u0001"));
      const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "among-halfway" }));
      await assertCaptured(mesh.node, pod, peer, [4]);
      await pod.remove();
    } finally {
      for (const socket of halfway) socket.destroy();
    }
    assertAlive(agent);
  });

  test("hangs up on peers that do not speak its protocol, and goes on", async () => {
    for (const bytes of [Buffer.from("GET / HTTP/1.1\r\nHost: plugin\r\n\r\n"), Buffer.alloc(4096, 0xff)]) {
      const [socket] = await connectMany(1);
      assert.ok(socket !== undefined);
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.resume().write(bytes);
      await closed;
    }
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "after-strangers" }));
    await assertCaptured(mesh.node, pod, peer, [4]);
    await pod.remove();
  });

  test("captures 20 pods that start at once", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `at-once-${index}`);
    const pods = await Promise.all(names.map((name) => mesh.startPod(sidecarPod({ ...NEW_POD, name }))));
    for (const pod of pods) {
      const rules = (await pod.exec(["iptables-save", "-t", "nat"])).stdout;
      assert.match(rules, /-A PREROUTING -p tcp -j ISTIO_INBOUND/, pod.name);
    }
    await Promise.all(pods.map((pod) => pod.remove()));
  });

  test("starts no process to capture pods: where it may not, it captures all the same", async () => {
    const folder = findPidsCgroup(agent);
    const read = (name: string): number => Number(/\d+/.exec(readFileSync(join(folder, name), "utf8"))?.[0]);
    // At the limit every fork, and every new thread, fails and is counted.
    writeFileSync(join(folder, "pids.max"), readFileSync(join(folder, "pids.current")));
    const refusedBefore = read("pids.events");
    try {
      const objects = [
        sidecarPod({ ...NEW_POD, name: "no-process" }),
        sidecarPod({ ...NEW_POD, name: "no-process-tproxy", interceptionMode: "TPROXY" }),
        withProxyEnv(sidecarPod({ ...NEW_POD, name: "no-process-dual" }), {
          ISTIO_DUAL_STACK: "true",
          ISTIO_META_DNS_CAPTURE: "true",
        }),
      ];
      for (const object of objects) {
        const pod = await mesh.startPod(object);
        assert.match((await pod.exec(["iptables-save", "-t", "nat"])).stdout, /-A OUTPUT -j ISTIO_OUTPUT/);
        await pod.remove();
      }
      assert.equal(read("pids.events") - refusedBefore, 0, "the agent tried to start a process or thread");
    } finally {
      writeFileSync(join(folder, "pids.max"), "max");
    }
    assertAlive(agent);
  });
});

async function connectMany(count: number): Promise<readonly Socket[]> {
  const sockets: Socket[] = [];
  for (let index = 0; index < count; index += 1) {
    const socket = connect(SOCKET);
    socket.on("error", () => socket.destroy());
    await once(socket, "connect");
    sockets.push(socket);
  }
  return sockets;
}

/** Version 1 has a hierarchy for pids, version 2 one for all. */
function findPidsCgroup(agent: TestAgent): string {
  const [path] = globSync(`/sys/fs/cgroup/{pids,}${agent.cgroup}/pids.max`);
  assert.ok(path !== undefined, "this test needs the pids controller of the kernel's cgroups");
  return path.slice(0, -"/pids.max".length);
}
