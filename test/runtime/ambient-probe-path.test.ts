// The agent on a real containerd finds out by itself whether probes of its node reach ambient pods, and tells it: while they
// do, and when somebody masquerades before its rule.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { mustRun } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { type AmbientNode, createAmbientNode, until, untilIn } from "./ambient-node.ts";

enterNodeNamespaces();

const METRICS_PORT = 15_014;

describe("an agent that tries the way of probes", () => {
  let node: AmbientNode;
  let agent: TestAgent;
  before(async () => {
    node = await createAmbientNode();
    await node.startZtunnel();
    agent = await node.startAgent();
  });
  after(() => node[Symbol.asyncDispose]());

  async function results(): Promise<ReadonlyMap<string, number>> {
    const { text } = await agent.get(METRICS_PORT, "/metrics");
    const series = /^istio_cni_agent_probe_self_test\{family="(\w+)",result="([\w-]+)"\} (\d+)$/gm;
    return new Map([...text.matchAll(series)].map(([, family, result, pods]) => [`${family} ${result}`, Number(pods)]));
  }

  async function untilFound(expected: Readonly<Record<string, number>>): Promise<void> {
    let found: ReadonlyMap<string, number> = new Map();
    await until(
      JSON.stringify(expected),
      async () => {
        found = await results();
        return Object.entries(expected).every(([key, count]) => found.get(key) === count);
      },
      () => `${JSON.stringify([...found])}\n${agent.log.slice(-20).join("\n")}`,
    );
  }

  test("tells that they arrive, in both families, and sends the application nothing", async () => {
    const pod = await node.startPod({ name: "reached" });
    await untilIn(node, pod);
    await untilFound({ "ipv4 works": 1, "ipv6 works": 1 });
    for (const family of ["IPv4", "IPv6"]) {
      await agent.waitForLine((line) => line.includes(`${family} probes of the node reach enrolled pods from`));
    }
    const sockets = (await pod.exec(["ss", "-Htan", "state", "all"])).stdout.split("\n");
    assert.deepEqual(
      sockets.filter((line) => line !== "" && !/^LISTEN .*:15\d\d\d /.test(line)),
      [],
    );
  });

  test("tells of pods that are reached from another source, when it has seen it twice", async () => {
    await mustRun(["nft", "add", "table", "inet", "foreign"]);
    await mustRun(["nft", "add chain inet foreign c { type nat hook postrouting priority 90; }"]);
    await mustRun(["nft", "add", "rule", "inet", "foreign", "c", "meta", "l4proto", "tcp", "masquerade"]);
    try {
      const pod = await node.startPod({ name: "masqueraded" });
      await untilIn(node, pod);
      await untilFound({ "ipv4 wrong-source": 1, "ipv6 wrong-source": 1 });
      const said = await agent.waitForLine((line) => line.includes("IPv4 probes of the node do not reach"));
      assert.match(said, /1 of 2 tested pods \(mesh\/masqueraded\): probes end in ztunnel, because they come from /);
    } finally {
      await mustRun(["nft", "delete", "table", "inet", "foreign"]);
    }
  });
});
