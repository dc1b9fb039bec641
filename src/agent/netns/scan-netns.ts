// One pass over the node's processes for many pods: which network namespaces hold an address of one of them, opened, with
// what their processes tell. Gives the thread back often, so that a pod that is being started meanwhile does not wait.
import type { IpAddress } from "../../core/address.ts";
import { messageOf } from "../../core/error-message.ts";
import { parseCgroup } from "../../core/netns/cgroup-text.ts";
import {
  ipKey,
  type NetnsCandidate,
  type NetnsPod,
  type NetnsProcess,
  podIpKeys,
} from "../../core/netns/choose-netns.ts";
import { isSameNetns, type NetnsId } from "../../core/netns/netns-id.ts";
import { podUidKeys } from "../../core/netns/pod-uid.ts";
import { type ProcessStat, parseProcessStat } from "../../core/netns/stat-text.ts";
import type { ProcReader } from "../../platform/fs/proc-reader.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import { createTimeSlice, type TimeSliceDeps } from "./time-slice.ts";

export interface ScanDeps extends TimeSliceDeps {
  readonly proc: ProcReader;
  /** Opens a namespace file; must never wait. Throws when it is gone. */
  open(path: string): NetnsHandle;
  /** The addresses inside, synchronously. */
  addresses(netnsFd: number): readonly IpAddress[];
}

export interface ScanOptions {
  /** Namespaces that are no pod's: the node's and the agent's. */
  readonly forbidden: readonly NetnsId[];
  /** Folders where runtimes keep the namespaces they made, as seen from here. */
  readonly namedFolders: readonly string[];
  readonly timeoutMs: number;
}

/** A namespace that was found; `handle` is there when it holds an address that is looked for, and is the caller's. */
export interface FoundNetns extends NetnsCandidate {
  readonly handle: NetnsHandle | undefined;
}

export type ScanResult =
  | {
      readonly kind: "complete";
      readonly namespaces: readonly FoundNetns[];
      /** `forbidden` of the options and what process 1 has. */
      readonly forbidden: readonly NetnsId[];
      readonly processes: number;
    }
  | { readonly kind: "unavailable"; readonly reason: string }
  | { readonly kind: "cut-short"; readonly reason: string };

/** Of one namespace: pids that are remembered, and of those, oldest first, whose cgroups are read. */
const MAX_PIDS_PER_NETNS = 64;
const MAX_CGROUPS_PER_NETNS = 16;
const MAX_NAMESPACES = 8192;

interface Place {
  readonly ino: bigint;
  readonly pids: number[];
  readonly path: string | undefined;
}

/** Looks once. Namespaces for which `isTaken` holds are passed over.
 * @throws whatever the signal's reason is, once it aborts; nothing stays open then. */
export async function scanNetns(
  deps: ScanDeps,
  options: ScanOptions,
  wanted: readonly NetnsPod[],
  isTaken: (netns: NetnsId) => boolean,
  signal: AbortSignal,
): Promise<ScanResult> {
  const { proc } = deps;
  const startedMs = deps.nowMs();
  const turn = createTimeSlice(deps, signal);
  let isOverdue = false;
  /** False: time is up. */
  const goOn = async (): Promise<boolean> => {
    await turn();
    isOverdue ||= deps.nowMs() - startedMs > options.timeoutMs;
    return !isOverdue;
  };

  let pids: number[];
  let node: NetnsId;
  try {
    node = proc.nodeNetns();
    pids = await proc.pids();
  } catch (error) {
    return { kind: "unavailable", reason: messageOf(error) };
  }
  signal.throwIfAborted();
  const forbidden = [...options.forbidden, { dev: node.dev, ino: node.ino }];
  const skips = (ino: bigint): boolean => {
    const id = { dev: node.dev, ino };
    return isTaken(id) || forbidden.some((other) => other.ino === ino);
  };

  const podsByIp = Map.groupBy(
    wanted.flatMap((pod) => podIpKeys(pod).map((ip) => ({ ip, pod }))),
    ({ ip }) => ip,
  );
  const podsOf = (ips: ReadonlySet<string>): NetnsPod[] =>
    [...ips].flatMap((ip) => (podsByIp.get(ip) ?? []).map(({ pod }) => pod));
  using opened = new DisposableStack();
  const places = await listPlaces();
  const namespaces: FoundNetns[] = [];
  const empty: Place[] = [];
  for (const place of places) {
    if (!(await goOn())) break;
    const held = openHolding(place);
    if (held === undefined) empty.push(place);
    else
      namespaces.push({
        ...(await describe(place, podsOf(held.ips))),
        ...held,
      });
  }
  // Only where an address was found nowhere is it worth knowing whose processes run in the others.
  const found = new Set(namespaces.flatMap(({ ips }) => podsOf(ips)));
  if (found.size < new Set(wanted).size) {
    for (const place of empty) {
      if (!(await goOn())) break;
      namespaces.push({ ...(await describe(place, wanted)), handle: undefined });
    }
  }
  signal.throwIfAborted();
  if (isOverdue) return { kind: "cut-short", reason: `it takes longer than ${options.timeoutMs} ms` };
  opened.move();
  return { kind: "complete", namespaces, forbidden, processes: pids.length };

  async function listPlaces(): Promise<readonly Place[]> {
    const byIno = new Map<bigint, Place>();
    // First, because pods can make as many as the bound allows, and none of these.
    for (const { path, ino } of await proc.namedNetns(options.namedFolders, node.dev)) {
      if (!skips(ino) && byIno.size < MAX_NAMESPACES) byIno.set(ino, { ino, pids: [], path });
    }
    for (const pid of pids) {
      if (!(await goOn())) break;
      const ino = proc.netnsIno(pid);
      if (ino === undefined) continue;
      const place = byIno.get(ino);
      if (place !== undefined) {
        if (place.pids.length < MAX_PIDS_PER_NETNS) place.pids.push(pid);
      } else if (!skips(ino) && byIno.size < MAX_NAMESPACES) byIno.set(ino, { ino, pids: [pid], path: undefined });
    }
    return [...byIno.values()];
  }

  /** The namespace, opened, if it holds an address that is looked for. What a path leads to may have changed since. */
  function openHolding({
    ino,
    path,
    pids: inside,
  }: Place): { handle: NetnsHandle; ips: ReadonlySet<string> } | undefined {
    const paths = [...(path === undefined ? [] : [path]), ...inside.slice(0, 3).map(proc.netnsPath)];
    for (const candidate of paths) {
      using unused = new DisposableStack();
      try {
        const handle = unused.use(deps.open(candidate));
        if (!isSameNetns(handle, { dev: node.dev, ino })) continue;
        const ips = new Set(deps.addresses(handle.fd).map(ipKey));
        if (podsOf(ips).length === 0) return undefined;
        opened.use(unused.move());
        return { handle, ips };
      } catch {
        // The process ended between the list and now; another one of the namespace may still be there.
      }
    }
    return undefined;
  }

  /** Its processes, oldest first, up to the first one that belongs to a pod that is sought. */
  async function describe({ ino, pids: inside, path }: Place, sought: readonly NetnsPod[]): Promise<NetnsCandidate> {
    const aged: (ProcessStat & { pid: number })[] = [];
    for (const pid of inside) {
      if (!(await goOn())) break;
      const text = proc.stat(pid);
      const stat = text === undefined ? undefined : parseProcessStat(text);
      if (stat !== undefined) aged.push({ pid, ...stat });
    }
    aged.sort((left, right) => left.startTime - right.startTime || left.pid - right.pid);
    const processes: NetnsProcess[] = [];
    const uids = new Set(sought.flatMap(podUidKeys));
    for (const process of aged.slice(0, MAX_CGROUPS_PER_NETNS)) {
      const text = await proc.cgroup(process.pid);
      signal.throwIfAborted();
      // Only what is still inside was inside while its cgroup was read: the pid may be another process's by now.
      if (text === undefined || proc.netnsIno(process.pid) !== ino) continue;
      const exe = processes.length === 0 ? proc.exe(process.pid) : undefined;
      const facts = parseCgroup(text);
      processes.push({ ...process, ...facts, exe });
      if (facts.podUids.some((uid) => uids.has(uid))) break;
    }
    return { dev: node.dev, ino, isNamed: path !== undefined, ips: new Set(), processes };
  }
}
