// A backend as the agent makes it, in any dialect, and what the tools print of a namespace.

import { gatherBackendFacts } from "../../src/agent/netfilter/backend-facts.ts";
import { createLegacyStore } from "../../src/agent/netfilter/legacy-store.ts";
import { exchange } from "../../src/agent/netfilter/netlink-conversation.ts";
import { createIptablesNftStore, createNftablesStore } from "../../src/agent/netfilter/nf-tables-store.ts";
import { createPodBackend, type PodBackend } from "../../src/agent/netfilter/pod-backend.ts";
import { decodeGeneration, encodeGetGeneration } from "../../src/core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { type BackendDecision, type BackendSettings, decideBackend } from "../../src/core/policy/backend-decision.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { AmbientCapture } from "../../src/core/rules/ambient-capture.ts";
import { DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";
import type { SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { exec } from "../../src/platform/exec/exec.ts";
import { findProgram } from "../../src/platform/exec/find-program.ts";
import { hasLegacyTables, readLegacyTables } from "../../src/platform/exec/legacy-tables.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { belongsToOtherUsers, netnsIdOf } from "../../src/platform/linux/netns.ts";
import { createThrowawayNetns } from "../../src/platform/linux/throwaway-netns.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { SIDECAR_CASES } from "../../testbed/sidecar/sidecar-cases.ts";

export const DIALECTS: readonly BackendDialect[] = ["iptables-nft", "nftables", "iptables-legacy"];

export const FAMILIES = {
  v4: { v4: true, v6: false },
  v6: { v4: false, v6: true },
  dual: { v4: true, v6: true },
} as const;

const SETTINGS: Record<BackendDialect, BackendSettings> = {
  "iptables-nft": { nativeNftables: false, forceIptables: undefined },
  nftables: { nativeNftables: true, forceIptables: undefined },
  "iptables-legacy": { nativeNftables: false, forceIptables: "legacy" },
};

/** The facts of this machine. */
export const FACTS = gatherBackendFacts({ openNetlink, createThrowawayNetns, hasLegacyTables, findProgram });

/** A backend of one dialect; `executed` collects the programs it runs. */
export function backendOf(
  dialect: BackendDialect,
  options: {
    readonly executed?: string[];
    readonly decision?: Partial<BackendDecision>;
    readonly findProgram?: typeof findProgram;
    readonly openNetlink?: typeof openNetlink;
    readonly belongsToOtherUsers?: typeof belongsToOtherUsers;
  } = {},
): PodBackend {
  const legacyTables = readLegacyTables;
  const open = options.openNetlink ?? openNetlink;
  const stores = {
    "iptables-nft": createIptablesNftStore({ openNetlink: open }),
    nftables: createNftablesStore({ openNetlink: open }),
    "iptables-legacy": createLegacyStore({
      exec: (request) => {
        options.executed?.push(request.argv[0]);
        return exec(request);
      },
      findProgram: options.findProgram ?? findProgram,
      legacyTables,
    }),
  };
  const decision = { ...decideBackend(FACTS, SETTINGS[dialect]), ...options.decision };
  return createPodBackend(
    {
      openNetlink: open,
      stores,
      legacyTables,
      netnsId: netnsIdOf,
      belongsToOtherUsers: options.belongsToOtherUsers ?? belongsToOtherUsers,
    },
    { decision, forbidden: [] },
  );
}

/** A capture of the case table by its name. */
export function sidecarCase(name: string): SidecarCapture {
  const capture = SIDECAR_CASES[name];
  if (capture === undefined) throw new TypeError(`Cannot find case ${name}: the table has no such case`);
  return capture;
}

/** An ambient pod as most are, of both families. */
export function ambientCase(capture: Partial<AmbientCapture> = {}): AmbientCapture {
  return {
    mode: "ambient",
    families: FAMILIES.dual,
    captureInbound: true,
    captureDns: true,
    virtualInterfaces: [],
    probeSource: DEFAULT_PROBE_SOURCE,
    ...capture,
  };
}

/** How often nf_tables of the namespace was changed. */
export function generationOf(netns: Pick<TestNetns, "fd">): number {
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  for (const datagram of exchange(socket, encodeGetGeneration())) return decodeGeneration(datagram);
  throw new Error("Cannot read the generation: the kernel did not answer");
}

/** Every rule and policy rule in the namespace, in the words of the tools; each line names where it stands. */
export function rulesIn(netns: TestNetns): string[] {
  const legacy = readLegacyTables(netns.fd);
  const saved = [
    "iptables-nft-save",
    "ip6tables-nft-save",
    ...(legacy[4].length > 0 ? ["iptables-legacy-save"] : []),
    ...(legacy[6].length > 0 ? ["ip6tables-legacy-save"] : []),
  ].flatMap((tool) => savedRules(netns, tool));
  const native = netns.mustExec(["nft", "list", "tables"]).split("\n");
  const routing = [
    ["ip", "rule"],
    ["ip", "-6", "rule"],
  ].flatMap((argv) => netns.mustExec(argv).split("\n"));
  return [
    ...saved,
    ...native.filter((line) => line.startsWith("table inet")),
    ...routing.filter((line) => /0x539|0x111/.test(line)),
  ];
}

function savedRules(netns: TestNetns, tool: string): string[] {
  let table = "";
  return netns
    .mustExec([tool])
    .split("\n")
    .flatMap((line) => {
      if (line.startsWith("*")) table = line.slice(1);
      const isOwnChain = line.startsWith(":") && line.includes(" - ");
      return line.startsWith("-A") || isOwnChain ? [`${tool} ${table} ${line}`] : [];
    });
}
