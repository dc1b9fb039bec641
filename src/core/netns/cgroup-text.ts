// /proc/PID/cgroup (cgroups(7)): which pod and container a process was put into by kubelet and runtime. Covers cgroup v1
// and v2, the cgroupfs and systemd drivers of containerd, docker and CRI-O, and paths seen from inside a cgroup namespace.
import { podUidKey } from "./pod-uid.ts";

/** What the cgroups of one process tell. */
export interface CgroupFacts {
  /** As by `podUidKey`. None: no pod of a kubelet, or a runtime that does not say. More than one: the hierarchies
   * contradict each other, which proves nothing. */
  readonly podUids: readonly string[];
  /** The container's id (64 hex digits), where the path has one. */
  readonly containerId: string | undefined;
  /** CRI-O's conmon lies in the pod's slice and is no process of the pod. */
  readonly isMonitor: boolean;
  /** In a cgroup that only the Kata runtime makes (kata-containers/docs/design/host-cgroups.md@3). */
  readonly isKata: boolean;
}

/** Kubelet's name for a pod: `pod<uid>`, `kubepods-burstable-pod<uid>.slice`, with `_` for `-` under systemd. */
const POD = /(?<![0-9A-Za-z])pod([0-9a-fA-F]{8}(?:[-_]?[0-9a-fA-F]{4}){3}[-_]?[0-9a-fA-F]{12})(?![0-9A-Za-z])/;
const CONTAINER = /(?<![0-9A-Za-z])[0-9a-f]{64}(?![0-9A-Za-z])/;
const MONITOR = /(?:^|\/)(?:crio|libpod)-conmon-[^/]*$/;
const KATA = /(?:^|[/:])kata[-_](?:overhead|sandbox|[0-9a-f]{64})/;
/** A v1 process has about 14 lines; a path is at most PATH_MAX. */
const MAX_TEXT_LENGTH = 64 * 1024;

/** Reads the text of /proc/PID/cgroup. Total: lines that are none are passed over. */
export function parseCgroup(text: string): CgroupFacts {
  const podUids = new Set<string>();
  let containerId: string | undefined;
  let isMonitor = false;
  let isKata = false;
  for (const path of pathsOf(text.slice(0, MAX_TEXT_LENGTH))) {
    // The outermost pod is the kubelet's; what stands deeper may have been made by the pod itself.
    const pod = POD.exec(path);
    if (pod?.[1] !== undefined) podUids.add(podUidKey(pod[1]));
    const below = pod === null ? path : path.slice(pod.index + pod[0].length);
    containerId ??= CONTAINER.exec(below)?.[0];
    isMonitor ||= MONITOR.test(path);
    isKata ||= KATA.test(path);
  }
  return { podUids: [...podUids], containerId, isMonitor, isKata };
}

/** The third field of `hierarchy-ID:controller-list:cgroup-path`; paths may have colons, names of hierarchies may not. */
function pathsOf(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const first = line.indexOf(":");
    const second = first < 0 ? -1 : line.indexOf(":", first + 1);
    return second < 0 ? [] : [line.slice(second + 1)];
  });
}
