// REPAIR_LABEL_SELECTORS and REPAIR_FIELD_SELECTORS as predicates. Upstream has the API server select; we follow all pods of
// the node once, so the selecting is done here, by the grammar of apimachinery (pkg/labels/selector.go, pkg/fields/selector.go).

import {
  isLabelKey,
  isLabelValue,
  type LabelOperator,
  type LabelRequirement,
  meetsRequirement,
  SelectorError,
} from "../kube/label-selector.ts";
import type { Pod } from "../kube/pod.ts";
import { quoteText } from "../short-text.ts";

/** True for a pod that is selected. */
export type PodSelector = (pod: Pod) => boolean;

const EXISTS = /^(!?)\s*([^\s!=<>(),]+)$/;
const COMPARISON = /^([^\s!=<>(),]+)\s*(==|=|!=)\s*([^\s!=<>(),]*)$/;
const ORDER = /^([^\s!=<>(),]+)\s*([<>])\s*(-?[0-9]{1,15})$/;
const MEMBERSHIP = /^([^\s!=<>(),]+)\s+(in|notin)\s*\(([^()]*)\)$/;
const MAX_LENGTH = 8192;

const LABEL_FORMS = '"key", "!key", "key=value", "key!=value", "key in (a,b)", "key notin (a,b)", "key>1", "key<1"';

/** Fields by which the API server selects pods, as far as we keep them (registry/core/pod/strategy.go, ToSelectableFields). */
const FIELDS: Readonly<Record<string, (pod: Pod) => string>> = {
  "metadata.name": ({ name }) => name,
  "metadata.namespace": ({ namespace }) => namespace,
  "spec.nodeName": ({ nodeName }) => nodeName,
  "spec.restartPolicy": ({ restartPolicy }) => restartPolicy ?? "",
  "spec.serviceAccountName": ({ serviceAccountName }) => serviceAccountName,
  "spec.hostNetwork": ({ hostNetwork }) => String(hostNetwork),
  "status.phase": ({ phase }) => phase,
  "status.podIP": ({ podIps }) => podIps[0] ?? "",
};

/** Both selectors together; empty texts select every pod.
 * @throws {SelectorError} naming option, part and what is accepted. */
export function parsePodSelectors(texts: { readonly labels: string; readonly fields: string }): PodSelector {
  const tests = [...parseLabels("REPAIR_LABEL_SELECTORS", texts.labels), ...parseFields(texts.fields)];
  return (pod) => tests.every((test) => test(pod));
}

function parseLabels(option: string, text: string): PodSelector[] {
  return splitAt(option, text, splitOutsideParentheses).map((part): PodSelector => {
    const test = parseRequirement(part);
    if (test !== undefined) return ({ labels }) => test(labels);
    throw new SelectorError(option, text, `${quoteText(part)} is no requirement on a label`, LABEL_FORMS);
  });
}

function parseRequirement(part: string): ((labels: Pod["labels"]) => boolean) | undefined {
  const [isPresence, not, present = ""] = EXISTS.exec(part) ?? [];
  if (isPresence !== undefined) return requirement(present, not === "!" ? "DoesNotExist" : "Exists", []);
  const [isComparison, compared = "", sign, value = ""] = COMPARISON.exec(part) ?? [];
  if (isComparison !== undefined) return requirement(compared, sign === "!=" ? "NotIn" : "In", [value]);
  const [isOrder, ordered = "", direction, bound = ""] = ORDER.exec(part) ?? [];
  // A bound may be negative, which no label value can be.
  if (isOrder !== undefined)
    return isLabelKey(ordered) ? test(ordered, direction === ">" ? "Gt" : "Lt", [bound]) : undefined;
  const [isMembership, member = "", operator, list = ""] = MEMBERSHIP.exec(part) ?? [];
  if (isMembership === undefined) return undefined;
  const values = list.split(",").map((item) => item.trim());
  return requirement(member, operator === "in" ? "In" : "NotIn", values);
}

function requirement(key: string, operator: LabelOperator, values: readonly string[]) {
  return isLabelKey(key) && values.every(isLabelValue) ? test(key, operator, values) : undefined;
}

function test(key: string, operator: LabelRequirement["operator"], values: readonly string[]) {
  return (labels: Pod["labels"]): boolean => meetsRequirement({ key, operator, values }, labels);
}

function parseFields(text: string): PodSelector[] {
  const option = "REPAIR_FIELD_SELECTORS";
  return splitAt(option, text, splitUnescaped).map((part): PodSelector => {
    const [, name = "", operator = "", escaped = ""] = /^([^!=]+)(==|=|!=)((?:\\.|[^\\])*)$/s.exec(part) ?? [];
    const read = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
    if (read === undefined) {
      const fields = Object.keys(FIELDS).join(", ");
      throw new SelectorError(
        option,
        text,
        `${quoteText(part)} is no requirement on a known field`,
        `"field=value" or "field!=value" with ${fields}`,
      );
    }
    const value = escaped.replaceAll(/\\(.)/gs, "$1");
    return (pod) => (read(pod) === value) === (operator !== "!=");
  });
}

function splitAt(option: string, text: string, split: (text: string) => string[]): string[] {
  if (text.length > MAX_LENGTH) {
    throw new SelectorError(option, text, `it has ${text.length} characters`, `at most ${MAX_LENGTH}`);
  }
  return text.trim() === "" ? [] : split(text).map((part) => part.trim());
}

function splitOutsideParentheses(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const character of text) {
    if (character === "(") depth++;
    if (character === ")") depth--;
    if (character === "," && depth === 0) parts.push("");
    else parts.push(`${parts.pop() ?? ""}${character}`);
  }
  return parts;
}

function splitUnescaped(text: string): string[] {
  return (
    text.match(/(?:^|,)(?:\\.|[^,\\]|\\$)*/gs)?.map((part, index) => (index === 0 ? part : part.slice(1))) ?? [text]
  );
}
