// The agent from an image, as the kubelet starts a DaemonSet's container: through CRI, with the chart's command, mounts,
// environment and capabilities. Unlike agent.ts, nothing of the checkout or the machine is visible inside.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentApiServer } from "./agent.ts";
import { CHART_CAPABILITIES, MASKED_PATHS, READONLY_PATHS, renderChartEnvironment } from "./agent-bundle.ts";
import type { TestNode } from "./create-node.ts";
import type { ContainerMount } from "./cri-client.ts";
import { type ImageAgent, superviseAgent } from "./supervise-agent.ts";

export interface ImageAgentOptions {
  /** Name of an image that the node's containerd has. */
  readonly image: string;
  readonly apiServer: AgentApiServer;
  /** The user; 0 as in upstream's chart unless told, `image` for the one the image names. */
  readonly uid?: number | "image";
  /** `chart`: the five capabilities and no others (default). `privileged`: as the hardened image's guide has it. */
  readonly rights?: "chart" | "privileged" | "none";
  readonly readonlyRoot?: boolean;
  readonly noNewPrivileges?: boolean;
  /** The chart's `install-cni` unless told; `undefined` leaves the image its own entry point. */
  readonly command?: readonly string[] | undefined;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const NAME = "install-cni";
let started = 0;

/** @throws {CriError} when the runtime refuses to make or start the container. */
export async function startImageAgent(node: TestNode, options: ImageAgentOptions): Promise<ImageAgent> {
  started += 1;
  const { rights = "chart", apiServer } = options;
  const podName = `istio-cni-node-${started}`;
  const serviceAccount = join("/run", `${podName}-serviceaccount`);
  mkdirSync(serviceAccount, { recursive: true });
  // As the kubelet makes it for a container that runs as another user than root: readable through the pod's group.
  for (const [file, text] of [
    ["token", apiServer.token],
    ["ca.crt", apiServer.caPem],
    ["namespace", "istio-system"],
  ] as const)
    writeFileSync(join(serviceAccount, file), text, { mode: 0o644 });

  const pod = await node.runPod({
    name: podName,
    namespace: "istio-system",
    hostNetwork: true,
    privileged: rights === "privileged",
  });
  const command = "command" in options ? options.command : [NAME];
  const containerId = await pod.startContainer({
    name: NAME,
    image: options.image,
    ...(command === undefined ? {} : { command }),
    args: options.args ?? ["--log_output_level=info"],
    env: environment(options, { serviceAccount, nodeName: node.name, podName }),
    uid: options.uid ?? 0,
    mounts: chartMounts(serviceAccount),
    security: {
      ...(rights === "privileged"
        ? { privileged: true }
        : {
            capabilities: {
              dropCapabilities: ["ALL"],
              addCapabilities: rights === "none" ? [] : CHART_CAPABILITIES.map((name) => name.replace("CAP_", "")),
            },
            maskedPaths: MASKED_PATHS,
            readonlyPaths: READONLY_PATHS,
          }),
      readonlyRootfs: options.readonlyRoot ?? false,
      noNewPrivs: options.noNewPrivileges ?? false,
    },
  });
  return superviseAgent(node, { pod, containerId, container: NAME });
}

/** The chart's environment as far as the container runtime is given it: PATH is the image's. */
function environment(
  options: ImageAgentOptions,
  names: { readonly serviceAccount: string; readonly nodeName: string; readonly podName: string },
): Readonly<Record<string, string>> {
  const { PATH: _path, ...rest } = renderChartEnvironment({
    installCni: NAME,
    apiServer: options.apiServer,
    cgroup: "",
    ...names,
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  return rest;
}

function chartMounts(serviceAccount: string): readonly ContainerMount[] {
  return [
    { hostPath: "/opt/cni/bin", containerPath: "/host/opt/cni/bin", readonly: false },
    { hostPath: "/etc/cni/net.d", containerPath: "/host/etc/cni/net.d", readonly: false },
    { hostPath: "/proc", containerPath: "/host/proc", readonly: true },
    { hostPath: "/run/istio-cni", containerPath: "/var/run/istio-cni", readonly: false },
    { hostPath: serviceAccount, containerPath: "/var/run/secrets/kubernetes.io/serviceaccount", readonly: true },
  ];
}
