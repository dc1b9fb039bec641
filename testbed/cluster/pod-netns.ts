// The network namespace of a pod in the lab, as its node's administrator reaches it: what the rules are, who changes them,
// and when. Elsewhere a node cannot be reached like this.
import { setTimeout as sleep } from "node:timers/promises";
import { decodeGeneration, encodeGetGeneration } from "../../src/core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { openNetns } from "../../src/platform/linux/netns.ts";
import { isJsonObject, readPath, readText } from "../api-server/kube-object.ts";
import { mustRun } from "../node/command.ts";
import type { Lab } from "./lab.ts";
import type { PodChoice } from "./mesh-pod.ts";

/** Keeps the namespace alive until disposed of. */
export interface PodNetns extends Disposable {
  /** Runs a program of this machine inside. @throws {Error} unless it ends with 0. */
  exec(argv: readonly string[]): Promise<string>;
  /** What iptables-save prints, without counters and comments. */
  rules(): Promise<string>;
  /** The number of the last commit to nf_tables, whoever made it. */
  generation(): number;
  /** Waits for a commit after `generation`; when it was seen, in milliseconds since 1970.
   * @throws {Error} when the time has passed. */
  changed(generation: number, timeoutMs: number): Promise<number>;
}

/** How finely `changed()` tells the time. */
const LOOK_EVERY_MS = 5;

/** Opens the namespace of the pod's newest sandbox. @throws {Error} when it has none. */
export async function openPodNetns(lab: Lab, { namespace, name }: PodChoice): Promise<PodNetns> {
  const ctr = (...args: string[]): Promise<string> => mustRun([lab.script, "ctr", ...args]);
  const label = (key: string, value: string): string => `labels."io.${key}"==${value}`;
  const pod = [label("kubernetes.pod.namespace", namespace), label("kubernetes.pod.name", name)];
  const ids = await ctr("containers", "ls", "-q", [...pod, label("cri-containerd.kind", "sandbox")].join(","));
  // After a power cut the sandbox of before is still listed.
  const sandboxes: unknown[] = [];
  for (const id of ids.split("\n").filter((line) => line !== ""))
    sandboxes.push(JSON.parse(await ctr("containers", "info", id)));
  const createdMs = (info: unknown): number => Date.parse(readText(info, "CreatedAt"));
  const info = sandboxes.toSorted((left, right) => createdMs(left) - createdMs(right)).at(-1);
  if (info === undefined)
    throw new Error(`Cannot open the network namespace of ${namespace}/${name}: it has no sandbox`);
  const namespaces = readPath(info, "Spec", "linux", "namespaces");
  const network = Array.isArray(namespaces) ? namespaces.find((each) => readText(each, "type") === "network") : {};
  if (!isJsonObject(network))
    throw new Error(`Cannot open the network namespace of ${namespace}/${name}: none is told`);
  // /var/run is a link to /run, which would lead to this machine's.
  const path = lab.nodePath(readText(network, "path").replace(/^\/var\/run\//, "/run/"));

  using opening = new DisposableStack();
  const netns = opening.use(openNetns(path));
  const socket = opening.use(openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd));
  const owned = opening.move();
  const exec: PodNetns["exec"] = (argv) => mustRun(["nsenter", `--net=/proc/${process.pid}/fd/${netns.fd}`, ...argv]);
  const generation = (): number => {
    socket.send(encodeGetGeneration());
    const answer = socket.receive();
    if (answer === undefined) throw new Error(`Cannot read the generation of the rules of ${name}: no answer`);
    return decodeGeneration(answer);
  };
  return {
    exec,
    generation,
    async rules() {
      const saved = await exec(["iptables-nft-save"]);
      const lines = saved.split("\n").filter((line) => !line.startsWith("#"));
      return lines.join("\n").replace(/^(:.*) \[\d+:\d+\]$/gm, "$1");
    },
    async changed(before, timeoutMs) {
      for (const deadline = performance.now() + timeoutMs; generation() === before; await sleep(LOOK_EVERY_MS))
        if (performance.now() > deadline) throw new Error(`Cannot see a change of rules in ${name} in ${timeoutMs} ms`);
      return Date.now();
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}
