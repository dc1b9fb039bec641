// What iptables-legacy-restore reads to carry out changes: `--noflush`, one text per family, nothing in it but our steps.
// Each table in it is replaced by the kernel at once; between tables there is a moment, so nat comes last: whatever it
// sends to the proxy, the others are ready for.

import type { Change } from "./diff.ts";
import { IPTABLES_TABLES } from "./iptables-tables.ts";
import type { Rule } from "./model.ts";
import { renderIptablesRule } from "./render-iptables.ts";

/** A rule as iptables-legacy-save showed it; `line` is what stands behind "-A CHAIN". */
export type LegacyRule = Rule & { readonly line: string };

/** The input for one family; empty when the family has no changes. A rule that is deleted is named by its own text. */
export function renderLegacyRestore(changes: readonly Change<LegacyRule>[], family: 4 | 6): string {
  const ours = changes.filter((change) => change.family === family);
  return [...IPTABLES_TABLES.keys()]
    .map((table) => ({ table, steps: ours.filter((change) => change.table === table) }))
    .filter(({ steps }) => steps.length > 0)
    .map(({ table, steps }) => [`*${table}`, ...renderSteps(steps, family), "COMMIT", ""])
    .map((lines) => lines.join("\n"))
    .join("");
}

/** A rule with a line end in its text cannot be named in a line: its chain, in which all is ours, is emptied as a whole, and the next
 * look finds what else was in it missing. */
function renderSteps(steps: readonly Change<LegacyRule>[], family: 4 | 6): string[] {
  const emptied = new Set(
    steps.flatMap((step) => (step.kind === "delete-rule" && step.rule.line.includes("\n") ? [step.chain] : [])),
  );
  const others = steps.filter((step) => !(step.kind === "delete-rule" && emptied.has(step.chain)));
  return [...[...emptied].map((chain) => `-F ${chain}`), ...others.flatMap((step) => renderStep(step, family))];
}

function renderStep(change: Change<LegacyRule>, family: 4 | 6): string[] {
  switch (change.kind) {
    case "add-table":
    case "delete-table":
    case "wake-table":
      return [];
    case "add-chain":
      return change.chain.kind === "own" ? [`-N ${change.chain.name}`] : [];
    case "append-rule":
      return [renderIptablesRule(change.chain, change.rule, family)];
    case "delete-rule":
      return [`-D ${change.chain}${change.rule.line === "" ? "" : ` ${change.rule.line}`}`];
    case "delete-chain":
      return [`-X ${change.chain.name}`];
  }
}
