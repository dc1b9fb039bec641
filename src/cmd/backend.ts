// The node's one backend: facts of this kernel, the decision, and the three stores behind it.
import { gatherBackendFacts } from "../agent/netfilter/backend-facts.ts";
import { createLegacyStore } from "../agent/netfilter/legacy-store.ts";
import { createNetnsPictures, type NetnsPictures } from "../agent/netfilter/netns-picture.ts";
import { createIptablesNftStore, createNftablesStore } from "../agent/netfilter/nf-tables-store.ts";
import { createPodBackend, type PodBackend } from "../agent/netfilter/pod-backend.ts";
import type { NetnsId } from "../core/netns/netns-id.ts";
import { type BackendDecision, type BackendSettings, decideBackend } from "../core/policy/backend-decision.ts";
import { DEFAULT_PROBE_SOURCE } from "../core/rules/ambient-numbers.ts";
import type { PodCapture } from "../core/rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../core/rules/sidecar-capture.ts";
import { exec } from "../platform/exec/exec.ts";
import { findProgram } from "../platform/exec/find-program.ts";
import { hasLegacyTables, readLegacyTables } from "../platform/exec/legacy-tables.ts";
import { openNetlink } from "../platform/linux/netlink-socket.ts";
import { belongsToOtherUsers, netnsIdOf } from "../platform/linux/netns.ts";
import { createThrowawayNetns } from "../platform/linux/throwaway-netns.ts";
import { anyAmbientCapture } from "./ambient-pods.ts";

/** How pods without annotations are captured on this node. */
export function usualCaptures({
  ambient,
}: {
  readonly ambient: { readonly enabled: boolean; readonly dnsCapture: boolean };
}): readonly PodCapture[] {
  if (!ambient.enabled) return [DEFAULT_SIDECAR_CAPTURE];
  const { families } = DEFAULT_SIDECAR_CAPTURE;
  const ofAmbient = { ...anyAmbientCapture(DEFAULT_PROBE_SOURCE), captureDns: ambient.dnsCapture, families };
  return [DEFAULT_SIDECAR_CAPTURE, ofAmbient];
}

/** Every way in which pods may be captured: with DNS, which more of the kernel is needed for. */
export function trialCaptures({ ambient }: { readonly ambient: { readonly enabled: boolean } }): readonly PodCapture[] {
  const ofSidecars = { ...DEFAULT_SIDECAR_CAPTURE, dnsCapture: true };
  return ambient.enabled ? [anyAmbientCapture(DEFAULT_PROBE_SOURCE), ofSidecars] : [ofSidecars];
}

/** Decides once; nothing outside a throwaway namespace is touched by deciding. */
export function createBackend(
  settings: BackendSettings,
  forbidden: readonly NetnsId[],
  usual?: readonly PodCapture[],
): { readonly backend: PodBackend; readonly pictures: NetnsPictures; readonly decision: BackendDecision } {
  const facts = gatherBackendFacts({ openNetlink, createThrowawayNetns, hasLegacyTables, findProgram });
  const decision = decideBackend(facts, settings, usual);
  const legacy = createLegacyStore({ exec, findProgram, legacyTables: readLegacyTables });
  const backend = createPodBackend(
    {
      openNetlink,
      stores: {
        "iptables-nft": createIptablesNftStore({ openNetlink }),
        nftables: createNftablesStore({ openNetlink }),
        "iptables-legacy": legacy,
      },
      netnsId: netnsIdOf,
      belongsToOtherUsers,
      legacyTables: readLegacyTables,
    },
    { decision, forbidden },
  );
  const hasNfTables = (): boolean => decision.nfTables;
  const pictures = createNetnsPictures({ openNetlink, hasNfTables, legacy, legacyTables: readLegacyTables });
  return { backend, pictures, decision };
}

/** The same, made at the first call and announced then: asking the kernel what it can do takes some 20 ms, and being
 * ready need not wait for it. */
export function createBackendOnce(
  settings: BackendSettings,
  forbidden: readonly NetnsId[],
  usual: readonly PodCapture[],
  onDecision: (decision: BackendDecision) => void,
): () => ReturnType<typeof createBackend> {
  let made: ReturnType<typeof createBackend> | undefined;
  return () => {
    if (made === undefined) {
      made = createBackend(settings, forbidden, usual);
      onDecision(made.decision);
    }
    return made;
  };
}
