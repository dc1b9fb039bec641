/** Network configurations to begin with, for the agent's reader and the plugin's. */
import { bytesOf } from "../fuzz-target.ts";

const ENTRY = {
  name: "k8s-pod-network",
  type: "istio-cni",
  exclude_namespaces: ["kube-system", "istio-system"],
  pod_namespace: "istio-system",
  cni_agent_run_dir: "/nonexistent",
  agent_wait_ms: 0,
  ambient_enabled: true,
};
const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [
    { name: "veth0", mac: "aa:bb:cc:dd:ee:ff" },
    { name: "eth0", sandbox: "/var/run/netns/x" },
  ],
  ips: [
    { interface: 1, address: "10.0.0.5/24", gateway: "10.0.0.1" },
    { interface: 1, address: "fd00::5/64", gateway: "fd00::1" },
  ],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: {},
};
const ANNOTATIONS = { "sidecar.istio.io/status": "{}", "traffic.sidecar.istio.io/includeInboundPorts": "*", é: '"\\' };

export const NETCONF_SEEDS: readonly Uint8Array[] = [
  {
    ...ENTRY,
    cniVersion: "1.0.0",
    prevResult: RESULT,
    runtimeConfig: { "io.kubernetes.cri.pod-annotations": ANNOTATIONS },
  },
  {
    ...ENTRY,
    cniVersion: "0.2.0",
    prevResult: { ip4: { ip: "10.0.0.5/24", gateway: "10.0.0.1" }, ip6: { ip: "fd00::5/64" }, dns: {} },
  },
  {
    ...ENTRY,
    ambient_enabled: false,
    cniVersion: "1.1.0",
    runtimeConfig: { "io.kubernetes.cri.pod-annotations": null },
  },
  { name: "n", cniVersion: "0.4.0", exclude_namespaces: null },
].map((value) => bytesOf(JSON.stringify(value)));

export const NETCONF_WORDS: readonly string[] = [
  "cniVersion",
  "name",
  "type",
  "prevResult",
  "interfaces",
  "sandbox",
  "ips",
  "ip4",
  "ip6",
  "ip",
  "address",
  "gateway",
  "interface",
  "runtimeConfig",
  "io.kubernetes.cri.pod-annotations",
  "sidecar.istio.io/status",
  "exclude_namespaces",
  "pod_namespace",
  "ambient_enabled",
  "cni_agent_run_dir",
  "agent_wait_ms",
  "istio-cni",
  "0.1.0",
  "0.3.1",
  "1.0.0",
  "1.1.0",
  "10.0.0.5/24",
  "fd00::5/64",
  "::ffff:10.0.0.1/128",
  "/run",
  "null",
  "\ufeff",
];
