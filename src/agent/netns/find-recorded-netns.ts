// The network namespaces that a record names, for who has no API to ask which pods there are: by device and inode, and the one
// thing that tells a namespace from its successor of the same inode. In doubt it is not that one.

import { parseCgroup } from "../../core/netns/cgroup-text.ts";
import { isSameNetns, type NetnsId, type NetnsIdentity } from "../../core/netns/netns-id.ts";
import { podUidKey } from "../../core/netns/pod-uid.ts";
import type { ProcReader } from "../../platform/fs/proc-reader.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";

export interface FindRecordedDeps {
  readonly proc: ProcReader;
  /** Opens a namespace file; must never wait. Throws when it is gone. */
  open(path: string): NetnsHandle;
  /** May throw. */
  identify(netnsFd: number): NetnsIdentity;
}

export interface RecordedNetns {
  readonly podUid: string;
  readonly netns: NetnsIdentity;
}

/**
 * Opens what is still there; the handles are the caller's. Records that share a namespace all find it.
 * @param options `forbidden`: what is no pod's. `namedFolders`: where runtimes keep namespaces, as seen from here.
 * @throws {FileError} where the node's processes cannot be seen.
 */
export async function findRecordedNetns(
  { proc, open, identify }: FindRecordedDeps,
  records: readonly RecordedNetns[],
  options: { readonly forbidden: readonly NetnsId[]; readonly namedFolders: readonly string[] },
): Promise<ReadonlyMap<string, NetnsHandle>> {
  const node = proc.nodeNetns();
  const forbidden = [node, ...options.forbidden];
  const isForbidden = (netns: NetnsId): boolean => forbidden.some((other) => isSameNetns(other, netns));
  const wanted = records.filter(({ netns }) => netns.dev === node.dev && !isForbidden(netns));
  const inos = new Set(wanted.map(({ netns }) => netns.ino));
  /** Where each can be opened, and who lives there. */
  const places = new Map<bigint, { readonly paths: string[]; readonly pids: number[] }>();
  const placeOf = (ino: bigint) => {
    const known = places.get(ino) ?? { paths: [], pids: [] };
    places.set(ino, known);
    return known;
  };
  for (const { path, ino } of await proc.namedNetns(options.namedFolders, node.dev)) {
    if (inos.has(ino)) placeOf(ino).paths.push(path);
  }
  for (const pid of await proc.pids()) {
    const ino = proc.netnsIno(pid);
    if (ino === undefined || !inos.has(ino)) continue;
    placeOf(ino).paths.push(proc.netnsPath(pid));
    placeOf(ino).pids.push(pid);
  }

  const found = new Map<string, NetnsHandle>();
  for (const { podUid, netns } of wanted) {
    const { paths, pids } = placeOf(netns.ino);
    const handle = openFirst(paths, netns);
    if (handle === undefined) continue;
    if (found.has(podUid) || !(await isStillThis(handle, podUid, netns, pids))) handle[Symbol.dispose]();
    else found.set(podUid, handle);
  }
  return found;

  /** A process may have ended, and a path lead elsewhere, since they were listed. */
  function openFirst(paths: readonly string[], netns: NetnsId): NetnsHandle | undefined {
    for (const path of paths) {
      try {
        const handle = open(path);
        if (isSameNetns(handle, netns)) return handle;
        handle[Symbol.dispose]();
      } catch {
        // The next one may do.
      }
    }
    return undefined;
  }

  async function isStillThis(
    handle: NetnsHandle,
    podUid: string,
    netns: NetnsIdentity,
    pids: readonly number[],
  ): Promise<boolean> {
    if (netns.cookie !== undefined) {
      try {
        return identify(handle.fd).cookie === netns.cookie;
      } catch {
        return false;
      }
    }
    // Without a cookie the pod's own processes tell.
    for (const pid of pids) {
      const text = await proc.cgroup(pid);
      const [uid, ...others] = text === undefined ? [] : parseCgroup(text).podUids;
      if (uid === podUidKey(podUid) && others.length === 0 && proc.netnsIno(pid) === netns.ino) return true;
    }
    return false;
  }
}
