// The node's one backend: facts of this kernel, the decision, and the three stores behind it.
import { gatherBackendFacts } from "../agent/netfilter/backend-facts.ts";
import { createLegacyStore } from "../agent/netfilter/legacy-store.ts";
import { createIptablesNftStore, createNftablesStore } from "../agent/netfilter/nf-tables-store.ts";
import { createPodBackend, type PodBackend } from "../agent/netfilter/pod-backend.ts";
import { type BackendDecision, type BackendSettings, decideBackend } from "../core/policy/backend-decision.ts";
import { exec } from "../platform/exec/exec.ts";
import { findProgram } from "../platform/exec/find-program.ts";
import { hasLegacyTables, readLegacyTables } from "../platform/exec/legacy-tables.ts";
import { openNetlink } from "../platform/linux/netlink-socket.ts";
import { belongsToOtherUsers, type NetnsId, netnsIdOf } from "../platform/linux/netns.ts";
import { createThrowawayNetns } from "../platform/linux/throwaway-netns.ts";

/** Decides once; nothing outside a throwaway namespace is touched by deciding. */
export function createBackend(
  settings: BackendSettings,
  forbidden: readonly NetnsId[],
): { readonly backend: PodBackend; readonly decision: BackendDecision } {
  const facts = gatherBackendFacts({ openNetlink, createThrowawayNetns, hasLegacyTables, findProgram });
  const decision = decideBackend(facts, settings);
  const backend = createPodBackend(
    {
      openNetlink,
      stores: {
        "iptables-nft": createIptablesNftStore({ openNetlink }),
        nftables: createNftablesStore({ openNetlink }),
        "iptables-legacy": createLegacyStore({ exec, findProgram, legacyTables: readLegacyTables }),
      },
      netnsId: netnsIdOf,
      belongsToOtherUsers,
      legacyTables: readLegacyTables,
    },
    { decision, forbidden },
  );
  return { backend, decision };
}

/** The same, made at the first call and announced then: asking the kernel what it can do takes some 20 ms, and being
 * ready need not wait for it. */
export function createBackendOnce(
  settings: BackendSettings,
  forbidden: readonly NetnsId[],
  onDecision: (decision: BackendDecision) => void,
): () => ReturnType<typeof createBackend> {
  let made: ReturnType<typeof createBackend> | undefined;
  return () => {
    if (made === undefined) {
      made = createBackend(settings, forbidden);
      onDecision(made.decision);
    }
    return made;
  };
}
