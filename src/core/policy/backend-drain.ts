// How a running pod is let go without cutting its connections: what has to go at once, and who still talks to its proxy.
//
// Rules decide once per connection; translating its further packets is conntrack's work, and goes on as long as the namespace
// has a nat chain (nf_nat_unregister_fn, net/netfilter/nf_nat_core.c) and something that needs conntrack (nf_ct_netns_put).
// So only the jumps into our chains go: no new connection is redirected, the chains themselves stay, unreached, until the
// proxy has finished, and keep both alive. They also tell whoever looks later that something of ours is left there.
//
// The way back stays whole. A connection that the proxy opened under its client's address gets its answers by a mark, and
// those rules touch nothing that the proxy did not mark itself.
import { AMBIENT_PORTS } from "../rules/ambient-numbers.ts";
import { isOurChain, isOurTable } from "../rules/compare.ts";
import type { Change } from "../rules/diff.ts";
import type { Chain, Rule, Ruleset, Table, Verdict } from "../rules/model.ts";
import { SIDECAR_PORTS } from "../rules/sidecar-capture.ts";

/** Where a proxy accepts what was sent to it, of a sidecar or ztunnel: outbound, inbound, HBONE, DNS (contract 5.1, 7.6). */
export const PROXY_PORTS: readonly number[] = [
  ...new Set([...Object.values(SIDECAR_PORTS), ...Object.values(AMBIENT_PORTS)]),
];

/** The steps after which no new connection is redirected in a namespace that holds `held`; none: that is so. */
export function drainSteps<H extends Rule>(held: readonly Ruleset<H>[]): (Change<H> & { kind: "delete-rule" })[] {
  return held.flatMap(({ family, tables }) =>
    tables.flatMap((table) =>
      table.chains
        .filter((chain) => chain.kind === "base")
        .flatMap((chain) =>
          chain.rules
            .filter((rule) => redirects(table, chain, rule))
            .map((rule) => ({ family, table: table.name, kind: "delete-rule", chain: chain.name, rule }) as const),
        ),
    ),
  );
}

/** Whether this rule of a base chain is ours and may redirect. */
function redirects(table: Table, chain: Chain, { verdict }: Rule): boolean {
  if (verdict.kind !== "jump") return isOurTable(table.name) && chain.kind === "base" && chain.type === "nat";
  if (!isOurTable(table.name) && !isOurChain(verdict.chain)) return false;
  const target = table.chains.find(({ kind, name }) => kind === "own" && name === verdict.chain);
  return target === undefined || !isWayBack(target);
}

/** Nothing in it but marks of connections. */
function isWayBack({ rules }: Chain): boolean {
  return rules.length > 0 && rules.every(({ matches, verdict }) => isMark(verdict) && matches.every(isUnderstood));
}

function isMark({ kind }: Verdict): boolean {
  return kind === "connmark-set-xmark" || kind === "connmark-restore" || kind === "connmark-save";
}

function isUnderstood({ kind }: Rule["matches"][number]): boolean {
  return kind !== "opaque";
}
