// Writes the annotation by which ambient mode tells the rest of Istio that a pod is in (contract 7.4). When is enrolment.ts's.
import { redirectionPatch } from "../../core/policy/ambient-redirection.ts";
import type { KubeApi } from "../../platform/http/kube-api.ts";
import type { EnrolmentDeps } from "./enrolment-api.ts";

/** Into the pod's status, as upstream: that is all the agent may patch. @throws {KubeApiError} 409 where the pod is another by now. */
export function createAnnotate(api: Pick<KubeApi, "patch">): EnrolmentDeps["annotate"] {
  return async ({ namespace, name, uid }, value, signal) => {
    const { metadata } = redirectionPatch(value);
    const ref = { plural: "pods", namespace, name, subresource: "status" } as const;
    // The UID is a precondition: a pod that has come back under its name is another one.
    await api.patch(ref, { metadata: { ...metadata, uid } }, signal);
  };
}
