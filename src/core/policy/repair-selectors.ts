// REPAIR_LABEL_SELECTORS and REPAIR_FIELD_SELECTORS as predicates. Upstream has the API server select; we follow all pods of
// the node once, so the selecting is done here, by the grammar of apimachinery (pkg/labels/selector.go, pkg/fields/selector.go).
import type { Pod } from "../kube/pod.ts";

/** True for a pod that is selected. */
export type PodSelector = (pod: Pod) => boolean;

/** A selector nobody can follow. */
export class SelectorError extends Error {
  override readonly name = "SelectorError";
  readonly code = "malformed-selector";
  readonly option: string;
  readonly value: string;
  readonly accepted: string;

  constructor(option: string, value: string, state: string, accepted: string) {
    super(`Cannot use ${option}: ${state}; accepted: ${accepted}`);
    this.option = option;
    this.value = value;
    this.accepted = accepted;
  }
}

const KEY = "(?:[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?";
const VALUE = "(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?";
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`);
const COMPARISON = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*(${VALUE})$`);
const ORDER = new RegExp(`^(${KEY})\\s*([<>])\\s*(-?[0-9]{1,15})$`);
const MEMBERSHIP = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const WHOLE_VALUE = new RegExp(`^${VALUE}$`);
const INTEGER = /^-?[0-9]{1,15}$/;
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
    throw new SelectorError(option, text, `${quote(part)} is no requirement on a label`, LABEL_FORMS);
  });
}

function parseRequirement(part: string): ((labels: Pod["labels"]) => boolean) | undefined {
  const exists = EXISTS.exec(part);
  if (exists !== null) {
    const [, not = "", key = ""] = exists;
    return (labels) => (labels[key] !== undefined) === (not === "");
  }
  const comparison = COMPARISON.exec(part);
  if (comparison !== null) {
    const [, key = "", operator = "", value = ""] = comparison;
    return (labels) => (labels[key] === value) === (operator !== "!=");
  }
  const order = ORDER.exec(part);
  if (order !== null) {
    const [, key = "", operator = "", bound = ""] = order;
    return (labels) => {
      const value = labels[key];
      if (value === undefined || !INTEGER.test(value)) return false;
      return operator === ">" ? Number(value) > Number(bound) : Number(value) < Number(bound);
    };
  }
  const membership = MEMBERSHIP.exec(part);
  if (membership === null) return undefined;
  const [, key = "", operator = "", list = ""] = membership;
  const values = list.split(",").map((value) => value.trim());
  if (!values.every((value) => WHOLE_VALUE.test(value))) return undefined;
  return (labels) => {
    const value = labels[key];
    return (value !== undefined && values.includes(value)) === (operator === "in");
  };
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
        `${quote(part)} is no requirement on a known field`,
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

function quote(part: string): string {
  return JSON.stringify(part.slice(0, 80));
}
