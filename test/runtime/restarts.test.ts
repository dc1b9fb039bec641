// The agent is restarted again and again over running pods under traffic: long-lived connections through the capture
// survive, new ones are captured, and no rule is touched, which the kernel's generation counters prove.
// RESTARTS and PODS (20 and 20 unless told) choose how much: `RESTARTS=1000 PODS=50` is the long variant, of about ten minutes.
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { openNetns } from "../../src/platform/linux/netns.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { compileStatic } from "../../testbed/node/compile.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { readCount } from "../../testbed/read-count.ts";
import { generationOf } from "../kernel/backend-fixture.ts";

enterNodeNamespaces();

const RESTARTS = readCount("RESTARTS", 20, 10_000);
const PODS = readCount("PODS", 20, 100);
const APPLICATION = 8080;

/** A program whose answers are single lines. */
interface Talker {
  ask(): Promise<string>;
  next(): Promise<string>;
}

describe(`${RESTARTS} restarts of the agent over ${PODS} running pods`, () => {
  let mesh: MeshNode;
  const pods: TestPod[] = [];
  let peer: TestPod;
  const children: ChildProcessWithoutNullStreams[] = [];
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    const agent = await mesh.startAgent();
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
    for (let index = 0; index < PODS; index++) {
      // Every mode that captures differently.
      const interceptionMode = index % 4 === 3 ? "TPROXY" : "REDIRECT";
      pods.push(await mesh.startPod(sidecarPod({ ...NEW_POD, name: `pod-${index}`, interceptionMode })));
    }
    await agent.stop();
  });
  after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await mesh.destroy();
  });

  test("no connection is lost, no rule is changed", async () => {
    const connections = await holdConnections();
    assert.equal(connections.length, 2 * PODS);
    const before = generations();
    const readyMs: number[] = [];
    for (let round = 0; round < RESTARTS; round++) {
      const agent = await mesh.launchAgent();
      readyMs.push(await agent.waitReady());
      await assertAnswers(connections, `with agent ${round}`);
      assert.deepEqual(generations(), before, `generations with agent ${round}`);
      const status = await agent.stop(round % 2 === 0 ? "SIGTERM" : "SIGKILL");
      assert.equal(status, round % 2 === 0 ? 0 : 137, agent.log.slice(-10).join("\n"));
      await assertAnswers(connections, `after agent ${round}`);
    }
    assert.deepEqual(generations(), before);
    // New connections are captured as before.
    for (const pod of pods) {
      const { inbound, outbound } = await dial(pod);
      assert.deepEqual([await inbound.next(), await outbound.next()], ["15006", "15001"], pod.name);
    }
    readyMs.sort((a, b) => a - b);
    const at = (share: number): string => (readyMs[Math.floor((readyMs.length - 1) * share)] ?? 0).toFixed(0);
    console.log(`restarts: ${RESTARTS}, pods: ${PODS}, connections held: ${connections.length}, none lost`);
    console.log(`agent's start to ready, ms: p50 ${at(0.5)}, p90 ${at(0.9)}, max ${at(1)}`);
  });

  /** One connection into and one out of each pod, captured by the stand-in, which answers with its port. */
  async function holdConnections(): Promise<readonly (readonly [name: string, port: string, talker: Talker])[]> {
    await listen(peer, [APPLICATION]);
    const held: (readonly [string, string, Talker])[] = [];
    for (const [index, pod] of pods.entries()) {
      await listen(pod, [APPLICATION, 15001, 15006], index % 4 === 3);
      const { inbound, outbound } = await dial(pod);
      for (const [direction, port, talker] of [
        ["into", "15006", inbound],
        ["out of", "15001", outbound],
      ] as const) {
        assert.equal(await talker.next(), port, `${direction} ${pod.name} at first`);
        held.push([`${direction} ${pod.name}`, port, talker]);
      }
    }
    return held;
  }

  async function listen(pod: TestPod, ports: readonly number[], transparent = false): Promise<void> {
    const mode = transparent ? ["--transparent"] : [];
    assert.equal(await talk(pod, ["serve", ...mode, ...ports.map(String)]).next(), "listening");
  }

  async function dial(pod: TestPod): Promise<{ inbound: Talker; outbound: Talker }> {
    const inbound = talk(peer, ["hold", pod.ips[0] ?? "", String(APPLICATION)]);
    return { inbound, outbound: talk(pod, ["hold", peer.ips[0] ?? "", String(APPLICATION)]) };
  }

  /** test/kernel/backend-echo.c inside the pod's network namespace. */
  function talk(pod: TestPod, args: readonly string[]): Talker {
    const program = compileStatic(join(REPOSITORY, "test/kernel/backend-echo.c"));
    const child = spawn("nsenter", [`--net=${pod.netnsPath}`, "--", program, ...args]);
    children.push(child);
    child.stdin.on("error", () => {});
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => (await lines.next()).value ?? "ended";
    return {
      next,
      ask() {
        child.stdin.write("\n");
        return next();
      },
    };
  }

  function generations(): readonly number[] {
    return pods.map((pod) => {
      using netns = openNetns(pod.netnsPath);
      return generationOf(netns);
    });
  }
});

async function assertAnswers(
  connections: readonly (readonly [name: string, port: string, talker: Talker])[],
  when: string,
): Promise<void> {
  const answers = await Promise.all(connections.map(([, , talker]) => talker.ask()));
  assert.deepEqual(
    connections.map(([name], index) => `${name}: ${answers[index]}`),
    connections.map(([name, port]) => `${name}: ${port}`),
    when,
  );
}
