// The agent's container as an OCI bundle (runtime-spec 1.0): what upstream's chart istio-cni 1.30 gives the pod, on a
// root file system made of the node's own programs. The chart's side of it: templates/daemonset.yaml, configmap-cni.yaml.
import { lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { AgentOptions } from "./agent.ts";
import { REPOSITORY } from "./repository.ts";

export interface AgentBundleOptions extends AgentOptions {
  readonly cgroup: string;
  /** Folder with token, ca.crt and namespace. */
  readonly serviceAccount: string;
  readonly nodeName: string;
  readonly podName: string;
}

interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** What upstream's chart adds after dropping all. */
export const CHART_CAPABILITIES = [
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_SYS_PTRACE",
  "CAP_SYS_ADMIN",
  "CAP_DAC_OVERRIDE",
];
/** Every capability of Linux up to 5.9, without CAP_SYS_RESOURCE, which containers often do not have to give. */
const ALL_CAPABILITIES = [
  ...CHART_CAPABILITIES,
  ..."CHOWN DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST".split(
    " ",
  ),
  ..."IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PACCT SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG".split(
    " ",
  ),
  ..."MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP SYSLOG WAKE_ALARM PERFMON BPF".split(" "),
].map((name) => (name.startsWith("CAP_") ? name : `CAP_${name}`));

/** What Docker and containerd give a container that asks for nothing. */
const CONTAINER_CAPABILITIES =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    .split(" ")
    .map((name) => `CAP_${name}`);
const CAPABILITIES = { chart: CHART_CAPABILITIES, all: ALL_CAPABILITIES, container: CONTAINER_CAPABILITIES } as const;

/** What the runtime hides or protects in /proc and /sys of a container that is not privileged (containerd's lists). */
export const MASKED_PATHS = [
  ..."acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi"
    .split(" ")
    .map((name) => `/proc/${name}`),
  "/sys/firmware",
];
export const READONLY_PATHS = "bus fs irq sys sysrq-trigger".split(" ").map((name) => `/proc/${name}`);

/** The environment of the chart with its default values: constants and field references of the DaemonSet, and the
 * ConfigMap of envFrom. `KUBERNETES_*` are the kubelet's. */
export function renderChartEnvironment(options: AgentBundleOptions): Readonly<Record<string, string>> {
  const { apiServer } = options;
  const ofKubelet = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOSTNAME: options.podName,
    KUBERNETES_SERVICE_HOST: apiServer.host,
    KUBERNETES_SERVICE_PORT: String(apiServer.port),
    KUBERNETES_SERVICE_PORT_HTTPS: String(apiServer.port),
  };
  if (options.setting === "bare") return { ...ofKubelet, ...options.env };
  return {
    ...ofKubelet,
    NODE_NAME: options.nodeName,
    REPAIR_NODE_NAME: options.nodeName,
    POD_NAME: options.podName,
    POD_NAMESPACE: "istio-system",
    REPAIR_RUN_AS_DAEMON: "true",
    REPAIR_SIDECAR_ANNOTATION: "sidecar.istio.io/status",
    ALLOW_SWITCH_TO_HOST_NS: "true",
    CURRENT_AGENT_VERSION: "testbed",
    AMBIENT_ENABLED: options.ambient === true ? "true" : "false",
    AMBIENT_DNS_CAPTURE: "true",
    AMBIENT_IPV6: "true",
    AMBIENT_RECONCILE_POD_RULES_ON_STARTUP: "true",
    ENABLE_AMBIENT_DETECTION_RETRY: "false",
    ISTIO_OWNED_CNI_CONFIG: "false",
    CHAINED_CNI_PLUGIN: "true",
    EXCLUDE_NAMESPACES: "kube-system",
    REPAIR_ENABLED: "true",
    REPAIR_LABEL_PODS: "false",
    REPAIR_DELETE_PODS: "false",
    REPAIR_REPAIR_PODS: "true",
    REPAIR_INIT_CONTAINER_NAME: "istio-validation",
    REPAIR_BROKEN_POD_LABEL_KEY: "cni.istio.io/uninitialized",
    REPAIR_BROKEN_POD_LABEL_VALUE: "true",
    NATIVE_NFTABLES: "false",
    ...options.env,
  };
}

/** Writes `config.json` and the root folder for `runc run --bundle folder`. */
export function renderAgentBundle(folder: string, options: AgentBundleOptions): void {
  const root = join(folder, "rootfs");
  const mounts = [...makeSystemMounts(), ...makeProgramMounts(root, options), ...makeChartMounts(options)];
  const capabilities = CAPABILITIES[options.capabilities ?? "chart"];
  const namespaces = ["mount", "pid", "ipc", "uts"].map((type) => ({ type }));
  const config = {
    ociVersion: "1.0.2",
    hostname: options.podName,
    root: { path: root, readonly: false },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      cwd: "/",
      args: [options.installCni, ...(options.args ?? ["--log_output_level=info"])],
      env: Object.entries(renderChartEnvironment(options)).map(([name, value]) => `${name}=${value}`),
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: false,
    },
    mounts,
    linux: {
      cgroupsPath: options.cgroup,
      // Without an entry for the network a container has the caller's, which is the node's.
      namespaces:
        options.pod === undefined ? namespaces : [...namespaces, { type: "network", path: options.pod.netnsPath }],
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
      resources: { devices: [{ allow: false, access: "rwm" }] },
    },
  };
  mkdirSync(root, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(config, null, 2));
}

function makeSystemMounts(): readonly Mount[] {
  const tight = ["nosuid", "noexec"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: [...tight, "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: [...tight, "newinstance", "ptmxmode=0666"] },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...tight, "nodev", "mode=1777"] },
    { destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"] },
    { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
  ];
}

// The image's programs and libraries are the machine's; its CNI folders are not in the image, so they are covered.
function makeProgramMounts(root: string, options: AgentBundleOptions): readonly Mount[] {
  mkdirSync(join(root, "var"), { recursive: true });
  mkdirSync(join(root, "run"));
  symlinkSync("/run", join(root, "var/run"));
  const mounts: Mount[] = ["/usr", "/etc"].map((path) => bind(path, path, "ro"));
  mounts.push({ destination: "/etc/cni", type: "tmpfs", source: "tmpfs", options: ["ro", "size=4k"] });
  for (const name of readdirSync("/").filter((entry) => /^(s?bin|lib\d*|libx?32)$/.test(entry))) {
    if (lstatSync(`/${name}`).isSymbolicLink()) symlinkSync(readlinkSync(`/${name}`), join(root, name));
    else mounts.push(bind(`/${name}`, `/${name}`, "ro"));
  }
  mounts.push(bind(REPOSITORY, REPOSITORY, "ro"));
  const folder = dirname(options.installCni);
  if (!`${folder}/`.startsWith(`${REPOSITORY}/`) && !folder.startsWith("/usr/"))
    mounts.push(bind(folder, folder, "ro"));
  if (options.plugin !== undefined) mounts.push(bind(options.plugin, "/opt/cni/bin/istio-cni", "ro"));
  return mounts;
}

function makeChartMounts(options: AgentBundleOptions): readonly Mount[] {
  const account = bind(options.serviceAccount, "/var/run/secrets/kubernetes.io/serviceaccount", "ro");
  if (options.setting === "bare") return [account];
  const mounts = [
    bind("/opt/cni/bin", "/host/opt/cni/bin", "rw"),
    bind("/etc/cni/net.d", "/host/etc/cni/net.d", "rw"),
    bind("/proc", "/host/proc", "ro"),
    bind("/run/istio-cni", "/var/run/istio-cni", "rw"),
    account,
  ];
  if (options.ambient !== true) return mounts;
  // HostToContainer: namespaces that are mounted later appear inside.
  return [
    ...mounts,
    bind("/run/netns", "/host/var/run/netns", "rw", "rslave"),
    bind("/run/ztunnel", "/var/run/ztunnel", "rw"),
  ];
}

function bind(source: string, destination: string, access: "ro" | "rw", propagation = "rprivate"): Mount {
  return { destination, type: "bind", source, options: ["rbind", propagation, access] };
}
