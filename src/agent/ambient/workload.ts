// A pod as ztunnel is told of it.
import type { Pod } from "../../core/kube/pod.ts";

/** `serviceAccount` is `spec.serviceAccountName`. */
export interface Workload {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

export function workloadOf({ uid, name, namespace, serviceAccountName }: Pod): Workload {
  return { uid, name, namespace, serviceAccount: serviceAccountName };
}
