// The tables and base chains of the native nftables dialect, and what the chains of the iptables dialect are called there
// (contract 5.5; istio tools/istio-nftables/pkg/constants/constants.go@1.30.3).

import type { BaseChainDefinition } from "./iptables-tables.ts";

/** Table name → its base chains. The order is that in which upstream writes the tables. */
export const INET_TABLES: ReadonlyMap<string, readonly BaseChainDefinition[]> = new Map([
  ["istio-proxy-nat", [define("prerouting", "nat", -100), define("output", "nat", -100)]],
  ["istio-proxy-mangle", [define("prerouting", "filter", -150), define("output", "route", -150)]],
  ["istio-proxy-raw", [define("prerouting", "filter", -300), define("output", "filter", -300)]],
]);

/** "nat" → "istio-proxy-nat" */
export function inetTableName(table: string): string {
  return `istio-proxy-${table}`;
}

/** "PREROUTING" → "prerouting", "ISTIO_IN_REDIRECT" → "istio-in-redirect" */
export function inetChainName(chain: string): string {
  return chain.toLowerCase().replaceAll("_", "-");
}

function define(
  hook: "prerouting" | "output",
  type: BaseChainDefinition["type"],
  priority: number,
): BaseChainDefinition {
  return { kind: "base", name: hook, hook, type, priority, policy: "accept" };
}
