// The steps from one ruleset to another as messages, as far as both dialects write them alike: tables, chains, deletions.
// How a rule is written is each dialect's own.

import type { Change } from "../rules/diff.ts";
import type { Rule } from "../rules/model.ts";
import type { BatchMessage } from "./nfnetlink.ts";
import {
  addBaseChain,
  addTable,
  createOwnChain,
  deleteChain,
  deleteRule,
  deleteTable,
  wakeTable,
} from "./nft-message.ts";

/** A step that writes no rule. */
export type PlainChange = Exclude<Change<Rule & { readonly handle: bigint }>, { readonly kind: "append-rule" }>;

/** The message that makes the step. */
export function encodePlainChange(change: PlainChange): BatchMessage {
  const { family, table } = change;
  switch (change.kind) {
    case "add-table":
      return addTable(family, table);
    case "delete-table":
      return deleteTable(family, table);
    case "wake-table":
      return wakeTable(family, table);
    case "add-chain": {
      const ref = { family, table, chain: change.chain.name };
      return change.chain.kind === "base" ? addBaseChain(ref, change.chain) : createOwnChain(ref);
    }
    case "delete-rule":
      return deleteRule({ family, table, chain: change.chain }, change.rule.handle);
    case "delete-chain":
      return deleteChain({ family, table, chain: change.chain.name });
  }
}
