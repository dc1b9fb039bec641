/**
 * Whether a node is one that a pod template requires by affinity (core/v1 NodeAffinity). The template's `nodeSelector` is
 * not looked at, nor is it by upstream at its shutdown (contract 3.8): scaling a DaemonSet to none by it is a pause.
 */
import { meetsOperator } from "./label-selector.ts";
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
      labels.every(({ key, operator, values }) => meetsOperator(operator, values, node.labels[key])) &&
      fields.every(({ key, operator, values }) =>
        meetsOperator(operator, values, key === "metadata.name" ? node.name : undefined),
      ),
  );
}

function parseRequirement(entry: ObjectFields): NodeRequirement {
  return {
    key: requiredString(entry, "key"),
    operator: optionalString(entry, "operator") ?? "",
    values: stringList(entry, "values"),
  };
}
