// What has to change, said for people: one sentence for each thing that is not as it should be, made of the very steps that
// would put it right. No step, no sentence, and the other way round.
import { isOurChain, isOurTable, ruleKey } from "./compare.ts";
import type { Change } from "./diff.ts";

/** One sentence per table or chain that the steps touch, IPv4 first; empty exactly when there are no steps. */
export function describeDrift(steps: readonly Change[]): string[] {
  const byFamily = steps.toSorted((left, right) => String(left.family).localeCompare(String(right.family)));
  const tables = groupBy(byFamily, ({ family, table }) => `${family} ${table}`);
  return [...tables.values()].flatMap((inTable) => {
    const [first] = inTable;
    if (first === undefined) return [];
    const where = isOurTable(first.table) ? `table ${first.table}` : `table ${first.table} of IPv${first.family}`;
    const kinds = new Set(inTable.map(({ kind }) => kind));
    if (kinds.has("delete-table")) return [kinds.has("add-table") ? `${where} was altered` : `${where} is left over`];
    if (kinds.has("add-table")) return [`${where} is missing`];
    const chains = groupBy(
      inTable.filter(({ kind }) => kind !== "wake-table"),
      chainOf,
    );
    return [
      ...(kinds.has("wake-table") ? [`${where} was switched off`] : []),
      ...[...chains].map(([chain, inChain]) => describeChain(first, chain, inChain)),
    ];
  });
}

function describeChain({ family, table }: Change, chain: string, steps: readonly Change[]): string {
  const where = isOurTable(table) ? `${table}/${chain}` : `${table}/${chain} of IPv${family}`;
  const added = steps.find((step) => step.kind === "add-chain");
  const isDeleted = steps.some(({ kind }) => kind === "delete-chain");
  if (added !== undefined)
    return isDeleted ? `chain ${where} is not attached where it belongs` : `chain ${where} is missing`;
  if (isDeleted) return `chain ${where} is left over`;
  if (isOurTable(table) || isOurChain(chain)) return `chain ${where} was altered`;
  const deleted = steps.flatMap((step) => (step.kind === "delete-rule" ? [ruleKey(step.rule)] : []));
  const appended = steps.flatMap((step) => (step.kind === "append-rule" ? [ruleKey(step.rule)] : []));
  const stood = new Set(deleted);
  const missing = appended.filter((key) => !stood.has(key)).length;
  const surplus = deleted.length - (appended.length - missing);
  const parts = [
    ...(missing > 0 ? [`lacks ${count(missing)} of ours`] : []),
    ...(surplus > 0 ? [`holds ${count(surplus)} of ours too many`] : []),
  ];
  return `chain ${where} ${parts.length === 0 ? "holds the rules of ours in another order" : parts.join(" and ")}`;
}

function count(rules: number): string {
  return rules === 1 ? "1 rule" : `${rules} rules`;
}

function chainOf(step: Change): string {
  if (!("chain" in step)) return "";
  return typeof step.chain === "string" ? step.chain : step.chain.name;
}

/** Whoever may write rules in a pod may leave a hundred thousand of them to be told of. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
