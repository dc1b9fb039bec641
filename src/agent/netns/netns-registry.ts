// A handle on the network namespace of every pod of the node: what the runtime passed at ADD, and for pods that were there
// before the agent, what a look through the node's processes finds and the pod's address confirms (contract 7.5).

import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import {
  chooseNetns,
  ipKey,
  type NetnsChoice,
  type NetnsPod,
  type NoNetns,
  pardonPod,
  podIpKeys,
  refuseSharedNetns,
} from "../../core/netns/choose-netns.ts";
import { isSameNetns, type NetnsId } from "../../core/netns/netns-id.ts";
import { podUidKey, podUidKeys } from "../../core/netns/pod-uid.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import { type HeldNetns, HeldNetnsStore, type NetnsSource, type ReleasedNetns } from "./held-netns.ts";
import { type FoundNetns, type ScanDeps, type ScanResult, scanNetns } from "./scan-netns.ts";
import { createTimeSlice } from "./time-slice.ts";

export interface NetnsRegistryDeps extends ScanDeps {
  /** A second descriptor of the same namespace; throws when `fd` is none. */
  dup(fd: number): NetnsHandle;
  readonly log: Logger;
}

export interface NetnsRegistryOptions {
  /** Namespaces that are no pod's: the node's, where it can be seen at start, and the agent's. */
  readonly forbidden: readonly NetnsId[];
  /** Folders where runtimes keep namespaces, as seen from here: `/host/var/run/netns`, and where that is not mounted
   * `/host/proc/1/root/run/netns`. */
  readonly namedFolders: readonly string[];
  /** @default 4096 */
  readonly maxHandles?: number;
  /** For one look through the node's processes. @default 10000 */
  readonly scanTimeoutMs?: number;
  /** How long a handle is kept for a pod that the API has not shown. @default 300000 */
  readonly unknownGraceMs?: number;
}

/** Found: `get()` lends it from now on, for as long as the sandbox is there. */
export type NetnsLookup = NoNetns | { readonly kind: "found"; readonly source: NetnsSource };

export type AdoptOutcome =
  | { readonly kind: "held"; readonly netns: HeldNetns }
  | { readonly kind: "refused"; readonly reason: "not-a-pods" | "unusable"; readonly message: string };

/** For status: what there is, and whether pods that were there before the agent can be found. */
export interface NetnsRegistryStatus {
  readonly handles: number;
  /** Why the node's processes cannot be looked through; undefined while they can, or nobody tried. */
  readonly unavailable: string | undefined;
  readonly lastScan: { readonly tookMs: number; readonly processes: number; readonly namespaces: number } | undefined;
}

export interface NetnsRegistry extends Disposable {
  /** At ADD: keeps a descriptor of its own; the caller's stays the caller's. Replaces that of an older sandbox. */
  adopt(podUid: string, containerId: string, netnsFd: number): AdoptOutcome;
  /** At DEL: the runtime wants the namespace to end. A DEL for an older sandbox leaves the newer one's handle. Returns what is
   * closed. */
  release(containerId: string): readonly ReleasedNetns[];
  /** The pod is deleted or finished. */
  forget(podUid: string): void;
  get(pod: Pick<NetnsPod, "uid" | "annotations">): HeldNetns | undefined;
  /** Looks for the namespace of each pod: held ones are checked, the others sought in one pass. Calls wait for each other.
   * Rejects with the signal's reason only; what was found by then is kept. */
  find(pods: readonly NetnsPod[], signal: AbortSignal): Promise<ReadonlyMap<NetnsPod, NetnsLookup>>;
  /** Closes the handles of pods that are not among `pods`, the complete list of the node, or finished. */
  retain(pods: readonly NetnsPod[]): void;
  status(): NetnsRegistryStatus;
}

export function createNetnsRegistry(deps: NetnsRegistryDeps, options: NetnsRegistryOptions): NetnsRegistry {
  const { maxHandles = 4096, scanTimeoutMs = 10_000, unknownGraceMs = 300_000 } = options;
  const held = new HeldNetnsStore(maxHandles);
  const scanOptions = { forbidden: options.forbidden, namedFolders: options.namedFolders, timeoutMs: scanTimeoutMs };
  let lastScan: NetnsRegistryStatus["lastScan"];
  let unavailable: string | undefined;
  let isFullSaid = false;
  let isClosed = false;
  let tail: Promise<unknown> = Promise.resolve();
  /** While a look is under way: what ended meanwhile, by pod and by sandbox. */
  let ended: { readonly uids: Set<string>; readonly containers: Set<string> } | undefined;

  function put(holding: Parameters<HeldNetnsStore["put"]>[0]): void {
    const evicted = held.put(holding);
    if (evicted === undefined || isFullSaid) return;
    isFullSaid = true;
    deps.log.warn(`Closed the network namespace of a pod: ${maxHandles} are held, which is the bound`, {
      podUid: evicted,
    });
  }

  async function findNow(pods: readonly NetnsPod[], signal: AbortSignal): Promise<ReadonlyMap<NetnsPod, NetnsLookup>> {
    const results = new Map<NetnsPod, NetnsLookup>();
    const wanted: NetnsPod[] = [];
    const turn = createTimeSlice(deps, signal);
    for (const pod of pods) {
      await turn();
      const pardon = pardonPod(pod);
      const known = pardon === undefined ? standing(pod) : undefined;
      if (pardon !== undefined) results.set(pod, pardon);
      else if (known !== undefined) results.set(pod, known);
      else wanted.push(pod);
    }
    if (wanted.length === 0) return results;
    ended = { uids: new Set(), containers: new Set() };
    try {
      const keys = new Set(wanted.flatMap(podUidKeys));
      const startedMs = deps.nowMs();
      const scan = await scanNetns(deps, scanOptions, wanted, (netns) => held.isHeldByOther(netns, keys), signal);
      report(scan, deps.nowMs() - startedMs);
      for (const [pod, lookup] of await settle(wanted, scan, turn)) results.set(pod, lookup);
    } finally {
      ended = undefined;
    }
    return results;
  }

  /** What is held, if the namespace still holds an address of the pod: the runtime may have made another sandbox while the
   * plugin was not in its chain. */
  function standing(pod: NetnsPod): NetnsLookup | undefined {
    const keys = podUidKeys(pod);
    const netns = held.get(keys);
    if (netns === undefined) return undefined;
    // A static pod may have been found under one of its UIDs and given under the other.
    for (const key of keys) if (key !== podUidKey(netns.podUid)) held.forget(key);
    try {
      const ips = podIpKeys(pod);
      if (deps.addresses(netns.fd).some((ip) => ips.includes(ipKey(ip))))
        return { kind: "found", source: netns.source };
    } catch (error) {
      deps.log.debug("Cannot list the addresses of a held network namespace", { podUid: pod.uid, err: String(error) });
    }
    // The address was the only reason to believe in what was found; what was given may yet be right.
    if (netns.source !== "add") held.forget(netns.podUid);
    return undefined;
  }

  /** Keeps what was chosen and closes all the rest. */
  async function settle(
    wanted: readonly NetnsPod[],
    scan: ScanResult,
    turn: () => Promise<void>,
  ): Promise<Map<NetnsPod, NetnsLookup>> {
    if (scan.kind !== "complete") {
      const reason = scan.kind === "unavailable" ? "proc-unavailable" : "scan-cut-short";
      const absent = (pod: NetnsPod): NetnsLookup => {
        const message = `Cannot find the network namespace of pod ${pod.namespace}/${pod.name}: ${scan.reason}`;
        return { kind: "not-found", reason, message };
      };
      return new Map(wanted.map((pod) => [pod, givenAnyway(pod) ?? absent(pod)]));
    }
    using unused = new DisposableStack();
    const unkept = new Map<bigint, NetnsHandle>();
    unused.defer(() => {
      for (const handle of unkept.values()) handle[Symbol.dispose]();
    });
    for (const { handle } of scan.namespaces) if (handle !== undefined) unkept.set(handle.ino, handle);
    const choices = new Map<NetnsPod, NetnsChoice<FoundNetns>>();
    const byIp = Map.groupBy(
      scan.namespaces.flatMap((netns) => [...netns.ips].map((ip) => ({ ip, netns }))),
      ({ ip }) => ip,
    );
    for (const pod of wanted) {
      await turn();
      const holding = new Set(podIpKeys(pod).flatMap((ip) => (byIp.get(ip) ?? []).map(({ netns }) => netns)));
      const choice = chooseNetns(pod, [...holding], scan.forbidden);
      // The others matter for the reason only.
      choices.set(pod, choice.kind === "not-found" ? chooseNetns(pod, scan.namespaces, scan.forbidden) : choice);
    }
    const lookups = new Map<NetnsPod, NetnsLookup>();
    for (const [pod, choice] of refuseSharedNetns(choices)) {
      await turn();
      lookups.set(pod, choice.kind === "found" ? keep(pod, choice, unkept) : (givenAnyway(pod) ?? choice));
    }
    return lookups;
  }

  function keep(
    pod: NetnsPod,
    { by, netns }: Extract<NetnsChoice<FoundNetns>, { kind: "found" }>,
    unkept: Map<bigint, NetnsHandle>,
  ): NetnsLookup {
    const uids = podUidKeys(pod);
    const old = held.get(uids);
    // An ADD that came meanwhile knows better; and the same namespace needs no second handle.
    if (old !== undefined && isSameNetns(old, netns)) return { kind: "found", source: old.source };
    const meanwhile = standing(pod);
    if (meanwhile !== undefined) return meanwhile;
    const containerIds = new Set(netns.processes.flatMap(({ containerId }) => containerId ?? []));
    const hasEnded =
      uids.some((uid) => ended?.uids.has(uid)) || [...containerIds].some((id) => ended?.containers.has(id));
    const handle = unkept.get(netns.ino);
    if (handle === undefined || hasEnded || isClosed || held.isHeldByOther(netns, new Set(uids))) {
      const message = `Cannot find the network namespace of pod ${pod.namespace}/${pod.name}: its sandbox has just ended`;
      return { kind: "not-found", reason: "no-process", message };
    }
    unkept.delete(netns.ino);
    for (const uid of uids) held.forget(uid);
    put({ podUid: pod.uid, source: by, handle, containerIds, sinceMs: deps.nowMs() });
    return { kind: "found", source: by };
  }

  /** What the runtime passed stays the pod's as long as nothing better is found: some networks keep the address elsewhere. */
  function givenAnyway(pod: NetnsPod): NetnsLookup | undefined {
    return held.get(podUidKeys(pod))?.source === "add" ? { kind: "found", source: "add" } : undefined;
  }

  function report(scan: ScanResult, tookMs: number): void {
    if (scan.kind === "complete") {
      unavailable = undefined;
      lastScan = { tookMs, processes: scan.processes, namespaces: scan.namespaces.length };
      deps.log.debug("Looked through the node's processes for network namespaces", lastScan);
    } else if (scan.kind === "cut-short") {
      deps.log.warn(`Gave up looking through the node's processes for network namespaces: ${scan.reason}`);
    } else {
      if (unavailable !== scan.reason) {
        deps.log.warn(`Pods that started without the plugin cannot be found: ${scan.reason}`, {
          hint: "mount the node's /proc at /host/proc and grant SYS_PTRACE, as our chart does, and upstream's with repair or ambient mode",
        });
      }
      unavailable = scan.reason;
    }
  }

  return {
    adopt(podUid, containerId, netnsFd) {
      let handle: NetnsHandle;
      try {
        handle = deps.dup(netnsFd);
      } catch (error) {
        return { kind: "refused", reason: "unusable", message: messageOf(error) };
      }
      const isForbidden = options.forbidden.some((other) => isSameNetns(other, handle));
      if (isForbidden || isClosed || podUidKey(podUid) === "") {
        handle[Symbol.dispose]();
        const message = isForbidden
          ? "Cannot keep a pod's network namespace: it is the node's or the agent's own"
          : `Cannot keep a pod's network namespace: ${isClosed ? "the agent is ending" : "the pod has no UID"}`;
        return { kind: "refused", reason: isForbidden ? "not-a-pods" : "unusable", message };
      }
      put({ podUid, source: "add", handle, containerIds: new Set([containerId]), sinceMs: deps.nowMs() });
      const { fd, dev, ino } = handle;
      return { kind: "held", netns: { podUid, source: "add", fd, dev, ino } };
    },
    release(containerId) {
      ended?.containers.add(containerId);
      return held.release(containerId);
    },
    forget(podUid) {
      ended?.uids.add(podUidKey(podUid));
      held.forget(podUid);
    },
    get: (pod) => held.get(podUidKeys(pod)),
    find(pods, signal) {
      const result = tail.then(() => {
        signal.throwIfAborted();
        return findNow(pods, signal);
      });
      tail = result.catch(() => undefined);
      return result;
    },
    retain(pods) {
      const keys = pods.filter((pod) => pardonPod(pod)?.kind !== "not-found").flatMap(podUidKeys);
      const closed = held.retain(new Set(keys), deps.nowMs() - unknownGraceMs);
      if (closed > 0) deps.log.debug("Closed network namespaces of pods that are gone", { closed });
    },
    status: () => ({ handles: held.size, unavailable, lastScan }),
    [Symbol.dispose]() {
      isClosed = true;
      held[Symbol.dispose]();
    },
  };
}
