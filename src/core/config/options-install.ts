/**
 * Options of the installer (what is put on the host) and of the way to the API server.
 * Names, defaults and meaning: contract 1.2, 1.3 (upstream cni/pkg/cmd/root.go@1.30.3) and 11 P16-P21.
 */

import { UPSTREAM_EVENT_SOCKET } from "../run-dir-names.ts";
import { CONFLIST_NAME, DIRECTORY_LIST, HOST, KUBECONFIG_PATH, NAMESPACE, OBJECT_NAME } from "./domain-value-type.ts";
import { option } from "./option.ts";
import { absolutePath, BOOL, duration, FILE_MODE, FILE_NAME, integer, JSON_OBJECT, oneOf } from "./value-type.ts";

/** The longest name in it has to fit into the 107 bytes of a unix socket's path. */
const RUN_DIR_MAX = 107 - `/${UPSTREAM_EVENT_SOCKET}`.length;

export const INSTALL_OPTIONS = {
  cniConfName: option({
    flag: "cni-conf-name",
    env: "CNI_CONF_NAME",
    type: FILE_NAME,
    fallback: "",
    fallbackText: "detected: the first valid file when chained, else YYY-istio-cni.conf",
    doc: "Name of the CNI configuration file to chain into, or to create when not chained.",
  }),
  chainedCniPlugin: option({
    flag: "chained-cni-plugin",
    env: "CHAINED_CNI_PLUGIN",
    type: BOOL,
    fallback: true,
    doc: "Put the plugin into an existing plugin list; false writes a file of its own, for Multus.",
  }),
  istioOwnedCniConfig: option({
    flag: "istio-owned-cni-config",
    env: "ISTIO_OWNED_CNI_CONFIG",
    type: BOOL,
    fallback: false,
    doc: "Write a copy of the primary list with the plugin in it instead of editing the primary list (chained and ambient only).",
  }),
  istioOwnedCniConfigFilename: option({
    flag: "istio-owned-cni-config-filename",
    env: "ISTIO_OWNED_CNI_CONFIG_FILENAME",
    type: CONFLIST_NAME,
    fallback: "",
    fallbackText: "02-istio-cni.conflist",
    doc: "Name of the copy that ISTIO_OWNED_CNI_CONFIG asks for.",
  }),
  istioOwnedCniConfFilename: option({
    env: "ISTIO_OWNED_CNI_CONF_FILENAME",
    type: CONFLIST_NAME,
    fallback: "",
    doc: "The same, by the name upstream's chart gives to its value istioOwnedCNIConfigFileName and upstream's agent does not read; the one above wins.",
  }),
  mountedCniNetDir: option({
    flag: "mounted-cni-net-dir",
    env: "MOUNTED_CNI_NET_DIR",
    type: absolutePath({ orNone: true }),
    fallback: "",
    fallbackText: "/host/etc/cni/net.d",
    doc: "Where the host's CNI configuration directory is mounted; wins over CNI_NET_DIR.",
  }),
  cniNetDir: option({
    env: "CNI_NET_DIR",
    type: absolutePath({ orNone: true }),
    fallback: "",
    fallbackText: "/etc/cni/net.d",
    doc: "The host's CNI configuration directory, looked for below /host, then as given, then at /host/etc/cni/net.d.",
  }),
  cniBinDir: option({
    env: "CNI_BIN_DIR",
    type: DIRECTORY_LIST,
    fallback: [],
    fallbackText: "/opt/cni/bin",
    doc: "The host's plugin directory, or several with ':' or ',' between them, each looked for as CNI_NET_DIR is.",
  }),
  cniNetworkConfig: option({
    flag: "cni-network-config",
    env: "CNI_NETWORK_CONFIG",
    type: JSON_OBJECT,
    fallback: undefined,
    fallbackText: "generated",
    doc: "JSON object whose keys are laid under the generated plugin object.",
  }),
  cniNetworkConfigFile: option({
    flag: "cni-network-config-file",
    env: "CNI_NETWORK_CONFIG_FILE",
    type: absolutePath({ orNone: true }),
    fallback: "",
    doc: "File with that object; CNI_NETWORK_CONFIG wins.",
  }),
  cniAgentRunDir: option({
    flag: "cni-agent-run-dir",
    env: "CNI_AGENT_RUN_DIR",
    type: absolutePath({ maxLength: RUN_DIR_MAX }),
    fallback: "/var/run/istio-cni",
    doc: "Sockets and state shared with the plugin; the same path in the container and on the host.",
  }),
  cniConfGroupRead: option({
    flag: "cni-conf-group-read",
    env: "CNI_CONF_GROUP_READ",
    type: BOOL,
    fallback: false,
    doc: "Create configuration files with mode 0640 instead of 0600.",
  }),
  kubecfgFileName: option({
    env: "KUBECFG_FILE_NAME",
    type: FILE_NAME,
    fallback: "ZZZ-istio-cni-kubeconfig",
    doc: "Name of the kubeconfig that older versions left beside the CNI configuration; none is written any more.",
    inert: "the plugin needs no kubeconfig; HOST_KUBECONFIG=true writes one of upstream's present name",
  }),
  conflistFight: option({
    env: "CNI_CONFLIST_FIGHT",
    type: oneOf(["keep", "own", "concede"]),
    fallback: "keep",
    doc: "Against another writer that keeps taking the plugin out of its file: keep puts it back ever slower, own moves it to a file of ours that comes first, concede leaves the file alone for a while and is not ready (not upstream's).",
  }),
  hostKubeconfig: option({
    env: "HOST_KUBECONFIG",
    type: BOOL,
    fallback: false,
    doc: "Write istio-cni-kubeconfig with the agent's token into the run directory, as upstream does, for others who read it; the plugin here needs none (not upstream's).",
  }),
  kubeconfigMode: option({
    flag: "kubeconfig-mode",
    env: "KUBECONFIG_MODE",
    type: FILE_MODE,
    fallback: 0o600,
    doc: "Mode of the file of HOST_KUBECONFIG; 600 without a leading 0 is a decimal number.",
  }),
  kubeCaFile: option({
    flag: "kube-ca-file",
    env: "KUBE_CA_FILE",
    type: absolutePath({ orNone: true }),
    fallback: "",
    fallbackText: "that of the pod's service account",
    doc: "Certificate authority in the file of HOST_KUBECONFIG.",
  }),
  skipTlsVerify: option({
    flag: "skip-tls-verify",
    env: "SKIP_TLS_VERIFY",
    type: BOOL,
    fallback: false,
    doc: "The file of HOST_KUBECONFIG trusts any server. The agent itself never does.",
  }),
  pluginAgentWait: option({
    env: "PLUGIN_AGENT_WAIT",
    type: duration(100, 60_000),
    fallback: 15_000,
    doc: "How long the plugin waits for the agent before it refuses a pod that may be in the mesh (not upstream's).",
  }),
} as const;

export const API_OPTIONS = {
  serviceHost: option({
    env: "KUBERNETES_SERVICE_HOST",
    type: HOST,
    fallback: "",
    fallbackText: "set by the kubelet",
    doc: "Host name or address of the API server.",
  }),
  servicePort: option({
    env: "KUBERNETES_SERVICE_PORT",
    type: integer(1, 65535, "port"),
    fallback: 443,
    doc: "Its port.",
  }),
  kubeconfig: option({
    env: "KUBECONFIG",
    type: KUBECONFIG_PATH,
    fallback: "",
    fallbackText: "the pod's service account",
    doc: "Kubeconfig file for the agent itself.",
  }),
  nodeName: option({
    env: "NODE_NAME",
    type: OBJECT_NAME,
    fallback: "",
    fallbackText: "REPAIR_NODE_NAME, then KUBERNETES_NODE_NAME, then the host name",
    doc: "The node whose pods this agent is responsible for.",
  }),
  kubernetesNodeName: option({
    env: "KUBERNETES_NODE_NAME",
    type: OBJECT_NAME,
    fallback: "",
    doc: "The node's name where NODE_NAME does not tell it.",
  }),
  podName: option({
    env: "POD_NAME",
    type: OBJECT_NAME,
    fallback: "",
    doc: "Name of the agent's own pod.",
  }),
  podNamespace: option({
    env: "POD_NAMESPACE",
    type: NAMESPACE,
    fallback: "",
    doc: "Namespace of the agent's own pod and DaemonSet.",
  }),
} as const;
