// An agent of which is known when it was executed and when it was ready. Its container is the testbed's; the clock
// starts when the launcher's first instruction may run, so the container runtime's work is not in it.
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentApiServer, TestAgent } from "../testbed/node/agent.ts";
import { AGENT_ENVIRONMENT, type Bench, OURS } from "./bench-node.ts";
import { type ExecStamp, meterPath, parseExecStamp } from "./meter.ts";
import { readCpuMs } from "./process-figures.ts";

/** `floor`: the pinned Node with a server that answers 200 to everything, in the agent's place. */
export type AgentKind = "ours" | "upstream" | "floor";

export interface MeasuredAgentOptions {
  /** Added to the chart's. */
  readonly env?: Readonly<Record<string, string>>;
  /** In ambient mode it is ready when a ztunnel is connected. */
  readonly ambient?: boolean;
}

export interface MeasuredAgent extends AsyncDisposable {
  readonly agent: TestAgent;
  /** The agent itself, where it runs under an init. */
  readonly pid: number;
  /** From the exec to the first 200 of /readyz. */
  readonly readyMs: number;
  /** What it used until then, all threads. */
  readonly cpuMs: number;
  /** Ends it as the kubelet does; milliseconds until its container is gone. */
  stop(): Promise<number>;
}

const POLL_MS = 5;
/** With hundreds of pods on a busy machine it takes long. */
const READY_DEADLINE_MS = 120_000;
const FLOOR_SERVER = 'require("node:http").createServer((_, response) => response.end("ok")).listen(8000)';

/** Starts one on a host that has not seen it before, and waits until it is ready.
 * @throws {Error} with its last lines when it does not become ready; it is ended then. */
export async function startMeasuredAgent(
  bench: Bench,
  kind: AgentKind,
  apiServer: AgentApiServer,
  { env = {}, ambient = false }: MeasuredAgentOptions = {},
): Promise<MeasuredAgent> {
  bench.resetHost();
  const { meter, argv, plugin } = commandOf(bench, kind);
  const agent = await bench.node.startAgent({
    installCni: meter,
    args: ["stamp", ...argv],
    env: { ...AGENT_ENVIRONMENT, ...env },
    apiServer,
    ambient,
    ...(plugin === undefined ? {} : { plugin }),
  });
  try {
    const line = await agent.waitForLine((text) => parseExecStamp(text) !== undefined);
    const stamp = parseExecStamp(line) ?? { atNs: 0n, cpuMs: 0 };
    const readyMs = await pollReady(agent, stamp);
    const pid = findAgent(agent.pid);
    const cpuMs = readCpuMs(pid) - (pid === agent.pid ? stamp.cpuMs : 0);
    const stop = async (): Promise<number> => {
      const startMs = performance.now();
      // Node as process 1 without a handler does not hear SIGTERM.
      await agent.stop(kind === "floor" ? "SIGKILL" : "SIGTERM");
      return performance.now() - startMs;
    };
    return { agent, pid, readyMs, cpuMs, stop, [Symbol.asyncDispose]: async () => void (await agent.kill()) };
  } catch (error) {
    await agent.kill();
    throw error;
  }
}

function commandOf(bench: Bench, kind: AgentKind): { meter: string; argv: readonly string[]; plugin?: string } {
  if (kind === "floor") return { meter: meterPath(), argv: [OURS.node, "-e", FLOOR_SERVER] };
  const level = "--log_output_level=info";
  if (kind === "ours") return { meter: meterPath(), argv: [OURS.installCni, level] };
  const { agent, plugin } = bench.upstream ?? {};
  if (agent === undefined || plugin === undefined) throw new Error("Cannot start upstream's agent: it is not given");
  return { meter: agent.meter, argv: [agent.installCni, level], plugin };
}

/** Milliseconds from the exec to the first 200. */
async function pollReady(agent: TestAgent, stamp: ExecStamp): Promise<number> {
  let ended: number | undefined;
  void agent.exited.then((status) => {
    ended = status;
  });
  const deadline = performance.now() + READY_DEADLINE_MS;
  while (performance.now() < deadline && ended === undefined) {
    const tick = performance.now();
    if ((await askReady(agent.address)) === 200) return Number(process.hrtime.bigint() - stamp.atNs) / 1e6;
    await sleep(Math.max(0, POLL_MS - (performance.now() - tick)));
  }
  const state = ended === undefined ? `not ready within ${READY_DEADLINE_MS} ms` : `it ended with ${ended}`;
  throw new Error(`Cannot use the agent: ${state}\n${agent.log.slice(-30).join("\n")}`);
}

/** The status, or undefined when nobody answers. */
function askReady(host: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const request = get({ host, port: 8000, path: "/readyz", agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.once("error", () => resolve(undefined));
    request.once("timeout", () => request.destroy());
  });
}

/** Where the image has an init, the agent is its child. */
function findAgent(pid: number): number {
  if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== "tini") return pid;
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0]);
}
