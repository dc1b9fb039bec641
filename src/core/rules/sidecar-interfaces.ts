// Interfaces that are left alone or turned round, and packets that conntrack calls invalid: contract 5.4 rows 1 to 4.

import type { PlannedRule } from "./planned-rule.ts";
import { ctstate, DROP, iifname, jump, oifname, planRule, RETURN, TCP } from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { CHAIN } from "./sidecar-numbers.ts";

/** Rows 1 to 3. */
export function planInterfaces(capture: SidecarCapture): PlannedRule[] {
  const leaveAlone = (table: string): PlannedRule[] =>
    capture.excludeInterfaces.flatMap((name) => [
      planRule(table, "PREROUTING", `What comes in by ${name} is not captured`, [iifname(name)], RETURN),
      planRule(table, "OUTPUT", `What goes out by ${name} is not captured`, [oifname(name)], RETURN),
    ]);
  return [
    ...leaveAlone("nat"),
    ...(capture.mode === "TPROXY" ? leaveAlone("mangle") : []),
    ...capture.rerouteVirtualInterfaces.map((name) => {
      const intent = `A guest behind ${name} sends outbound traffic, it is never inbound`;
      return planRule("nat", "PREROUTING", intent, [iifname(name)], RETURN, { at: 0 });
    }),
  ];
}

/** Row 4. In native nftables upstream looks at TCP only. */
export function planInvalidDrop(capture: SidecarCapture, dialect: "iptables" | "nftables"): PlannedRule[] {
  if (!capture.dropInvalid) return [];
  return [
    planRule(
      "mangle",
      "PREROUTING",
      "Packets outside any known connection would be reset by the pod",
      [...(dialect === "nftables" ? [TCP] : []), ctstate("INVALID")],
      jump(CHAIN.drop),
    ),
    planRule("mangle", CHAIN.drop, "Drop instead of reset", [], DROP),
  ];
}
