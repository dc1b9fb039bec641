// `docker run IMAGE`, or install-cni typed on some machine: it cannot be run by itself, and says what is missing and what to do
// instead. Looks only; nothing is made or changed.
import type { AgentConfig } from "../core/config/agent-config.ts";
import { firstExisting } from "../platform/fs/existing-path.ts";
import { SERVICE_ACCOUNT_DIR } from "../platform/http/credentials.ts";
import { findMountProblems } from "./mount-problems.ts";
import { findRightsProblems } from "./rights-problems.ts";

/** One sentence per line, without full stops; none where an API server is named, whether or not it can be reached. */
export async function describeStandalone(config: AgentConfig): Promise<readonly string[]> {
  const { serviceHost, kubeconfigPath } = config.api;
  if (serviceHost !== undefined || kubeconfigPath !== undefined) return [];
  const account = firstExisting([SERVICE_ACCOUNT_DIR]);
  return [
    "Cannot run by itself: install-cni is the node agent of a Kubernetes cluster and this is no pod of one",
    "Missing: the API server; KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are set by the kubelet, KUBECONFIG may name a file instead",
    ...(account === undefined ? [`Missing: a service account; the kubelet mounts it at ${SERVICE_ACCOUNT_DIR}`] : []),
    ...(await findMountProblems(config)),
    ...findRightsProblems(),
    "What to do: install it as a DaemonSet, with the chart of its repository (helm install istio-cni chart --set image=IMAGE) or Istio's (helm install istio-cni istio/cni --set cni.image=IMAGE, or istioctl install --set components.cni.enabled=true --set values.cni.image=IMAGE); what works here is install-cni render, doctor, --help, version and config",
  ];
}
