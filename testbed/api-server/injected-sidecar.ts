// The parts istiod's injector adds to a pod: labels, annotations, init container and proxy container, as the template of
// Istio 1.30 writes them (contract/02 section 2.6). Pure data for pod-fixtures.ts.
import type { JsonObject } from "./kube-object.ts";

/** How the injector is set. Defaults: REDIRECT, uid 1337, CNI (istio-validation), classic sidecar. */
export interface InjectionOptions {
  readonly interceptionMode?: "REDIRECT" | "TPROXY" | "NONE";
  /** The proxy as an init container with restartPolicy Always. */
  readonly native?: boolean;
  /** Without CNI: `istio-init` programs the rules from inside the pod. */
  readonly withIstioInit?: boolean;
}

/** What injection adds to a pod called `name` in `namespace`, whose application container is `app`. */
export interface Injection {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly initContainers: readonly JsonObject[];
  readonly containers: readonly JsonObject[];
  readonly volumes: readonly JsonObject[];
}

/** The injection for such a pod. */
export function renderInjection(app: string, options: InjectionOptions = {}): Injection {
  const mode = options.interceptionMode ?? "REDIRECT";
  const isNative = options.native === true;
  const init = options.withIstioInit === true ? "istio-init" : "istio-validation";
  const status = {
    initContainers: isNative ? [init, "istio-proxy"] : [init],
    containers: isNative ? null : ["istio-proxy"],
    volumes: PROXY_VOLUMES.map((volume) => volume.name),
    imagePullSecrets: null,
    revision: "default",
  };
  const proxy = renderProxy(app, mode);
  // The proxy itself follows no redirection in mode NONE, so neither is there anything to validate.
  const initContainers = mode === "NONE" ? [] : [renderInit(init, mode)];
  return {
    labels: {
      "security.istio.io/tlsMode": "istio",
      "service.istio.io/canonical-name": app,
      "service.istio.io/canonical-revision": "latest",
    },
    annotations: {
      "istio.io/rev": "default",
      "kubectl.kubernetes.io/default-container": app,
      "kubectl.kubernetes.io/default-logs-container": app,
      "prometheus.io/path": "/stats/prometheus",
      "prometheus.io/port": "15020",
      "prometheus.io/scrape": "true",
      "sidecar.istio.io/interceptionMode": mode,
      "sidecar.istio.io/status": JSON.stringify(status),
      ...(mode === "NONE" || init === "istio-init"
        ? {}
        : {
            "traffic.sidecar.istio.io/excludeInboundPorts": "15020",
            "traffic.sidecar.istio.io/includeInboundPorts": "*",
            "traffic.sidecar.istio.io/includeOutboundIPRanges": "*",
          }),
    },
    initContainers: isNative ? [...initContainers, { ...proxy, restartPolicy: "Always" }] : initContainers,
    containers: isNative ? [] : [proxy],
    volumes: PROXY_VOLUMES,
  };
}

const PROXY_USER = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  privileged: false,
  readOnlyRootFilesystem: true,
  runAsGroup: 1337,
  runAsNonRoot: true,
  runAsUser: 1337,
};
const IMAGE = "docker.io/istio/proxyv2:1.30.3";
const PROXY_RESOURCES = { limits: { cpu: "2", memory: "1Gi" }, requests: { cpu: "100m", memory: "128Mi" } };

const fieldEnv = (name: string, fieldPath: string): JsonObject => ({
  name,
  valueFrom: { fieldRef: { apiVersion: "v1", fieldPath } },
});
const resourceEnv = (name: string, resource: string): JsonObject => ({
  name,
  valueFrom: { resourceFieldRef: { divisor: "0", resource } },
});

function renderInit(name: "istio-init" | "istio-validation", mode: string): JsonObject {
  const isInit = name === "istio-init";
  const validation = isInit ? [] : ["--run-validation", "--skip-rule-apply"];
  return {
    args: [
      ...["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", mode, "-i", "*", "-x", "", "-b", "*"],
      ...["-d", "15090,15021,15020", "--log_output_level=default:info", ...validation],
    ],
    image: IMAGE,
    imagePullPolicy: "IfNotPresent",
    name,
    resources: PROXY_RESOURCES,
    securityContext: isInit
      ? {
          allowPrivilegeEscalation: false,
          capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
          privileged: false,
          readOnlyRootFilesystem: false,
          runAsGroup: 0,
          runAsNonRoot: false,
          runAsUser: 0,
        }
      : PROXY_USER,
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
  };
}

function renderProxy(app: string, mode: string): JsonObject {
  return {
    args: [
      ...["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning"],
      ...["--proxyComponentLogLevel=misc:error", "--log_output_level=default:info"],
    ],
    env: [
      { name: "PILOT_CERT_PROVIDER", value: "istiod" },
      { name: "CA_ADDR", value: "istiod.istio-system.svc:15012" },
      fieldEnv("POD_NAME", "metadata.name"),
      fieldEnv("POD_NAMESPACE", "metadata.namespace"),
      fieldEnv("INSTANCE_IP", "status.podIP"),
      fieldEnv("SERVICE_ACCOUNT", "spec.serviceAccountName"),
      fieldEnv("HOST_IP", "status.hostIP"),
      resourceEnv("ISTIO_CPU_LIMIT", "limits.cpu"),
      { name: "PROXY_CONFIG", value: "{}\n" },
      { name: "ISTIO_META_POD_PORTS", value: '[\n    {"containerPort":8080,"protocol":"TCP"}\n]' },
      { name: "ISTIO_META_APP_CONTAINERS", value: app },
      resourceEnv("GOMEMLIMIT", "limits.memory"),
      resourceEnv("GOMAXPROCS", "limits.cpu"),
      { name: "ISTIO_META_CLUSTER_ID", value: "Kubernetes" },
      fieldEnv("ISTIO_META_NODE_NAME", "spec.nodeName"),
      { name: "ISTIO_META_INTERCEPTION_MODE", value: mode },
      { name: "ISTIO_META_WORKLOAD_NAME", value: app },
      { name: "ISTIO_META_OWNER", value: `kubernetes://apis/apps/v1/namespaces/default/deployments/${app}` },
      { name: "ISTIO_META_MESH_ID", value: "cluster.local" },
      { name: "TRUST_DOMAIN", value: "cluster.local" },
    ],
    image: IMAGE,
    imagePullPolicy: "IfNotPresent",
    name: "istio-proxy",
    ports: [{ containerPort: 15090, name: "http-envoy-prom", protocol: "TCP" }],
    readinessProbe: probe(4, 15, 3),
    resources: PROXY_RESOURCES,
    securityContext: PROXY_USER,
    startupProbe: probe(600, 1, 3),
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    volumeMounts: [
      { mountPath: "/var/run/secrets/workload-spiffe-uds", name: "workload-socket" },
      { mountPath: "/var/run/secrets/credential-uds", name: "credential-socket" },
      { mountPath: "/var/run/secrets/workload-spiffe-credentials", name: "workload-certs" },
      { mountPath: "/var/run/secrets/istio", name: "istiod-ca-cert" },
      { mountPath: "/var/lib/istio/data", name: "istio-data" },
      { mountPath: "/etc/istio/proxy", name: "istio-envoy" },
      { mountPath: "/var/run/secrets/tokens", name: "istio-token" },
      { mountPath: "/etc/istio/pod", name: "istio-podinfo" },
    ],
  };
}

function probe(failureThreshold: number, periodSeconds: number, timeoutSeconds: number): JsonObject {
  return {
    failureThreshold,
    httpGet: { path: "/healthz/ready", port: 15021, scheme: "HTTP" },
    periodSeconds,
    successThreshold: 1,
    timeoutSeconds,
  };
}

const PROXY_VOLUMES = [
  { emptyDir: {}, name: "workload-socket" },
  { emptyDir: {}, name: "credential-socket" },
  { emptyDir: {}, name: "workload-certs" },
  { emptyDir: { medium: "Memory" }, name: "istio-envoy" },
  { emptyDir: {}, name: "istio-data" },
  {
    downwardAPI: {
      defaultMode: 420,
      items: ["labels", "annotations"].map((path) => ({
        fieldRef: { apiVersion: "v1", fieldPath: `metadata.${path}` },
        path,
      })),
    },
    name: "istio-podinfo",
  },
  {
    name: "istio-token",
    projected: {
      defaultMode: 420,
      sources: [{ serviceAccountToken: { audience: "istio-ca", expirationSeconds: 43200, path: "istio-token" } }],
    },
  },
  { configMap: { defaultMode: 420, name: "istio-ca-root-cert" }, name: "istiod-ca-cert" },
];
