// The tables and base chains of the native nftables dialect, and what the chains of the iptables dialect are called there
// (contract 5.5, 7.6, 7.8; istio tools/istio-nftables/pkg/constants/constants.go, cni/pkg/nftables/nftables.go@1.30.3).

import type { BaseChainDefinition } from "./iptables-tables.ts";

/** What the names of tables begin with: those of a sidecar pod, those of an ambient pod. */
export type InetPrefix = "istio-proxy" | "istio-ambient";

/** Table name → its base chains. The order is that in which upstream writes the tables. */
export const INET_TABLES: ReadonlyMap<string, readonly BaseChainDefinition[]> = new Map(
  (["istio-proxy", "istio-ambient"] as const).flatMap((prefix): [string, BaseChainDefinition[]][] => [
    // A pod has the first two, the host of ambient pods the third.
    [
      inetTableName("nat", prefix),
      [define("prerouting", "nat", -100), define("output", "nat", -100), define("postrouting", "nat", 100)],
    ],
    [inetTableName("mangle", prefix), [define("prerouting", "filter", -150), define("output", "route", -150)]],
    [inetTableName("raw", prefix), [define("prerouting", "filter", -300), define("output", "filter", -300)]],
  ]),
);

/** "nat" → "istio-proxy-nat" */
export function inetTableName(table: string, prefix: InetPrefix): string {
  return `${prefix}-${table}`;
}

/** "PREROUTING" → "prerouting", "ISTIO_IN_REDIRECT" → "istio-in-redirect"; the one name upstream shortens: "ISTIO_PRERT". */
export function inetChainName(chain: string): string {
  return chain === "ISTIO_PRERT" ? "istio-prerouting" : chain.toLowerCase().replaceAll("_", "-");
}

function define(
  hook: "prerouting" | "output" | "postrouting",
  type: BaseChainDefinition["type"],
  priority: number,
): BaseChainDefinition {
  return { kind: "base", name: hook, hook, type, priority, policy: "accept" };
}
