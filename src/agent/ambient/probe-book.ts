// What stands in the node's probe set for each pod, as far as this agent put it there or found it: the enrolment loop compares
// without asking the kernel each time. That the set stays as it is, is its keeper's business.
import { formatIp, type IpAddress } from "../../core/address.ts";
import type { EnrolmentDeps } from "./enrolment.ts";

/** The node's probe set; agent/netfilter/host-probes.ts. */
export interface ProbeSet {
  put(podUid: string, ips: readonly IpAddress[]): Promise<unknown>;
  remove(podUid: string): Promise<unknown>;
  uids(): Promise<ReadonlySet<string>>;
  listed(podUid: string): Promise<readonly IpAddress[]>;
}

export interface ProbeBook extends Pick<EnrolmentDeps["probes"], "listed" | "uids" | "put" | "remove" | "subscribe"> {
  /** Takes in what a predecessor left. Rejects where the set cannot be read. */
  read(): Promise<void>;
}

/** @param open the set; undefined while the node's network namespace cannot be reached, with why */
export function createProbeBook(open: () => ProbeSet | { readonly unavailable: string }): ProbeBook {
  const book = new Map<string, readonly IpAddress[]>();
  const listeners = new Set<() => void>();

  function set(): ProbeSet {
    const probes = open();
    if ("unavailable" in probes) throw new Error(`Cannot exempt the kubelet's probes: ${probes.unavailable}`);
    return probes;
  }

  return {
    listed: (podUid) => book.get(podUid) ?? [],
    uids: () => [...book.keys()],
    async put(podUid, ips) {
      await set().put(podUid, ips);
      // An address that was another pod's is this one's now.
      const taken = new Set(ips.map(formatIp));
      for (const [other, theirs] of book) {
        if (other !== podUid)
          note(
            other,
            theirs.filter((ip) => !taken.has(formatIp(ip))),
          );
      }
      note(podUid, ips);
    },
    async remove(podUid) {
      if (!book.has(podUid)) return;
      await set().remove(podUid);
      book.delete(podUid);
    },
    async read() {
      const probes = set();
      for (const podUid of await probes.uids()) {
        if (!book.has(podUid)) note(podUid, await probes.listed(podUid));
      }
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };

  function note(podUid: string, ips: readonly IpAddress[]): void {
    if (ips.length === 0) book.delete(podUid);
    else book.set(podUid, ips);
  }
}
