// The body of every pod fixture: metadata, spec and status as kubelet, scheduler and controllers leave them, so that
// pod-fixtures.ts only says what is special about a kind. Pure data.
import { randomUUID } from "node:crypto";
import { isJsonObject, type JsonObject, type KubeObject } from "./kube-object.ts";

/** What a test may want to choose about a pod. */
export interface PodOptions {
  readonly name?: string;
  /** Default: `default`. */
  readonly namespace?: string;
  /** Default: `node-1`. "": not scheduled yet. */
  readonly nodeName?: string;
  readonly uid?: string;
  /** Added to those the kind of pod has; they win. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Default: one IPv4 address. Empty: the sandbox is not up yet. */
  readonly podIps?: readonly string[];
  readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed";
  /** Name of the application container, of the `app` label and of the service account. Default: `web`. */
  readonly app?: string;
  readonly hostNetwork?: boolean;
}

/** When every fixture was created. */
export const CREATED = "2026-03-02T09:15:04Z";
const STARTED = "2026-03-02T09:15:07Z";

/** What a kind of pod has besides what every pod has. */
export interface PodParts {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly initContainers?: readonly JsonObject[];
  readonly containers?: readonly JsonObject[];
  readonly volumes?: readonly JsonObject[];
  readonly restartPolicy?: string;
  /** The pod has no application container beside those given. */
  readonly withoutApp?: boolean;
}

/** A complete pod: what every pod has, the kind's parts, and the test's options, the latter winning. */
export function assemblePod(options: PodOptions, parts: PodParts): KubeObject {
  const app = options.app ?? "web";
  const name = options.name ?? `${app}-7d9c6b8f5-${randomUUID().slice(0, 5)}`;
  const phase = options.phase ?? "Running";
  const nodeName = options.nodeName ?? "node-1";
  const podIps = options.podIps ?? ["10.244.0.17"];
  const apiAccess = `kube-api-access-${name.slice(-5)}`;
  const mount = { mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", name: apiAccess, readOnly: true };
  const mounted = (container: JsonObject): JsonObject => {
    const mounts = container["volumeMounts"];
    return { ...container, volumeMounts: [...(Array.isArray(mounts) ? mounts : []), mount] };
  };
  const containers = [...(parts.withoutApp === true ? [] : [appContainer(app)]), ...(parts.containers ?? [])].map(
    mounted,
  );
  const initContainers = (parts.initContainers ?? []).map(mounted);
  const annotations = { ...parts.annotations, ...options.annotations };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...{
        name,
        generateName: `${app}-7d9c6b8f5-`,
        namespace: options.namespace ?? "default",
        uid: options.uid ?? randomUUID(),
      },
      ...{ creationTimestamp: CREATED, generation: 1 },
      labels: { app, "pod-template-hash": "7d9c6b8f5", ...parts.labels, ...options.labels },
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
      ownerReferences: [
        {
          apiVersion: "apps/v1",
          blockOwnerDeletion: true,
          controller: true,
          kind: "ReplicaSet",
          name: `${app}-7d9c6b8f5`,
          uid: randomUUID(),
        },
      ],
      managedFields: managedFields(containers),
    },
    spec: {
      containers,
      dnsPolicy: "ClusterFirst",
      enableServiceLinks: true,
      ...(options.hostNetwork === true ? { hostNetwork: true } : {}),
      ...(initContainers.length > 0 ? { initContainers } : {}),
      ...(nodeName === "" ? {} : { nodeName }),
      preemptionPolicy: "PreemptLowerPriority",
      priority: 0,
      restartPolicy: parts.restartPolicy ?? "Always",
      schedulerName: "default-scheduler",
      securityContext: {},
      serviceAccount: app,
      serviceAccountName: app,
      terminationGracePeriodSeconds: 30,
      tolerations: ["not-ready", "unreachable"].map((reason) => ({
        ...{ effect: "NoExecute", key: `node.kubernetes.io/${reason}`, operator: "Exists", tolerationSeconds: 300 },
      })),
      volumes: [...(parts.volumes ?? []), apiAccessVolume(apiAccess)],
    },
    status: {
      phase,
      qosClass: "Burstable",
      ...(nodeName === ""
        ? {}
        : {
            conditions: ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(
              condition,
            ),
          }),
      ...(nodeName === "" ? {} : { hostIP: "172.31.99.2", hostIPs: [{ ip: "172.31.99.2" }], startTime: CREATED }),
      ...(podIps.length === 0 ? {} : { podIP: podIps[0], podIPs: podIps.map((ip) => ({ ip })) }),
      ...(nodeName === ""
        ? {}
        : { containerStatuses: containers.map((container) => containerStatus(container, phase)) }),
      ...(initContainers.length === 0
        ? {}
        : { initContainerStatuses: initContainers.map((container) => initStatus(container)) }),
    },
  };
}

function appContainer(app: string): JsonObject {
  return {
    env: [{ name: "LISTEN", value: ":8080" }],
    image: `registry.example.com/shop/${app}:2.14.1`,
    imagePullPolicy: "IfNotPresent",
    livenessProbe: {
      ...{ failureThreshold: 3, periodSeconds: 10, successThreshold: 1, timeoutSeconds: 1 },
      httpGet: { path: "/app-health/web/livez", port: 15020, scheme: "HTTP" },
    },
    name: app,
    ports: [{ containerPort: 8080, name: "http", protocol: "TCP" }],
    resources: { limits: { memory: "256Mi" }, requests: { cpu: "50m", memory: "64Mi" } },
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
  };
}

function apiAccessVolume(name: string): JsonObject {
  const sources = [
    { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
    { configMap: { items: [{ key: "ca.crt", path: "ca.crt" }], name: "kube-root-ca.crt" } },
    {
      downwardAPI: { items: [{ fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" }, path: "namespace" }] },
    },
  ];
  return { name, projected: { defaultMode: 420, sources } };
}

/** A condition of a pod or node that holds. */
export function condition(type: string): JsonObject {
  return { type, status: "True", lastProbeTime: null, lastTransitionTime: STARTED };
}

const containerId = (): string => `containerd://${(randomUUID() + randomUUID()).replaceAll("-", "")}`;

function containerStatus(container: JsonObject, phase: string): JsonObject {
  const terminated = {
    containerID: containerId(),
    exitCode: phase === "Failed" ? 1 : 0,
    finishedAt: STARTED,
    reason: phase === "Failed" ? "Error" : "Completed",
    startedAt: CREATED,
  };
  const state: Readonly<Record<string, JsonObject>> = {
    Pending: { waiting: { reason: "PodInitializing" } },
    Running: { running: { startedAt: STARTED } },
  };
  const { name, image } = container;
  const isUp = phase === "Running";
  return {
    name,
    image,
    imageID: isUp ? `${image}@sha256:${"5e".repeat(32)}` : "",
    containerID: containerId(),
    lastState: {},
    ready: isUp,
    restartCount: 0,
    started: isUp,
    state: state[phase] ?? { terminated },
  };
}

function initStatus(container: JsonObject): JsonObject {
  if (container["restartPolicy"] === "Always") return containerStatus(container, "Running");
  return { ...containerStatus(container, "Succeeded"), ready: true };
}

// What the API server notes about who set which field; in every real pod, and a third of its size.
function managedFields(containers: readonly JsonObject[]): readonly JsonObject[] {
  const owned = (container: JsonObject): readonly [string, JsonObject] => [
    `k:{"name":${JSON.stringify(container["name"])}}`,
    Object.fromEntries([
      [".", {}],
      ...Object.keys(container).map((field) => [`f:${field}`, isJsonObject(container[field]) ? { ".": {} } : {}]),
    ]),
  ];
  const spec = {
    "f:containers": Object.fromEntries(containers.map(owned)),
    "f:dnsPolicy": {},
    "f:enableServiceLinks": {},
    "f:restartPolicy": {},
    "f:schedulerName": {},
    "f:securityContext": {},
    "f:terminationGracePeriodSeconds": {},
  };
  const ready = (type: string): readonly [string, JsonObject] => [
    `k:{"type":"${type}"}`,
    { ".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {} },
  ];
  const status = {
    "f:conditions": Object.fromEntries(["ContainersReady", "Initialized", "Ready"].map(ready)),
    "f:containerStatuses": {},
    "f:hostIP": {},
    "f:phase": {},
    "f:podIP": {},
    "f:podIPs": {},
    "f:startTime": {},
  };
  const entry = (manager: string, fields: JsonObject): JsonObject => ({
    apiVersion: "v1",
    fieldsType: "FieldsV1",
    fieldsV1: fields,
    manager,
    operation: "Update",
    time: STARTED,
  });
  return [
    entry("kube-controller-manager", {
      "f:metadata": { "f:generateName": {}, "f:labels": { ".": {}, "f:app": {} }, "f:ownerReferences": {} },
      "f:spec": spec,
    }),
    { ...entry("kubelet", { "f:status": status }), subresource: "status" },
  ];
}
