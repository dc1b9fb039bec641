// The node's network: one interface with the node's address, forwarding, and the pod network as a conflist of the
// ordinary plugins (bridge, host-local, portmap), as a cluster's network vendor would have written it.
import { existsSync, writeFileSync } from "node:fs";
import { mustRun } from "./command.ts";

/** Which address families nodes and pods have. */
export type NodeFamilies = "v4" | "v6" | "dual";

/** The node's own addresses; the first pod addresses are the bridge's. */
export const NODE_ADDRESSES = { v4: "172.31.99.2", v6: "fd00:99::2" } as const;

const POD_SUBNETS = { v4: "10.244.0.0/24", v6: "fd00:10:244::/64" } as const;
const INTERFACES = ["eth0", "cni0"];

/** The families as single ones, v4 first (as Kubernetes orders a dual-stack pod's addresses by default). */
function listFamilies(families: NodeFamilies): readonly ("v4" | "v6")[] {
  return families === "dual" ? ["v4", "v6"] : [families];
}

/** Gives the node its interface, addresses, routes and sysctls. Undone by `dispose`. */
export async function setUpNodeNetwork(families: NodeFamilies): Promise<AsyncDisposable> {
  // Duplicate address detection would delay the first use of every v6 address by a second.
  for (const which of ["all", "default"]) setSysctl(`ipv6/conf/${which}/accept_dad`, "0");
  await mustRun(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "uplink0"]);
  for (const name of ["eth0", "uplink0"]) await mustRun(["ip", "link", "set", name, "up"]);
  for (const family of listFamilies(families)) {
    const flag = family === "v4" ? "-4" : "-6";
    await mustRun([
      "ip",
      flag,
      "address",
      "add",
      `${NODE_ADDRESSES[family]}/${family === "v4" ? 24 : 64}`,
      "dev",
      "eth0",
    ]);
    await mustRun(["ip", flag, "route", "add", "default", "dev", "eth0"]);
  }
  setSysctl("ipv4/ip_forward", "1");
  setSysctl("ipv6/conf/all/forwarding", "1");
  // Only where br_netfilter is loaded: pods on one bridge then pass the node's netfilter, as on a cluster's node.
  setSysctl("bridge/bridge-nf-call-iptables", "1");
  setSysctl("bridge/bridge-nf-call-ip6tables", "1");
  return {
    async [Symbol.asyncDispose]() {
      for (const name of INTERFACES) {
        if (existsSync(`/proc/sys/net/ipv4/conf/${name}`)) await mustRun(["ip", "link", "delete", name]);
      }
    },
  };
}

/** The conflist of the pod network. No masquerading: pods have nowhere to go but the node, and bridge would execute
 * iptables for it at every pod start. */
export function renderPodNetwork(families: NodeFamilies, cniVersion: string): string {
  const conflist = {
    cniVersion,
    name: "testbed",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        ipMasq: false,
        ipam: {
          type: "host-local",
          ranges: listFamilies(families).map((family) => [{ subnet: POD_SUBNETS[family] }]),
          routes: listFamilies(families).map((family) => ({ dst: family === "v4" ? "0.0.0.0/0" : "::/0" })),
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
  return `${JSON.stringify(conflist, null, 2)}\n`;
}

function setSysctl(name: string, value: string): void {
  const path = `/proc/sys/net/${name}`;
  if (existsSync(path)) writeFileSync(path, value);
}
