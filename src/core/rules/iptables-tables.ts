// The fixed tables and base chains of iptables, as iptables-nft lays them over nf_tables
// (iptables 1.8.9: table and chain definitions of iptables/nft.c; priorities of uapi/linux/netfilter_ipv4.h).

import type { BaseChain, Hook } from "./model.ts";

/** How a base chain is attached. */
export type BaseChainDefinition = Omit<BaseChain, "rules">;

const CHAIN_NAME = {
  prerouting: "PREROUTING",
  input: "INPUT",
  forward: "FORWARD",
  output: "OUTPUT",
  postrouting: "POSTROUTING",
} as const satisfies Record<Hook, string>;

const filterChain = (hook: Hook, priority: number): BaseChainDefinition => define(hook, "filter", priority);

/** Table name → its base chains in the order iptables lists them. The order of tables is that of iptables-save. */
export const IPTABLES_TABLES: ReadonlyMap<string, readonly BaseChainDefinition[]> = new Map([
  [
    "mangle",
    [
      filterChain("prerouting", -150),
      filterChain("input", -150),
      filterChain("forward", -150),
      define("output", "route", -150),
      filterChain("postrouting", -150),
    ],
  ],
  ["raw", [filterChain("prerouting", -300), filterChain("output", -300)]],
  ["filter", [filterChain("input", 0), filterChain("forward", 0), filterChain("output", 0)]],
  [
    "nat",
    [
      define("prerouting", "nat", -100),
      define("input", "nat", 100),
      define("output", "nat", -100),
      define("postrouting", "nat", 100),
    ],
  ],
]);

/** The definition of a base chain, undefined when the table has no such chain (then the name is an own chain's). */
export function findBaseChain(table: string, chain: string): BaseChainDefinition | undefined {
  return IPTABLES_TABLES.get(table)?.find(({ name }) => name === chain);
}

function define(hook: Hook, type: BaseChain["type"], priority: number): BaseChainDefinition {
  return { kind: "base", name: CHAIN_NAME[hook], hook, type, priority, policy: "accept" };
}
