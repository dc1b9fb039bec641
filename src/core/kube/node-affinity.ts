/**
 * Whether a node is one that a pod template requires by affinity (core/v1 NodeAffinity). The template's `nodeSelector` is
 * not looked at, nor is it by upstream at its shutdown (contract 3.8): scaling a DaemonSet to none by it is a pause.
 */
import { meetsOperator } from "../policy/label-selector.ts";
import {
  childObject,
  type ObjectFields,
  objectList,
  optionalString,
  requiredString,
  stringList,
} from "./object-fields.ts";

export type NodeTerm = { readonly labels: readonly NodeRequirement[]; readonly fields: readonly NodeRequirement[] };

export type NodeRequirement = {
  readonly key: string;
  /** In, NotIn, Exists, DoesNotExist, Gt, Lt; another one is met by nothing. */
  readonly operator: string;
  readonly values: readonly string[];
};

export type NodeIdentity = { readonly name: string; readonly labels: Readonly<Record<string, string>> };

/** The terms of `requiredDuringSchedulingIgnoredDuringExecution` of a pod spec; undefined: any node will do.
 * @throws {KubeObjectError} */
export function parseRequiredNodeTerms(podSpec: ObjectFields): readonly NodeTerm[] | undefined {
  const nodeAffinity = childObject(childObject(podSpec, "affinity"), "nodeAffinity");
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  if (nodeAffinity.fields[required] === undefined || nodeAffinity.fields[required] === null) return undefined;
  return objectList(childObject(nodeAffinity, required), "nodeSelectorTerms").map((term) => ({
    labels: objectList(term, "matchExpressions").map(parseRequirement),
    fields: objectList(term, "matchFields").map(parseRequirement),
  }));
}

/** One term is enough, of which all requirements must hold; a term without any matches nothing (core/v1 documentation). */
export function matchesNodeTerms(terms: readonly NodeTerm[], node: NodeIdentity): boolean {
  return terms.some(
    ({ labels, fields }) =>
      labels.length + fields.length > 0 &&
      labels.every((requirement) => meets(requirement, node.labels[requirement.key])) &&
      fields.every((requirement) => meets(requirement, requirement.key === "metadata.name" ? node.name : undefined)),
  );
}

function parseRequirement(entry: ObjectFields): NodeRequirement {
  return {
    key: requiredString(entry, "key"),
    operator: optionalString(entry, "operator") ?? "",
    values: stringList(entry, "values"),
  };
}

function meets({ operator, values }: NodeRequirement, value: string | undefined): boolean {
  switch (operator) {
    case "In":
    case "NotIn":
    case "Exists":
    case "DoesNotExist":
      return meetsOperator(operator, values, value);
    case "Gt":
    case "Lt": {
      const [bound, own] = [integerOf(values[0]), integerOf(value)];
      if (bound === undefined || own === undefined) return false;
      return operator === "Gt" ? own > bound : own < bound;
    }
    default:
      return false;
  }
}

function integerOf(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[-+]?\d{1,20}$/.test(text) ? BigInt(text.replace(/^\+/, "")) : undefined;
}
