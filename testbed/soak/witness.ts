// witness.c beside one pod: what it saw so far.
import { join } from "node:path";
import { startCommand } from "../node/command.ts";
import { compileStatic } from "../node/compile.ts";
import type { TestPod } from "../node/pod.ts";
import { type Expectation, expectationOf, type PodPlan } from "./plan.ts";
import type { Observation } from "./verdict.ts";

/** Where the applications of pods and peer listen. */
export const APPLICATION_PORT = 8080;

export interface Witness {
  /** In the order of their ends; the same outcome of a way is told once a second at most. */
  readonly observations: readonly Observation[];
  /** Whether the latest connection of each way, and there is one, went where the plan wants it. */
  isAsPlanned(): boolean;
  /** Ends it; how many connections it tried. */
  stop(): Promise<number>;
}

const WANTED: Readonly<Record<Expectation, readonly string[]>> = {
  captured: ["captured"],
  free: ["direct"],
  either: ["captured", "direct"],
  none: [],
};

/** Compiles it where that was not done yet. */
export function compileWitness(): string {
  return compileStatic(join(import.meta.dirname, "witness.c"));
}

/** Milliseconds by the witness's clock. */
export function witnessNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Starts it beside a pod and the peer that it talks with. */
export function startWitness(plan: PodPlan, pod: TestPod, peer: TestPod): Witness {
  const observations: Observation[] = [];
  const latest = new Map<string, string>();
  let tries = 0;
  const command = startCommand(
    [compileWitness(), pod.netnsPath, peer.netnsPath, String(APPLICATION_PORT), ...pod.ips, "--", ...peer.ips],
    { onLine: (line) => take(JSON.parse(line)) },
  );

  function take(line: Readonly<Record<string, unknown>>): void {
    if (typeof line["tries"] === "number") {
      tries = line["tries"];
      return;
    }
    const observation = {
      way: String(line["way"]),
      beganMs: Number(line["began"]),
      endedMs: Number(line["ended"]),
      outcome: String(line["outcome"]),
    };
    latest.set(observation.way, observation.outcome);
    observations.push(observation);
  }

  return {
    observations,
    isAsPlanned: () =>
      latest.size === 2 * pod.ips.length &&
      [...latest].every(([way, seen]) => WANTED[expectationOf(plan, way.endsWith("6") ? 6 : 4)].includes(seen)),
    async stop() {
      const status = await command.stop("SIGTERM");
      if (status !== 0)
        throw new Error(
          `Cannot use the witness of ${pod.name}: it ended with ${status}\n${command.lines.slice(-5).join("\n")}`,
        );
      return tries;
    },
  };
}
