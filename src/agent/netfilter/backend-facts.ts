// Gathers what this node can do with netfilter, once at start. Everything that writes does so in a network namespace made
// for it and thrown away; iptables legacy is looked at and never asked (its answer would make the table it is about).
import { FAMILIES } from "../../core/address.ts";
import { messageOf } from "../../core/error-message.ts";
import { encodeIptablesNft } from "../../core/netlink/iptables-nft.ts";
import { encodeNativeNft } from "../../core/netlink/native-nft.ts";
import { decodeGeneration, encodeGetGeneration, parseBatchOutcome } from "../../core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../../core/netlink/rtnetlink.ts";
import type { BackendFacts } from "../../core/policy/backend-decision.ts";
import {
  FEATURE_NAMES,
  type FeatureName,
  featureProbe,
  type MissingFeature,
  type NetlinkDialect,
} from "../../core/policy/backend-features.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { LEGACY_PROGRAMS } from "./legacy-store.ts";
import { exchange } from "./netlink-conversation.ts";

export interface BackendFactsDeps {
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
  /** A namespace nobody uses, gone when disposed of. */
  createThrowawayNetns(): { readonly fd: number } & Disposable;
  /** Whether iptables legacy is in the running kernel, without loading it. */
  hasLegacyTables(): boolean;
  findProgram(name: string): string | undefined;
}

/** Never throws: what cannot be found out is not there, and the facts say why. Synchronous, about 10 ms. */
export function gatherBackendFacts(deps: BackendFactsDeps): BackendFacts {
  const legacy = {
    kernel: deps.hasLegacyTables(),
    missingPrograms: LEGACY_PROGRAMS.filter((name) => deps.findProgram(name) === undefined),
  };
  try {
    using netns = deps.createThrowawayNetns();
    using socket = deps.openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
    for (const datagram of exchange(socket, encodeGetGeneration())) decodeGeneration(datagram);
    const missing = {
      "iptables-nft": probeDialect(socket, "iptables-nft"),
      nftables: probeDialect(socket, "nftables"),
    };
    return { nfTables: { answers: true }, missing, legacy };
  } catch (error) {
    const why = messageOf(error);
    return { nfTables: { answers: false, why }, missing: { "iptables-nft": [], nftables: [] }, legacy };
  }
}

/** All features in one batch; only where the kernel refuses that, each alone. */
function probeDialect(socket: NetlinkSocket, dialect: NetlinkDialect): MissingFeature[] {
  return FAMILIES.flatMap((family) => {
    if (refusal(socket, dialect, FEATURE_NAMES, family) === undefined) return [];
    return FEATURE_NAMES.flatMap((feature) => {
      const errno = refusal(socket, dialect, [feature], family);
      return errno === undefined ? [] : [{ feature, family, errno }];
    });
  });
}

/** The errno with which the kernel refuses rules of these features; undefined: it takes them. */
function refusal(
  socket: NetlinkSocket,
  dialect: NetlinkDialect,
  features: readonly FeatureName[],
  family: 4 | 6,
): number | undefined {
  const ruleset = featureProbe(dialect, features, family);
  const batch = dialect === "iptables-nft" ? encodeIptablesNft([ruleset]) : encodeNativeNft(ruleset);
  const outcome = parseBatchOutcome(exchange(socket, batch));
  if (outcome === undefined) throw new Error(`the kernel did not answer a batch in the dialect of ${dialect}`);
  return outcome.kind === "refused" ? (outcome.refusals[0]?.errno ?? 0) : undefined;
}
