// The one agent of a soak's node: started, ended and exchanged by faults. An agent that ends without having been told to is a breach.
import { appendFileSync } from "node:fs";
import type { TestAgent } from "../node/agent.ts";
import type { MeshNode } from "../node/mesh-node.ts";
import type { Ledger } from "./ledger.ts";

export interface AgentKeeper {
  /** The one that runs. @throws {Error} between two. */
  current(): TestAgent;
  isThere(): boolean;
  /** Milliseconds since the latest was started, whatever became of it. */
  ageMs(): number;
  /** Resolves when its process runs; in the dialect told. */
  start(dialect: "iptables" | "native"): Promise<void>;
  end(signal: NodeJS.Signals): Promise<void>;
  /** Stops it for a while and lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** Whether it became ready within the time; false as well when it ended meanwhile. */
  becomesReady(timeoutMs: number): Promise<boolean>;
}

/** @param logPath gets what the agents write; undefined: nothing does. */
export function createAgentKeeper(mesh: MeshNode, ledger: Ledger, logPath: string | undefined): AgentKeeper {
  let agent: TestAgent | undefined;
  let startedMs = 0;
  const ending = new WeakSet<TestAgent>();
  const wasReady = new WeakSet<TestAgent>();

  const current = (): TestAgent => {
    if (agent === undefined) throw new Error("Cannot ask the agent: there is none now");
    return agent;
  };
  return {
    current,
    isThere: () => agent !== undefined,
    ageMs: () => performance.now() - startedMs,
    async start(dialect) {
      startedMs = performance.now();
      const started = await mesh.launchAgent({
        ambient: true,
        env: { NATIVE_NFTABLES: String(dialect === "native") },
        ...(logPath === undefined ? {} : { onLine: (line) => appendFileSync(logPath, `${line}\n`) }),
      });
      agent = started;
      ledger.count("agents");
      void started.exited.then((status) => {
        if (!ending.has(started))
          ledger.breach(`an agent ended by itself with ${status}\n${started.log.slice(-20).join("\n")}`);
        if (agent === started) agent = undefined;
      });
    },
    async end(signal) {
      const ended = current();
      ending.add(ended);
      agent = undefined;
      const status = await ended.stop(signal);
      if (signal === "SIGTERM" && status !== 0)
        ledger.breach(`an agent that was told to end did so with ${status}\n${ended.log.slice(-20).join("\n")}`);
    },
    signal: (signal) => void process.kill(current().pid, signal),
    async becomesReady(timeoutMs) {
      const asked = current();
      try {
        const sinceStartMs = await asked.waitReady(timeoutMs);
        // Asked of the same one again, it tells its age.
        if (!wasReady.has(asked)) ledger.sample("agent's start to ready", sinceStartMs);
        wasReady.add(asked);
        return true;
      } catch {
        return false;
      }
    },
  };
}
