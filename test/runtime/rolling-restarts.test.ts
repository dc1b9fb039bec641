// The agent is exchanged again and again while pods start at a steady rate the whole time: no sandbox fails, none starts
// outside the mesh. ROLLS (12 unless told) and PODS_PER_SECOND (5) choose how much: `ROLLS=200` is the long variant, of six
// minutes per mode on two idle cores.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createPoller, type Poller } from "../../src/platform/linux/poller.ts";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { readCount } from "../../testbed/read-count.ts";
import { startZtunnelStandIn, type ZtunnelStandIn } from "../../testbed/ztunnel/ztunnel-stand-in.ts";
import { type AmbientNode, createAmbientNode, isRedirected, ZTUNNEL_SOCKET } from "./ambient-node.ts";
import { readRules } from "./captured-pods.ts";

enterNodeNamespaces();

const ROLLS = readCount("ROLLS", 12, 10_000);
const PODS_PER_SECOND = readCount("PODS_PER_SECOND", 5, 100);
/** Where the machine cannot keep up with the rate: starts that are under way at most. */
const UNDER_WAY_MAX = 16;
/** Between one agent's readiness and its end, as an image pull or a kubelet takes it. */
const BETWEEN_MS = 300;

/** What became of the pods, and how long their sandboxes took. */
interface Starts {
  readonly tookMs: number[];
  readonly failures: string[];
  readonly outside: string[];
  /** Turns of the clock that were left out. */
  skipped: number;
}

describe(`${ROLLS} agents in turn while ${PODS_PER_SECOND} pods a second start`, () => {
  let node: AmbientNode;
  let poller: Poller;
  let ztunnel: ZtunnelStandIn;
  let names = 0;
  before(async () => {
    node = await createAmbientNode("v4");
    poller = createPoller((error) => assert.fail(String(error)));
    ztunnel = startZtunnelStandIn({ path: ZTUNNEL_SOCKET, poller });
  });
  after(async () => {
    ztunnel[Symbol.dispose]();
    await poller.close();
    await node[Symbol.asyncDispose]();
  });

  const modes = {
    sidecar: {
      launch: () => node.mesh.launchAgent(),
      start: (name: string) => node.mesh.startPod(sidecarPod({ ...NEW_POD, name })),
      isIn: async (pod: TestPod) => (await readRules(pod)).v4.includes("-A PREROUTING -p tcp -j ISTIO_INBOUND"),
    },
    ambient: {
      launch: () => node.launchAgent(),
      start: (name: string) => node.startPod({ name }),
      // Seen in the namespace, and ztunnel has it.
      isIn: async (pod: TestPod) => ztunnel.state.proxies.has(pod.uid) && (await isRedirected(pod)),
    },
  };

  for (const [name, mode] of Object.entries(modes)) {
    test(`in ${name} mode: no sandbox fails and no pod is outside`, async () => {
      let agent: TestAgent = await mode.launch();
      await agent.waitReady();
      await node.mesh.node.waitForChained();
      const ending = new AbortController();
      const starting = startPods(mode, ending.signal);
      const readyMs: number[] = [];
      const begunMs = performance.now();
      try {
        for (let roll = 0; roll < ROLLS; roll++) {
          await sleep(BETWEEN_MS);
          // Most ends are a DaemonSet's; every tenth is the kernel's.
          const signal = roll % 10 === 9 ? "SIGKILL" : "SIGTERM";
          const status = await agent.stop(signal);
          assert.equal(status, signal === "SIGTERM" ? 0 : 137, agent.log.slice(-10).join("\n"));
          agent = await mode.launch();
          readyMs.push(await agent.waitReady(60_000));
        }
      } finally {
        ending.abort();
      }
      const { tookMs, failures, outside, skipped } = await starting;
      const seconds = (performance.now() - begunMs) / 1000;
      await agent.stop();
      console.log(
        `${name}: ${ROLLS} agents in ${seconds.toFixed(0)} s, ready in ${describeMs(readyMs)}; ` +
          `${tookMs.length} pods (${(tookMs.length / seconds).toFixed(1)} a second), sandbox in ${describeMs(tookMs)}; ` +
          `${failures.length} failed, ${outside.length} outside, ${skipped} turns left out`,
      );
      assert.deepEqual(failures, []);
      assert.deepEqual(outside, []);
      assert.ok(tookMs.length >= ROLLS, `only ${tookMs.length} pods were started: the test has tested nothing`);
    });
  }

  /** Begins one pod in each turn of the clock, whatever became of the ones before; each is looked at and removed. */
  async function startPods(mode: (typeof modes)[keyof typeof modes], signal: AbortSignal): Promise<Starts> {
    const starts: Starts = { tookMs: [], failures: [], outside: [], skipped: 0 };
    const underWay = new Set<Promise<void>>();
    const one = async (name: string): Promise<void> => {
      const beganMs = performance.now();
      try {
        const pod = await mode.start(name);
        starts.tookMs.push(performance.now() - beganMs);
        if (!(await mode.isIn(pod))) starts.outside.push(name);
        await node.removePod(pod);
      } catch (error) {
        starts.failures.push(`${name}: ${String(error)}`);
      }
    };
    const firstMs = performance.now();
    for (let turn = 0; !signal.aborted; turn++) {
      await sleep(Math.max(0, firstMs + (turn * 1000) / PODS_PER_SECOND - performance.now()));
      if (underWay.size >= UNDER_WAY_MAX) {
        starts.skipped += 1;
        continue;
      }
      const start = one(`pod-${names++}`);
      underWay.add(start);
      void start.then(() => underWay.delete(start));
    }
    await Promise.all(underWay);
    return starts;
  }
});

function describeMs(samples: readonly number[]): string {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(0);
  return `${at(0.5)} ms (p90 ${at(0.9)}, longest ${at(1)})`;
}
