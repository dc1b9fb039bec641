// The three ways to write a pod's rules, as a benchmark chooses them: what the agent is told, and what of upstream stands
// beside it.
import { BASELINE, type ShareOfUpstream } from "./budget.ts";

export interface BenchBackend {
  readonly name: "iptables-nft" | "nftables" | "iptables-legacy";
  /** The agent's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether upstream's plugin is told to write native nftables. Of the two iptables it chooses by itself, at every ADD. */
  readonly nativeNftables: boolean;
  /** The limit for a sidecar pod's ADD; undefined where there is none. */
  readonly share: ShareOfUpstream | undefined;
  /** Upstream's sidecar ADD in the baseline; undefined where it was not measured. */
  readonly baseline: { readonly wallMs: number; readonly cpuMs: number; readonly executions: number } | undefined;
  /** Programs that may be executed for one ADD; undefined where there is no limit. */
  readonly mostExecutions: number | undefined;
}

export const BACKENDS: readonly BenchBackend[] = [
  {
    name: "iptables-nft",
    env: { FORCE_IPTABLES_BINARY: "nft" },
    nativeNftables: false,
    share: { of: 25, baselineMs: BASELINE.sidecarAdd.iptables.wallMs },
    baseline: BASELINE.sidecarAdd.iptables,
    mostExecutions: 0,
  },
  {
    name: "nftables",
    env: { NATIVE_NFTABLES: "true" },
    nativeNftables: true,
    share: { of: 20, baselineMs: BASELINE.sidecarAdd.nftables.wallMs },
    baseline: BASELINE.sidecarAdd.nftables,
    mostExecutions: 0,
  },
  {
    name: "iptables-legacy",
    env: { FORCE_IPTABLES_BINARY: "legacy" },
    nativeNftables: false,
    share: undefined,
    baseline: undefined,
    mostExecutions: undefined,
  },
];
