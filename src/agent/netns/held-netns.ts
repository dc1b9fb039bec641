// The descriptors that keep pods' network namespaces reachable: bounded, one for each pod, every one closed exactly once.
import type { NetnsId } from "../../core/netns/netns-id.ts";
import { podUidKey } from "../../core/netns/pod-uid.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";

/** How a namespace is known to be the pod's. "add": the runtime gave it. Otherwise it was found, holds an address of the pod,
 * and "uid": cgroups of processes inside name the pod; "ip": they name nobody. */
export type NetnsSource = "add" | "uid" | "ip";

/** A pod's namespace, lent: `fd` is good until the next `await`, then ask again. */
export interface HeldNetns extends NetnsId {
  readonly podUid: string;
  readonly fd: number;
  readonly source: NetnsSource;
}

/** A pod's namespace whose handle is closed. */
export type ReleasedNetns = Pick<HeldNetns, "podUid" | "dev" | "ino">;

/** What is put in. The store owns `handle` from then on. */
export interface Holding {
  readonly podUid: string;
  readonly source: HeldNetns["source"];
  readonly handle: NetnsHandle;
  /** The sandbox's id and those of containers in it, as far as they are known. */
  readonly containerIds: ReadonlySet<string>;
  readonly sinceMs: number;
}

interface Entry extends Holding {
  /** The pods of the node had it once, so that its absence means something. */
  wasKnown: boolean;
}

export class HeldNetnsStore implements Disposable {
  readonly #entries = new Map<string, Entry>();
  /** Keys by inode, for the question who has a namespace. */
  readonly #keysByIno = new Map<bigint, Set<string>>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Replaces what the pod had. Returns the UID of the pod that had to give way because the store is full: the one that is
   * there longest, found ones before given ones. */
  put(holding: Holding): string | undefined {
    const key = podUidKey(holding.podUid);
    const old = this.#entries.get(key);
    this.#close(key);
    const evicted = this.#entries.size < this.#capacity ? undefined : this.#oldest();
    if (evicted !== undefined) this.#close(podUidKey(evicted.podUid));
    this.#entries.set(key, { ...holding, wasKnown: old?.wasKnown ?? false });
    const { ino } = holding.handle;
    this.#keysByIno.set(ino, (this.#keysByIno.get(ino) ?? new Set()).add(key));
    return evicted?.podUid;
  }

  /** What is held under one of `keys` (`podUidKey`); what the runtime gave goes first. */
  get(keys: readonly string[]): HeldNetns | undefined {
    const entries = keys.flatMap((key) => this.#entries.get(key) ?? []);
    const entry = entries.find(({ source }) => source === "add") ?? entries[0];
    if (entry === undefined) return undefined;
    const { podUid, source, handle } = entry;
    return { podUid, source, fd: handle.fd, dev: handle.dev, ino: handle.ino };
  }

  /** Closes what belongs to that sandbox. */
  release(containerId: string): readonly ReleasedNetns[] {
    const released: ReleasedNetns[] = [];
    for (const [key, { podUid, containerIds, handle }] of this.#entries) {
      if (!containerIds.has(containerId)) continue;
      released.push({ podUid, dev: handle.dev, ino: handle.ino });
      this.#close(key);
    }
    return released;
  }

  forget(podUid: string): void {
    this.#close(podUidKey(podUid));
  }

  /** Closes what belongs to pods that were known and are not among `keys`, and what nobody came to know since `beforeMs`.
   * Returns how many. */
  retain(keys: ReadonlySet<string>, beforeMs: number): number {
    let closed = 0;
    for (const [key, entry] of this.#entries) {
      if (keys.has(key)) entry.wasKnown = true;
      else if (entry.wasKnown || entry.sinceMs < beforeMs) {
        this.#close(key);
        closed++;
      }
    }
    return closed;
  }

  /** Whether a pod other than those of `keys` has this namespace. */
  isHeldByOther(netns: NetnsId, keys: ReadonlySet<string>): boolean {
    const holders = [...(this.#keysByIno.get(netns.ino) ?? [])];
    return holders.some((key) => !keys.has(key) && this.#entries.get(key)?.handle.dev === netns.dev);
  }

  [Symbol.dispose](): void {
    for (const key of this.#entries.keys()) this.#close(key);
  }

  #close(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const holders = this.#keysByIno.get(entry.handle.ino);
    holders?.delete(key);
    if (holders?.size === 0) this.#keysByIno.delete(entry.handle.ino);
    entry.handle[Symbol.dispose]();
  }

  #oldest(): Entry | undefined {
    let oldest: Entry | undefined;
    for (const entry of this.#entries.values()) {
      if (oldest === undefined || (oldest.source === "add" && entry.source !== "add")) oldest = entry;
    }
    return oldest;
  }
}
