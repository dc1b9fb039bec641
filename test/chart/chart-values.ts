// Every value of the chart and what it does, as a table: those of upstream's chart with upstream's effect (contract 2.1), and
// ours. Long because it is that table. values.test.ts renders each row, and fails when a value has none.
import { isJsonObject, type JsonObject, readPath } from "../../testbed/api-server/kube-object.ts";
import { pick } from "../../testbed/chart/render-chart.ts";

type Objects = readonly JsonObject[];

/** `set` gives the value; what `see` finds then is `wanted`. `also` is set beside it where it does nothing alone. */
export interface ValueRow {
  /** As in values.yaml, parts joined by dots. */
  readonly value: string;
  readonly set: string;
  readonly also?: readonly string[];
  /** "--set" unless told. */
  readonly how?: "--set" | "--set-json" | "--set-string";
  see(objects: Objects): unknown;
  readonly wanted: unknown;
}

const daemonSet = (objects: Objects): JsonObject => pick(objects, "DaemonSet", "istio-cni-node");
const template = (objects: Objects, ...path: string[]): unknown =>
  readPath(daemonSet(objects), "spec", "template", ...path);
const pod = (objects: Objects, ...path: string[]): unknown => template(objects, "spec", ...path);
const list = (value: unknown): readonly JsonObject[] => (Array.isArray(value) ? value.filter(isJsonObject) : []);
const container = (objects: Objects, ...path: string[]): unknown =>
  readPath(list(pod(objects, "containers"))[0], ...path);
const named = (value: unknown, name: string): JsonObject | undefined =>
  list(value).find((each) => each["name"] === name);
const hostPath = (name: string) => (objects: Objects) =>
  readPath(named(pod(objects, "volumes"), name), "hostPath", "path");
const data = (variable: string) => (objects: Objects) =>
  readPath(pick(objects, "ConfigMap", "istio-cni-config"), "data", variable);
const has = (kind: string, name?: string) => (objects: Objects) =>
  objects.some(
    (object) => object["kind"] === kind && (name === undefined || readPath(object, "metadata", "name") === name),
  );
const label = (objects: Objects, name: string): unknown => readPath(daemonSet(objects), "metadata", "labels", name);
const image = (objects: Objects): unknown => container(objects, "image");
const rights = (role: string) => (objects: Objects) =>
  has("ClusterRole", role)(objects) && pick(objects, "ClusterRole", role)["rules"];

/** One variable of the agent. */
function variable(
  value: string,
  set: string,
  name: string,
  wanted: string | undefined,
  more: Partial<ValueRow> = {},
): ValueRow {
  return { value, set, see: data(name), wanted, ...more };
}

export const VALUE_ROWS: readonly ValueRow[] = [
  { value: "hub", set: "registry.example/mesh", see: image, wanted: "registry.example/mesh/istio-install-cni:0.1.0" },
  { value: "global.hub", set: "registry.example", see: image, wanted: "registry.example/istio-install-cni:0.1.0" },
  { value: "tag", set: "2.0", how: "--set-string", see: image, wanted: "localhost/istio-install-cni:2.0" },
  { value: "tag", set: "7", see: image, wanted: "localhost/istio-install-cni:7" },
  { value: "global.tag", set: "3.0.0", see: image, wanted: "localhost/istio-install-cni:3.0.0" },
  { value: "variant", set: "fips", see: image, wanted: "localhost/istio-install-cni:0.1.0-fips" },
  { value: "variant", set: "distroless", see: image, wanted: "localhost/istio-install-cni:0.1.0" },
  { value: "global.variant", set: "debug", see: image, wanted: "localhost/istio-install-cni:0.1.0-dev" },
  { value: "image", set: "cni", see: image, wanted: "localhost/cni:0.1.0" },
  // P15: an image with a slash is taken as it is.
  {
    value: "image",
    set: "dhi.example/istio-install-cni:1.30",
    also: ["hub=x", "tag=y", "variant=z"],
    see: image,
    wanted: "dhi.example/istio-install-cni:1.30",
  },
  { value: "pullPolicy", set: "Always", see: (all) => container(all, "imagePullPolicy"), wanted: "Always" },
  { value: "global.imagePullPolicy", set: "Never", see: (all) => container(all, "imagePullPolicy"), wanted: "Never" },
  { value: "logging.level", set: "debug", see: (all) => container(all, "args"), wanted: ["--log_output_level=debug"] },
  {
    value: "global.logging.level",
    set: "warn",
    see: (all) => container(all, "args"),
    wanted: ["--log_output_level=warn"],
  },
  {
    value: "global.logAsJson",
    set: "true",
    see: (all) => container(all, "args"),
    wanted: ["--log_output_level=info", "--log_as_json"],
  },
  // P29: only the host's side changes.
  { value: "cniBinDir", set: "/bin", see: hostPath("cni-bin-dir"), wanted: "/bin" },
  { value: "cniConfDir", set: "/etc/cni/other.d", see: hostPath("cni-net-dir"), wanted: "/etc/cni/other.d" },
  {
    value: "cniNetnsDir",
    set: "/run/docker/netns",
    also: ["ambient.enabled=true"],
    see: hostPath("cni-netns-dir"),
    wanted: "/run/docker/netns",
  },
  variable("cniConfFileName", "10-calico.conflist", "CNI_CONF_NAME", "10-calico.conflist"),
  variable("chained", "false", "CHAINED_CNI_PLUGIN", "false"),
  variable("istioOwnedCNIConfig", "true", "ISTIO_OWNED_CNI_CONFIG", "true"),
  variable("istioOwnedCNIConfigFileName", "01-a.conflist", "ISTIO_OWNED_CNI_CONFIG_FILENAME", "01-a.conflist", {
    also: ["istioOwnedCNIConfig=true"],
  }),
  {
    value: "provider",
    set: "multus",
    see: (all) => readPath(pick(all, "NetworkAttachmentDefinition", "istio-cni"), "metadata", "namespace"),
    wanted: "default",
  },
  variable("excludeNamespaces", '["a","b"]', "EXCLUDE_NAMESPACES", "a,b", { how: "--set-json" }),
  variable("excludeNamespaces", "null", "EXCLUDE_NAMESPACES", ""),
  variable("ambient.enabled", "true", "AMBIENT_ENABLED", "true"),
  {
    value: "ambient.enabled",
    set: "true",
    see: (all) => list(container(all, "volumeMounts")).map((mount) => mount["mountPath"]),
    wanted: [
      "/host/opt/cni/bin",
      "/host/etc/cni/net.d",
      "/var/run/istio-cni",
      "/host/proc",
      "/host/var/run/netns",
      "/var/run/ztunnel",
    ],
  },
  {
    value: "ambient.enabled",
    set: "true",
    see: rights("istio-cni-ambient"),
    wanted: [
      { apiGroups: [""], resources: ["pods/status"], verbs: ["patch"] },
      { apiGroups: [""], resources: ["namespaces"], verbs: ["get", "list", "watch"] },
    ],
  },
  variable(
    "ambient.enablementSelectors",
    '[{"podSelector":{"matchLabels":{"a":"b"}}}]',
    "AMBIENT_ENABLEMENT_SELECTOR",
    "- podSelector:\n    matchLabels:\n      a: b",
    { how: "--set-json" },
  ),
  variable("ambient.dnsCapture", "false", "AMBIENT_DNS_CAPTURE", "false"),
  variable("ambient.ipv6", "false", "AMBIENT_IPV6", "false"),
  {
    value: "ambient.shareHostNetworkNamespace",
    set: "true",
    also: ["ambient.enabled=true"],
    see: (all) => [pod(all, "hostNetwork"), pod(all, "dnsPolicy")],
    wanted: [true, "ClusterFirstWithHostNet"],
  },
  { value: "ambient.shareHostNetworkNamespace", set: "true", see: (all) => pod(all, "hostNetwork"), wanted: undefined },
  ...["ambient.reconcileIptablesOnStartup", "ambient.enableAmbientDetectionRetry"].flatMap((value) =>
    ["true", "false"].map((set) => variable(value, set, "AMBIENT_ENABLED", "false")),
  ),
  variable("ambient.configDir", "/x", "AMBIENT_ENABLED", "false"),
  variable("repair.enabled", "false", "REPAIR_ENABLED", "false"),
  variable("repair.repairPods", "false", "REPAIR_REPAIR_PODS", "false"),
  variable("repair.deletePods", "true", "REPAIR_DELETE_PODS", "true"),
  // Repair in place wins: the right is not given for nothing.
  { value: "repair.deletePods", set: "true", see: rights("istio-cni-repair-role"), wanted: false },
  {
    value: "repair.deletePods",
    set: "true",
    also: ["repair.repairPods=false", "repair.labelPods=true"],
    see: rights("istio-cni-repair-role"),
    wanted: [{ apiGroups: [""], resources: ["pods"], verbs: ["delete"] }],
  },
  {
    value: "repair.deletePods",
    set: "true",
    also: ["repair.repairPods=false", "repair.enabled=false"],
    see: rights("istio-cni-repair-role"),
    wanted: false,
  },
  variable("repair.labelPods", "true", "REPAIR_LABEL_PODS", "true"),
  {
    value: "repair.labelPods",
    set: "true",
    also: ["repair.repairPods=false"],
    see: rights("istio-cni-repair-role"),
    wanted: [{ apiGroups: [""], resources: ["pods/status"], verbs: ["patch"] }],
  },
  variable("repair.initContainerName", "check", "REPAIR_INIT_CONTAINER_NAME", "check"),
  variable("repair.brokenPodLabelKey", "a.example/b", "REPAIR_BROKEN_POD_LABEL_KEY", "a.example/b", {
    how: "--set-json",
    set: '"a.example/b"',
  }),
  variable("repair.brokenPodLabelValue", "yes", "REPAIR_BROKEN_POD_LABEL_VALUE", "yes"),
  variable("repair.hub", "x", "REPAIR_ENABLED", "true"),
  variable("repair.tag", "x", "REPAIR_ENABLED", "true"),
  variable("env", '{"VERIFY_INTERVAL":"5m"}', "VERIFY_INTERVAL", "5m", { how: "--set-json" }),
  {
    value: "env",
    set: '{"MONITORING_PORT":1000000}',
    how: "--set-json",
    see: (all) => named(container(all, "env"), "MONITORING_PORT"),
    wanted: { name: "MONITORING_PORT", value: "1000000" },
  },
  variable("global.nativeNftables", "true", "NATIVE_NFTABLES", "true"),
  {
    value: "affinity",
    set: '{"podAffinity":{}}',
    how: "--set-json",
    see: (all) => pod(all, "affinity"),
    wanted: { podAffinity: {} },
  },
  {
    value: "nodeSelector",
    set: '{"a":"b"}',
    how: "--set-json",
    see: (all) => pod(all, "nodeSelector"),
    wanted: { a: "b", "kubernetes.io/os": "linux" },
  },
  {
    value: "tolerations",
    set: '[{"operator":"Exists"}]',
    how: "--set-json",
    see: (all) => pod(all, "tolerations"),
    wanted: [{ operator: "Exists" }],
  },
  { value: "priorityClassName", set: "high", see: (all) => pod(all, "priorityClassName"), wanted: "high" },
  { value: "resourceQuotas.enabled", set: "true", see: has("ResourceQuota", "istio-cni-resource-quota"), wanted: true },
  {
    value: "resourceQuotas.pods",
    set: "10",
    also: ["resourceQuotas.enabled=true"],
    see: (all) => readPath(pick(all, "ResourceQuota"), "spec", "hard", "pods"),
    wanted: "10",
  },
  { value: "daemonSetLabels", set: '{"a":"b"}', how: "--set-json", see: (all) => label(all, "a"), wanted: "b" },
  {
    value: "podLabels",
    set: '{"a":"b"}',
    how: "--set-json",
    see: (all) => template(all, "metadata", "labels", "a"),
    wanted: "b",
  },
  {
    value: "podAnnotations",
    set: '{"a":1}',
    how: "--set-json",
    see: (all) => template(all, "metadata", "annotations", "a"),
    wanted: "1",
  },
  ...(
    [
      ["true", "unconfined", undefined],
      ["false", undefined, { type: "Unconfined" }],
    ] as const
  ).map(
    ([set, annotation, profile]): ValueRow => ({
      value: "useAppArmorAnnotation",
      set,
      see: (all) => [
        template(all, "metadata", "annotations", "container.apparmor.security.beta.kubernetes.io/install-cni"),
        container(all, "securityContext", "appArmorProfile"),
      ],
      wanted: [annotation, profile],
    }),
  ),
  {
    value: "seccompProfile",
    set: '{"type":"Unconfined"}',
    how: "--set-json",
    see: (all) => container(all, "securityContext", "seccompProfile"),
    wanted: { type: "Unconfined" },
  },
  {
    value: "seLinuxOptions",
    set: '{"level":"s0"}',
    how: "--set-json",
    see: (all) => container(all, "securityContext", "seLinuxOptions"),
    wanted: { level: "s0", type: "spc_t" },
  },
  {
    value: "readOnlyRootFilesystem",
    set: "false",
    see: (all) => container(all, "securityContext", "readOnlyRootFilesystem"),
    wanted: undefined,
  },
  {
    value: "resources",
    set: '{"requests":{"cpu":null,"memory":"1Gi"},"limits":{"memory":"2Gi"}}',
    how: "--set-json",
    see: (all) => container(all, "resources"),
    wanted: { requests: { memory: "1Gi" }, limits: { memory: "2Gi" } },
  },
  {
    value: "global.defaultResources",
    set: '{"requests":{"cpu":"1m","memory":null}}',
    how: "--set-json",
    also: ["resources=null"],
    see: (all) => container(all, "resources"),
    wanted: { requests: { cpu: "1m" } },
  },
  {
    value: "updateStrategy",
    set: '{"type":"OnDelete","rollingUpdate":null}',
    how: "--set-json",
    see: (all) => readPath(daemonSet(all), "spec", "updateStrategy", "type"),
    wanted: "OnDelete",
  },
  {
    value: "terminationGracePeriodSeconds",
    set: "45",
    see: (all) => pod(all, "terminationGracePeriodSeconds"),
    wanted: 45,
  },
  {
    value: "restartOnConfigChange",
    set: "false",
    see: (all) => template(all, "metadata", "annotations", "istio-cni.config/checksum"),
    wanted: undefined,
  },
  { value: "livenessProbe.enabled", set: "false", see: (all) => container(all, "livenessProbe"), wanted: undefined },
  { value: "revision", set: "canary", see: (all) => label(all, "istio.io/rev"), wanted: "canary" },
  {
    value: "ownerName",
    set: "me",
    see: (all) => label(all, "install.operator.istio.io/owning-resource"),
    wanted: "me",
  },
  variable("agent.strictFamilies", "true", "STRICT_FAMILIES", "true"),
  variable("agent.ambientWhenAway", "strict", "AMBIENT_WHEN_AWAY", "strict"),
  variable("agent.conflistFight", "own", "CNI_CONFLIST_FIGHT", "own"),
  variable("agent.pluginWait", "20s", "PLUGIN_AGENT_WAIT", "20s"),
  variable("agent.verifyInterval", "2m", "VERIFY_INTERVAL", "2m"),
  {
    value: "admissionPolicy.enabled",
    set: "false",
    see: (all) => [has("ValidatingAdmissionPolicy")(all), has("ClusterRole", "istio-cni-ambient")(all)],
    wanted: [false, false],
  },
  { value: "uninstallHook.enabled", set: "false", see: has("Job"), wanted: false },
  { value: "monitoring.podMonitor.enabled", set: "true", see: has("PodMonitor", "istio-cni"), wanted: true },
  {
    value: "monitoring.serviceMonitor.enabled",
    set: "true",
    see: (all) => [has("ServiceMonitor", "istio-cni")(all), has("Service", "istio-cni-metrics")(all)],
    wanted: [true, true],
  },
  ...(
    [
      ["podMonitor", "PodMonitor", "podMetricsEndpoints"],
      ["serviceMonitor", "ServiceMonitor", "endpoints"],
    ] as const
  ).flatMap(([value, kind, endpoints]): readonly ValueRow[] => [
    {
      value: `monitoring.${value}.interval`,
      set: "30s",
      also: [`monitoring.${value}.enabled=true`],
      see: (all) => readPath(pick(all, kind), "spec", endpoints),
      wanted: [{ port: "metrics", path: "/metrics", interval: "30s" }],
    },
    {
      value: `monitoring.${value}.labels`,
      set: '{"a":"b"}',
      how: "--set-json",
      also: [`monitoring.${value}.enabled=true`],
      see: (all) => readPath(pick(all, kind), "metadata", "labels", "a"),
      wanted: "b",
    },
  ]),
  {
    value: "global.imagePullSecrets",
    set: '["key"]',
    how: "--set-json",
    see: (all) => pick(all, "ServiceAccount", "istio-cni")["imagePullSecrets"],
    wanted: [{ name: "key" }],
  },
  {
    value: "global.networkPolicy.enabled",
    set: "true",
    see: (all) => readPath(pick(all, "NetworkPolicy"), "spec", "ingress"),
    wanted: [
      {
        ports: [
          { port: 15014, protocol: "TCP" },
          { port: 8000, protocol: "TCP" },
        ],
      },
    ],
  },
  {
    value: "global.resourceScope",
    set: "cluster",
    see: (all) => [...new Set(all.map(({ kind }) => kind))].sort(),
    wanted: ["ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
  },
  {
    value: "global.resourceScope",
    set: "namespace",
    see: (all) => all.some(({ kind }) => String(kind).startsWith("ClusterRole")),
    wanted: false,
  },
];
