// Realistic objects for tests: pods as a kubelet and istiod leave them (about 9 kB of JSON with a sidecar), and the
// namespaces and nodes they live in. Pure data; every call makes a pod of its own name and uid unless told.
import { randomUUID } from "node:crypto";
import { type InjectionOptions, renderInjection } from "./injected-sidecar.ts";
import type { JsonObject, KubeObject } from "./kube-object.ts";
import { assemblePod, CREATED, condition, type PodOptions } from "./pod-skeleton.ts";

/** What a sidecar pod may choose besides. */
export interface SidecarPodOptions extends PodOptions, InjectionOptions {}

/** A pod of a Deployment, outside any mesh. */
export function plainPod(options: PodOptions = {}): KubeObject {
  return assemblePod(options, {});
}

/** A pod with the sidecar istiod injects: istio-validation and istio-proxy, classic or native. */
export function sidecarPod(options: SidecarPodOptions = {}): KubeObject {
  const injection = renderInjection(options.app ?? "web", options);
  return assemblePod(options, injection);
}

/** A sidecar pod of a mesh without CNI: `istio-init` programs the rules itself. */
export function istioInitPod(options: SidecarPodOptions = {}): KubeObject {
  return sidecarPod({ ...options, withIstioInit: true });
}

/** An ingress gateway: `istio-proxy` with `proxy router`, nothing to redirect. */
export function gatewayPod(options: PodOptions = {}): KubeObject {
  const injection = renderInjection("istio-proxy", {});
  const proxy = injection.containers.map((container) => ({
    ...container,
    args: [
      "proxy",
      "router",
      "--domain",
      "$(POD_NAMESPACE).svc.cluster.local",
      "--proxyLogLevel=warning",
      "--log_output_level=default:info",
    ],
    ports: [80, 443, 15021, 15090].map((containerPort) => ({ containerPort, protocol: "TCP" })),
  }));
  const status = JSON.stringify({
    initContainers: null,
    containers: ["istio-proxy"],
    volumes: null,
    imagePullSecrets: null,
    revision: "default",
  });
  const annotations = {
    "inject.istio.io/templates": "gateway",
    "istio.io/rev": "default",
    "sidecar.istio.io/inject": "true",
    "sidecar.istio.io/status": status,
  };
  const labels = {
    istio: "ingressgateway",
    "sidecar.istio.io/inject": "true",
    "service.istio.io/canonical-name": "istio-ingressgateway",
  };
  return assemblePod(
    { app: "istio-ingressgateway", ...options },
    { labels, annotations, containers: proxy, volumes: injection.volumes, withoutApp: true },
  );
}

/** A pod in the node's network, a sidecar notwithstanding. */
export function hostNetworkPod(options: SidecarPodOptions = {}): KubeObject {
  return sidecarPod({ podIps: ["172.31.99.2"], ...options, hostNetwork: true });
}

/** A pod of a Job whose containers have ended. */
export function finishedJobPod(options: PodOptions = {}): KubeObject {
  const labels = { "batch.kubernetes.io/job-name": "report", "job-name": "report" };
  return assemblePod({ phase: "Succeeded", app: "report", ...options }, { labels, restartPolicy: "Never" });
}

/** A pod of a namespace in ambient mode; with `captured`, as the agent leaves it. */
export function ambientPod(options: PodOptions & { readonly captured?: boolean } = {}): KubeObject {
  const annotations = options.captured === true ? { "ambient.istio.io/redirection": "enabled" } : {};
  return assemblePod({ app: "ambient-web", ...options }, { annotations });
}

/** A namespace, Active. */
export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): KubeObject {
  const metadata = {
    name,
    uid: randomUUID(),
    creationTimestamp: CREATED,
    labels: { "kubernetes.io/metadata.name": name, ...labels },
  };
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata,
    spec: { finalizers: ["kubernetes"] },
    status: { phase: "Active" },
  };
}

/** A node, Ready, with the given taints. */
export function node(name: string, taints: readonly JsonObject[] = []): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      uid: randomUUID(),
      creationTimestamp: CREATED,
      labels: { "beta.kubernetes.io/os": "linux", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
    },
    spec: { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"], ...(taints.length > 0 ? { taints } : {}) },
    status: {
      addresses: [
        { type: "InternalIP", address: "172.31.99.2" },
        { type: "Hostname", address: name },
      ],
      conditions: [{ ...condition("Ready"), reason: "KubeletReady", message: "kubelet is posting ready status" }],
      nodeInfo: {
        kubeletVersion: "v1.35.4",
        operatingSystem: "linux",
        architecture: "amd64",
        containerRuntimeVersion: "containerd://1.6.20",
      },
    },
  };
}
