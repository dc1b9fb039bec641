// A container of the agent that the runtime has started, seen and ended as the kubelet does.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CommandResult, runCommand } from "./command.ts";
import type { TestNode } from "./create-node.ts";
import type { TestPod } from "./pod.ts";

/** A started container of the agent, in a pod of its own. */
export interface ImageAgent {
  readonly pod: TestPod;
  readonly containerId: string;
  /** Process id of the container's process 1 on the node. */
  readonly pid: number;
  /** What it wrote so far, both streams. */
  log(): readonly string[];
  /** Settles with the exit status. @throws {Error} with its last lines when that takes longer (60 s unless told). */
  waitExit(timeoutMs?: number): Promise<number>;
  /** Resolves when /readyz says 200. @throws {Error} with its last lines when it ends before, or within 60 s does not. */
  waitReady(): Promise<void>;
  /** Runs a program inside, with the container's user, environment and capabilities, as `kubectl exec` does. */
  exec(argv: readonly string[]): Promise<CommandResult>;
  /** Ends it as the kubelet does, after `graceSeconds` (30) by force, removes its pod, and returns the exit status. */
  stop(graceSeconds?: number): Promise<number>;
}

export interface SupervisedContainer {
  readonly pod: TestPod;
  readonly containerId: string;
  /** Its name in the pod. */
  readonly container: string;
}

const READY_PORT = 8000;
let executed = 0;

/** @throws {Error} when the runtime does not know the container. */
export async function superviseAgent(
  node: TestNode,
  { pod, containerId, container }: SupervisedContainer,
): Promise<ImageAgent> {
  const { cri, socket } = node.runtime;
  const pid = readPid((await cri.containerStatus(containerId)).info);
  const log = (): readonly string[] => readLog(join(pod.logDirectory, `${container}.log`));
  const tail = (): string => log().slice(-30).join("\n");
  const address = pod.ips[0] ?? "127.0.0.1";
  const url = `http://${address.includes(":") ? `[${address}]` : address}:${READY_PORT}/readyz`;

  async function waitExit(timeoutMs = 60_000): Promise<number> {
    for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(20)) {
      const { state, exitCode } = await cri.containerStatus(containerId);
      if (state === "ended") return exitCode;
    }
    throw new Error(`Cannot wait longer: the agent still runs after ${timeoutMs} ms\n${tail()}`);
  }

  async function waitReady(): Promise<void> {
    let state = "no answer";
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(50)) {
      const { state: now, exitCode } = await cri.containerStatus(containerId);
      if (now === "ended") throw new Error(`Cannot use the agent: it ended with ${exitCode}\n${tail()}`);
      try {
        const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
        state = `${response.status} ${(await response.text()).slice(0, 300)}`;
        if (response.status === 200) return;
      } catch (error) {
        state = error instanceof Error ? error.message : String(error);
      }
    }
    throw new Error(`Cannot use the agent: not ready (${state})\n${tail()}`);
  }

  return {
    pod,
    containerId,
    pid,
    log,
    waitExit,
    waitReady,
    exec(argv) {
      executed += 1;
      const inContainer = ["tasks", "exec", "--exec-id", `exec-${executed}`, containerId, ...argv];
      return runCommand(["ctr", "--address", socket, "--namespace", "k8s.io", ...inContainer], { timeoutMs: 60_000 });
    },
    async stop(graceSeconds = 30) {
      await cri.stopContainer(containerId, graceSeconds);
      const status = await waitExit();
      await pod.remove();
      return status;
    },
  };
}

function readPid(info: string): number {
  const parsed: unknown = JSON.parse(info);
  const pid = typeof parsed === "object" && parsed !== null && "pid" in parsed ? parsed.pid : undefined;
  if (typeof pid !== "number") throw new Error(`Cannot find the container's process: ${info.slice(0, 200)}`);
  return pid;
}

/** Lines as CRI writes them: time, stream, F for a whole or P for a partial line, text. */
function readLog(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split(" ").slice(3).join(" "));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
