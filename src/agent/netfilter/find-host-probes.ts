// Whether rules for probes of ambient pods stand in the node's network namespace: what an agent asks that is not in ambient
// mode, before it takes them out. Looks only where looking makes nothing: asking for an ipset loads its kernel module.
import { createHostLegacy, type HostLegacyDeps } from "./host-legacy.ts";
import { createHostIptablesNft, createHostNftables, type HostNfTablesDeps } from "./host-nf-tables.ts";
import type { HostRuleStore } from "./host-rule-store.ts";

export interface FindHostProbesDeps extends HostNfTablesDeps, HostLegacyDeps {}

const NO_SETS = { numberOf: () => undefined, nameOf: () => undefined };

/** @param nfTables whether nf_tables answers on this node. Rejects where the kernel cannot be asked. */
export async function findHostProbes(deps: FindHostProbesDeps, netnsFd: number, nfTables: boolean): Promise<boolean> {
  const legacy = createHostLegacy(deps, netnsFd);
  const stores: readonly HostRuleStore[] = [
    ...(nfTables ? [createHostIptablesNft(deps, netnsFd, () => NO_SETS), createHostNftables(deps, netnsFd)] : []),
    ...(legacy.mayHold() ? [legacy] : []),
  ];
  for (const store of stores) if ((await store.find([])).wasThere) return true;
  return false;
}
