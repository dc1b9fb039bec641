// Which address families of an ambient pod are captured: DESIGN 2.1 and 3.2, ADR 1. Decided by the addresses in the pod's own
// network namespace, and what stays uncaptured is said.

import type { IpAddress } from "../address.ts";
import { addressesInUse, type FamilyDecision } from "./capture-families.ts";

export interface AmbientFamilyOptions {
  /** `AMBIENT_IPV6`: false captures IPv4 only. */
  readonly ipv6: boolean;
  /** `STRICT_FAMILIES`: every family that has an address, whatever else is set. */
  readonly strict: boolean;
}

/** IPv4 rules are always written, as upstream writes them: a pod that gets its IPv4 address later is captured then. */
export function decideAmbientFamilies(addresses: readonly IpAddress[], options: AmbientFamilyOptions): FamilyDecision {
  const inUse = addressesInUse(addresses);
  if (inUse.length === 0) return { kind: "no-address" };
  const hasV6 = inUse.some(({ family }) => family === 6);
  const v6 = hasV6 && (options.ipv6 || options.strict);
  return { kind: "families", v4: true, v6, bypassed: hasV6 && !v6 ? ["ipv6"] : [] };
}
