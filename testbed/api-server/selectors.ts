// Label and field selectors: text to predicate. Responsible for the grammar and for refusing what Kubernetes
// refuses (k8s.io/apimachinery/pkg/labels/selector.go, pkg/fields/selector.go); not for what a watch makes of it.
import { badRequest } from "./api-error.ts";
import type { KubeObject } from "./kube-object.ts";
import type { Resource } from "./resources.ts";

/** True when the object is selected. */
export type Predicate = (object: KubeObject) => boolean;

type LabelTest = (labels: Readonly<Record<string, string>>) => boolean;

const KEY = `(?:[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?`;
const VALUE = `(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?`;
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`);
const COMPARE = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*(${VALUE})$`);
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const ORDER = new RegExp(`^(${KEY})\\s*([<>])\\s*(-?\\d+)$`);
const WHOLE_VALUE = new RegExp(`^${VALUE}$`);

/** Parses `labelSelector`; "" selects all. Throws ApiError 400. */
export function parseLabelSelector(text: string): Predicate {
  const tests = splitOutsideParentheses(text).map((part) => parseRequirement(part, text));
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
}

/** Parses `fieldSelector` for this resource; "" selects all. Throws ApiError 400, also for a field the resource has not. */
export function parseFieldSelector(text: string, resource: Resource): Predicate {
  const tests = splitUnescaped(text).map((part) => {
    const match = /^([^!=]+)(==|=|!=)((?:\\.|[^\\])*)$/s.exec(part);
    const [, label = "", operator = "", escaped = ""] = match ?? [];
    if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
    const read = Object.hasOwn(resource.fields, label) ? resource.fields[label] : undefined;
    if (read === undefined) throw badRequest(unknownField(label, resource));
    const value = escaped.replaceAll(/\\(.)/gs, "$1");
    return (object: KubeObject) => (read(object) === value) === (operator !== "!=");
  });
  return (object) => tests.every((test) => test(object));
}

function unknownField(label: string, resource: Resource): string {
  if (!resource.usesDefaultFields) return `field label not supported: ${label}`;
  return `${JSON.stringify(label)} is not a known field selector: only "metadata.name", "metadata.namespace"`;
}

function parseRequirement(part: string, whole: string): LabelTest {
  const exists = EXISTS.exec(part);
  if (exists !== null) {
    const [, not = "", key = ""] = exists;
    return (labels) => key in labels === (not === "");
  }
  const compare = COMPARE.exec(part);
  if (compare !== null) {
    const [, key = "", operator = "", value = ""] = compare;
    return operator === "!=" ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const set = SET.exec(part);
  if (set !== null) {
    const [, key = "", operator = "", list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    if (values.every((value) => WHOLE_VALUE.test(value))) {
      const isIn: LabelTest = (labels) => Object.hasOwn(labels, key) && values.includes(labels[key] ?? "");
      return operator === "in" ? isIn : (labels) => !isIn(labels);
    }
  }
  const order = ORDER.exec(part);
  if (order !== null) {
    const [, key = "", operator = "", bound = ""] = order;
    return (labels) => {
      const value = labels[key];
      if (value === undefined || !/^-?\d+$/.test(value)) return false;
      return operator === ">" ? Number(value) > Number(bound) : Number(value) < Number(bound);
    };
  }
  throw badRequest(`unable to parse requirement: '${part}' in label selector '${whole}'`);
}

function splitOutsideParentheses(text: string): readonly string[] {
  if (text.trim() === "") return [];
  const parts = [""];
  let depth = 0;
  for (const char of text) {
    if (char === "(") depth += 1;
    if (char === ")") depth -= 1;
    if (char === "," && depth === 0) parts.push("");
    else parts.push((parts.pop() ?? "") + char);
  }
  return parts.map((part) => part.trim());
}

function splitUnescaped(text: string): readonly string[] {
  return text === "" ? [] : (text.match(/(?:\\.|[^,\\])+/gs) ?? []);
}
