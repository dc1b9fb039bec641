// Which API server, and as whom: a kubeconfig where one is named, else the service account of the pod we run in.
import {
  createInClusterCredentials,
  createKubeconfigCredentials,
  type KubeCredentials,
} from "../platform/http/credentials.ts";

export interface ApiPlace {
  readonly kubeconfigPath: string | undefined;
  readonly serviceHost: string | undefined;
  readonly servicePort: number | string | undefined;
}

/** @throws {KubeApiError} `KUBE_API_CREDENTIALS` where no server is named. */
export function credentialsOf(
  { kubeconfigPath, serviceHost, servicePort }: ApiPlace,
  nowMs: () => number,
): KubeCredentials {
  if (kubeconfigPath !== undefined) return createKubeconfigCredentials(kubeconfigPath, nowMs);
  const port = servicePort === undefined ? undefined : String(servicePort);
  return createInClusterCredentials({ host: serviceHost, port }, nowMs);
}
