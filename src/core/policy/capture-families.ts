// Which address families of a sidecar pod are captured: DESIGN 3.2 "Address families", contract 5.3. Never guessed from
// anything but the addresses in the pod's own network namespace, and what stays uncaptured is said.
import { type IpAddress, isLinkLocalMulticast, isLinkLocalUnicast, isLoopback, isSameIp, unmapIp } from "../address.ts";
import { PASSTHROUGH_SOURCE_V6 } from "../rules/sidecar-numbers.ts";

export interface FamilyOptions {
  /** iptables captures the family of the first address, native nftables always both. */
  readonly dialect: "iptables" | "nftables";
  readonly dualStack: boolean;
  /** Capture every family that has an address. */
  readonly strict: boolean;
}

export type FamilyDecision =
  | {
      readonly kind: "families";
      readonly v4: boolean;
      readonly v6: boolean;
      /** Families that have an address and pass by the proxy. */
      readonly bypassed: readonly ("ipv4" | "ipv6")[];
    }
  | { readonly kind: "no-address" };

/** Decides from the addresses in the order the kernel lists them (IPv4 first). IPv4 rules are always written, as
 * upstream writes them: a pod that gets its IPv4 address later is captured then. */
export function decideFamilies(addresses: readonly IpAddress[], options: FamilyOptions): FamilyDecision {
  const usable = addressesInUse(addresses);
  const [first] = usable;
  if (first === undefined) return { kind: "no-address" };
  const hasV6 = usable.some(({ family }) => family === 6);
  const v6 = options.dialect === "nftables" ? true : options.dualStack || options.strict ? hasV6 : first.family === 6;
  return { kind: "families", v4: true, v6, bypassed: hasV6 && !v6 ? ["ipv6"] : [] };
}

/** Those by which a pod is reached: neither loopback nor link-local, nor the one that a capture itself puts on `lo`; IPv4
 * within IPv6 counts as IPv4. */
export function addressesInUse(addresses: readonly IpAddress[]): IpAddress[] {
  return addresses.map(unmapIp).filter((ip) => !isLocal(ip));
}

function isLocal(ip: IpAddress): boolean {
  return isLoopback(ip) || isLinkLocalUnicast(ip) || isLinkLocalMulticast(ip) || isSameIp(ip, PASSTHROUGH_SOURCE_V6);
}
