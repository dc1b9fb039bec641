// What the faults of plan.ts do to a node, and how they are undone. Each resolves when it is over and what it broke is back; none
// waits for the agent to have recovered, so that faults meet agents that are not done with the last one.
import { globSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultAction } from "../api-server/faults.ts";
import { runCommand } from "../node/command.ts";
import { renderPodNetwork } from "../node/node-network.ts";
import { listSandboxNetns } from "../node/pod.ts";
import { probe } from "../sidecar/sidecar.ts";
import type { LivePod, SoakWorld } from "./live-pod.ts";
import type { FaultKind, FaultPlan } from "./plan.ts";
import type { Random } from "./random.ts";
import { APPLICATION_PORT, witnessNowMs } from "./witness.ts";
import type { ZtunnelKeeper } from "./ztunnel-keeper.ts";

/** The conflist as its owner writes it. */
const OWNERS_CONFLIST = renderPodNetwork("dual", "1.0.0");
const READY_MS = 30_000;
const PROBES_BACK_MS = 120_000;

const API_ERRORS: readonly FaultAction[] = [
  { kind: "status", code: 500 },
  { kind: "status", code: 503 },
  { kind: "status", code: 429, retryAfterSeconds: 1 },
  { kind: "status", code: 401 },
  { kind: "status", code: 403 },
  { kind: "html" },
  { kind: "garbage" },
  { kind: "never-answer" },
  { kind: "reset" },
  { kind: "truncated" },
];

export type InjectFault = (plan: FaultPlan) => Promise<void>;

export function createFaultInjector(world: SoakWorld, ztunnel: ZtunnelKeeper): InjectFault {
  const { mesh, agent, ledger } = world;
  const { api, node } = mesh;
  const path = node.conflistPath;
  const plugin = join(node.cniBinDir, "istio-cni");

  /** Other writers' files appear whole. */
  const renameOver = (text: string): void => {
    writeFileSync(`${path}.vendor`, text);
    renameSync(`${path}.vendor`, path);
  };

  async function exchangeAgent(signal: NodeJS.Signals, awayMs: number, random: Random): Promise<void> {
    const dialect = random.chance(0.3) ? "native" : "iptables";
    if (agent.isThere()) await agent.end(signal);
    await sleep(awayMs);
    await agent.start(dialect);
    // Sometimes the next fault meets an agent that is not ready.
    if (random.chance(0.8)) await agent.becomesReady(READY_MS);
  }

  const inject: Readonly<Record<FaultKind, (plan: FaultPlan) => Promise<void>>> = {
    async "api-away"({ lastsMs }) {
      await api.stop();
      await sleep(lastsMs);
      await api.start();
    },
    async "api-frozen"({ lastsMs }) {
      api.freeze();
      await sleep(lastsMs);
      api.thaw();
    },
    async "api-errors"({ lastsMs, random }) {
      using _fault = api.fault({ path: /./ }, random.pick(API_ERRORS));
      if (random.chance(0.7)) api.closeWatches("reset");
      await sleep(lastsMs);
    },
    async "api-slow"({ lastsMs, random }) {
      using _fault = api.fault({ path: /./ }, { kind: "latency", delayMs: random.between(100, 2000) });
      if (random.chance(0.5)) api.closeWatches("end");
      await sleep(lastsMs);
    },
    async "api-watches-end"({ random }) {
      if (random.chance(0.5)) api.compact();
      api.closeWatches(random.pick(["end", "reset", "expired"]));
    },
    async "api-silent-watch"({ lastsMs }) {
      using _fault = api.fault({ verb: "watch", resource: "pods" }, { kind: "silent-watch" });
      api.closeWatches("end");
      await sleep(lastsMs);
      _fault.clear();
      // What is silent stays so until it ends.
      api.closeWatches("end");
    },
    async "ztunnel-killed"({ lastsMs }) {
      await ztunnel.kill();
      await sleep(lastsMs);
      await ztunnel.start();
    },
    async "ztunnel-stalled"({ lastsMs }) {
      const { pid } = ztunnel.current().command;
      process.kill(pid, "SIGSTOP");
      await sleep(lastsMs);
      process.kill(pid, "SIGCONT");
    },
    "ztunnel-replaced": () => ztunnel.exchange(),
    async "containerd-restarted"({ random }) {
      let there: readonly string[] = [];
      await node.runtime.restart(random.pick(["SIGTERM", "SIGKILL"]), () => {
        there = globSync("/run/netns/*");
      });
      await node.runtime.waitReady(60_000);
      const known = await listSandboxNetns(node.runtime.cri);
      for (const netns of there) if (!known.has(netns)) world.forgotten.add(netns);
    },
    "agent-killed": ({ lastsMs, random }) => exchangeAgent("SIGKILL", lastsMs, random),
    "agent-replaced": ({ random }) => exchangeAgent("SIGTERM", 0, random),
    async "agent-stalled"({ lastsMs }) {
      if (!agent.isThere()) return;
      agent.signal("SIGSTOP");
      await sleep(lastsMs);
      agent.signal("SIGCONT");
    },
    async "conflist-rewritten"() {
      writeFileSync(path, OWNERS_CONFLIST);
    },
    async "conflist-renamed-over"() {
      renameOver(OWNERS_CONFLIST);
    },
    async "conflist-deleted"({ lastsMs }) {
      rmSync(path, { force: true });
      await sleep(lastsMs);
      renameOver(OWNERS_CONFLIST);
    },
    async "conflist-in-halves"({ lastsMs }) {
      writeFileSync(path, OWNERS_CONFLIST.slice(0, OWNERS_CONFLIST.length / 2));
      await sleep(lastsMs);
      writeFileSync(path, OWNERS_CONFLIST);
    },
    async "conflist-before-ours"({ lastsMs }) {
      const first = join(node.cniConfDir, "00-first.conflist");
      writeFileSync(first, OWNERS_CONFLIST);
      await sleep(lastsMs);
      rmSync(first, { force: true });
    },
    async "plugin-removed"() {
      rmSync(plugin, { force: true });
    },
    async "plugin-spoiled"({ random }) {
      // Of another program's bytes: ours may not have been put back yet.
      const half = readFileSync(node.nettool).subarray(0, random.between(0, 4000));
      writeFileSync(`${plugin}.vendor`, half, { mode: 0o755 });
      renameSync(`${plugin}.vendor`, plugin);
    },
    async "pod-rules-flushed"({ random }) {
      for (let left = random.between(1, 5); left > 0; left--) {
        const captured = [...world.live].filter(({ plan }) => plan.expectation === "captured");
        if (captured.length > 0) await flushRules(random.pick(captured));
      }
    },
    async "host-probes-flushed"({ random }) {
      await flushHostProbes(random);
      await untilProbesPass();
    },
  };

  async function flushRules(live: LivePod): Promise<void> {
    const fromMs = witnessNowMs();
    // Known before it happens: the witness may see the hole at once.
    const excuse = { why: "rules flushed" as const, fromMs, doneMs: Number.POSITIVE_INFINITY };
    live.excuses.push(excuse);
    const done = await live.pod.exec(["nft", "flush", "ruleset"]).catch(() => undefined);
    live.excuses.splice(live.excuses.indexOf(excuse), 1, { ...excuse, doneMs: witnessNowMs() });
    // It may just have gone.
    if (done?.status === 0) ledger.count("pods whose rules were flushed");
  }

  /** What of it is there depends on the dialect. */
  async function flushHostProbes(random: Random): Promise<void> {
    const commands = random.chance(0.5)
      ? ["v4", "v6"].map((family) => ["ipset", "flush", `istio-inpod-probes-${family}`])
      : ["iptables", "ip6tables"].map((tool) => [tool, "-w", "-t", "nat", "-F", "ISTIO_POSTRT"]);
    for (const argv of commands) await runCommand(argv);
    await runCommand(["nft", "flush", "table", "inet", "istio-ambient-nat"]);
  }

  /** Connections of the node, as the kubelet's, arrive in a pod of ambient mode past its proxy, by each family. */
  async function untilProbesPass(): Promise<void> {
    const beganMs = witnessNowMs();
    let last = "there is no pod of ambient mode";
    while (witnessNowMs() - beganMs < PROBES_BACK_MS) {
      const target = [...world.live].find(({ plan, witness }) => plan.kind === "ambient" && witness.isAsPlanned());
      if (target === undefined) return;
      const seen = await Promise.all(
        target.pod.ips.map((ip) => probe(node.nettool, { ip, port: APPLICATION_PORT }).catch(String)),
      );
      if (seen.every((result) => typeof result !== "string" && result.outcome === "direct")) {
        ledger.sample("probes back after a flush", witnessNowMs() - beganMs);
        return;
      }
      last = `${target.plan.name}: ${JSON.stringify(seen)}`;
      await sleep(100);
    }
    ledger.breach(`the node's probes do not arrive ${PROBES_BACK_MS} ms after the flush: ${last}`);
  }

  return (plan) => inject[plan.kind](plan);
}
