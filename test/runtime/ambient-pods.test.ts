// What the life of a node does to ambient pods: their address goes to another, they come back under their name, finish, lose
// their namespace or sandbox, are not who the runtime says; and what others do to the node's rules.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { mustRun, runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { probe, startApplication } from "../../testbed/sidecar/sidecar.ts";
import type { ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import { type AmbientNode, createAmbientNode, isRedirected, servedBy, until, untilIn } from "./ambient-node.ts";

enterNodeNamespaces();

const SET = "istio-inpod-probes-v4";

describe("a node with ambient pods", () => {
  let node: AmbientNode;
  let ztunnel: ZtunnelProcess;
  let agent: TestAgent;
  before(async () => {
    node = await createAmbientNode("v4");
    ztunnel = await node.startZtunnel();
    agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "3s" } });
  });
  after(() => node[Symbol.asyncDispose]());

  async function listedPods(): Promise<Readonly<Record<string, string>>> {
    const { stdout } = await runCommand(["ipset", "list", SET]);
    return Object.fromEntries(
      [...stdout.matchAll(/^(\d+\.\S+) comment "([^"]*)"$/gm)].map(([, ip = "", uid = ""]) => [ip, uid]),
    );
  }

  /** The set has these pods' addresses, under their UIDs, and nothing else. */
  async function untilListed(...pods: readonly TestPod[]): Promise<void> {
    const wanted = Object.fromEntries(pods.map(({ ips, uid }) => [ips[0] ?? "", uid]));
    let found = {};
    await until(
      "the probe set is right",
      async () => {
        found = await listedPods();
        return (
          Object.keys(found).length === pods.length &&
          Object.entries(wanted).every(([ip, uid]) => Reflect.get(found, ip) === uid)
        );
      },
      () => JSON.stringify({ found, wanted }),
    );
  }

  async function untilServed(...pods: readonly TestPod[]): Promise<void> {
    const wanted = pods.map(({ name }) => `mesh/${name}`).toSorted();
    await until(`ztunnel serves ${wanted.join()}`, () => [...servedBy(ztunnel)].toSorted().join() === wanted.join());
  }

  test("lets probes of the node pass by ztunnel, and mends set and rule that somebody has flushed", async () => {
    const pod = await node.startPod({ name: "probed" });
    await untilIn(node, pod);
    await untilListed(pod);
    const { nettool } = node.mesh.node;
    await using _application = await startApplication(nettool, pod, [8080]);
    const ip = pod.ips[0] ?? "";
    const isExempt = async () => {
      const before = ztunnel.connections().length;
      const { outcome } = await probe(nettool, { ip, port: 8080 });
      return outcome === "direct" && ztunnel.connections().length === before;
    };
    assert.ok(await isExempt());
    await mustRun(["ipset", "flush", SET]);
    await untilListed(pod);
    // As firewalld and the like do at each reload: everything that nft shows goes.
    await mustRun(["nft", "flush", "ruleset"]);
    await until("the rule is back", isExempt);
    await untilListed(pod);
    assert.ok(await isRedirected(pod));
    await node.removePod(pod);
    await untilListed();
  });

  test("puts back what such a flush takes out of a pod", async () => {
    const pod = await node.startPod({ name: "flushed" });
    await untilIn(node, pod);
    await pod.exec(["nft", "flush", "ruleset"]);
    await until("the rules are back", () => isRedirected(pod));
    await pod.exec(["ip", "rule", "flush"]);
    await until("the policy rule is back", () => isRedirected(pod));
    await pod.exec(["ip", "route", "flush", "table", "100"]);
    await until(
      "the route is back",
      async () => (await pod.exec(["ip", "route", "show", "table", "100"])).stdout !== "",
    );
    assert.equal(node.redirection(pod), "enabled");
    await node.removePod(pod);
  });

  test("takes a pod that comes back under its name for the other one that it is", async () => {
    const first = await node.startPod({ name: "db-0" });
    await untilIn(node, first);
    // As after "delete --force": the old sandbox is still there.
    node.mesh.api.remove("pods", "mesh/db-0");
    const second = await node.startPod({ name: "db-0" });
    assert.notEqual(first.uid, second.uid);
    await untilIn(node, second);
    await first.remove();
    await untilListed(second);
    await until("ztunnel has the second only", () => {
      const last = ztunnel.events().filter(({ event, uid }) => event === "del" && uid === first.uid);
      return last.length > 0;
    });
    assert.ok(await isRedirected(second));
    assert.equal(node.redirection(second), "enabled");
    await node.removePod(second);
    await untilListed();
  });

  test("gives an address that is used again to the new pod, whenever the old one is forgotten", async () => {
    const old = await node.startPod({ name: "old" });
    await untilIn(node, old);
    // Its end has not been told when its address is already another's.
    await old.remove();
    const next = await node.startPod({ name: "next" });
    node.mesh.api.patch("pods", "mesh/next", {
      status: { podIP: old.ips[0] ?? "", podIPs: [{ ip: old.ips[0] ?? "" }] },
    });
    await until("it is the new one's", async () => (await listedPods())[old.ips[0] ?? ""] === next.uid);
    node.mesh.api.remove("pods", "mesh/old");
    await untilServed(next);
    assert.equal((await listedPods())[old.ips[0] ?? ""], next.uid);
    node.report(next);
    await untilListed(next);
    await node.removePod(next);
    await untilListed();
  });

  test("forgets a Job's pod that has finished, with and without addresses, and does not take it in again", async () => {
    for (const podIPs of [undefined, []]) {
      const pod = await node.startPod({ name: `job-${podIPs === undefined ? 1 : 2}` });
      await untilIn(node, pod);
      node.mesh.api.patch("pods", `mesh/${pod.name}`, {
        status: { phase: "Succeeded", ...(podIPs === undefined ? {} : { podIP: null, podIPs }) },
      });
      await until("it is forgotten", () => node.redirection(pod) === undefined);
      await untilServed();
      await untilListed();
      node.changePod(pod, { labels: { changed: "true" } });
      await node.removePod(pod);
      await untilServed();
    }
  });

  test("stands a namespace that goes under it", async () => {
    const pod = await node.startPod({ name: "robbed" });
    await untilIn(node, pod);
    await mustRun(["umount", "--lazy", pod.netnsPath]);
    await mustRun(["rm", "-f", pod.netnsPath]);
    node.changePod(pod, { labels: { changed: "true" } });
    const after = await node.startPod({ name: "afterwards" });
    await untilIn(node, after);
    await node.removePod(after);
    // The runtime ends the sandbox without a namespace to go into.
    await pod.remove().catch(() => undefined);
    node.mesh.api.remove("pods", "mesh/robbed");
    await untilServed();
    await untilListed();
  });

  test("takes a pod's second sandbox for the pod, and leaves nothing of the first", async () => {
    const object = node.putPod({ name: "again" });
    const first = await node.mesh.startPod(object);
    node.report(first);
    await untilIn(node, first);
    await first.remove();
    await untilServed();
    const spec = podSpecOf(JSON.parse(JSON.stringify(object)));
    const second = await node.mesh.node.runPod({ ...spec, attempt: 1 });
    assert.ok(await isRedirected(second));
    node.report(second);
    await untilIn(node, second);
    await untilServed(second);
    await untilListed(second);
    await node.removePod(second);
    await untilListed();
  });

  test("refuses a sandbox with another UID than the API's pod of that name has", async () => {
    const object = node.putPod({ name: "impostor" });
    const spec = podSpecOf(JSON.parse(JSON.stringify(object)));
    await assert.rejects(
      node.mesh.node.runPod({ ...spec, uid: "11111111-2222-3333-4444-555555555555" }),
      /Cannot decide on pod mesh\/impostor/,
    );
    assert.ok(![...servedBy(ztunnel)].includes("mesh/impostor"));
    node.mesh.api.remove("pods", "mesh/impostor");
  });

  test("tells in its status how far pods have come, and who serves them", async () => {
    const pod = await node.startPod({ name: "told" });
    await untilIn(node, pod);
    const ask = async (path: string) => {
      const { stdout } = await runCommand([
        "curl",
        "-s",
        "--unix-socket",
        "/run/istio-cni/admin.sock",
        `http://x${path}`,
      ]);
      return JSON.parse(stdout);
    };
    const inWhole = { rules: "stand", ztunnel: "acknowledged", probes: "listed", annotation: "enabled", waits: null };
    await until("it is told", async () => (await ask("/pods/mesh/told")).pod.ambient?.state === "enrolled");
    assert.partialDeepStrictEqual((await ask("/pods/mesh/told")).pod.ambient, { ...inWhole, failedStep: null });
    const { ztunnel: told } = await ask("/status");
    assert.partialDeepStrictEqual(told, { isConnected: true, workloads: 1 });
    assert.partialDeepStrictEqual(told.connections, [{ phase: "live", isPrimary: true, workloads: 1 }]);
    await node.removePod(pod);
  });

  test("says in the metrics what it did", async () => {
    const { text } = await agent.get(15014, "/metrics");
    assert.match(text, /^nodeagent_reconcile_events_total\{[^}]*type="update"[^}]*\} [1-9]/m);
    assert.match(text, /istio_cni_agent_ztunnel_connected\S* 1$|^ztunnel_connected 1$/m);
  });
});
