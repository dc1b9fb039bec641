// Which address belongs to which pod, as this agent was told: what the host's probe sets have to hold. Whoever was told last
// has an address, because an address that comes up again is that of the newest sandbox (D33). What nobody told of is not
// known, and not known is never not there.
import { formatIp, type IpAddress, unmapIp } from "../../core/address.ts";
import type { ProbeEntry } from "./probe-sets.ts";

export interface ProbeOwners {
  /** The pod has these addresses and no others. */
  tell(podUid: string, ips: readonly IpAddress[]): void;
  /** Everything that is known of these pods; of one without addresses nothing is known, what it had it keeps. `isComplete`:
   * there are no other pods. */
  tellAll(all: ReadonlyMap<string, readonly IpAddress[]>, isComplete: boolean): void;
  /** This was found in the kernel, put there by an agent before this one: it holds until something else is told. */
  learn(entries: readonly ProbeEntry[]): void;
  forget(podUid: string): void;
  /** Pods that were forgotten and not told of since: nothing in the kernel should be theirs. */
  ended(): ReadonlySet<string>;
  /** Nothing of those is there any more. */
  settleEnded(): void;
  clear(): void;
  /** Whether every pod was told of once. */
  isWhole(): boolean;
  ownerOf(ip: IpAddress): string | undefined;
  has(podUid: string): boolean;
  addressesOf(podUid: string): IpAddress[];
  entries(family: 4 | 6): ProbeEntry[];
}

/** While sets cannot be read, pods end and are remembered. */
const MAX_ENDED = 4096;

export function createProbeOwners(): ProbeOwners {
  const owners = new Map<string, ProbeEntry>();
  /** Pods that were told of, also those whose addresses nobody knows yet. */
  const pods = new Set<string>();
  /** What is found under their UIDs is left over. */
  const ended = new Set<string>();
  let [isWhole, hasLearned] = [false, false];

  function drop(podUid: string): void {
    for (const [key, entry] of owners) if (entry.podUid === podUid) owners.delete(key);
  }

  return {
    tell(podUid, ips) {
      pods.add(podUid);
      ended.delete(podUid);
      if (ips.length === 0) return;
      drop(podUid);
      for (const ip of ips) owners.set(formatIp(ip), { ip, podUid });
    },
    tellAll(all, isComplete) {
      // Two pods with one address: it stays with the one that has it, else the later one in the list gets it.
      const claims = new Map<string, ProbeEntry>();
      for (const [podUid, ips] of all) {
        for (const ip of ips.map(unmapIp)) {
          const key = formatIp(ip);
          const claimed = claims.get(key);
          if (claimed === undefined || owners.get(key)?.podUid !== claimed.podUid) claims.set(key, { ip, podUid });
        }
      }
      for (const [key, { podUid }] of owners) {
        const told = all.get(podUid);
        if (told === undefined ? isComplete : told.length > 0) owners.delete(key);
      }
      for (const [key, entry] of claims) owners.set(key, entry);
      if (isComplete) pods.clear();
      for (const podUid of all.keys()) pods.add(podUid);
      isWhole ||= isComplete;
    },
    learn(entries) {
      hasLearned = true;
      for (const entry of entries) {
        const key = formatIp(entry.ip);
        if (!isWhole && !owners.has(key) && !ended.has(entry.podUid)) owners.set(key, entry);
      }
    },
    forget(podUid) {
      pods.delete(podUid);
      ended.add(podUid);
      const [oldest] = ended;
      if (ended.size > MAX_ENDED && oldest !== undefined) ended.delete(oldest);
      drop(podUid);
    },
    ended: () => ended,
    settleEnded() {
      if (hasLearned) ended.clear();
    },
    clear() {
      for (const known of [owners, pods, ended]) known.clear();
      [isWhole, hasLearned] = [false, false];
    },
    isWhole: () => isWhole,
    ownerOf: (ip) => owners.get(formatIp(ip))?.podUid,
    has: (podUid) => pods.has(podUid),
    addressesOf: (podUid) => [...owners.values()].filter((entry) => entry.podUid === podUid).map(({ ip }) => ip),
    entries: (family) => [...owners.values()].filter(({ ip }) => ip.family === family),
  };
}
