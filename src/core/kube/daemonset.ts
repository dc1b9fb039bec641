/** The agent's DaemonSet as this product reads it: is it still there, and does it want this node. */
import { type NodeTerm, parseRequiredNodeTerms } from "./node-affinity.ts";
import { childObject, openObject, optionalString, requiredString } from "./object-fields.ts";

/** Upstream's name (contract 3.8), which both charts give it; upstream's grants the right to see exactly this one, in ambient mode. */
export const DAEMONSET_NAME = "istio-cni-node";

export type DaemonSet = {
  readonly uid: string;
  readonly isDeleting: boolean;
  /** Undefined: any node will do. */
  readonly nodeTerms: readonly NodeTerm[] | undefined;
};

/** @throws {KubeObjectError} naming the field when the value cannot be a DaemonSet. */
export function parseDaemonSet(value: unknown): DaemonSet {
  const object = openObject("DaemonSet", value);
  const metadata = childObject(object, "metadata");
  const podSpec = childObject(childObject(childObject(object, "spec"), "template"), "spec");
  return {
    uid: requiredString(metadata, "uid"),
    isDeleting: optionalString(metadata, "deletionTimestamp") !== undefined,
    nodeTerms: parseRequiredNodeTerms(podSpec),
  };
}
