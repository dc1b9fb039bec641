// One call of a CNI plugin as the runtime makes it, without a runtime: environment and stdin for the meter, and a pod's
// network namespace to act in.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createNetns, type TestNetns } from "../testbed/netns.ts";
import type { NodeFamilies } from "../testbed/node/node-network.ts";
import type { Bench } from "./bench-node.ts";
import type { MeterRequest } from "./meter.ts";
import type { StandInPod } from "./stand-in.ts";

export type CniCommand = "VERSION" | "ADD" | "CHECK" | "DEL";

export interface PluginCall {
  readonly command: CniCommand;
  readonly program: string;
  /** The plugin's entry of the conflist. */
  readonly entry: Readonly<Record<string, unknown>>;
  readonly pod: StandInPod;
  readonly netns: TestNetns;
  /** Of an ADD that is to be undone; each call is another container unless told. */
  readonly containerId?: string;
}

/** The meter's request, and the container it is about. */
export interface RenderedCall extends MeterRequest {
  readonly containerId: string;
}

const ADDRESSES = { v4: "10.88.0.5/24", v6: "fd00:88::5/64" } as const;
let calls = 0;

/** A fresh network namespace with a veth that is up and has an address of each family, or these. */
export function createPodNetns(families: NodeFamilies, ips: readonly string[] = []): TestNetns {
  const netns = createNetns({ loopbackUp: false });
  const lines = [
    "link set lo up",
    "link add eth0 type veth peer name peer0",
    ...(ips.length > 0 ? ips.map(withPrefix) : [ADDRESSES.v4, ADDRESSES.v6])
      .filter((address) => families === "dual" || (families === "v6") === address.includes(":"))
      .map((address) => `address add ${address} dev eth0${address.includes(":") ? " nodad" : ""}`),
    "link set eth0 up",
    "link set peer0 up",
  ];
  netns.mustExec(["ip", "-batch", "-"], { input: `${lines.join("\n")}\n` });
  return netns;
}

/** Writes the call's stdin to a file and tells the meter the rest. Calls for different pods may run at once. */
export function renderPluginCall(bench: Pick<Bench, "folder">, call: PluginCall): RenderedCall {
  calls += 1;
  const { command, program, entry, pod, netns, containerId = `bench${calls.toString().padStart(59, "0")}` } = call;
  const stdinPath = join(bench.folder, `stdin-${command}-${pod.name}-${String(entry["type"])}`);
  writeFileSync(stdinPath, command === "VERSION" ? '{"cniVersion":"1.0.0"}' : renderNetconf(call));
  const args = [
    "IgnoreUnknown=1",
    `K8S_POD_NAMESPACE=${pod.namespace}`,
    `K8S_POD_NAME=${pod.name}`,
    `K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
    `K8S_POD_UID=${pod.uid}`,
  ];
  return {
    program,
    containerId,
    stdinPath,
    outputPath: join(bench.folder, `output-${pod.name}`),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: netns.path,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: args.join(";"),
      PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    },
  };
}

/** What containerd puts on stdin: the entry, the list's name and version, the result of the plugins before, annotations. */
function renderNetconf({ entry, pod, netns }: PluginCall): string {
  return JSON.stringify({
    ...entry,
    cniVersion: "1.0.0",
    name: "testbed",
    runtimeConfig: { "io.kubernetes.cri.pod-annotations": pod.annotations },
    prevResult: {
      cniVersion: "1.0.0",
      interfaces: [
        { name: "cni0", mac: "02:00:00:00:00:01" },
        { name: "eth0", mac: "02:00:00:00:00:02", sandbox: netns.path },
      ],
      ips: (pod.ips.length > 0 ? pod.ips.map(withPrefix) : [ADDRESSES.v4]).map((address) => ({
        ...{ address, interface: 1 },
        gateway: address.includes(":") ? "fd00:88::1" : "10.88.0.1",
      })),
      routes: [{ dst: "0.0.0.0/0" }],
      dns: {},
    },
  });
}

function withPrefix(ip: string): string {
  return `${ip}/${ip.includes(":") ? 64 : 16}`;
}
