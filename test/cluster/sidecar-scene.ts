// What the tests of sidecar mode in a cluster share: one cluster, the pods that stay through all of them, and what it means
// to be captured, seen by a user of the mesh.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readPath } from "../../testbed/api-server/kube-object.ts";
import { type AgentCluster, createAgentCluster, mustWork } from "../../testbed/cluster/agent-cluster.ts";
import type { Cluster } from "../../testbed/cluster/create-cluster.ts";
import type { Lab } from "../../testbed/cluster/lab.ts";
import type { PodChoice } from "../../testbed/cluster/mesh-pod.ts";
import {
  addressesOf,
  connect,
  containerStatus,
  listComplaintsAbout,
  type PodAddress,
  readPods,
} from "../../testbed/cluster/observe-pods.ts";

export const NAMESPACE = "shop";
export const pod = (name: string, namespace = NAMESPACE): PodChoice => ({ name, namespace });

/** In the mesh, with the proxy as an init container that stays and as an ordinary container. */
export const [native, classic] = [pod("native"), pod("classic")];
/** Outside the mesh. */
export const [plain, peer] = [pod("plain"), pod("peer")];
/** Injected like one in the mesh, in a namespace that is excluded. Without istio-validation, which would fail. */
export const excluded = pod("injected", "kube-system");

/** Opened before the first test and closed after the last. */
export interface SidecarScene extends AsyncDisposable {
  open(): Promise<void>;
  readonly agent: AgentCluster;
  readonly cluster: Cluster;
  /** Undefined in a cluster that KUBECONFIG names. */
  readonly lab: Lab | undefined;
  /** Asserts that both directions of each pod pass its sidecar, seen from a pod outside the mesh. */
  assertCaptured(...pods: readonly PodChoice[]): Promise<void>;
  /** Asserts that a connection passes no sidecar. */
  assertDirect(from: PodChoice, to: PodChoice): Promise<void>;
  /** Asserts that no start of these pods was refused, and that each was captured when it was to start. */
  assertStartedAtOnce(...pods: readonly PodChoice[]): Promise<void>;
  /** Whether istio-validation of the pod has once ended with 126: the code that says uncaptured. */
  isFoundUncaptured(each: PodChoice): Promise<boolean>;
  /** The lab's containerd since it was made. */
  readContainerdLog(): string;
}

/** Checks that run kubectl, so many at a time: the machine has two cores, and the node is on it too. */
const AT_ONCE = 4;

export function createSidecarScene(): SidecarScene {
  let opened: AgentCluster | undefined;
  const agent = (): AgentCluster => mustWork(opened);
  const cluster = (): Cluster => agent().cluster;

  async function assertBothWays(each: PodChoice, its: PodAddress, outside: PodAddress): Promise<void> {
    const inbound = { outcome: "captured", port: 15006, original: its.text };
    assert.deepEqual(await connect(cluster(), plain, its), inbound, `into ${each.name}`);
    const outbound = { outcome: "captured", port: 15001, original: outside.text };
    assert.deepEqual(await connect(cluster(), each, outside), outbound, `out of ${each.name}`);
  }

  return {
    async open() {
      opened = await createAgentCluster("sidecar", NAMESPACE);
    },
    get agent() {
      return agent();
    },
    get cluster() {
      return cluster();
    },
    get lab() {
      return cluster().lab;
    },
    async assertCaptured(...pods) {
      const [outside, ...addresses] = await addressesOf(cluster(), [plain, ...pods]);
      assert.ok(outside);
      const left = addresses.entries();
      const work = async (): Promise<void> => {
        for (const [index, its] of left) await assertBothWays(pods[index] ?? plain, its, outside);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    },
    async assertDirect(from, to) {
      const [its] = await addressesOf(cluster(), [to]);
      assert.ok(its);
      assert.deepEqual(await connect(cluster(), from, its), { outcome: "direct", port: its.port });
    },
    async assertStartedAtOnce(...pods) {
      assert.deepEqual(await listComplaintsAbout(cluster(), pods), []);
      for (const each of await readPods(cluster(), pods)) {
        const validation = containerStatus(each, "istio-validation");
        assert.equal(readPath(validation, "restartCount"), 0);
        assert.equal(readPath(validation, "state", "terminated", "exitCode"), 0);
      }
    },
    async isFoundUncaptured(each) {
      const [found = {}] = await readPods(cluster(), [each]);
      const validation = containerStatus(found, "istio-validation");
      return ["state", "lastState"].some((state) => readPath(validation, state, "terminated", "exitCode") === 126);
    },
    readContainerdLog: () => readFileSync(join(cluster().lab?.stateDir ?? "", "log/containerd.log"), "utf8"),
    async [Symbol.asyncDispose]() {
      await opened?.[Symbol.asyncDispose]();
    },
  };
}
