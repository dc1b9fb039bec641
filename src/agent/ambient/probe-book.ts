// What stands in the node's probe set for each pod, as far as this agent put it there or found it: the enrolment loop compares
// without asking the kernel each time. That the set stays as it is, is its keeper's business.
import { formatIp, type IpAddress } from "../../core/address.ts";
import type { EnrolmentDeps } from "./enrolment-api.ts";

/** The node's probe set; agent/netfilter/host-probes.ts. */
export interface ProbeSet {
  put(podUid: string, ips: readonly IpAddress[]): Promise<unknown>;
  remove(podUid: string): Promise<unknown>;
  uids(): Promise<ReadonlySet<string>>;
  listed(podUid: string): Promise<readonly IpAddress[]>;
}

export interface ProbeBook extends Pick<EnrolmentDeps["probes"], "listed" | "uids" | "put" | "remove" | "subscribe"> {
  /** Takes in what stands in the set, from a predecessor or because it was out of reach until now. Rejects where it cannot be
   * read. */
  read(): Promise<void>;
}

/** @param open resolves with the set, or with why there is none now */
export function createProbeBook(open: () => Promise<ProbeSet | { readonly unavailable: string }>): ProbeBook {
  const book = new Map<string, readonly IpAddress[]>();
  /** Whose each address is. */
  const owners = new Map<string, string>();
  const listeners = new Set<() => void>();

  async function set(): Promise<ProbeSet> {
    const probes = await open();
    if ("unavailable" in probes) throw new Error(`Cannot exempt the kubelet's probes: ${probes.unavailable}`);
    return probes;
  }

  return {
    listed: (podUid) => book.get(podUid) ?? [],
    uids: () => [...book.keys()],
    async put(podUid, ips) {
      const probes = await set();
      await probes.put(podUid, ips);
      // An address that was another pod's is this one's now.
      for (const address of ips.map(formatIp)) {
        const other = owners.get(address);
        if (other === undefined || other === podUid) continue;
        const theirs = book.get(other) ?? [];
        note(
          other,
          theirs.filter((ip) => formatIp(ip) !== address),
        );
      }
      note(podUid, ips);
    },
    async remove(podUid) {
      if (!book.has(podUid)) return;
      const probes = await set();
      await probes.remove(podUid);
      note(podUid, []);
    },
    async read() {
      const probes = await set();
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
    for (const ip of book.get(podUid) ?? []) {
      const address = formatIp(ip);
      if (owners.get(address) === podUid) owners.delete(address);
    }
    for (const ip of ips) owners.set(formatIp(ip), podUid);
    if (ips.length === 0) book.delete(podUid);
    else book.set(podUid, ips);
  }
}
