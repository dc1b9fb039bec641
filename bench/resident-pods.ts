// Pods that run on the node before the agent does: each a network namespace with its addresses, and one process in it, in a
// cgroup named as a kubelet names them; so the agent finds them as it finds real ones. No container runtime made them.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as yieldToLoop } from "node:timers/promises";
import { currentNodeNamespaces } from "../testbed/node/enter.ts";
import { createPodNetns } from "./plugin-call.ts";
import type { StandInPod } from "./stand-in.ts";

/** Any hierarchy will do: one line of /proc/PID/cgroup that names the pod is enough. */
const HIERARCHIES = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"];

/** Starts them; their processes end with `dispose`, their cgroups with the node.
 * @throws {Error} outside of a node, or where no cgroup can be made. */
export async function startResidentPods(pods: readonly StandInPod[]): Promise<AsyncDisposable> {
  const root = cgroupRoot();
  const children: ChildProcess[] = [];
  await using undo = new AsyncDisposableStack();
  undo.defer(async () => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  });
  for (const { uid, ips } of pods) {
    const netns = undo.use(createPodNetns("dual", ips));
    const child = netns.run(() => spawn("sleep", ["infinity"], { stdio: "ignore" }));
    children.push(child);
    const folder = join(root, `kubepods/burstable/pod${uid}`, "c".repeat(64));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "cgroup.procs"), String(child.pid));
    await yieldToLoop();
  }
  const lasting = undo.move();
  return { [Symbol.asyncDispose]: () => lasting.disposeAsync() };
}

function cgroupRoot(): string {
  const cgroup = currentNodeNamespaces()?.cgroup;
  if (cgroup === undefined) throw new Error("Cannot start pods here: call enterNodeNamespaces() first");
  for (const hierarchy of HIERARCHIES) {
    const folder = join(hierarchy, cgroup);
    try {
      mkdirSync(folder, { recursive: true });
      return folder;
    } catch {
      // Read-only, or no hierarchy: the next one.
    }
  }
  throw new Error(`Cannot start pods: none of ${HIERARCHIES.join(", ")} can be written to`);
}
