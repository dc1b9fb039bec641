// What upstream's chart would make in a cluster with these values, helm's own labels aside, and with the test's image.
import type { JsonObject } from "../api-server/kube-object.ts";
import { applyPatch } from "../api-server/patch.ts";
import { listChartPodCases, renderChartPod } from "../upstream/chart-pods.ts";
import { AGENT_IMAGE } from "./agent-image.ts";
import { AGENT_NAMESPACE } from "./observe-pods.ts";

/** The objects of a case of ../upstream/chart-pods.ts, of the newest version that knows it, namespace and service account first.
 * @throws {Error} when there is no such case. */
export function renderUpstreamInstall(name: string): readonly JsonObject[] {
  const pods =
    listChartPodCases()
      .find((each) => each.name === name)
      ?.versions.values() ?? [];
  const pod = [...pods].at(-1);
  if (pod === undefined) throw new Error(`Cannot install upstream's chart: there is no case ${name}`);
  const container = { name: "install-cni", image: AGENT_IMAGE, imagePullPolicy: "IfNotPresent" };
  // So that a changed ConfigMap is read, for which people restart the DaemonSet.
  const changes = { metadata: { annotations: { values: name } }, spec: { containers: [container] } };
  const template = applyPatch(pod.template, changes, "application/strategic-merge-patch+json");
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: AGENT_NAMESPACE } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "istio-cni", namespace: AGENT_NAMESPACE } },
    ...renderChartPod({ ...pod, template }),
  ];
}

/** Only what that grants: ClusterRoles and their bindings. */
export function renderUpstreamRights(name: string): readonly JsonObject[] {
  return renderUpstreamInstall(name).filter(({ kind }) => String(kind).startsWith("ClusterRole"));
}
