// Running pods whose redirection is missing or was altered: repaired in place, and told. What is printed beside the
// results is measured, and nowhere asserted: how long after the agent's start, or after the change, the rules stood.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readText } from "../../testbed/api-server/kube-object.ts";
import { parseContainerStart } from "../../testbed/cluster/containerd-log.ts";
import { until } from "../../testbed/cluster/create-cluster.ts";
import type { Lab } from "../../testbed/cluster/lab.ts";
import { type PodChoice, renderMeshPod, renderPlainPod } from "../../testbed/cluster/mesh-pod.ts";
import {
  AGENT_NAMESPACE,
  agentMetrics,
  containerStatus,
  listEvents,
  readAgentPod,
  readPods,
  waitReady,
} from "../../testbed/cluster/observe-pods.ts";
import { openPodNetns } from "../../testbed/cluster/pod-netns.ts";
import { classic, native, peer, plain, pod, type SidecarScene } from "./sidecar-scene.ts";

/** `REPAIR_RUNS=10` measures the agent's return ten times. */
const RETURNS = Number(process.env["REPAIR_RUNS"] ?? 1);
const ONLY_IN_LAB = "only the lab's node can be reached beside Kubernetes";

/** The agent comes to a node where pods of the mesh run already. Leaves it installed, and the scene's pods Ready. */
export function testArrival(scene: SidecarScene): void {
  test("repairs the pods that started before it, once and for all", async (t) => {
    const { cluster, lab, agent } = scene;
    const early = [renderMeshPod(native), renderMeshPod(classic, { isNative: false })];
    const outside = [renderPlainPod(plain), renderPlainPod(peer)];
    if (lab === undefined) {
      t.diagnostic(`${ONLY_IN_LAB}: the pods start after the agent here`);
      await agent.installAgent();
      await cluster.apply([...early, ...outside]);
    } else {
      await cluster.apply([...early, ...outside]);
      try {
        for (const each of [native, classic])
          await until(`${each.name} to be found uncaptured`, 60_000, () => scene.isFoundUncaptured(each));
        t.diagnostic(await measureReturn(scene, lab, [native, classic]));
      } finally {
        // Whatever went wrong here: the other tests are about an agent that is there.
        if (!agent.isBroken()) await agent.installAgent();
      }
      assert.match(await agentMetrics(cluster), /^istio_cni_repair_pods_repaired_total{.*result="success".*} 2$/m);
      for (const each of [native, classic]) {
        const events = await listEvents(cluster, each, "RedirectionRepaired");
        assert.match(events.join("\n"), /ran without its redirection, which is in place now/);
      }
    }
    await waitReady(cluster, [native, classic, plain, peer], 90_000);
    await scene.assertCaptured(native, classic);
  });
}

const EDITS: readonly { readonly what: string; readonly argv: readonly string[] }[] = [
  { what: "all rules flushed", argv: ["nft", "flush", "ruleset"] },
  {
    what: "an exception put before ours",
    argv: ["iptables-nft", "-t", "nat", "-I", "ISTIO_INBOUND", "-p", "tcp", "--dport", "8080", "-j", "RETURN"],
  },
  { what: "one rule deleted", argv: ["iptables-nft", "-t", "nat", "-D", "PREROUTING", "1"] },
];

/** Somebody changes the rules of a running pod. */
export function testAlteredRules(scene: SidecarScene): void {
  test("repairs what somebody changes in a running pod's namespace, and tells of it by an Event", async (t) => {
    const { cluster, lab } = scene;
    if (lab === undefined) return t.skip(ONLY_IN_LAB);
    using netns = await openPodNetns(lab, native);
    const rules = await netns.rules();
    assert.match(rules, /ISTIO_INBOUND/);
    for (const { what, argv } of EDITS) {
      const before = netns.generation();
      await netns.exec(argv);
      const editedMs = Date.now();
      await until(`the repair of ${what}`, 60_000, async () => (await netns.rules()) === rules);
      assert.equal(netns.generation(), before + 2, `${what}: one commit changes, one repairs`);
      t.diagnostic(`${what}: seen whole again ${Date.now() - editedMs} ms after the change had returned`);
    }
    // As an operator sees it: the first at once, the others as its count after a while.
    await until("an Event of it", 60_000, async () => {
      const told = await cluster.kubectl(["-n", native.namespace, "get", "events"]);
      return /Warning +RedirectionRepaired +pod\/native +redirection of this pod was altered \(by nft, pid \d+\)/.test(
        told,
      );
    });
    assert.match(await agentMetrics(cluster), /^istio_cni_agent_drift_total{object="rules",action="repaired"} [5-9]$/m);
    await scene.assertCaptured(native);
  });
}

/** The agent comes back to a node where a pod has started past it. Expects it to be installed, and leaves it so. */
export function testReturn(scene: SidecarScene): void {
  test("repairs a pod that started without it as soon as it is back", async (t) => {
    const { cluster, lab, agent } = scene;
    if (lab === undefined) return t.skip(ONLY_IN_LAB);
    for (let run = 0; run < RETURNS; run++) {
      await agent.removeAgent();
      agent.forgetPlugin();
      const late = pod(`late-${run}`);
      await cluster.apply([renderMeshPod(late)]);
      await until(`a process in ${late.name}`, 60_000, async () => {
        const [found = {}] = await readPods(cluster, [late]);
        return readText(containerStatus(found, "istio-validation"), "containerID") !== "";
      });
      t.diagnostic(await measureReturn(scene, lab, [late]));
      await waitReady(cluster, [late], 90_000);
      await scene.assertCaptured(late);
    }
  });
}

/** Installs the agent and says how soon the rules of `pods`, which have none, stood. */
async function measureReturn(scene: SidecarScene, lab: Lab, pods: readonly PodChoice[]): Promise<string> {
  using opened = new DisposableStack();
  const all = [];
  for (const each of pods) {
    const netns = opened.use(await openPodNetns(lab, each));
    assert.doesNotMatch(await netns.rules(), /ISTIO/, `${each.name} has rules before the agent is there`);
    all.push({ netns, generation: netns.generation() });
  }
  const letMs = Date.now();
  const [, ...stoodMs] = await Promise.all([
    scene.agent.installAgent(),
    ...all.map(({ netns, generation }) => netns.changed(generation, 90_000)),
  ]);
  for (const { netns } of all) assert.match(await netns.rules(), /ISTIO_OUTPUT/);
  const lastMs = Math.max(...stoodMs);
  const agentPod = await readAgentPod(scene.cluster);
  const containerId = readText(containerStatus(agentPod, "install-cni"), "containerID").replace("containerd://", "");
  const containerMs = parseContainerStart(scene.readContainerdLog(), containerId) ?? Number.NaN;
  const [, processSeconds] = /^process_start_time_seconds (\S+)$/m.exec(await agentMetrics(scene.cluster)) ?? [];
  const log = await scene.cluster.kubectl([
    "-n",
    AGENT_NAMESPACE,
    "logs",
    "--timestamps",
    readText(agentPod, "metadata", "name"),
  ]);
  const [, readyAt = ""] = /^(\S+) .*Ready: /m.exec(log) ?? [];
  return [
    `rules of ${pods.length} pods stood ${(lastMs - containerMs).toFixed(0)} ms after the agent's container was started`,
    `${(lastMs - Number(processSeconds) * 1000).toFixed(0)} ms after its process began`,
    `${lastMs - Date.parse(readyAt)} ms after it said it was ready`,
    `${lastMs - letMs} ms after kubectl was asked for the DaemonSet`,
  ].join(", ");
}
