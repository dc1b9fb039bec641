// Tries the host's probe rules in a network namespace nobody uses, once at start: whether this kernel has ipset with comments,
// xt_set, xt_owner and SNAT is known by asking it, before a pod's probes fail for it.
import { parseIpAddress } from "../../core/address.ts";
import { messageOf } from "../../core/error-message.ts";
import type { BackendDialect } from "../../core/policy/backend-features.ts";
import type { HostProbeFacts } from "../../core/policy/host-probe-backend.ts";
import type { AmbientHost } from "../../core/rules/ambient-host.ts";
import { createHostProbes, type HostProbesDeps } from "./host-probes.ts";

export interface HostProbeFactsDeps extends HostProbesDeps {
  /** A namespace nobody uses, gone when disposed of. */
  createThrowawayNetns(): { readonly fd: number } & Disposable;
}

const ADDRESSES = ["192.0.2.1", "2001:db8::1"].flatMap((text) => parseIpAddress(text) ?? []);
const POD_UID = "00000000-0000-0000-0000-000000000000";

/**
 * What stands and what does not, of the dialects that matter to a node whose pods are written in `dialect`; of the others
 * it is told that nobody tried. Never rejects.
 */
export async function gatherHostProbeFacts(
  deps: HostProbeFactsDeps,
  dialect: BackendDialect,
  nfTables: boolean,
  host: AmbientHost,
): Promise<HostProbeFacts> {
  const facts: Record<BackendDialect, string | undefined> = {
    "iptables-nft": "it was not tried",
    nftables: "it was not tried",
    "iptables-legacy": "it was not tried",
  };
  facts[dialect] = await tryHostProbes(deps, dialect, nfTables, host);
  if (facts[dialect] !== undefined && dialect !== "nftables") {
    facts.nftables = nfTables ? await tryHostProbes(deps, "nftables", nfTables, host) : "nf_tables does not answer";
  }
  return facts;
}

/** Undefined: rules and addresses stood and went as they should; else what went wrong. */
async function tryHostProbes(
  deps: HostProbeFactsDeps,
  dialect: BackendDialect,
  nfTables: boolean,
  host: AmbientHost,
): Promise<string | undefined> {
  try {
    using netns = deps.createThrowawayNetns();
    const probes = createHostProbes(deps, { netnsFd: netns.fd, dialect, nfTables, host, kubeletUid: () => 0 });
    await probes.ensure();
    await probes.put(POD_UID, ADDRESSES);
    const [difference] = await probes.drift();
    if (difference !== undefined) return `the kernel does not show what was written: ${difference}`;
    await probes.removeAll();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
