// Interfaces that are left alone or turned round, and packets that conntrack calls invalid: contract 5.4 rows 1 to 4.

import type { PlannedRule } from "./planned-rule.ts";
import { ctstate, DROP, iifname, jump, oifname, RETURN, rule, TCP } from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { CHAIN } from "./sidecar-numbers.ts";

/** Rows 1 to 3. */
export function planInterfaces(capture: SidecarCapture): PlannedRule[] {
  const leaveAlone = (table: string): PlannedRule[] =>
    capture.excludeInterfaces.flatMap((name) => [
      {
        table,
        chain: "PREROUTING",
        rule: rule(`What comes in by ${name} is not captured`, [iifname(name)], RETURN),
      },
      {
        table,
        chain: "OUTPUT",
        rule: rule(`What goes out by ${name} is not captured`, [oifname(name)], RETURN),
      },
    ]);
  return [
    ...leaveAlone("nat"),
    ...(capture.mode === "TPROXY" ? leaveAlone("mangle") : []),
    ...capture.rerouteVirtualInterfaces.map(
      (name): PlannedRule => ({
        table: "nat",
        chain: "PREROUTING",
        at: 0,
        rule: rule(`A guest behind ${name} sends outbound traffic, it is never inbound`, [iifname(name)], RETURN),
      }),
    ),
  ];
}

/** Row 4. In native nftables upstream looks at TCP only. */
export function planInvalidDrop(capture: SidecarCapture, dialect: "iptables" | "nftables"): PlannedRule[] {
  if (!capture.dropInvalid) return [];
  return [
    {
      table: "mangle",
      chain: "PREROUTING",
      rule: rule(
        "Packets outside any known connection would be reset by the pod",
        [...(dialect === "nftables" ? [TCP] : []), ctstate("INVALID")],
        jump(CHAIN.drop),
      ),
    },
    { table: "mangle", chain: CHAIN.drop, rule: rule("Drop instead of reset", [], DROP) },
  ];
}
